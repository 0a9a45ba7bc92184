"""Figures of a period: passages, compliance with its uncertainty, and the time in which fmd did not watch."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

import msgspec

from edge.contracts import WITH_INCORRECT_MASK, Change
from edge.inference.bundle import Confusion
from edge.record import compliance, hours, notes
from edge.record.compliance import Estimate
from edge.record.hours import HOUR_MS, Sums
from edge.record.periods import Period

FEW = 5
"""Hours with fewer passages are merged with the next: a figure of two people says who they were."""
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Bin(msgspec.Struct, frozen=True):
    """Sums of an hour of the day, or of several that were merged, or of a weekday. ``name`` is for people."""

    name: str
    sums: Sums


class Report(msgspec.Struct, frozen=True):
    """Figures of one period.

    ``began`` and ``ended`` are ISO 8601 in local time; ``ended`` is now if the period is not over. ``stopped_ms`` is
    time without any state of a camera. ``measured`` is the share of compliant among decided passages, ``corrected``
    the same after correction; ``not_corrected`` says why there is none. ``previous`` are the sums of the period before,
    as far as this one has gone; ``earlier`` is its name, such as "the week before". ``drifting`` is true if the camera
    has changed, so that figures before and after do not compare. ``warnings`` concern the whole period.
    """

    began: str
    ended: str
    title: str
    camera: str | None
    cameras: tuple[str, ...]
    sums: Sums
    stopped_ms: int
    measured: Estimate | None
    corrected: Estimate | None
    not_corrected: str
    earlier: str
    previous: Sums
    previous_measured: Estimate | None
    by_hour: tuple[Bin, ...]
    by_day: tuple[Bin, ...]
    drifting: bool
    warnings: tuple[str, ...]
    without_clock: int

    @property
    def put_on_s(self) -> float | None:
        """Mean seconds from the alarm to a well worn mask; None if no one put one on."""
        return self.sums.put_on_ms / self.sums.put_on / 1000 if self.sums.put_on else None


def make(connection: sqlite3.Connection, period: Period, now: datetime, camera: str | None = None) -> Report:
    """Return the report of ``period``; ``now`` ends one that is not over, ``camera`` of None is all of them."""
    began, until = period.began, max(period.began, min(period.ended, now))
    parts = list(_parts(connection, began, until, camera))
    total = Sums()
    by_hour: defaultdict[int, Sums] = defaultdict(Sums)
    by_day: defaultdict[int, Sums] = defaultdict(Sums)
    models: defaultdict[str, Sums] = defaultdict(Sums)
    for hour, (_, classifier), sums in parts:
        local = datetime.fromtimestamp(hour / 1000).astimezone()
        for each in (total, by_hour[local.hour], by_day[local.weekday()], models[classifier]):
            each.add(sums)
    cameras = tuple(sorted({name for _, (name, _), sums in parts if sums.passages or _seconds(sums)}))
    first = _first_record(connection)
    since = max(began, first) if first else until
    elapsed_ms = max(0, round((until - since).total_seconds() * 1000)) * max(1, len(cameras))
    earlier = Sums()
    # As far as this period has gone: half a week must not be compared with a whole one.
    earlier_until = min(period.earlier_ended, period.earlier_began + (until - began))
    for _, _, sums in _parts(connection, period.earlier_began, earlier_until, camera):
        earlier.add(sums)
    warnings = _warnings(connection, began, until)
    drifting = bool(warnings)
    corrected, reason = _corrected(connection, {k: v for k, v in models.items() if v.judged}, drifting)
    if first and first > began:
        warnings = (*warnings, f"the record begins on {first:%Y-%m-%d %H:%M}")
    return Report(
        began=began.isoformat(timespec="minutes"),
        ended=until.isoformat(timespec="minutes"),
        title=period.title,
        camera=camera,
        cameras=cameras,
        sums=total,
        stopped_ms=max(0, elapsed_ms - _seconds(total)),
        measured=compliance.wilson(total.compliant, total.judged),
        corrected=corrected,
        not_corrected=reason,
        earlier=period.earlier,
        previous=earlier,
        previous_measured=compliance.wilson(earlier.compliant, earlier.judged),
        by_hour=_merged(by_hour),
        by_day=tuple(Bin(DAYS[day], by_day[day]) for day in sorted(by_day) if by_day[day].passages >= FEW),
        drifting=drifting,
        warnings=warnings,
        without_clock=_without_clock(connection, camera),
    )


def _parts(
    connection: sqlite3.Connection, began: datetime, ended: datetime, camera: str | None
) -> Iterator[tuple[int, hours.Key, Sums]]:
    """Yield the sums of each hour: stored ones, and those of hours that are not over or not summed yet."""
    since, until = (round(moment.timestamp() * 1000) for moment in (began, ended))
    stored: set[int] = set()
    for hour, key, sums in hours.stored_sums(connection, since, until):
        stored.add(hour)
        if camera is None or key[0] == camera:
            yield hour, key, sums
    for hour in hours.hours_with_rows(connection, since, until):
        if hour not in stored:
            for key, sums in hours.sums_between(connection, max(hour, since), min(hour + HOUR_MS, until)).items():
                if camera is None or key[0] == camera:
                    yield hour, key, sums


def rows(
    connection: sqlite3.Connection, began: datetime, ended: datetime, camera: str | None
) -> Iterator[tuple[str, str, Sums]]:
    """Yield (begin of the hour as local ISO 8601, camera, sums) for each hour of the period, for tables."""
    found: defaultdict[tuple[int, str], Sums] = defaultdict(Sums)
    for hour, (name, _), sums in _parts(connection, began, ended, camera):
        found[hour, name].add(sums)
    for (hour, name), sums in sorted(found.items(), key=lambda item: item[0]):
        yield datetime.fromtimestamp(hour / 1000).astimezone().isoformat(timespec="minutes"), name, sums


def _seconds(sums: Sums) -> int:
    return sums.watched_ms + sums.blind_ms + sums.dark_ms + sums.disarmed_ms


def _merged(by_hour: dict[int, Sums]) -> tuple[Bin, ...]:
    """Return the hours of the day with passages, those with few merged with the ones that follow (or the last)."""
    bins: list[tuple[int, int, Sums]] = []
    for hour in sorted(hour for hour, sums in by_hour.items() if sums.passages):
        if bins and bins[-1][2].passages < FEW:
            first, _, sums = bins.pop()
            sums.add(by_hour[hour])
            bins.append((first, hour, sums))
        else:
            bins.append((hour, hour, msgspec.structs.replace(by_hour[hour])))
    if len(bins) > 1 and bins[-1][2].passages < FEW:
        _, last, sums = bins.pop()
        bins[-1][2].add(sums)
        bins[-1] = (bins[-1][0], last, bins[-1][2])
    if bins and bins[0][2].passages < FEW:
        return ()
    return tuple(Bin(f"{first:02}:00 to {last + 1:02}:00", sums) for first, last, sums in bins)


def _corrected(connection: sqlite3.Connection, models: dict[str, Sums], drifting: bool) -> tuple[Estimate | None, str]:
    """Return the corrected compliance, or None and the reason."""
    if not models:
        return None, "no passage was decided"
    if drifting:
        return None, "withheld: the camera has changed, and the known errors may no longer hold"
    if len(models) > 1:
        return None, "not available: two models decided in this period"
    [(classifier, sums)] = models.items()
    row = connection.execute(
        "SELECT confusion, compliant FROM runs WHERE classifier = ? ORDER BY id DESC LIMIT 1", (classifier,)
    ).fetchone()
    if row is None or not row[0]:
        return None, "not available: this model states no confusion matrix"
    confusion, compliant = msgspec.json.decode(row[0], type=Confusion), row[1]
    counts = {compliant: sums.compliant, WITH_INCORRECT_MASK: sums.badly_worn}
    others = [label for label in confusion.labels if label not in counts]
    if len(others) != 1:
        return None, "not available: this model has labels of its own"
    if WITH_INCORRECT_MASK in confusion.labels:
        counts[others[0]] = sums.violated - sums.badly_worn
    else:
        counts[others[0]] = sums.violated
    matrix = confusion.passage or confusion.observation
    found = compliance.corrected(
        [counts[label] for label in confusion.labels], matrix, confusion.labels.index(compliant)
    )
    if found is None:
        return None, "not available: the model's confusion matrix is too poor"
    return found, "" if confusion.passage else "by the errors of single observations"


def _first_record(connection: sqlite3.Connection) -> datetime | None:
    queries = (
        "SELECT min(began) FROM hours",
        "SELECT min(began) FROM spans WHERE clock",
        "SELECT min(ended) FROM passages WHERE clock",
    )
    found = [ms for query in queries if (ms := connection.execute(query).fetchone()[0]) is not None]
    return datetime.fromtimestamp(min(found) / 1000).astimezone() if found else None


def _warnings(connection: sqlite3.Connection, began: datetime, ended: datetime) -> tuple[str, ...]:
    """Return what the drift detector has reported about the camera and has not withdrawn."""
    return tuple(
        finding.message
        for finding in notes.findings(connection)
        if finding.of_camera and finding.since < ended.timestamp() * 1000
    )


def _without_clock(connection: sqlite3.Connection, camera: str | None) -> int:
    # Pictures of faces on a wall are no people, here as in the sums.
    query = "SELECT count(*) FROM passages WHERE NOT clock AND outcome <> ?2 AND (?1 IS NULL OR camera = ?1)"
    return int(connection.execute(query, (camera, Change.PICTURE.value)).fetchone()[0])
