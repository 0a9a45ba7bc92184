"""Sentences about the figures of a report."""

from __future__ import annotations

from typing import Any

import pytest

from edge.record import report_words as words
from edge.record.compliance import Estimate, wilson
from edge.record.hours import HOUR_MS, Sums
from edge.record.report import Report

MINUTE_MS = 60_000


def report(sums: Sums, stopped_ms: int = 0, without_clock: int = 0, **changed: Any) -> Report:
    values: dict[str, Any] = {
        "began": "2026-01-05T00:00",
        "ended": "2026-01-12T00:00",
        "title": "Week 02",
        "camera": None,
        "cameras": ("",),
        "corrected": None,
        "not_corrected": "",
        "earlier": "the week before",
        "previous": Sums(),
        "previous_measured": None,
        "by_hour": (),
        "by_day": (),
        "drifting": False,
        "warnings": (),
    }
    measured = wilson(sums.compliant, sums.judged)
    values = {**values, "sums": sums, "stopped_ms": stopped_ms, "without_clock": without_clock, "measured": measured}
    return Report(**{**values, **changed})


def compared(now: tuple[int, int], before: tuple[int, int], **changed: Any) -> Report:
    """Return a report in which so many of so many people wore a mask well, in this period and in the one before."""
    sums = Sums(compliant=now[0], violated=now[1] - now[0])
    return report(sums, previous_measured=wilson(*before), **changed)


@pytest.mark.parametrize(
    ("now", "before", "direction", "said"),
    [
        (
            (1426, 1617),
            (1580, 1708),
            "worse",
            "Worse: 88 of 100 people wore a mask well, down from 93 in the week before.",
        ),
        ((1580, 1708), (1426, 1617), "better", "Better: 93 of 100 people wore a mask well, up from 88 in"),
        ((88, 100), (92, 100), "", "About the same as in the week before (92 of 100): the difference may be chance."),
        ((88, 100), (88, 100), "", "About the same as in the week before (88 of 100): the difference may be chance."),
        # So many people that the ranges differ although the rounded figures do not.
        (
            (884_000, 1_000_000),
            (876_000, 1_000_000),
            "better",
            "Better: 88.4 of 100 people wore a mask well, up from 87.6",
        ),
        ((88, 100), (0, 0), "", "No comparison: fmd judged no one in the week before."),
        ((0, 0), (88, 100), "", "No comparison with the week before: fmd could not judge anyone this time."),
    ],
)
def test_better_or_worse_only_if_the_ranges_do_not_overlap(
    now: tuple[int, int], before: tuple[int, int], direction: str, said: str
) -> None:
    found = compared(now, before)
    assert words.direction(found) == direction
    assert words.comparison(found).startswith(said)


def test_a_changed_camera_makes_nothing_better_or_worse() -> None:
    found = compared((1426, 1617), (1580, 1708), drifting=True)
    assert words.direction(found) == ""
    assert words.comparison(found).startswith("No comparison with the week before: the camera has changed")


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.0, "0"), (0.001, "less than 1"), (0.882, "88"), (0.996, "more than 99"), (1.0, "100")],
)
def test_only_all_people_are_100_of_100(share: float, said: str) -> None:
    assert words.of_100(share) == said


def test_a_range_is_rounded_outwards() -> None:
    assert words.between(Estimate(0.882, 0.865, 0.897)) == "86 to 90, allowing for chance"


def test_disarmed_time_does_not_lower_the_watched_share() -> None:
    sums = Sums(watched_ms=82 * HOUR_MS + 20 * MINUTE_MS, blind_ms=100 * MINUTE_MS, disarmed_ms=84 * HOUR_MS)
    assert words.watched(report(sums)) == (
        "fmd watched 82 h 20 min of the 84 h 00 min that it should have (98%). Not watched: blind 1 h 40 min. "
        "Besides, it was disarmed for 84 h 00 min."
    )
    assert words.watched(report(Sums(disarmed_ms=HOUR_MS))) == "fmd was disarmed all the time (1 h 00 min)."


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (report(Sums(compliant=1)), []),
        (report(Sums()), ["This report is empty. The record has nothing from this time."]),
        (
            report(Sums(watched_ms=12 * HOUR_MS)),
            ["This report is empty. No one passed while fmd watched (12 h 00 min)."],
        ),
        (
            report(Sums(disarmed_ms=HOUR_MS), stopped_ms=HOUR_MS),
            [
                "This report is empty. fmd did not watch in this time: disarmed 1 h 00 min (switched off on purpose or "
                "by the schedule, not a fault), stopped 1 h 00 min (fmd did not run)."
            ],
        ),
        (
            report(Sums(watched_ms=HOUR_MS), without_clock=1),
            [
                "This report is empty. 1 person passed while fmd could not confirm the board's clock: no report counts "
                "them. Some may belong to this time.",
                "No one passed while fmd watched (1 h 00 min).",
            ],
        ),
    ],
)
def test_why_a_report_is_empty(found: Report, said: list[str]) -> None:
    assert words.why_empty(found) == said


def test_violations_without_a_mask_put_on_name_no_average() -> None:
    said = words.violated(report(Sums(violated=5, badly_worn=2)))
    assert said == "0 put a mask on after the alarm, 2 wore it badly until they left, 3 wore none until they left"
