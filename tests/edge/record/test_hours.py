"""Sums of hours, and what is deleted when."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from edge.record import database, hours
from edge.record.hours import DAY_MS, HOUR_MS, Sums
from edge.record.rows import RunRow, SpanState
from tests.edge.record.parts import Clock, passage, settings, violation


def sums(folder: Path) -> list[tuple[int, Sums]]:
    with sqlite3.connect(folder / database.NAME) as connection:
        return [(hour, found) for hour, _, found in hours.stored_sums(connection, 0, 1 << 60)]


def count(folder: Path, table: str) -> int:
    with sqlite3.connect(folder / database.NAME) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_an_hour_is_summed_when_it_is_over(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path)
    record.begin_run(RunRow(classifier="abc"))
    record.span("", SpanState.WATCHING)
    for number, row in enumerate(
        [
            passage(1, clock.wall_s + 10),
            violation(2, clock.wall_s + 20),
            violation(3, clock.wall_s + 30, label="with_incorrect_mask"),
            violation(4, clock.wall_s + 40, outcome="compliant", label="with_mask", cleared=2800),
            passage(5, clock.wall_s + 50, outcome="unsure"),
        ]
    ):
        record.add_passage(row)
        assert number < 5
    clock.forward(3000)
    record.span("", SpanState.DARK)
    clock.forward(590)
    record.keep(at_once=True)
    assert sums(tmp_path) == []
    clock.forward(hours.LATE_MS / 1000 + 20)
    record.keep(at_once=True)
    [(hour, found)] = sums(tmp_path)
    assert hour == 1_800_000_000_000
    assert found == Sums(
        compliant=1, violated=3, badly_worn=1, unsure=1, put_on=1, put_on_ms=2000, watched_ms=3_000_000, dark_ms=600_000
    )


def test_days_of_half_hour_zones_are_whole_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        midnight = 1_800_037_800_000  # 18:30 UTC
        assert hours.hour_of(midnight + 5) == midnight
        assert hours.hour_of(midnight - 5) == midnight - HOUR_MS
    finally:
        monkeypatch.undo()
        time.tzset()


def test_sums_stay_when_passages_are_deleted(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path, passages_days=2)
    for day in range(4):
        record.span("", SpanState.WATCHING)
        record.add_passage(passage(day + 1, clock.wall_s))
        record.add("started")
        clock.forward(7200)
        record.span("", None)
        record.keep(at_once=True)
        clock.forward(86400 - 7200)
    record.keep(at_once=True)
    assert count(tmp_path, "passages") == 2
    assert count(tmp_path, "events") == 2
    found = sums(tmp_path)
    assert sum(each.compliant for _, each in found) == 4
    assert sum(each.watched_ms for _, each in found) == 4 * 2 * HOUR_MS


def test_nothing_expires_by_a_clock_that_is_not_set(tmp_path: Path) -> None:
    """A board starts with its clock years ahead, before the network corrects it; then years behind."""
    clock = Clock()
    record = clock.record(tmp_path)
    for number in range(5):
        record.add_passage(passage(number + 1, clock.wall_s))
    record.close()
    for wrong_s in (clock.wall_s + 5 * 365 * 86400, 0.0):
        wrong = Clock(wall_s=wrong_s, right=False)
        record = wrong.record(tmp_path)
        record.add_passage(passage(1, wrong.wall_s))
        record.close()
    assert count(tmp_path, "passages") == 7
    # With the right clock again, rows of a clock that was not set have no age.
    record = clock.record(tmp_path)
    clock.forward(31 * 86400)
    record.add("started")
    record.close()
    assert count(tmp_path, "passages") == 2
    with sqlite3.connect(tmp_path / database.NAME) as connection:
        assert connection.execute("SELECT count(*) FROM passages WHERE clock").fetchone() == (0,)


def test_passages_without_a_clock_are_limited_in_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hours, "UNSYNCHRONISED", 10)
    clock = Clock(right=False)
    record = clock.record(tmp_path)
    for number in range(30):
        record.add_passage(passage(number + 1))
    record.keep(at_once=True)
    clock.right = True
    record.add("started")
    record.close()
    assert count(tmp_path, "passages") == 10


def test_a_database_that_grows_too_large_loses_its_oldest_rows(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path, mb_kept=1, mb_a_day=1000)
    for number in range(9000):
        record.add_passage(passage(number + 1, clock.wall_s + number / 10))
        if number % 500 == 499:
            record.keep(at_once=True)
    clock.forward(86400)
    record.close()
    with sqlite3.connect(tmp_path / database.NAME) as connection:
        assert hours._used_bytes(connection) <= 1_000_000
        low, high = connection.execute("SELECT min(id), max(id) FROM passages").fetchone()
    assert low > 500
    assert high == 9000


def test_a_wrong_hour_of_the_future_stops_no_sums(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path)
    record.add_passage(passage(1, clock.wall_s))
    record.keep(at_once=True)
    with sqlite3.connect(tmp_path / database.NAME) as connection:
        future = round(clock.wall_s * 1000) + 900 * DAY_MS
        hours._store(connection, future, {("", ""): Sums(compliant=1)})
    clock.forward(7200)
    record.keep(at_once=True)
    assert [found.compliant for hour, found in sums(tmp_path) if hour < future] == [1]


def test_settings_say_how_long_everything_is_kept() -> None:
    assert (settings().passages_days, settings().hours_years) == (30.0, 2.0)
