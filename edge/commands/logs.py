"""The log of a command: lines on standard error, in which a line that repeats is counted instead of repeated."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from edge.redaction import redact
from edge.text import escaped

log = logging.getLogger(__name__)

WINDOW_S = 60.0
"""Time in which equal lines are counted together."""
HOUR_S = 3600.0
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


@contextmanager
def native_lines_counted() -> Iterator[None]:
    """Log what libraries in C and C++ write to standard error, by :class:`NativeLines`.

    A USB camera with stray bytes between its pictures makes libjpeg write a line for each of them, for years.
    """
    if not _is_stderr(sys.stderr):  # redirected in Python, as in tests
        yield
        return
    python, reader, lines = sys.stderr, None, NativeLines()
    kept = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    try:
        reading, writing = os.pipe()
        # Native code may write while it holds Python's lock: what does not fit is lost, but nothing waits.
        os.set_blocking(writing, False)
        reader = threading.Thread(target=_read_lines, args=(reading, lines), name="stderr", daemon=True)
        reader.start()
        _use_stderr(kept)
        os.dup2(writing, 2)
        os.close(writing)
        yield
    finally:
        # Ctrl-C may come at any line above.
        os.dup2(kept.fileno(), 2)  # closes the last writing end, which ends the reader
        _use_stderr(python)
        if reader is not None:
            reader.join(1.0)
        kept.close()
        lines.close()


def _is_stderr(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 2
    except (OSError, ValueError, AttributeError):
        return False


def _use_stderr(new: TextIO) -> None:
    """Make ``new`` Python's standard error, also for the log."""
    old, sys.stderr = sys.stderr, new
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is old:
            handler.setStream(new)


def _read_lines(reading: int, lines: NativeLines) -> None:
    with os.fdopen(reading, errors="replace") as pipe:
        for line in map(str.strip, pipe):
            lines.add(line)


class NativeLines:
    """Logs each kind of line once, then after a minute and every hour how many more came, and the rest at the end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[str, _Kind] = {}

    def add(self, line: str) -> None:
        """Log or count a line."""
        # Numbers differ from line to line: addresses, counts, positions.
        kind = re.sub(r"0x[0-9a-f]+|\d+", "N", line)
        if not kind or (len(self._kinds) >= MAX_LINES and kind not in self._kinds):
            return
        now_s = self._clock()
        seen = self._kinds.get(kind)
        if seen is None:
            self._kinds[kind] = _Kind(now_s + WINDOW_S)
            log.warning("a library reports: %s", line)
            return
        seen.count += 1
        if now_s >= seen.report_s:
            seen.report_s = now_s + HOUR_S
            self._report(kind, seen)

    def close(self) -> None:
        """Log how many more lines of each kind came since the last report."""
        for kind, seen in self._kinds.items():
            self._report(kind, seen)

    def _report(self, kind: str, seen: _Kind) -> None:
        if seen.count:
            log.warning("a library wrote %d more lines like: %s", seen.count, kind)
        seen.count = 0


@dataclass
class _Kind:
    report_s: float
    count: int = 0


class OneLine(logging.Formatter):
    """Formats a record as one printable line: a name from a stranger's file must not forge another line of the log,
    and no line shows a secret.

    Debugging output, such as a traceback, keeps its lines.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = redact(super().format(record))
        if record.levelno > logging.DEBUG:
            return escaped(text)
        return "\n".join(map(escaped, text.splitlines()))


def start() -> None:
    """Write the log to standard error: standard output is for results, a log line in it would break CSV and JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RepeatFilter())
    handler.setFormatter(OneLine("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Python's own way prints the traceback past the log.
    threading.excepthook = _log_exception


def be_verbose() -> None:
    """Log fmd's own details as well. Libraries' stay out: urllib3 logs the addresses of webhooks, with tokens."""
    for package in ("edge", "converter", "training"):
        logging.getLogger(package).setLevel(logging.DEBUG)


def _log_exception(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_type is not SystemExit and failed.exc_value is not None:
        name = failed.thread.name if failed.thread else "?"
        log.error("the thread %s ended by a bug in fmd", name, exc_info=failed.exc_value)
