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
from edge.contracts import WITH_INCORRECT_MASK, Change, Decision, Observation, Outcome, Passage, Signal, Track
from edge.inference.evidence import MIN_LOG_ODDS_AT_DOOR, is_face

MAX_PER_LOOK = 2.2
"""Evidence one look can give at most, as log odds (about 9 to 1): a network's 0.9999 is not a 0.9999."""
GOOD_LOOK = 0.7
"""Nobody is let in before one look was this good, or of a sure face. The back of a head looks like a mask, and gives
many poor looks; a blurred face is a face all the same."""
SURE_FACE = 0.55
"""Where the detector is this sure of a face, the classifier has to hold it for none (0.5) rather than only have its
doubt: of looks that a classifier gave 0.07 to 0.5 at passages composed from the validation split, 192 were at people
and 1 was not. Who walks by blurred gives nothing but such looks."""
TO_CLEAR = 2.0
"""Who was held to be in violation is cleared on this many times the evidence that clears anybody else: a mask worn
badly looks right in some looks, one after the other, and an alarm that ends half a second later does no harm."""

STALE_S = 1.0
"""What speaks for somebody undecided counts for so long, and half as much with every such span after that: who shows
the back of the head may take the mask off meanwhile. What speaks against them does not fade, however slow the board."""

ON_UNSURE = {"alarm": Signal.NO_MASK, "signal": Signal.UNSURE, "admit": Signal.RUNNING}
ON_INCORRECT = {"alarm": Signal.INCORRECT_MASK, "signal": Signal.REMINDER, "admit": Signal.NO_MASK}
"""What a violation shows that looks like a mask worn badly; where those are admitted, they are none."""


@dataclass(slots=True)
class _State:
    id: int
    entered_s: float
    changed_s: float
    seen_s: float
    outcome: Outcome = Outcome.UNDECIDED
    evidence: float = 0.0  # log odds of a violation
    observations: int = 0
    best: float = 0.0  # quality of the best look; of a sure face it counts as good
    looked_s: float = float("-inf")
    violated: bool = False
    badly: float = 0.0  # log odds of a mask worn badly against none at all
    signal: Signal = Signal.RUNNING
    weights: dict[str, float] = field(default_factory=dict)

    def passage(self) -> Passage:
        label = max(self.weights, key=self.weights.__getitem__) if self.weights else ""
        belief = 1 / (1 + math.exp(-self.evidence))
        return Passage(
            self.id,
            self.outcome,
            label,
            belief,
            self.observations,
            self.violated,
            self.entered_s,
            self.changed_s,
            self.seen_s,
            self.signal,
        )


