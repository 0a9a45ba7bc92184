"""Sums of each finished hour, which outlive its passages; and the deletion of what is older than the settings keep.

An hour is one of the board's local time. Where local time is half an hour off UTC, so are these hours, so that they
add up to local days.
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from edge.config import RecordSettings
from edge.contracts import WITH_INCORRECT_MASK, Change
from edge.record.budget import MB
from edge.record.rows import SpanState

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
YEAR_DAYS = 365.25
LATE_MS = 120_000
"""How long after an hour its sums are made: rows of its last minute may still wait in memory."""
UNSYNCHRONISED = 20_000
"""Largest number of passages, and of events, without a right clock: no age can be known for them."""
SHRINK = 0.9
"""Share of ``record.mb_kept`` that stays when the database has grown beyond it."""


class Sums(msgspec.Struct):
    """Counts of passages and milliseconds of a camera in some time, for one classifier.

    A passage counts once: as ``violated`` if it was a violation at any time (``badly_worn`` of these ended with that
    label), otherwise as its outcome. ``put_on`` of the violated ended compliant, ``put_on_ms`` after the alarm in sum.
    """

    compliant: int = 0
    violated: int = 0
    badly_worn: int = 0
    unsure: int = 0
    put_on: int = 0
    put_on_ms: int = 0
    watched_ms: int = 0
    blind_ms: int = 0
    dark_ms: int = 0
    disarmed_ms: int = 0

    @property
    def passages(self) -> int:
        return self.compliant + self.violated + self.unsure

    @property
    def judged(self) -> int:
        """Passages with a decision: the unsure ones are none."""
        return self.compliant + self.violated

    def add(self, other: Sums) -> None:
        """Add the counts of ``other``."""
        for name in FIELDS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


FIELDS = Sums.__struct_fields__
SPAN_FIELDS = {
    SpanState.WATCHING.value: "watched_ms",
    SpanState.BLIND.value: "blind_ms",
    SpanState.DARK.value: "dark_ms",
    SpanState.DISARMED.value: "disarmed_ms",
}
Key = tuple[str, str]
"""Camera and classifier."""


def hour_of(ms: int) -> int:
    """Return when the local hour around ``ms`` began, in milliseconds since 1970."""
    offset_ms = time.localtime(ms / 1000).tm_gmtoff * 1000
    return (ms + offset_ms) // HOUR_MS * HOUR_MS - offset_ms


def sums_between(connection: sqlite3.Connection, began: int, ended: int) -> dict[Key, Sums]:
    """Return the sums of the passages that ended, and of the time, from ``began`` to ``ended`` (exclusive), in ms.

    From the rows themselves, so only as far back as passages are kept. Rows without a right clock do not count.
    """
    found: defaultdict[Key, Sums] = defaultdict(Sums)
    query = (
        "SELECT p.camera, coalesce(r.classifier, ''), p.outcome, p.label, p.violated, p.alarm, p.cleared"
        " FROM passages p LEFT JOIN runs r ON r.id = p.run WHERE p.ended >= ? AND p.ended < ? AND p.clock"
        f" AND p.outcome <> '{Change.PICTURE.value}'"
    )
    for camera, classifier, outcome, label, violated, alarm, cleared in connection.execute(query, (began, ended)):
        sums = found[camera, classifier]
        if not violated:
            if outcome == "unsure":
                sums.unsure += 1
            else:
                sums.compliant += 1
            continue
        sums.violated += 1
        sums.badly_worn += label == WITH_INCORRECT_MASK
        if outcome == "compliant" and cleared is not None and alarm is not None:
            sums.put_on += 1
            sums.put_on_ms += max(0, cleared - alarm)
    for camera, state, ms in _time_between(connection, began, ended):
        # Time belongs to no classifier; a row of its own would only repeat the hour.
        classifier = next((model for name, model in found if name == camera), _latest_classifier(connection, ended))
        sums = found[camera, classifier]
        name = SPAN_FIELDS.get(state, "blind_ms")
        setattr(sums, name, getattr(sums, name) + ms)
    return dict(found)


def _time_between(connection: sqlite3.Connection, began: int, ended: int) -> Iterator[tuple[str, str, int]]:
    rows = connection.execute(
        "SELECT camera, state, began, ended FROM spans WHERE ended > ? AND began < ? AND clock", (began, ended)
    )
    for camera, state, since, until in rows:
        if (ms := min(until, ended) - max(since, began)) > 0:
            yield camera, state, ms


def _latest_classifier(connection: sqlite3.Connection, before: int) -> str:
    row = connection.execute("SELECT classifier FROM runs WHERE began < ? ORDER BY id DESC LIMIT 1", (before,))
    return str((row.fetchone() or ("",))[0])


def stored_sums(connection: sqlite3.Connection, began: int, ended: int) -> Iterator[tuple[int, Key, Sums]]:
    """Yield (hour, (camera, classifier), sums) of the finished hours that begin from ``began`` to ``ended``."""
    names = ", ".join(FIELDS)
    rows = connection.execute(
        f"SELECT began, camera, classifier, {names} FROM hours WHERE began >= ? AND began < ?", (began, ended)
    )
    for hour, camera, classifier, *values in rows:
        yield hour, (camera, classifier), Sums(*values)


def roll_up(connection: sqlite3.Connection, now_ms: int, rolled_ms: int | None, settings: RecordSettings) -> int:
    """Make the sums of hours that have finished since ``rolled_ms``, and delete what is too old.

    ``rolled_ms`` is what the last call returned, None for the first one of a process. Part of the caller's transaction.
    """
    this_hour = hour_of(now_ms - LATE_MS)
    if rolled_ms is not None and this_hour == rolled_ms:
        return rolled_ms
    last = connection.execute("SELECT max(began) FROM hours").fetchone()[0]
    # A clock that was wrong once may have left hours of the future; they must not stop the sums of the present.
    since = last + HOUR_MS if last is not None and last < this_hour else this_hour - DAY_MS * 31
    for hour in hours_with_rows(connection, since, this_hour):
        _store(connection, hour, sums_between(connection, hour, hour + HOUR_MS))
    if rolled_ms is None or this_hour // DAY_MS != rolled_ms // DAY_MS:
        delete_old(connection, now_ms, settings)
    return this_hour


def hours_with_rows(connection: sqlite3.Connection, since: int, until: int) -> Iterable[int]:
    """Return the hours from ``since`` to ``until`` with a passage or a span, oldest first."""
    found: set[int] = set()
    for (ended,) in connection.execute(
        "SELECT ended FROM passages WHERE ended >= ? AND ended < ? AND clock", (since, until)
    ):
        found.add(hour_of(ended))
    for began, ended in connection.execute(
        "SELECT began, ended FROM spans WHERE ended > ? AND began < ? AND clock", (since, until)
    ):
        hour = hour_of(max(began, since))
        while hour < min(ended, until):
            found.add(hour)
            hour += HOUR_MS
    return sorted(found)


def _store(connection: sqlite3.Connection, hour: int, found: dict[Key, Sums]) -> None:
    marks = ",".join("?" * (3 + len(FIELDS)))
    connection.executemany(
        f"INSERT OR REPLACE INTO hours(began, camera, classifier, {', '.join(FIELDS)}) VALUES({marks})",
        [(hour, *key, *msgspec.structs.astuple(sums)) for key, sums in found.items()],
    )


def delete_old(connection: sqlite3.Connection, now_ms: int, settings: RecordSettings) -> None:
    """Delete what is older than the settings keep, and the oldest rows of a database that has grown too large.

    Rows without a right clock have no known age: only their number is limited. The same holds for rows of the future.
    """
    oldest = now_ms - round(settings.passages_days * DAY_MS)
    connection.execute("DELETE FROM passages WHERE ended < ? AND clock", (oldest,))
    connection.execute("DELETE FROM events WHERE at < ? AND clock", (oldest,))
    connection.execute("DELETE FROM spans WHERE ended < ? AND clock", (oldest,))
    connection.execute(
        "DELETE FROM hours WHERE began < ?", (now_ms - round(settings.hours_years * YEAR_DAYS * DAY_MS),)
    )
    for table, key in (("passages", "id"), ("events", "n")):
        connection.execute(
            f"DELETE FROM {table} WHERE NOT clock AND {key} <= (SELECT {key} FROM {table} WHERE NOT clock"
            f" ORDER BY {key} DESC LIMIT 1 OFFSET {UNSYNCHRONISED})"
        )
    connection.execute(
        "DELETE FROM runs WHERE id < (SELECT coalesce(min(run), 0) FROM passages) AND began < ?", (oldest,)
    )
    while _used_bytes(connection) > settings.mb_kept * MB:
        size = _used_bytes(connection)
        for table, key in (("passages", "id"), ("events", "n")):
            low, high = connection.execute(f"SELECT min({key}), max({key}) FROM {table}").fetchone()
            if low is not None:
                connection.execute(f"DELETE FROM {table} WHERE {key} <= ?", (low + round((high - low) * (1 - SHRINK)),))
        if _used_bytes(connection) >= size:
            break  # what remains are the sums


def _used_bytes(connection: sqlite3.Connection) -> int:
    page, pages, free = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
    )
    return int(page) * (int(pages) - int(free))


def close_open_passages(connection: sqlite3.Connection) -> None:
    """End passages of earlier processes that a power cut left open, when they were last heard of."""
    connection.execute("UPDATE passages SET ended = coalesce(cleared, alarm, decided, entered) WHERE ended IS NULL")
