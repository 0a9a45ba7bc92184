"""Does the machine keep up with what the settings ask of it? One slow frame says nothing; looks that come late do.

Nothing is lost where frames are dropped: a camera gives more of them than looks are asked for. But somebody who walks
by fast is in view for half a second, and is to be looked at several times in that.
"""

from __future__ import annotations

import statistics
from collections import deque

TOO_SLOW = "too slow"
"""What it is called, wherever it is told."""
LOOKS = 100
"""So many looks are judged together, the newest ones; ten seconds of a busy door."""
FEWEST = 30
"""Before so many there is no judgement."""
LATE = 2.0
"""A look is late when it takes so many times as long as there is between two that are asked for."""
SLOW, WELL = 0.5, 0.25
"""The share of late looks above which the machine is too slow, and that below which it no longer is."""


class LatenessMonitor:
    """How soon one camera's turn comes round after a look. ``asked_s`` is between two looks that are asked for."""

    def __init__(self, asked_s: float) -> None:
        self._asked_s = asked_s
        self._took_s: deque[float] = deque(maxlen=LOOKS)
        self._began_s: float | None = None
        self._dropped = 0
        self.slow = ""
        """Why looks are called late, in words; empty while they are not."""

    def turn(self, now_s: float, dropped: int) -> None:
        """A frame is taken up; so many were stale so far before their turn came. Ends the look before, if it was one.

        Where none was stale the camera is what had to be waited for, and not the machine.
        """
        if self._began_s is not None:
            self._took_s.append(now_s - self._began_s if dropped > self._dropped else 0.0)
            self._judge()
        self._began_s, self._dropped = None, dropped

    def took(self, looked: bool, began_s: float) -> None:
        """Whether the frame that was taken up then was looked at for faces; others take no time to speak of."""
        self._began_s = began_s if looked else None

    def _judge(self) -> None:
        late = sum(took_s > LATE * self._asked_s for took_s in self._took_s) / len(self._took_s)
        if len(self._took_s) >= FEWEST and late > SLOW:
            self.slow = self.slow or self._in_words()
        elif late < WELL:
            self.slow = ""

    def _in_words(self) -> str:
        takes_s = statistics.median(self._took_s)
        return (
            f"{TOO_SLOW}: {1 / takes_s:.1f} looks a second where {1 / self._asked_s:.1f} are asked for; is it hot, or "
            "busy with something else? Fewer cameras, or a quicker board"
        )