class Decider:
    """Holds one belief a person. ``compliant`` is the model's label for a mask worn well."""

    def __init__(self, settings: DecideSettings, compliant: str) -> None:
        self._settings = settings
        self._accepted: Set[str] = {compliant, *settings.accept}
        if settings.on_incorrect == "admit":
            self._accepted |= {WITH_INCORRECT_MASK}
        self._incorrect = ON_INCORRECT[settings.on_incorrect]
        self._threshold = math.log((1 - settings.error_rate) / settings.error_rate)
        self._states: dict[int, _State] = {}

    def update(
        self, tracks: Sequence[Track], observations: Mapping[int, Observation], now_s: float
    ) -> tuple[tuple[Passage, ...], tuple[Decision, ...]]:
        """Passages of everybody present, and what changed. ``observations`` are this frame's, by track id."""
        decisions: list[Decision] = []
        for track in tracks:
            state = self._states.setdefault(track.id, _State(track.id, track.entered_s, now_s, track.seen_s))
            state.seen_s = track.seen_s
            if track.id in observations and _of_a_face(observations[track.id], track):
                self._look(state, observations[track.id], track.score >= SURE_FACE, now_s)
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
            # Where a badly worn mask is no alarm, taking it off makes one: that must not wait for a rare look.
            clear = self._incorrect.alarming or abs(state.badly) >= self._threshold - 1e-9
            return clear and state.evidence >= self._threshold - 1e-9
        if state.outcome is Outcome.COMPLIANT:
            return state.evidence <= -self._threshold + 1e-9
        return now_s - state.entered_s > self._settings.unsure_after_s

    def _signal(self, state: _State, held: Outcome) -> Signal:
        """What the outputs are to show for one person, who was ``held`` for something before."""
        if state.outcome is not Outcome.VIOLATION:
            return ON_UNSURE[self._settings.on_unsure] if state.outcome is Outcome.UNSURE else Signal.RUNNING
        # Once shown, bare or badly worn changes no sooner than any other decision.
        if held is Outcome.VIOLATION and abs(state.badly) < self._threshold - 1e-9:
            return state.signal
        return self._incorrect if state.badly > 0 else Signal.NO_MASK

    def _look(self, state: _State, observation: Observation, surely: bool, now_s: float) -> None:
        wrong = sum(p for label, p in observation.probabilities.items() if label not in self._accepted)
        badly = (
            0.0 if WITH_INCORRECT_MASK in self._accepted else observation.probabilities.get(WITH_INCORRECT_MASK, 0.0)
        )
        if state.evidence < 0 and state.outcome in (Outcome.UNDECIDED, Outcome.UNSURE):
            state.evidence *= 0.5 ** max(0.0, (now_s - state.looked_s) / STALE_S - 1)
        # Looks in quick succession see the same picture; only time makes them independent.
        fresh = min(1.0, (now_s - state.looked_s) / self._settings.observation_s)
        weight = observation.quality * fresh
        state.evidence += weight * _log_odds(wrong, 1 - wrong)
        # A look at a mask worn well says nothing about how badly another is worn.
        state.badly = self._bounded(state.badly + weight * wrong * _log_odds(badly, wrong - badly), self._threshold)
        for label, p in observation.probabilities.items():
            # Halved at every full look, so that the label told is of now and not of when they were far away.
            state.weights[label] = state.weights.get(label, 0.0) * 0.5**weight + weight * p
        state.observations += 1
        good = GOOD_LOOK if surely and observation.quality else 0.0
        state.best = max(state.best, observation.quality, good)
        state.looked_s = now_s

    def _to_clear(self, state: _State) -> float:
        """Evidence against a violation on which somebody is cleared."""
        return self._threshold * (TO_CLEAR if state.outcome is Outcome.VIOLATION else 1)

    def _bounded(self, evidence: float, to_clear: float) -> float:
        return max(-to_clear, min(self._threshold, evidence))

    def _judge(self, state: _State, now_s: float) -> Change | None:
        """Set the outcome the evidence calls for, and its signal; what to tell of it, if anything."""
        held, shown = state.outcome, state.signal
        state.outcome = self._outcome(state, now_s)
        # By what holds now: however much it took to clear them, taking the mask off is noticed as soon.
        state.evidence = self._bounded(state.evidence, self._to_clear(state))
        state.signal = self._signal(state, held)
        if state.outcome is held and state.signal.alarming is shown.alarming:
            return None
        state.changed_s = now_s
        state.violated |= state.outcome is Outcome.VIOLATION
        return Change.DECIDED if held is Outcome.UNDECIDED else Change.REVISED

    def _outcome(self, state: _State, now_s: float) -> Outcome:
        if state.evidence >= self._threshold - 1e-9:
            return Outcome.VIOLATION
        if state.evidence <= -self._to_clear(state) + 1e-9 and state.best >= GOOD_LOOK - 1e-9:
            return Outcome.COMPLIANT
        late = now_s - state.entered_s >= self._settings.unsure_after_s
        if state.outcome is Outcome.UNDECIDED and state.best and late:
            return Outcome.UNSURE
        return state.outcome

    def _departures(self, present: Set[int], now_s: float) -> list[Decision]:
        """Whoever has left; those never decided leave without a word (most were never a person)."""
        gone = [state for id_, state in self._states.items() if id_ not in present]
        for state in gone:
            del self._states[state.id]
        return [Decision(Change.LEFT, s.passage(), now_s) for s in gone if s.outcome is not Outcome.UNDECIDED]


def _of_a_face(observation: Observation, track: Track) -> bool:
    return is_face(track.score, observation.background, MIN_LOG_ODDS_AT_DOOR)


def _log_odds(p: float, q: float) -> float:
    """Of p against q, no more than one look may give."""
    return max(-MAX_PER_LOOK, min(MAX_PER_LOOK, math.log(max(p, 1e-6) / max(q, 1e-6))))
