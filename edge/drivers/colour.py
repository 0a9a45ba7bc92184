"""Conversion of a library's pictures into :class:`~edge.contracts.Frame`, shared by the camera drivers."""

from __future__ import annotations

import cv2

from edge.contracts import Frame, Image


def frame_of_bgr(image: Image, captured_s: float, index: int, luma: Image | None = None) -> Frame:
    """Return a frame of an (H, W, 3) uint8 B, G, R picture, as a view without a copy, or of an (H, W) grey one."""
    # Reversed as a view: only crops of faces are used in full size, so most pixels need no conversion.
    rgb = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image[:, :, ::-1]
    return Frame(rgb, luma, captured_s, index)
