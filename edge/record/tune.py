"""What other settings would have done: recorded passages, decided again by the decider of the door."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import msgspec

from edge.config import DecideSettings
from edge.contracts import Outcome
from edge.record.replay import Recorded, replay


class Effect(msgspec.Struct, frozen=True):
    """Decisions over all passages with one choice of settings.

    ``alarms`` raise LED, buzzer and messages; ``signals`` only LED and buzzer. ``alarm_s`` and ``slow_alarm_s`` are
    the median and the 95th percentile of seconds from the first face to the alarm, None without an alarm.
    """

    passages: int
    alarms: int
    signals: int
    compliant: int
    unsure: int
    undecided: int
    alarm_s: float | None
    slow_alarm_s: float | None


def effect(passages: Iterable[Recorded], settings: DecideSettings) -> Effect:
    """Return what ``settings`` would have made of the passages."""
    found = [replay(passage, settings) for passage in passages]
    delays = sorted(each.alarm_s for each in found if each.alarm_s is not None)
    outcomes = [each.outcome for each in found if not each.violated]
    return Effect(
        passages=len(found),
        alarms=sum(each.signal.alarming for each in found),
        signals=sum(bool(each.signal) and not each.signal.alarming for each in found),
        compliant=outcomes.count(Outcome.COMPLIANT),
        unsure=outcomes.count(Outcome.UNSURE),
        undecided=outcomes.count(Outcome.UNDECIDED),
        alarm_s=statistics.median(delays) if delays else None,
        slow_alarm_s=delays[min(len(delays) - 1, round(0.95 * len(delays)))] if delays else None,
    )


def differing(passages: Sequence[Recorded], now: DecideSettings, other: DecideSettings) -> list[Recorded]:
    """Return the passages that ``other`` would have decided otherwise."""
    return [p for p in passages if _answer(p, now) != _answer(p, other)]


def _answer(passage: Recorded, settings: DecideSettings) -> tuple[Outcome, bool]:
    found = replay(passage, settings)
    return found.outcome, found.violated
