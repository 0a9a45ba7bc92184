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


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (
            (1426, 1617),
            (1580, 1708),
            "Worse than in the period before: 88 instead of 93 of 100 people wore a mask well.",
        ),
        (
            (1580, 1708),
            (1426, 1617),
            "Better than in the period before: 93 instead of 88 of 100 people wore a mask well.",
        ),
        ((88, 100), (92, 100), "No clear difference from the period before (92 of 100): the two ranges overlap."),
        ((88, 100), (88, 100), "No clear difference from the period before (88 of 100): the two ranges overlap."),
        # So many people that the ranges differ although the rounded figures do not.
        ((884_000, 1_000_000), (876_000, 1_000_000), "Better than in the period before: 88.4 instead of 87.6 of 100"),
        ((88, 100), (0, 0), "No comparison: nobody was judged in the period before."),
        ((0, 0), (88, 100), "No comparison with the period before: nobody was judged in this one."),
    ],
)
def test_better_or_worse_only_if_the_ranges_do_not_overlap(
    now: tuple[int, int], before: tuple[int, int], said: str
) -> None:
    assert words.comparison(wilson(*now), wilson(*before)).startswith(said)


def test_a_changed_camera_makes_nothing_better_or_worse() -> None:
    said = words.comparison(wilson(1426, 1617), wilson(1580, 1708), drifting=True)
    assert said.startswith("No comparison with the period before: the camera has changed")


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.0, "0"), (0.001, "less than 1"), (0.882, "88"), (0.996, "more than 99"), (1.0, "100")],
)
def test_only_all_people_are_100_of_100(share: float, said: str) -> None:
    assert words.of_100(share) == said


def test_a_range_is_rounded_outwards() -> None:
    assert words.between(Estimate(0.882, 0.865, 0.897)).startswith("between 86 and 90 (")


def test_disarmed_time_does_not_lower_the_watched_share() -> None:
    sums = Sums(watched_ms=82 * HOUR_MS + 20 * MINUTE_MS, blind_ms=100 * MINUTE_MS, disarmed_ms=84 * HOUR_MS)
    said = "watched 82 h 20 min of 84 h 00 min when not disarmed (98%); blind 1 h 40 min; disarmed 84 h 00 min more"
    assert words.watched(report(sums)) == said
    said = "Not watched: 1 h 40 min of the 84 h 00 min when not disarmed. Disarmed: 84 h 00 min more."
    assert words.not_watched(report(sums)) == said


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (report(Sums(compliant=1)), []),
        (report(Sums()), ["This report is empty. The record has nothing from this time."]),
        (
            report(Sums(watched_ms=12 * HOUR_MS)),
            ["This report is empty. Nobody passed while fmd watched (12 h 00 min)."],
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
                "Nobody passed while fmd watched (1 h 00 min).",
            ],
        ),
    ],
)
def test_why_a_report_is_empty(found: Report, said: list[str]) -> None:
    assert words.why_empty(found) == said


def test_violations_without_a_mask_put_on_name_no_average() -> None:
    said = words.violated(report(Sums(violated=5, badly_worn=2)))
    assert said == "0 put a mask on after the alarm; 2 wore it badly to the end; 3 wore none to the end"
