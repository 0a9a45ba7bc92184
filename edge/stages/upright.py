"""Face -> whether it is upright in the picture: a camera may hang upside down or on its side.

The detector finds most faces however they are turned, but the classifier knows upright ones only: it takes the others
for no face, or errs. The class "background" shows the difference. So from time to time one face is classified as it is
and in each turn, and the turn with the least background is a vote for how the camera hangs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from edge.contracts import Box, Face, Frame, Observation, Turned, View
from edge.inference.evidence import log_odds

SURE_SCORE = 0.5
"""Detection score from which a face is sure enough for a vote."""
INTERVAL_S = (2.0, 20.0)
"""Shortest and longest time between two votes: the shortest while faces are turned, the longest while they are upright.
Without a face there is no vote and no cost."""
TURNS = (0, 180, 90, 270)
"""Degrees, clockwise."""
MIN_LEAD = 2.0
"""Log odds of background by which the best turn must be below the present one, or the present one below all others.

Of 66 people of the test split in a drawn doorway, the least background was at the right turn for 64 of 65 upright, 60
of 61 inverted and 44 of 50 faces on their side that the shipped detector found."""


class Classifier(Protocol):
    """What the check needs of :class:`edge.stages.classify.MaskClassifier`."""

    def classify(self, frame: Frame, views: Sequence[View]) -> Sequence[Observation]:
        """Return one observation for each view."""


class UprightCheck:
    """Call :meth:`check` with the faces of every frame that the detector has inspected."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._due_s = float("-inf")

    def check(self, frame: Frame, faces: Sequence[Face]) -> Turned | None:
        """Return a vote: by how many degrees the picture must be turned. None without one."""
        if not faces or frame.captured_s < self._due_s:
            return None
        face = max(faces, key=lambda face: face.score)
        if face.score < SURE_SCORE:
            return None
        self._due_s = frame.captured_s + INTERVAL_S[0]
        backgrounds = [self._background(frame, face, degrees) for degrees in TURNS]
        if None in backgrounds:  # a model without that label cannot say
            self._due_s = float("inf")
            return None
        odds = [log_odds(background or 0.0) for background in backgrounds]
        best = int(np.argmin(odds))
        rival = odds[0] if best else min(odds[1:])
        if rival - odds[best] < MIN_LEAD:
            return None
        self._due_s = frame.captured_s + INTERVAL_S[best == 0]
        return Turned(TURNS[best], face.box)

    def _background(self, frame: Frame, face: Face, degrees: int) -> float | None:
        turned = _turned(frame, face, degrees)
        return self._classifier.classify(*turned)[0].background


def _turned(frame: Frame, face: Face, degrees: int) -> tuple[Frame, list[View]]:
    """Return the surroundings of a face, turned clockwise, as a frame, and the face in it."""
    height, width = frame.image.shape[:2]
    box = face.box
    left, top = max(0, int(box.xmin - box.width)), max(0, int(box.ymin - box.height))
    right, bottom = min(width, int(box.xmax + box.width) + 1), min(height, int(box.ymax + box.height) + 1)
    box = Box(box.xmin - left, box.ymin - top, box.xmax - left, box.ymax - top)
    wide, high = right - left, bottom - top
    for _ in range(degrees // 90):
        box = Box(high - box.ymax, box.xmin, high - box.ymin, box.xmax)
        wide, high = high, wide
    image = np.ascontiguousarray(np.rot90(frame.image[top:bottom, left:right], -(degrees // 90)))
    return Frame(image, None, frame.captured_s, frame.index), [View(Face(box, face.score))]
