"""Noise of a camera's sensor, for pictures that fmd draws: without it a still view would count as a frozen camera."""

from __future__ import annotations

import cv2
import numpy as np

from edge.contracts import Image

SPARE = 64
"""Pixels by which the field of noise is larger than a picture, to both sides."""


class SensorNoise:
    """Noise with a standard deviation of ``strength`` (of 255), for pictures of one size.

    Each picture gets another part of one field: drawing new noise takes longer than drawing the picture.
    """

    def __init__(self, height: int, width: int, strength: float = 2.0) -> None:
        field = np.random.default_rng(1).standard_normal((height + SPARE, width + SPARE, 3), np.float32)
        self._field = np.rint(strength * field).astype(np.int16)

    def added(self, picture: Image, number: int) -> Image:
        """Return the picture (height, width, 3) with noise; ``number`` 0, 1, ... determines it."""
        y, x = np.random.default_rng(number).integers(0, SPARE, 2)
        part = self._field[y : y + picture.shape[0], x : x + picture.shape[1]]
        return np.asarray(cv2.add(picture, part, dtype=cv2.CV_8U), np.uint8)
