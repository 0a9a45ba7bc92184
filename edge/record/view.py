"""What a camera sees of an empty doorway, as a map of edges: another map means that the camera was moved.

Edges stay where they are when the light changes; brightness does not.
"""

from __future__ import annotations

from datetime import datetime

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from edge.contracts import Floats, Image
from edge.record.notes import ACCEPT_MS, Finding

COLUMNS, ROWS = 40, 30
EVERY_S = 60.0
"""Interval between two maps of a camera."""
LEARN = 60
"""Maps whose mean is the reference: an hour of an empty doorway."""
FOLLOW = 1 / 3000
"""Weight of a new map that agrees: a chair that is moved becomes part of the view within days."""
ALIKE = 0.58
"""Correlation with the reference below which the view is another one. In clips of fixed cameras, even with people in
view, any two moments correlate at 0.66 or more, and one shifted by a tenth of the picture at 0.53 or less."""
IN_A_ROW = 10
"""Maps in a row that must differ: a door that stands open or a person that the detector misses passes sooner."""
MIN_EDGES = 2.0
"""Mean gradient below which a map says nothing: a dark room has no edges."""


def edge_map(luma: Image) -> Image | None:
    """Return the edges of a brightness plane (h, w) uint8 as a (ROWS, COLUMNS) uint8 map; None if there are too few."""
    small = cv2.resize(luma, (COLUMNS * 4, ROWS * 4), interpolation=cv2.INTER_AREA).astype(np.float32)
    gradient = cv2.magnitude(cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1))
    spots = cv2.resize(gradient, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    if float(spots.mean()) < MIN_EDGES:
        return None
    # The root: one bright lamp must not outweigh all other edges.
    found: Image = np.clip(np.sqrt(spots) * 8, 0, 255).astype(np.uint8)
    return found


class View(msgspec.Struct):
    """The reference of one camera; kept in the database over restarts."""

    reference: bytes = b""
    count: int = 0
    different: int = 0
    since: int = 0
    moved: bool = False

    def add(self, found: Image, at: int) -> bool:
        """Add a map of the time ``at``, ms since 1970; return whether the camera counts as moved now, or back."""
        mean = np.frombuffer(self.reference, np.float32).reshape(ROWS, COLUMNS) if self.reference else None
        if mean is None or self.count < LEARN:
            self.count += 1
            new = found if mean is None else mean + (found - mean) / self.count
            self.reference = np.asarray(new, np.float32).tobytes()
            return False
        if likeness(found, mean) >= ALIKE:
            self.reference = np.asarray(mean + (found - mean) * FOLLOW, np.float32).tobytes()
            before, self.different, self.moved = self.moved, 0, False
            return before
        if not self.different:
            self.since = at
        elif at - self.since > ACCEPT_MS:
            # It was moved on purpose, or nobody minds: this is the view now.
            self.reference, self.count, self.different, self.moved = b"", 0, 0, False
            return True
        self.different += 1
        before, self.moved = self.moved, self.different >= IN_A_ROW
        return self.moved is not before

    def finding(self, camera: str) -> Finding:
        """Return what to report if the camera was moved."""
        moment = datetime.fromtimestamp(self.since / 1000).astimezone()
        when = f"{moment:%A, %d %B, %H:%M}"
        message = f"the view is another since {when}: the camera was moved or turned"
        return Finding(camera, "view", True, self.since, message)


def likeness(found: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> float:
    """Return the correlation of two maps, -1 to 1."""
    one: Floats = found.astype(np.float32) - np.float32(found.mean())
    two: Floats = other.astype(np.float32) - np.float32(other.mean())
    length = float(np.sqrt((one * one).sum() * (two * two).sum()))
    return float((one * two).sum()) / length if length else 0.0
