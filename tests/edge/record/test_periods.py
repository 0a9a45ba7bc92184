"""Times as people write them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from edge.errors import SettingsError
from edge.record import periods


@pytest.fixture(autouse=True)
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone()


NOW = "2027-01-15T12:30"  # a Friday


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2h", "2027-01-15T10:30"),
        ("30m", "2027-01-15T12:00"),
        ("3 d", "2027-01-12T12:30"),
        ("today", "2027-01-15T00:00"),
        ("Yesterday", "2027-01-14T00:00"),
        ("monday", "2027-01-11T00:00"),
        ("fri", "2027-01-15T00:00"),
        ("2027-01-02", "2027-01-02T00:00"),
        ("2027-01-02T08:15", "2027-01-02T08:15"),
        ("2027-01-02t08:15z", "2027-01-02T09:15"),
        ("2027-07-02T08:15", "2027-07-02T08:15"),
    ],
)
def test_a_moment(text: str, meant: str) -> None:
    assert periods.moment(text, local(NOW)) == local(meant)


@pytest.mark.parametrize("text", ["", "x", "2027-13-01", "5", "3y", "-2h", "99999999999d", "month", "2027-01-15T25:00"])
def test_what_is_no_moment_says_what_is(text: str) -> None:
    with pytest.raises(SettingsError, match=r"not a time; write 30m, 2h|longer than a hundred years"):
        periods.moment(text, local(NOW))


def test_days_weeks_and_months_follow_the_calendar() -> None:
    day, week, month = (make(local(NOW)) for make in (periods.day, periods.week, periods.month))
    assert (day.began, day.ended) == (local("2027-01-15"), local("2027-01-16"))
    assert (week.began, week.ended, week.earlier_began) == (
        local("2027-01-11"),
        local("2027-01-18"),
        local("2027-01-04"),
    )
    assert (month.began, month.ended, month.earlier_began) == (
        local("2027-01-01"),
        local("2027-02-01"),
        local("2026-12-01"),
    )
    assert week.title == "Week 02, 11 January to 17 January 2027"


def test_a_week_with_the_change_to_summer_time_has_167_hours() -> None:
    week = periods.week(local("2027-03-28T12:00"))
    assert (week.ended - week.began).total_seconds() == 167 * 3600
    assert periods.day(local("2027-03-28T12:00")).began == local("2027-03-28T00:00")


def test_a_time_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(SettingsError, match="swap the two"):
        periods.between(local("2027-01-02"), local("2027-01-01"))
