"""Frame -> whether the detector inspects it, so that an empty doorway costs next to nothing.

The gate compares the view with the last one that the detector inspected, not with the frame before. So the detector
sees everyone who comes in, however slowly: the difference stays until the detector has run. Both views are reduced to
:data:`COLUMNS` x :data:`ROWS` spots of mean brightness, in which sensor noise averages out and a face does not.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from edge.config import DetectSettings, WatchSettings
from edge.contracts import Floats, Frame, Image, Presence

COLUMNS, ROWS = 40, 30
MIN_CHANGED_SPOTS = 2
"""Changed spots that make a change of the view: a face at a door covers five or more."""
NOISE_MEMORY_S = 30.0
"""Time constant with which the gate learns the noise of the picture."""
NOISE_MARGIN = 7.0
"""Smallest change of a spot, as a multiple of the median change between frames: 4.5 standard deviations of normal
noise."""
MAX_CONTRAST_FACTOR = 4.0
"""Limit of the required change, as a multiple of ``watch.contrast``: a noisy picture must not hide people."""
SLACK_S = 0.005
"""Time by which a frame may come early and still be due, as cameras deliver a little unevenly."""


class Watch:
    """Decides for every frame whether the detector inspects it: see :meth:`due`."""

    def __init__(
        self, watch: WatchSettings, detect: DetectSettings, watched: npt.NDArray[np.bool_] | None = None
    ) -> None:
        """``watched`` are the spots (ROWS, COLUMNS) in which a change matters, None for all."""
        self._settings, self._detect, self._watched = watch, detect, watched
        self._last: Floats | None = None
        self._detected: Frame | None = None  # the last frame that the detector inspected
        self._detected_spots: Floats | None = None  # its spots, once a comparison needed them
        self._noise = 0.0
        self._compared_s = self._detected_s = self._awake_until_s = -math.inf

    def due(self, frame: Frame, presence: Presence) -> bool:
        """Return whether the detector inspects this frame. True counts as inspected."""
        now_s = frame.captured_s
        every_s = self._detect.every_s
        if presence is Presence.OPEN:
            every_s = min(every_s, self._detect.undecided_s)
        # A comparison resets the interval as well: a still view is compared no more often than the detector may run.
        if now_s - max(self._detected_s, self._compared_s) < every_s - SLACK_S:
            return False
        if self._settings.gate and not self._passes_gate(frame, presence):
            return False
        self._detected_s, self._detected, self._detected_spots = now_s, frame, None
        return True

    def _passes_gate(self, frame: Frame, presence: Presence) -> bool:
        now_s = frame.captured_s
        # The answer is yes in any case here, so that a comparison would only cost time.
        if presence is Presence.OPEN or now_s <= self._awake_until_s:
            return True
        if self._changed(frame):
            self._awake_until_s = now_s + self._settings.awake_s
            return True
        wait_s = self._settings.still_s if presence is Presence.SETTLED else self._settings.recheck_s
        return now_s - self._detected_s >= wait_s - SLACK_S

    def _changed(self, frame: Frame) -> bool:
        """Return whether the view differs from the last one that the detector inspected."""
        spots, before, since_s = self._spots(frame), self._last, frame.captured_s - self._compared_s
        self._last, self._compared_s = spots, frame.captured_s
        if self._detected is None:
            return False  # the first frame is inspected in any case
        if before is not None:
            self._noise += (_median_change(spots, before) - self._noise) * min(1.0, since_s / NOISE_MEMORY_S)
        contrast = self._settings.contrast
        wanted = min(max(contrast, NOISE_MARGIN * self._noise), MAX_CONTRAST_FACTOR * contrast)
        if self._detected_spots is None:
            self._detected_spots = self._spots(self._detected)
        return _differ(spots, self._detected_spots, wanted)

    def _spots(self, frame: Frame) -> Floats:
        """Return the mean brightness of the watched spots: all (ROWS, COLUMNS), or some (n,)."""
        spots = _spots(frame.luma)
        return spots if self._watched is None else spots[self._watched]


def view_changed(luma: Image, before: Image, contrast: float) -> bool:
    """Return whether a brightness plane (h, w) uint8 shows another view than an earlier one of the same size."""
    return _differ(_spots(luma), _spots(before), contrast)


def _differ(spots: Floats, before: Floats, wanted: float) -> bool:
    """Return whether enough spots differ by more than ``wanted``."""
    change = spots - before
    # A camera that brightens the whole picture a little adjusts its exposure; a large shift may be a person.
    shift = _median(change)
    changed = np.count_nonzero(np.abs(change - shift) > wanted)
    return abs(shift) > wanted or bool(changed >= min(MIN_CHANGED_SPOTS, change.size))


def _spots(luma: Image) -> Floats:
    """Return the mean brightness (ROWS, COLUMNS), float32, of a brightness plane (h, w) uint8."""
    return np.asarray(cv2.resize(luma, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA), np.float32)


def _median_change(spots: Floats, before: Floats) -> float:
    """Return the median change of a spot between two frames. Up to half of the view may move without affecting it."""
    return _median(np.abs(spots - before))


def _median(spots: Floats) -> float:
    """Return the median; ``np.median`` takes ten times as long."""
    low, high = (spots.size - 1) // 2, spots.size // 2
    ordered = np.partition(spots, (low, high), axis=None)
    return float(ordered[low] + ordered[high]) / 2
