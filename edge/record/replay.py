"""Recorded passages, decided again by the decider of the door: with the same settings, or with others."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from edge.config import DecideSettings
from edge.contracts import ENDS, Box, Decision, Observation, Outcome, Signal, Track
from edge.inference.evidence import MIN_SCORE_ALONE
from edge.record.evidence import Weighed, lasted_s, unpacked
from edge.stages.decide import SURE_FACE, Decider

AFTER_S = 1e-3
"""How long after ``decide.unsure_after_s`` the decider is asked again: at the door the next frame would do it."""
ROUNDED_S = 2e-3
"""Time by which a passage may have lasted longer than its recorded milliseconds, and AFTER_S."""


class Recorded(NamedTuple):
    """One recorded passage with its evidence. Times are milliseconds since 1970, or None as in the row."""

    id: int
    camera: str
    entered: int
    decided: int | None
    alarm: int | None
    ended: int
    outcome: str
    violated: bool
    observations: int
    labels: tuple[str, ...]
    compliant: str
    evidence: tuple[Weighed, ...]
    lasted_s: float = 0.0
    """How long the person was followed, seconds; 0 if an earlier version wrote the row."""


class Replayed(NamedTuple):
    """What the decider makes of a recorded passage. Times are seconds after its beginning, None if it did not happen.

    ``signal`` is the most urgent signal that was shown.
    """

    outcome: Outcome
    violated: bool
    signal: Signal
    decided_s: float | None
    alarm_s: float | None
    observations: int


def recorded(
    connection: sqlite3.Connection, since: int, until: int, camera: str | None = None, classifier: str | None = None
) -> Iterator[Recorded]:
    """Yield the passages with evidence that ended from ``since`` to ``until`` (exclusive), in ms since 1970.

    ``classifier`` is the hash in the row of their run.
    """
    rows = connection.execute(
        "SELECT p.id, p.camera, p.entered, p.decided, p.alarm, p.ended, p.outcome, p.violated, p.observations,"
        " r.labels, r.compliant, p.evidence FROM passages p JOIN runs r ON r.id = p.run"
        " WHERE p.ended >= ?1 AND p.ended < ?2 AND (?3 IS NULL OR p.camera = ?3)"
        " AND (?4 IS NULL OR r.classifier = ?4) ORDER BY p.id",
        (since, until, camera, classifier),
    )
    for *values, labels, compliant, packed in rows:
        try:
            evidence, lasted = tuple(unpacked(packed)), lasted_s(packed)
        except ValueError:
            continue  # damaged: it counts as one that has no evidence
        if evidence:
            names = msgspec.json.decode(labels, type=tuple[str, ...])
            yield Recorded._make((*values, names, compliant, evidence, lasted))


def replay(passage: Recorded, settings: DecideSettings) -> Replayed:
    """Decide a recorded passage with ``settings``, by the code that decides at the door."""
    decider = Decider(settings, passage.compliant)
    decisions: list[Decision] = []
    shown = [Signal.RUNNING]
    end_s = max((passage.ended - passage.entered) / 1000, passage.evidence[-1].at_s, passage.lasted_s + ROUNDED_S)
    for at_s, weighed in _moments(passage.evidence, settings.unsure_after_s + AFTER_S, end_s):
        track = Track(1, Box(0, 0, 1, 1), _score(weighed), 0.0, at_s, 0)
        seen = {} if weighed is None else {1: _observation(weighed, passage.labels)}
        found = decider.update([track], seen, at_s)
        decisions += found.decisions
        shown.append(found.signal)
    decisions += decider.closing(end_s)
    last = decisions[-1].passage if decisions else None
    # Unsure is no decision: later evidence may still decide.
    sure = [d for d in decisions if d.change not in ENDS and d.passage.outcome is not Outcome.UNSURE]
    alarms = [d.at_s for d in sure if d.passage.outcome is Outcome.VIOLATION]
    return Replayed(
        last.outcome if last else Outcome.UNDECIDED,
        bool(last and last.violated),
        max(shown),
        sure[0].at_s if sure else None,
        alarms[0] if alarms else None,
        last.observations if last else 0,
    )


def _moments(evidence: tuple[Weighed, ...], unsure_s: float, end_s: float) -> Iterator[tuple[float, Weighed | None]]:
    """Yield every moment at which something may change: each observation, and when patience ends."""
    waiting = unsure_s < end_s
    for weighed in evidence:
        if waiting and unsure_s <= weighed.at_s:
            waiting = False
            if unsure_s < weighed.at_s:
                yield unsure_s, None
        yield weighed.at_s, weighed
    if waiting:
        yield unsure_s, None


def _score(weighed: Weighed | None) -> float:
    """Return a detector score that makes the face sure or not: the record holds no more of it."""
    return SURE_FACE if weighed is not None and weighed.sure else MIN_SCORE_ALONE


def _observation(weighed: Weighed, labels: tuple[str, ...]) -> Observation:
    # No background: only observations of a face were recorded.
    return Observation(dict(zip(labels, weighed.probabilities, strict=True)), weighed.quality, None)
