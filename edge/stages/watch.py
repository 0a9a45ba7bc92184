"""Is anything happening? Which frames the detector looks at, so that an empty doorway costs next to nothing.

The gate compares the view with the one the detector looked at last, and not with the frame before: whoever comes in is
looked at however slowly, because the difference stays until it has been looked at. Both are brought down to
:data:`COLUMNS` x :data:`ROWS` spots of mean brightness, in which a sensor's noise drowns and a face does not.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from edge.config import DetectSettings, WatchSettings
from edge.contracts import Floats, Frame, Image, Presence

COLUMNS, ROWS = 40, 30
SPOTS = 2
"""So many changed spots are a change of the view: a face at a door covers five or more."""
NOISE_MEMORY_S = 30.0
"""Time constant with which the noise of the picture is learnt."""
NOISE_MARGIN = 7.0
"""A change is more than this many times the median change between frames: 4.5 standard deviations of normal noise."""
MAX_DEAFENED = 4.0
"""However noisy the picture, no more than this many times ``watch.contrast`` is asked for."""
SLACK_S = 0.005
"""Frames come a little early and late; one that is due in this time is due."""


class Watch:
    """Call :meth:`due` with every frame; the detector looks at those for which it says so."""

    def __init__(self, watch: WatchSettings, detect: DetectSettings) -> None:
        self._settings, self._detect = watch, detect
        self._last: Floats | None = None
        self._looked_at: Frame | None = None
        self._looked_spots: Floats | None = None  # of it, once they were asked for
        self._noise = 0.0
        self._compared_s = self._looked_s = self._awake_until_s = -math.inf

    def due(self, frame: Frame, presence: Presence) -> bool:
        """Whether the detector should look at this frame. True counts as looked at."""
        now_s = frame.captured_s
        every_s = self._detect.every_s
        if presence is Presence.OPEN:
            every_s = min(every_s, self._detect.undecided_s)
        if now_s - max(self._looked_s, self._compared_s) < every_s - SLACK_S:
            return False
        if self._settings.gate and not self._worth_a_look(frame, presence):
            return False
        self._looked_s, self._looked_at, self._looked_spots = now_s, frame, None
        return True

    def _worth_a_look(self, frame: Frame, presence: Presence) -> bool:
        now_s = frame.captured_s
        # Where the answer is yes in any case, comparing would only cost.
        if presence is Presence.OPEN or now_s <= self._awake_until_s:
            return True
        if self._changed(frame):
            self._awake_until_s = now_s + self._settings.awake_s
            return True
        wait_s = self._settings.still_s if presence is Presence.SETTLED else self._settings.recheck_s
        return now_s - self._looked_s >= wait_s - SLACK_S

    def _changed(self, frame: Frame) -> bool:
        """Whether the view is not the one last looked at."""
        spots, before, since_s = _spots(frame.luma), self._last, frame.captured_s - self._compared_s
        self._last, self._compared_s = spots, frame.captured_s
        if self._looked_at is None:
            return False  # the very first frame is looked at in any case
        if before is not None:
            self._noise += (_median_change(spots, before) - self._noise) * min(1.0, since_s / NOISE_MEMORY_S)
        contrast = self._settings.contrast
        wanted = min(max(contrast, NOISE_MARGIN * self._noise), MAX_DEAFENED * contrast)
        if self._looked_spots is None:
            self._looked_spots = _spots(self._looked_at.luma)
        change = spots - self._looked_spots
        # A camera that brightens the whole picture has not seen anybody; one that does so by much may have.
        shift = _median(change)
        return abs(shift) > wanted or bool(np.count_nonzero(np.abs(change - shift) > wanted) >= SPOTS)


def _spots(luma: Image) -> Floats:
    """Mean brightness (ROWS, COLUMNS) of a brightness plane."""
    return np.asarray(cv2.resize(luma, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA), np.float32)


def _median_change(spots: Floats, before: Floats) -> float:
    """Of one spot from frame to frame. Half of the view may move without touching it."""
    return _median(np.abs(spots - before))


def _median(spots: Floats) -> float:
    """Of an even number; ``np.median`` takes ten times as long."""
    half = ROWS * COLUMNS // 2
    low, high = np.partition(spots, (half - 1, half), axis=None)[half - 1 : half + 1].tolist()
    return float(low + high) / 2
