"""Decision lines for people and grep, and the sums at the end of a run."""

from __future__ import annotations

import time

import pytest

from edge.contracts import Change, Decision, Outcome, Passage, Signal
from edge.reporting import console


def passage(outcome: Outcome, label: str, signal: Signal, violated: bool = False) -> Passage:
    return Passage(
        id=1,
        outcome=outcome,
        label=label,
        observations=7,
        violated=violated,
        entered_s=1.07,
        changed_s=1.47,
        seen_s=1.47,
        signal=signal,
    )


NO_MASK = passage(Outcome.VIOLATION, "without_mask", Signal.NO_MASK, violated=True)
BADLY = passage(Outcome.VIOLATION, "with_incorrect_mask", Signal.INCORRECT_MASK, violated=True)
REMINDED = passage(Outcome.VIOLATION, "with_incorrect_mask", Signal.REMINDER, violated=True)
ADMITTED = passage(Outcome.COMPLIANT, "with_incorrect_mask", Signal.RUNNING)
MASK = passage(Outcome.COMPLIANT, "with_mask", Signal.RUNNING)
CLEARED = passage(Outcome.COMPLIANT, "with_mask", Signal.RUNNING, violated=True)
UNSURE = passage(Outcome.UNSURE, "with_mask", Signal.UNSURE)


@pytest.mark.parametrize(
    ("change", "shown", "line"),
    [
        (Change.DECIDED, NO_MASK, "ALARM  person 1: no mask (without_mask, 7 observations, 0.4 s)"),
        (Change.DECIDED, BADLY, "ALARM  person 1: badly worn mask (with_incorrect_mask, 7 observations, 0.4 s)"),
        (Change.DECIDED, REMINDED, "-----  person 1: badly worn mask (with_incorrect_mask, 7 observations, 0.4 s)"),
        (Change.DECIDED, ADMITTED, "-----  person 1: badly worn mask, accepted (with_incorrect_mask, 7 observations"),
        (Change.DECIDED, MASK, "-----  person 1: mask (with_mask, 7 observations, 0.4 s)"),
        (Change.DECIDED, UNSURE, "-----  person 1: unsure (with_mask, "),
        (Change.REVISED, CLEARED, "-----  person 1: now mask (with_mask, "),
        (Change.LEFT, CLEARED, "-----  person 1: left, mask after a violation (with_mask, "),
        (Change.PICTURE, NO_MASK, "-----  person 1: a picture, no person: no longer judged (no mask before) ("),
        (Change.LEFT, NO_MASK, "-----  person 1: left, no mask (without_mask, "),
    ],
)
def test_a_decision_is_a_line_in_words_for_users(
    change: Change, shown: Passage, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    console.DecisionPrinter().on_decision(Decision(change, shown, at_s=1.47))
    assert capsys.readouterr().out.startswith(f"    1.47 s  {line}")


def test_a_line_names_one_of_several_cameras(capsys: pytest.CaptureFixture[str]) -> None:
    console.DecisionPrinter().on_decision(Decision(Change.DECIDED, MASK, at_s=12.0, camera="back"))
    assert capsys.readouterr().out == "   12.00 s  -----  back, person 1: mask (with_mask, 7 observations, 0.4 s)\n"


def test_a_line_of_a_live_camera_begins_with_local_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        console.DecisionPrinter(lambda: 1_764_500_000.5).on_decision(Decision(Change.DECIDED, MASK, at_s=81_234.5))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert capsys.readouterr().out.startswith("2025-11-30 16:23:20  -----  person 1: mask (with_mask")


def test_passages_are_counted_when_they_end() -> None:
    counts = console.PassageCounts()
    for change, shown in [
        (Change.DECIDED, NO_MASK),
        (Change.LEFT, NO_MASK),
        (Change.LEFT, CLEARED),
        (Change.LEFT, MASK),
        (Change.LEFT, UNSURE),
    ]:
        counts.on_decision(Decision(change, shown, at_s=1.0))
    assert str(counts) == "passages: 4 (2 with a violation, 1 compliant, 1 unsure)"
