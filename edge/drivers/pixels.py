"""What camera drivers share: bytes as they come from a library, made into a :class:`~edge.contracts.Frame`."""

from __future__ import annotations

import cv2
import numpy as np

from edge.contracts import Frame, Image

LUMA_WIDTH = 160
"""About how wide the gate's brightness plane is, in pixels."""


def frame_of_bgr(image: Image, captured_s: float, index: int, luma: Image | None = None) -> Frame:
    """A frame from (H, W, 3) uint8 B, G, R, or (H, W) grey, as OpenCV gives it."""
    image = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB)
    return Frame(image, luma_of(image) if luma is None else luma, captured_s, index)


def luma_of(image: Image) -> Image:
    """A small brightness plane (h, w) of an RGB picture: every nth green value, which costs next to nothing."""
    step = max(1, image.shape[1] // LUMA_WIDTH)
    return np.ascontiguousarray(image[::step, ::step, 1])
