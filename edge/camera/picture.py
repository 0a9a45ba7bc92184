"""Pictures of one camera -> streaming, frozen or dark: a camera that keeps sending pictures may still show nothing.

The checks read the small brightness plane that every frame has. A sensor is never still to the last bit, so that the
same plane again and again is one repeated picture. A covered lens gives black, or brightness that changes smoothly over
the view, as light comes from one side. Two things disturb that: the sensor's noise, which is strongest in the dark, and
a clock written into the picture (CCTV). The plane is therefore reduced to spots, in which noise averages out and thin
strokes disappear.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge.config import CameraSettings
from edge.contracts import LUMA_WIDTH, CameraState, Floats, Frame, Image

MIN_SHARE = 0.94
"""Share of the spots that must be dark, or smooth; the rest allows for text written into the picture.

Measured in five real clips of rooms and streets, at a fifth of their light and with added noise of standard deviation
4: at most 0.64 were dark and 0.83 smooth. With a small person before an empty wall it was 0.91. Covered lenses (noise
up to 12, light from one side, a clock and a name written in) gave at least 0.95."""

COLUMNS, ROWS = 20, 15
MEDIAN_SIDE = 5
"""Side of the median filter that removes written strokes, in points of a plane LUMA_WIDTH wide."""
DARK_CHECKS = 4
"""Checks for darkness in every ``camera.dark_s`` while the picture is light: its beginning may be noticed that late."""
MAX_CHANGE_GAP_S = 5.0
"""Longest time between two changes of the picture of a working camera; ``frozen_s`` limits it as well."""
MAX_REFITS = 3
"""Times that the surface is fitted again to the best spots, so that text in a corner does not bend it."""


def _surface() -> Floats:
    """Return quadratic functions of a spot's place, one per column: (spots, 6), float32."""
    y, x = (axis.ravel() for axis in np.mgrid[-1 : 1 : ROWS * 1j, -1 : 1 : COLUMNS * 1j])
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1).astype(np.float32)


_SURFACE = _surface()
_FIT: Floats = np.linalg.pinv(_SURFACE)


def shows_nothing(luma: Image, settings: CameraSettings) -> bool:
    """Return whether a brightness plane (h, w), uint8, is black or covered.

    It is black below ``dark_level``. It is covered where all spots lie within ``flat_level`` of a quadratic surface.
    """
    spots = _spots(luma)
    if np.count_nonzero(spots < settings.dark_level) >= MIN_SHARE * spots.size:
        return True
    residuals = np.abs(spots - _SURFACE @ (_FIT @ spots))
    for _ in range(MAX_REFITS):
        smooth = np.count_nonzero(residuals < settings.flat_level)
        if smooth >= MIN_SHARE * spots.size:
            return True
        if smooth < spots.size // 2:  # a normal scene; the refits would cost time on every check
            return False
        inliers = residuals <= np.quantile(residuals, MIN_SHARE)
        fitted = _SURFACE @ np.linalg.lstsq(_SURFACE[inliers], spots[inliers], rcond=None)[0]
        residuals = np.abs(spots - fitted)
    return bool(np.count_nonzero(residuals < settings.flat_level) >= MIN_SHARE * spots.size)


def _spots(luma: Image) -> Floats:
    """Return the brightness (ROWS * COLUMNS,), float32, of the parts of the view."""
    step = max(1, luma.shape[1] // LUMA_WIDTH)
    # The median comes first: the mean of a spot would spread a stroke instead of removing it.
    plane = cv2.medianBlur(np.ascontiguousarray(luma[::step, ::step]), MEDIAN_SIDE)
    return np.asarray(cv2.resize(plane, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA), np.float32).ravel()


class PictureMonitor:
    """Call :meth:`update` with every frame; it remembers since when the pictures are the same, or dark.

    ``frozen_s`` is how long a picture may stay the same; 0 switches that check off.
    """

    def __init__(self, settings: CameraSettings, frozen_s: float) -> None:
        self._settings, self._frozen_s = settings, frozen_s
        self._last: Image | None = None
        self._same_since_s = self._dark_since_s = float("inf")
        self._check_s = float("-inf")
        self._changes_s = float("-inf"), float("-inf")

    def is_changing(self, now_s: float) -> bool:
        """Return whether the picture has just changed twice; some frozen cameras give one new picture when opened."""
        return now_s - self._changes_s[0] <= min(self._frozen_s, MAX_CHANGE_GAP_S)

    def update(self, frame: Frame, now_s: float) -> CameraState:
        """Return STREAMING, FROZEN or DARK for the camera as of this frame."""
        same = self._last is not None and np.array_equal(frame.luma, self._last)
        self._last = frame.luma
        if not same:
            self._changes_s = self._changes_s[1], now_s
        self._same_since_s = min(self._same_since_s, now_s) if same else float("inf")
        dark = self._is_dark(frame.luma, now_s)
        self._dark_since_s = min(self._dark_since_s, now_s) if dark else float("inf")
        if now_s - self._dark_since_s >= self._settings.dark_s:
            return CameraState.DARK
        # Many cameras' black pictures are the same to the last bit: who covers a lens must read "dark", not "frozen".
        if 0 < self._frozen_s <= now_s - self._same_since_s and not dark:
            return CameraState.FROZEN
        return CameraState.STREAMING

    def _is_dark(self, luma: Image, now_s: float) -> bool:
        if now_s < min(self._check_s, self._dark_since_s):
            return False
        # Once dark, every picture is checked, so that the first light one is noticed at once.
        self._check_s = now_s + self._settings.dark_s / DARK_CHECKS
        return shows_nothing(luma, self._settings)
