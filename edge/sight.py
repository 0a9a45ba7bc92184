"""Does a camera's picture show anything? A frozen or a black one does not, though pictures keep coming.

Judged on the small brightness plane, which every frame has. A sensor is never still to the last bit, so the same plane
again and again is one picture repeated. A covered lens shows black, or one colour all over; a written-in clock in a
corner (CCTV) changes nothing about that.
"""

from __future__ import annotations

import numpy as np

from edge.config import CameraSettings
from edge.contracts import Frame, Image, Sight

MOST = 0.97
"""This share of the points must be dark, or alike; the rest is for a written-in clock. In five real clips of rooms and
streets no more than 0.12 were dark (below 24) and 0.16 alike (within 8 of the middle one)."""

STEP = 4
"""Every so manieth point is looked at for darkness; a lens is not covered in points."""


class Judge:
    """Call :meth:`of` with every frame; it remembers since when pictures have been the same, or dark."""

    def __init__(self, settings: CameraSettings, frozen_s: float) -> None:
        self._settings, self._frozen_s = settings, frozen_s
        self._last: Image | None = None
        self._same_since_s = float("inf")
        self._dark_since_s = float("inf")

    def of(self, frame: Frame, now_s: float) -> Sight:
        """SEEING, FROZEN or DARK."""
        same = self._last is not None and np.array_equal(frame.luma, self._last)
        self._last = frame.luma
        dark = self._is_dark(frame.luma[::STEP, ::STEP])
        self._same_since_s = min(self._same_since_s, now_s) if same else float("inf")
        self._dark_since_s = min(self._dark_since_s, now_s) if dark else float("inf")
        if now_s - self._dark_since_s >= self._settings.dark_s:
            return Sight.DARK
        # Black ones are alike to the last bit on many cameras: whoever covers the lens must hear of that, not of this.
        if 0 < self._frozen_s <= now_s - self._same_since_s and not dark:
            return Sight.FROZEN
        return Sight.SEEING

    def _is_dark(self, luma: Image) -> bool:
        level, spread = self._settings.dark_level, self._settings.flat_level
        if np.count_nonzero(luma < level) >= MOST * luma.size:
            return True
        apart = np.abs(luma.astype(np.int16) - int(np.median(luma)))
        return bool(np.count_nonzero(apart < spread) >= MOST * luma.size)
