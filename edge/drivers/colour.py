"""What camera drivers share: bytes as they come from a library, made into a :class:`~edge.contracts.Frame`."""

from __future__ import annotations

import cv2

from edge.contracts import Frame, Image


def frame_of_bgr(image: Image, captured_s: float, index: int, luma: Image | None = None) -> Frame:
    """A frame from (H, W, 3) uint8 B, G, R, or (H, W) grey, as OpenCV gives it; nothing is converted yet."""
    rgb = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image[:, :, ::-1]
    return Frame(rgb, luma, captured_s, index)
