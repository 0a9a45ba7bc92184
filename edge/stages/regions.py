"""Parts of the picture in which faces count: all of it, without those to ignore, or only those to watch.

A face counts where the centre of its box is. The polygons become one mask when a run begins, so that a face costs one
look-up, and the gate leaves out the cells in which no face counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from edge.contracts import Box, Face
from edge.errors import SettingsError

COLUMNS, ROWS = 320, 240
"""Size of the mask: two pixels of a picture of 640 x 480. The gate's 40 x 30 cells divide it."""
SHIFT = 8
"""Bits behind the point of OpenCV's coordinates, which are integers."""

Outline = Sequence[tuple[float, float]]
"""Corners of a polygon: x and y as shares of the upright picture's width and height."""
Mask = npt.NDArray[np.bool_]


class Regions:
    """The regions of one camera. With ``only``, nothing outside these polygons counts; ``ignore`` wins over it."""

    def __init__(self, ignore: Sequence[Outline] = (), only: Sequence[Outline] = ()) -> None:
        """Raise SettingsError if no part of the picture is left."""
        self._mask: Mask | None = None
        if ignore or only:
            self._mask = (_drawn(only) if only else np.ones((ROWS, COLUMNS), np.bool_)) & ~_drawn(ignore)
            if not self._mask.any():
                raise SettingsError(
                    "watch.ignore, watch.only: no part of the picture is left; make the regions smaller"
                )

    @property
    def share(self) -> float:
        """Share of the picture in which faces count, 0..1."""
        return 1.0 if self._mask is None else float(self._mask.mean())

    def split(self, faces: tuple[Face, ...], size: tuple[float, float]) -> tuple[tuple[Face, ...], tuple[Face, ...]]:
        """Return the faces that count and the others; ``size`` is the picture's width and height in pixels."""
        if self._mask is None or not faces:
            return faces, ()
        counting = [self._counts(face.box, self._mask, size) for face in faces]
        return (
            tuple(face for face, counts in zip(faces, counting, strict=True) if counts),
            tuple(face for face, counts in zip(faces, counting, strict=True) if not counts),
        )

    def cells(self, columns: int, rows: int) -> Mask | None:
        """Return the cells (rows, columns) in any part of which a face counts, or None for all.

        ``columns`` and ``rows`` divide COLUMNS and ROWS.
        """
        if self._mask is None:
            return None
        parts = self._mask.reshape(rows, ROWS // rows, columns, COLUMNS // columns)
        return np.asarray(parts.any(axis=(1, 3)), np.bool_)

    @staticmethod
    def _counts(box: Box, mask: Mask, size: tuple[float, float]) -> bool:
        (x, y), (width, height) = box.centre, size
        column, row = int(x * COLUMNS / width), int(y * ROWS / height)
        return bool(mask[min(max(row, 0), ROWS - 1), min(max(column, 0), COLUMNS - 1)])


def _drawn(outlines: Sequence[Outline]) -> Mask:
    """Return the mask (ROWS, COLUMNS) of all points inside any of the polygons."""
    plane = np.zeros((ROWS, COLUMNS), np.uint8)
    for outline in outlines:
        # The centre of the first cell is half a cell from the edge.
        corners = np.array(outline) * (COLUMNS, ROWS) - 0.5
        cv2.fillPoly(plane, [np.rint(corners * (1 << SHIFT)).astype(np.int32)], 1, cv2.LINE_8, SHIFT)
    return plane.astype(np.bool_)
