"""Verdicts of one passage -> one decision. Pure: the clock is passed in, nothing is read or written.

Every look at a face is weighed as evidence, and evidence is summed until it suffices: Wald's sequential probability
ratio test (Ann. Math. Statist. 16, 1945). The sum cannot run past the threshold it decided at, so a mask taken off
after being cleared is noticed within twice the looks that a bare face takes that just came in, however long the mask
was on (Page's cumulative sum, Biometrika 41, 1954).
A single blurred or turned frame weighs too little to flip anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from edge.config import DecideSettings
from edge.contracts import Change, Decision, Outcome, Passage, Signal, Track, Verdict

INCORRECT = "with_incorrect_mask"
"""The label of a mask worn badly, which has a signal of its own."""
MOST_PER_LOOK = 2.2
"""Evidence one look can give at most, as log odds (about 9 to 1): a network's 0.9999 is not a 0.9999."""
GOOD_LOOK = 0.7
"""Nobody is let in before one look was this good. The back of a head looks like a mask, and gives many poor looks."""


@dataclass(slots=True)
class _State:
    id: int
    entered_s: float
    changed_s: float
    seen_s: float
    outcome: Outcome = Outcome.UNDECIDED
    evidence: float = 0.0  # log odds of a violation
    looks: int = 0
    best: float = 0.0  # quality of the best look
    looked_s: float = float("-inf")
    violated: bool = False
    weights: dict[str, float] = field(default_factory=dict)

    def passage(self) -> Passage:
        label = max(self.weights, key=self.weights.__getitem__) if self.weights else ""
        belief = 1 / (1 + math.exp(-self.evidence))
        return Passage(
            self.id,
            self.outcome,
            label,
            belief,
            self.looks,
            self.violated,
            self.entered_s,
            self.changed_s,
            self.seen_s,
        )


class Decider:
    """Holds one belief a person. ``compliant`` is the model's label for a mask worn well."""

    def __init__(self, settings: DecideSettings, compliant: str) -> None:
        self._settings = settings
        self._accepted: Set[str] = {compliant, *settings.accept}
        self._threshold = math.log((1 - settings.error_rate) / settings.error_rate)
        self._states: dict[int, _State] = {}

    def update(
        self, tracks: Sequence[Track], verdicts: Mapping[int, Verdict], now_s: float
    ) -> tuple[tuple[Passage, ...], tuple[Decision, ...]]:
        """Passages of everybody present, and what changed. ``verdicts`` are this frame's, by track id."""
        decisions: list[Decision] = []
        for track in tracks:
            state = self._states.setdefault(track.id, _State(track.id, track.entered_s, now_s, track.seen_s))
            state.seen_s = track.seen_s
            if track.id in verdicts and verdicts[track.id].is_face:
                self._look(state, verdicts[track.id], now_s)
            if change := self._judge(state, now_s):
                decisions.append(Decision(change, state.passage(), now_s))
        decisions += self._departures({track.id for track in tracks}, now_s)
        return tuple(state.passage() for state in self._states.values()), tuple(decisions)

    def closing(self, now_s: float) -> tuple[Decision, ...]:
        """End every passage, as when the source ends or the service stops."""
        return tuple(self._departures(set(), now_s))

    def settled(self, id_: int, now_s: float) -> bool:
        """Whether looking at somebody often has nothing to tell: decided and not in doubt, or unclear for long."""
        state = self._states.get(id_)
        if state is None:
            return False
        if state.outcome is Outcome.VIOLATION:
            return state.evidence >= self._threshold - 1e-9
        if state.outcome is Outcome.COMPLIANT:
            return state.evidence <= -self._threshold + 1e-9
        return now_s - state.entered_s > self._settings.unsure_after_s

    def alarms(self, passage: Passage) -> bool:
        """Whether the person's present outcome calls for the alarm."""
        return self.signal(passage).alarming

    def signal(self, passage: Passage) -> Signal:
        """What the outputs are to show for one person."""
        if passage.outcome is Outcome.VIOLATION:
            return Signal.INCORRECT if passage.label == INCORRECT else Signal.BARE
        if passage.outcome is Outcome.UNSURE:
            return Signal.BARE if self._settings.on_unsure == "alarm" else Signal.UNSURE
        return Signal.RUNNING

    def _look(self, state: _State, verdict: Verdict, now_s: float) -> None:
        wrong = sum(p for label, p in verdict.probabilities.items() if label not in self._accepted)
        odds = math.log(max(wrong, 1e-6) / max(1 - wrong, 1e-6))
        # Looks in quick succession see the same picture; only time makes them independent.
        fresh = min(1.0, (now_s - state.looked_s) / self._settings.look_s)
        weight = verdict.quality * fresh
        state.evidence += weight * max(-MOST_PER_LOOK, min(MOST_PER_LOOK, odds))
        state.evidence = max(-self._threshold, min(self._threshold, state.evidence))
        for label, p in verdict.probabilities.items():
            # Halved at every full look, so that the label told is of now and not of when they were far away.
            state.weights[label] = state.weights.get(label, 0.0) * 0.5**weight + weight * p
        state.looks += 1
        state.best = max(state.best, verdict.quality)
        state.looked_s = now_s

    def _judge(self, state: _State, now_s: float) -> Change | None:
        """Set the outcome the evidence calls for; what to tell of it, if anything."""
        held = state.outcome
        if state.evidence >= self._threshold - 1e-9:
            outcome = Outcome.VIOLATION
        elif state.evidence <= -self._threshold + 1e-9 and state.best >= GOOD_LOOK - 1e-9:
            outcome = Outcome.COMPLIANT
        elif held is Outcome.UNDECIDED and state.best and now_s - state.entered_s >= self._settings.unsure_after_s:
            outcome = Outcome.UNSURE
        else:
            return None
        if outcome is held:
            return None
        state.outcome, state.changed_s = outcome, now_s
        state.violated |= outcome is Outcome.VIOLATION
        return Change.DECIDED if held is Outcome.UNDECIDED else Change.REVISED

    def _departures(self, present: Set[int], now_s: float) -> list[Decision]:
        """Whoever has left; those never decided leave without a word (most were never a person)."""
        gone = [state for id_, state in self._states.items() if id_ not in present]
        for state in gone:
            del self._states[state.id]
        return [Decision(Change.LEFT, s.passage(), now_s) for s in gone if s.outcome is not Outcome.UNDECIDED]
