"""Detections of one camera -> whether the board keeps up with the settings.

Dropped frames alone are no fault: a camera gives more frames than detections are requested. But a person who walks by
fast is in view for half a second, and the detector must see them several times in that time. One slow frame means
nothing; most of the last detections being late does.
"""

from __future__ import annotations

import statistics
from collections import deque

TOO_SLOW = "too slow"
"""First words of the message; docs/troubleshooting.md explains them. No component parses them."""
WINDOW_DETECTIONS = 100
"""Newest detections that are judged together: ten seconds of a busy door."""
MIN_DETECTIONS = 30
"""Detections before the first judgement."""
LATE_FACTOR = 2.0
"""Duration from which a detection is late, as a multiple of the requested interval."""
TOO_SLOW_SHARE, KEEPING_UP_SHARE = 0.5, 0.25
"""Share of late detections above which the board is too slow, and below which it no longer is. The gap between them
keeps a board at the limit from reporting a change every few seconds."""


class LatenessMonitor:
    """Measures how long one camera waits after a detection until its next frame is taken up.

    ``asked_s`` is the requested interval between two detections, in seconds.
    """

    def __init__(self, asked_s: float) -> None:
        self._asked_s = asked_s
        self._took_s: deque[float] = deque(maxlen=WINDOW_DETECTIONS)
        self._began_s: float | None = None
        self._dropped = 0
        self.slow = ""
        """Message that says why detections are late; empty while they are not."""

    def turn(self, now_s: float, dropped: int) -> None:
        """Note that a frame is taken up, which ends the detection before it, if there was one.

        ``dropped`` counts the frames that were stale so far before their turn came. If it has not grown, the board
        waited for the camera, and the detection was not late.
        """
        if self._began_s is not None:
            self._took_s.append(now_s - self._began_s if dropped > self._dropped else 0.0)
            self._judge()
        self._began_s, self._dropped = None, dropped

    def took(self, detected: bool, began_s: float) -> None:
        """Note whether the detector inspected the frame taken up at ``began_s``; other frames take next to no time."""
        self._began_s = began_s if detected else None

    def _judge(self) -> None:
        late = sum(took_s > LATE_FACTOR * self._asked_s for took_s in self._took_s) / len(self._took_s)
        if len(self._took_s) >= MIN_DETECTIONS and late > TOO_SLOW_SHARE:
            # The first message stays: one that changed with every detection would be a new warning each time.
            self.slow = self.slow or self._message()
        elif late < KEEPING_UP_SHARE:
            self.slow = ""

    def _message(self) -> str:
        took_s = statistics.median(self._took_s)
        return (
            f"{TOO_SLOW}: {1 / took_s:.1f} detections a second, {1 / self._asked_s:.1f} requested; check temperature, "
            "power and other programs, or use fewer cameras or a faster board"
        )
