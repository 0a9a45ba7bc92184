"""Damaged pictures of a live camera: skipped and counted, because half a face may resemble a mask."""

from __future__ import annotations

import logging
from collections.abc import Callable

import cv2

from edge.contracts import Image
from edge.errors import CameraError
from edge.files import MAX_LIVE_PIXELS
from edge.inference.picture_file import decode_bgr

log = logging.getLogger(__name__)

REPORT_S = 600.0
"""Interval in which further damaged pictures are reported together, after the first."""


class DamagedPictures:
    """Call :meth:`skip` for each damaged picture of the camera ``name``, and :meth:`good` for each other one."""

    def __init__(self, name: str, stall_s: float, clock: Callable[[], float]) -> None:
        self._name, self._stall_s, self._clock = name, stall_s, clock
        self._good_s = clock()
        self._reported_s = float("-inf")
        self._count = 0

    def good(self) -> None:
        """Note a picture that is complete."""
        self._good_s = self._clock()

    def skip(self) -> None:
        """Count a damaged picture, and log it. Raises CameraError once there was no other for ``stall_s``."""
        now_s = self._clock()
        self._count += 1
        if now_s - self._good_s >= self._stall_s:
            raise CameraError(
                f"{self._name}: all pictures of the last {now_s - self._good_s:.1f} s are cut short or damaged; check "
                "the cable or the network, and try a smaller picture"
            )
        if now_s - self._reported_s >= REPORT_S:
            what = "a picture" if self._count == 1 else f"{self._count} pictures"
            log.warning("%s: skipped %s, cut short or damaged", self._name, what)
            self._reported_s, self._count = now_s, 0


def decoded(data: bytes) -> Image | None:
    """Return a picture (H, W, 3) uint8 B, G, R, or None if it is cut short or damaged.

    Raises PictureError for more than MAX_LIVE_PIXELS.
    """
    try:
        return decode_bgr(data, most=MAX_LIVE_PIXELS)
    except cv2.error:  # beyond a limit
        return None
