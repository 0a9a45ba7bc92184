"""Is anything happening? The gate that lets an empty doorway cost next to nothing.

It compares the small brightness plane with a slowly following memory of the empty view. Whoever moves wakes it; once
awake it stays awake a while, and it lets a frame through every so often all the same, so that somebody standing still
is seen within ``recheck_s``.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge.config import WatchSettings
from edge.contracts import Floats, Frame

FOLLOWING = 0.05
"""Share of every new plane mixed into the memory: daylight drifts slower than people walk."""


class Watch:
    """Call :meth:`awake` with every frame; detection runs where it says so."""

    def __init__(self, settings: WatchSettings) -> None:
        self._settings = settings
        self._memory: Floats | None = None
        self._awake_until_s = self._recheck_at_s = float("-inf")

    def awake(self, frame: Frame, occupied: bool) -> bool:
        """True where the frame is worth the detector's time; ``occupied`` while somebody is being tracked."""
        if not self._settings.gate:
            return True
        now_s = frame.captured_s
        stirring = self._moved(frame) or occupied
        if stirring:
            self._awake_until_s = now_s + self._settings.awake_s
        if stirring or now_s < self._awake_until_s or now_s >= self._recheck_at_s:
            self._recheck_at_s = now_s + self._settings.recheck_s
            return True
        return False

    def _moved(self, frame: Frame) -> bool:
        # A blur first: sensor noise differs from pixel to pixel, people do not.
        plane = cv2.blur(frame.luma, (3, 3)).astype(np.float32)
        if self._memory is None or self._memory.shape != plane.shape:
            self._memory = plane
            return True
        changed = np.count_nonzero(np.abs(plane - self._memory) > self._settings.contrast)
        cv2.accumulateWeighted(plane, self._memory, FOLLOWING)
        return bool(changed > self._settings.share * plane.size)
