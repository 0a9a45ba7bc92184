"""Does a camera's picture show anything? A frozen or a black one does not, though pictures keep coming.

Judged on the small brightness plane, which every frame has. A sensor is never still to the last bit, so the same plane
again and again is one picture repeated. A covered lens shows black, or brightness that changes smoothly over the view
(light comes from one side); the sensor's noise, which is strongest then, and a written-in clock (CCTV) change nothing
about that: the plane is brought down to spots in which noise drowns and thin strokes are gone.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge.config import CameraSettings
from edge.contracts import LUMA_WIDTH, CameraState, Floats, Frame, Image

MOST = 0.94
"""This share of the spots must be dark, or smooth; the rest is for what is written into the picture. In five real
clips of rooms and streets, at a fifth of their light and with noise of standard deviation 4 added, no more than 0.64
were dark and 0.83 smooth; of somebody small before a bare wall 0.91; of covered lenses (noise up to 12, light from one
side, a clock and a name written in) no less than 0.95."""

COLUMNS, ROWS = 20, 15
STROKES = 5
"""Side of the median filter, in points of a plane LUMA_WIDTH wide, that takes written-in strokes away."""
LOOKS = 4
"""So many times in ``dark_s`` is darkness looked for while there is none: the first of it need not be known sooner."""
LIVELY_S = 5.0
"""Two changes of the picture that are no further apart, nor than a picture may stay the same, are a living camera's."""
FITS = 3
"""How often the surface is laid anew through the better part of the spots, without what is written in a corner."""


def _surface() -> Floats:
    """Quadratic functions of the place, a column each: (spots, 6)."""
    y, x = (axis.ravel() for axis in np.mgrid[-1 : 1 : ROWS * 1j, -1 : 1 : COLUMNS * 1j])
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1).astype(np.float32)


_SURFACE = _surface()
_LAY: Floats = np.linalg.pinv(_SURFACE)


def shows_nothing(luma: Image, settings: CameraSettings) -> bool:
    """Whether a brightness plane (h, w) is black or covered, by ``dark_level`` and ``flat_level``."""
    spots = _spots(luma)
    if np.count_nonzero(spots < settings.dark_level) >= MOST * spots.size:
        return True
    off = np.abs(spots - _SURFACE @ (_LAY @ spots))
    for _ in range(FITS):
        smooth = np.count_nonzero(off < settings.flat_level)
        if smooth >= MOST * spots.size:
            return True
        if smooth < spots.size // 2:  # any scene: it shall cost nothing
            return False
        near = off <= np.quantile(off, MOST)
        off = np.abs(spots - _SURFACE @ np.linalg.lstsq(_SURFACE[near], spots[near], rcond=None)[0])
    return bool(np.count_nonzero(off < settings.flat_level) >= MOST * spots.size)


def _spots(luma: Image) -> Floats:
    """Brightness (ROWS * COLUMNS) of the view's parts."""
    step = max(1, luma.shape[1] // LUMA_WIDTH)
    plane = cv2.medianBlur(np.ascontiguousarray(luma[::step, ::step]), STROKES)
    return np.asarray(cv2.resize(plane, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA), np.float32).ravel()


class PictureMonitor:
    """Call :meth:`of` with every frame; it remembers since when pictures have been the same, or dark."""

    def __init__(self, settings: CameraSettings, frozen_s: float) -> None:
        self._settings, self._frozen_s = settings, frozen_s
        self._last: Image | None = None
        self._same_since_s = self._dark_since_s = float("inf")
        self._look_s = float("-inf")
        self._changes_s = float("-inf"), float("-inf")

    def lively(self, now_s: float) -> bool:
        """Whether the picture has just changed twice. Some frozen cameras give one new picture whenever opened."""
        return now_s - self._changes_s[0] <= min(self._frozen_s, LIVELY_S)

    def of(self, frame: Frame, now_s: float) -> CameraState:
        """SEEING, FROZEN or DARK."""
        same = self._last is not None and np.array_equal(frame.luma, self._last)
        self._last = frame.luma
        if not same:
            self._changes_s = self._changes_s[1], now_s
        self._same_since_s = min(self._same_since_s, now_s) if same else float("inf")
        dark = self._is_dark(frame.luma, now_s)
        self._dark_since_s = min(self._dark_since_s, now_s) if dark else float("inf")
        if now_s - self._dark_since_s >= self._settings.dark_s:
            return CameraState.DARK
        # Black ones are alike to the last bit on many cameras: whoever covers the lens must hear of that, not of this.
        if 0 < self._frozen_s <= now_s - self._same_since_s and not dark:
            return CameraState.FROZEN
        return CameraState.STREAMING

    def _is_dark(self, luma: Image, now_s: float) -> bool:
        if now_s < min(self._look_s, self._dark_since_s):
            return False  # once dark, every picture is looked at: light again is known at once
        self._look_s = now_s + self._settings.dark_s / LOOKS
        return shows_nothing(luma, self._settings)
