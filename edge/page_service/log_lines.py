"""Newest lines of this process' log, in memory, for the page: its user cannot read the journal."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from edge.redaction import redact
from edge.text import escaped

KEPT = 500
"""Lines that are kept."""
LONGEST = 500
"""Characters of a line; the rest of a longer one is left out."""


class LogLines(logging.Handler):
    """Keeps the newest lines, each with its local time, without secrets and printable."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[str] = deque(maxlen=KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record; whatever its text is, the program that logs it goes on."""
        try:
            at = datetime.fromtimestamp(record.created).astimezone()
            text = escaped(redact(record.getMessage()), LONGEST)
            self._lines.append(f"{at:%Y-%m-%d %H:%M:%S} {record.levelname.lower()}: {text}")
        except Exception:  # noqa: BLE001 (as of every handler of logging)
            self.handleError(record)

    def newest(self, count: int) -> tuple[str, ...]:
        """Return the newest lines, the oldest of them first. A secret that was learned meanwhile is hidden as well."""
        return tuple(redact(line) for line in list(self._lines)[-count:])


@contextmanager
def kept(repeats: logging.Filter) -> Iterator[LogLines]:
    """Keep what is logged in this block; ``repeats`` drops lines that repeat, or a flood would push out all others."""
    lines, root = LogLines(), logging.getLogger()
    lines.addFilter(repeats)
    root.addHandler(lines)
    try:
        yield lines
    finally:
        root.removeHandler(lines)
