"""Weekly windows: every kind of day and time, over midnight, and on the days on which the clock changes."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest

from edge.errors import SettingsError
from edge.weekly import Weekly, zone_of
from tests.edge.parts import ROOT

BERLIN = ZoneInfo("Europe/Berlin")
HOUR_S = 3600


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def hours(weekly: Weekly, day: str, count: int = 24) -> str:
    """Return one letter for each hour from the first of a day on: # inside a window."""
    return "".join(".#"[weekly.at(at(f"{day}T00:00") + hour * HOUR_S)] for hour in range(count))


@pytest.mark.parametrize(
    ("window", "week"),
    [
        ("mon-fri 07:00-18:00", "#####.."),
        ("MON-FRI 7:00 - 18:00", "#####.."),
        ("sat,sun 07:00-18:00", ".....##"),
        ("fri-mon 07:00-18:00", "#...###"),
        ("mon,wed-thu 07:00-18:00", "#.##..."),
        ("daily 00:00-24:00", "#######"),
    ],
)
def test_days(window: str, week: str) -> None:
    # 2026-11-30 is a Monday.
    days = ["2026-11-30", *(f"2026-12-0{day}" for day in range(1, 7))]
    assert "".join(".#"[Weekly([window], BERLIN).at(at(f"{day}T12:00"))] for day in days) == week


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    weekly = Weekly(["sun 22:00-06:00"], BERLIN)
    assert hours(weekly, "2026-12-06") == "." * 22 + "##"
    assert hours(weekly, "2026-12-07") == "#" * 6 + "." * 18  # a Monday: the week wraps around
    assert "#" not in hours(weekly, "2026-12-05")


def test_several_windows_add_up_and_none_is_never_inside() -> None:
    assert hours(Weekly(["daily 06:00-08:00", "mon 07:00-10:00"], BERLIN), "2026-11-30") == "." * 6 + "####" + "." * 14
    assert not Weekly([], BERLIN)
    assert not Weekly([], BERLIN).at(0.0)


@pytest.mark.parametrize(
    "window",
    [
        *("", "mon", "07:00-18:00", "mon 07:00", "mon 7-18", "mon 07:60-18:00", "mon 24:00-01:00", "mon 07:00-24:01"),
        *(
            "mon 07:00-07:00",
            "mon, tue 07:00-18:00",
            "monday 07:00-18:00",
            "mon- 07:00-18:00",
            "-fri 07:00-18:00",
            "mon 07:00-18:00x",
            "mon 7:00-8:00 utc",
        ),
    ],
)
def test_other_words_are_refused_with_an_example(window: str) -> None:
    with pytest.raises(SettingsError, match="expected days and times, as in"):
        Weekly([window], BERLIN)


def test_the_hour_that_does_not_exist_and_the_one_that_comes_twice() -> None:
    weekly = Weekly(["daily 02:00-03:00"], BERLIN)
    # On 29 March 2026 the clock goes from 02:00 to 03:00, on 25 October from 03:00 back to 02:00.
    assert hours(weekly, "2026-03-28") == "..#" + "." * 21
    assert hours(weekly, "2026-03-29", 23) == "." * 23
    assert hours(weekly, "2026-10-25", 25) == "..##" + "." * 21
    late = Weekly(["daily 02:30-05:00"], BERLIN)
    assert late.next_change(at("2026-03-29T01:59")) == at("2026-03-29T03:00"), "half past two has passed then"


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("2026-11-30T06:59:59", "2026-11-30T07:00"),
        ("2026-11-30T07:00", "2026-11-30T18:00"),
        ("2026-12-04T18:00", "2026-12-07T07:00"),
        ("2026-03-27T18:00", "2026-03-30T07:00"),  # over a change of the clock
    ],
)
def test_the_next_change(now: str, then: str) -> None:
    assert Weekly(["mon-fri 07:00-18:00"], BERLIN).next_change(at(now)) == at(then)


def test_a_week_without_a_change_has_none() -> None:
    always = Weekly(["daily 00:00-24:00"], BERLIN)
    assert always.next_change(0.0) is None
    assert not always.changes
    assert always


@pytest.mark.parametrize(
    ("now", "clock", "then"),
    [
        ("2026-11-30T17:00", (18, 0), at("2026-11-30T18:00")),
        ("2026-11-30T18:00", (18, 0), at("2026-12-01T18:00")),
        ("2026-11-30T23:30", (0, 15), at("2026-12-01T00:15")),
        ("2026-03-29T01:00", (2, 30), at("2026-03-29T03:30")),  # skipped: half an hour after the jump
        ("2026-10-25T02:45", (2, 30), at("2026-10-25T02:30", fold=1)),  # comes again
    ],
)
def test_the_next_time_of_day(now: str, clock: tuple[int, int], then: float) -> None:
    assert Weekly([], BERLIN).next_time(*clock, at(now)) == then


def test_local_time_follows_the_machine() -> None:
    """The zone of the process, not of the test: TZ is read when it starts."""
    code = "from edge.weekly import *; w = Weekly(['daily 07:00-18:00'], zone_of('')); print(w.at(1796043600))"
    for zone, inside in (("Asia/Tokyo", False), ("America/New_York", True)):  # 2026-11-30 13:00 UTC
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, env={"TZ": zone}
        )
        assert found.stdout == f"{inside}\n", found.stderr


def test_an_empty_zone_is_local_time_and_a_wrong_one_is_refused_with_a_hint() -> None:
    assert zone_of("") is None
    assert zone_of("UTC") is not None
    assert datetime.fromtimestamp(0, zone_of("Asia/Kolkata")).astimezone(timezone.utc).timestamp() == 0
    for name in ("Mars/Base", "Europe", "../../etc/passwd", "\0", "a" * 5000):
        with pytest.raises(SettingsError, match="sudo apt install tzdata"):
            zone_of(name)


def test_a_board_without_tzdata_is_told_to_install_it() -> None:
    code = (
        "import zoneinfo; zoneinfo.reset_tzpath(to=[])\n"
        "import sys; sys.modules['tzdata'] = None\n"
        "from edge import config\n"
        "config.load(None, {'arm.schedule': ['daily 07:00-18:00']})\n"
        "print('the board\\'s own zone works')\n"
        "try: config.load(None, {'arm.time_zone': 'Europe/Berlin'})\n"
        "except ValueError as error: print(error)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert found.stdout.startswith("the board's own zone works\ncommand line: arm.time_zone: got 'Europe/Berlin'")
    assert "sudo apt install tzdata" in found.stdout
