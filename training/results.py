"""Files that hold results: each is whole, or what was there before. A run of hours must not end in half of a file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge.files import write_atomically


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of an unfinished file beside ``path``, with its suffix, and rename it to ``path`` at the end.

    After an error or an interrupt ``path`` is as it was.
    """
    unfinished = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path``."""
    write_atomically(path, text.encode())


def write_json(path: Path, content: Any) -> None:
    """Write what JSON can hold to ``path``, for people to read as well."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table to ``path`` while ``rows`` come."""
    with replacing(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(header)
        writer.writerows(rows)
