"""The log of a command: lines on standard error, in which a line that repeats is counted instead of repeated."""

from __future__ import annotations

import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_S = 60.0
"""Time in which equal lines are counted together."""
MAX_EQUAL = 3
"""Number of equal lines that are printed in that time: a fault that comes back is news, a flood of it is not."""
MAX_LINES = 200
"""Number of different lines that are remembered, the newest."""


@dataclass
class _Seen:
    since_s: float
    count: int = 0


class RepeatFilter(logging.Filter):
    """Drops a line that was printed MAX_EQUAL times in a minute; the next one states how many were dropped."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: OrderedDict[tuple[int, str], _Seen] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to print the record."""
        # With --verbose each line counts.
        if record.levelno < logging.INFO:
            return True
        now_s, line = self._clock(), record.getMessage()
        seen = self._seen.setdefault((record.levelno, line), _Seen(now_s))
        self._seen.move_to_end((record.levelno, line))
        if len(self._seen) > MAX_LINES:
            self._seen.popitem(last=False)
        dropped = max(0, seen.count - MAX_EQUAL)
        if now_s - seen.since_s >= WINDOW_S:
            if dropped:
                record.msg, record.args = f"{line} ({dropped} more times in {now_s - seen.since_s:.0f} s)", ()
            seen.since_s, seen.count = now_s, 0
        seen.count += 1
        return seen.count <= MAX_EQUAL


def start() -> None:
    """Write the log to standard error: standard output is for results, a log line in it would break CSV and JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RepeatFilter())
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
