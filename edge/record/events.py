"""Events of the record, as ``fmd events`` prints them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from edge.record import database, old_log


def known_cameras(folder: Path) -> list[str] | None:
    """Return the cameras that the record names, None if only an earlier version's log is there.

    Raises :class:`edge.errors.RecordError`.
    """
    if _is_old(folder):
        return None
    with database.reading(folder) as connection:
        return database.cameras(connection)


def _is_old(folder: Path) -> bool:
    return not (folder / database.NAME).exists() and any((folder / name).is_file() for name in old_log.NAMES)


def read(folder: Path, since_ms: int = 0, camera: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the events in the state directory ``folder``, oldest first.

    ``since_ms`` is milliseconds since 1970; ``camera`` of None is every camera. Each event has ``n`` (its number),
    ``at`` (ISO 8601 in UTC), ``event`` (its kind), ``camera`` if there are several, ``clock`` (false, if the board's
    clock was not set), and the fields of its content. Raises :class:`edge.errors.RecordError`.
    """
    if _is_old(folder):
        # An earlier version's log, which the service moves into the database at its next start.
        yield from old_log.read(folder)
        return
    with database.reading(folder) as connection:
        rows = connection.execute(
            "SELECT n, at, kind, camera, clock, content FROM events WHERE at >= ? AND (?2 IS NULL OR camera = ?2)"
            " ORDER BY n",
            (since_ms, camera),
        )
        yield from filter(None, map(_event_of, rows))


def _event_of(row: tuple[Any, ...]) -> dict[str, Any] | None:
    """Return the event of a row; None for a damaged one."""
    number, at, kind, name, clock, content = row
    try:
        moment = datetime.fromtimestamp(at / 1000, timezone.utc).isoformat(timespec="milliseconds")
        fields = msgspec.json.decode(content, type=dict[str, Any])
    except (TypeError, ValueError, OverflowError, OSError, RecursionError, msgspec.MsgspecError):
        return None
    event: dict[str, Any] = {"n": number, "at": moment, "event": str(kind)}
    if name:
        event["camera"] = str(name)
    if not clock:
        event["clock"] = False
    return {**event, **fields}
