"""Event log of earlier versions, one line of JSON for each event: read once, and moved into the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

NAMES = ("events.1.jsonl", "events.jsonl")
"""Files of the log in the state directory, the older one first."""
PIECE = 1 << 16
"""Longest line; a power cut may leave megabytes of zeros, which are read in pieces."""


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield every event of the log, oldest first, as its JSON object; damaged lines are skipped. Raises OSError."""
    for name in NAMES:
        path = folder / name
        if not path.is_file():
            continue
        with path.open("rb") as handle:
            while line := handle.readline(PIECE):
                try:
                    event = msgspec.json.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    continue
                if isinstance(event, dict) and isinstance(event.get("n"), int) and isinstance(event.get("at"), str):
                    yield event


def remove(folder: Path) -> None:
    """Delete the log, after its events are safe elsewhere. Raises OSError."""
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)
