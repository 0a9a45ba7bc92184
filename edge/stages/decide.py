"""Observations of one passage -> one decision. Pure: the caller passes the time, and nothing is read or written.

Each observation of a face is evidence. The decider sums the evidence until it suffices (sequential probability ratio
test: Wald, Ann. Math. Statist. 16, 1945). The sum cannot pass the threshold at which it decided. So fmd notices soon
that a cleared person takes the mask off, however long it was on (cumulative sum: Page, Biometrika 41, 1954). That needs
at most twice the observations of a newcomer without a mask. One blurred or turned frame weighs too little to change a
decision.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field

from edge.config import DecideSettings
from edge.contracts import (
    WITH_INCORRECT_MASK,
    Assessment,
    Change,
    Decision,
    Observation,
    Outcome,
    Passage,
    Signal,
    Track,
)
from edge.inference.evidence import MIN_LOG_ODDS_AT_DOOR, is_face

MAX_EVIDENCE = 2.2
"""Most evidence of one observation, as log odds (about 9 to 1): a network's 0.9999 is not a probability of 0.9999."""
GOOD_QUALITY = 0.7
"""Quality that at least one observation needs before the person is cleared; one of a sure face counts as this good.
The back of a head resembles a mask and gives many poor observations, but a blurred face is still a face."""
SURE_FACE = 0.55
"""Detector score from which a face is sure: an observation of it counts as good, however blurred. Chosen on passages
composed from the validation split, where people who walk by fast give only blurred observations."""
CLEAR_FACTOR = 2.0
"""Factor on the evidence that clears a person once they were in violation. A badly worn mask seems right in some
observations in a row, and an alarm that ends half a second later does no harm."""

EVIDENCE_HALF_LIFE_S = 1.0
"""Time for which evidence in favour of an undecided person counts fully; it then halves every such span, as a person
who shows the back of the head may take the mask off. Evidence against them does not fade, however slow the board."""

ON_UNSURE = {"alarm": Signal.NO_MASK, "signal": Signal.UNSURE, "admit": Signal.RUNNING}
ON_INCORRECT = {"alarm": Signal.INCORRECT_MASK, "signal": Signal.REMINDER, "admit": Signal.NO_MASK}
"""Setting ``decide.on_incorrect`` -> signal of a violation that resembles a badly worn mask. With ``admit`` a badly
worn mask is accepted, so that a violation can only be a missing mask."""


@dataclass(slots=True)
class _State:
    id: int
    entered_s: float
    changed_s: float
    seen_s: float
    outcome: Outcome = Outcome.UNDECIDED
    evidence: float = 0.0  # log odds of a violation
    observations: int = 0
    best: float = 0.0  # best quality of any observation; one of a sure face counts as GOOD_QUALITY
    observed_s: float = float("-inf")
    violated: bool = False
    badly_worn: float = 0.0  # log odds of a badly worn mask against no mask at all
    signal: Signal = Signal.RUNNING
    reported: tuple[Outcome, bool] | None = None  # outcome, and whether it gives an alarm, of the last decision
    weights: dict[str, float] = field(default_factory=dict)  # label -> recent weight, which gives the passage's label


class Decider:
    """Evidence and outcome of each person present. ``compliant`` is the model's label for a correctly worn mask."""

    def __init__(self, settings: DecideSettings, compliant: str, camera: str = "") -> None:
        self._settings, self._camera = settings, camera
        self._accepted: Set[str] = {compliant, *settings.accept}
        if settings.on_incorrect == "admit":
            self._accepted |= {WITH_INCORRECT_MASK}
        self._incorrect = ON_INCORRECT[settings.on_incorrect]
        self._threshold = math.log((1 - settings.error_rate) / settings.error_rate)
        self._states: dict[int, _State] = {}

    def update(
        self,
        tracks: Sequence[Track],
        observations: Mapping[int, Observation],
        now_s: float,
        armed: bool = True,
        pictures: Collection[int] = (),
    ) -> Assessment:
        """Weigh this frame's ``observations`` (by track id) and return what follows for everybody present.

        While fmd is not ``armed``, no decision is reported. Those of people who are still present follow when it is.
        ``pictures`` are the ids of tracks that turned out to be no people; they are not among ``tracks``.
        """
        decisions: list[Decision] = []
        cleared = False
        for track in tracks:
            state = self._states.setdefault(track.id, _State(track.id, track.entered_s, now_s, track.seen_s))
            state.seen_s = track.seen_s
            if track.id in observations and _of_a_face(observations[track.id], track):
                self._weigh(state, observations[track.id], track.score >= SURE_FACE, now_s)
            cleared |= self._decide(state, now_s) and state.signal is Signal.RUNNING
            if armed and (change := _to_report(state)):
                decisions.append(self._decision(change, state, now_s))
        decisions += self._departures({track.id for track in tracks}, now_s, pictures)
        passages = tuple(map(self._passage, self._states.values()))
        signal = max((passage.signal for passage in passages), default=Signal.RUNNING)
        return Assessment(
            passages,
            tuple(decisions),
            signal,
            # A reminder for one person is not renewed by the alarm for another: only those of the same urgency count.
            tuple(p.id for p in passages if p.signal and p.signal.alarming is signal.alarming),
            cleared,
        )

    def closing(self, now_s: float) -> tuple[Decision, ...]:
        """End every passage and return the decisions; called when the source ends or the service stops."""
        return tuple(self._departures(set(), now_s))

    def _decision(self, change: Change, state: _State, now_s: float) -> Decision:
        return Decision(change, self._passage(state), now_s, self._camera)

    def _settled_s(self, state: _State) -> float:
        """Return from when on frequent observations add nothing, as :class:`edge.contracts.Passage` defines it."""
        if state.outcome is Outcome.VIOLATION:
            # If a badly worn mask is no alarm, taking it off makes one: that must not wait for a rare observation.
            clear = self._incorrect.alarming or abs(state.badly_worn) >= self._threshold - 1e-9
            settled = clear and state.evidence >= self._threshold - 1e-9
        elif state.outcome is Outcome.COMPLIANT:
            settled = state.evidence <= -self._threshold + 1e-9
        else:
            return state.entered_s + self._settings.unsure_after_s
        return float("-inf") if settled else float("inf")

    def _passage(self, state: _State) -> Passage:
        return Passage(
            id=state.id,
            outcome=state.outcome,
            label=max(state.weights, key=state.weights.__getitem__) if state.weights else "",
            observations=state.observations,
            violated=state.violated,
            entered_s=state.entered_s,
            changed_s=state.changed_s,
            seen_s=state.seen_s,
            signal=state.signal,
            settled_s=self._settled_s(state),
            suspicion=self._suspicion(state),
            evidence=state.evidence / (self._threshold if state.evidence > 0 else self._to_clear(state)),
        )

    def _suspicion(self, state: _State) -> float:
        """Return how much of the way to a violation the evidence has gone, 0..1; 0 for one that is decided."""
        if state.outcome is Outcome.VIOLATION:
            return 0.0
        # The evidence of a cleared person begins at the other threshold.
        start = -self._threshold if state.outcome is Outcome.COMPLIANT else 0.0
        return max(0.0, (state.evidence - start) / (self._threshold - start))

    def _signal(self, state: _State, previous: Outcome) -> Signal:
        """Return what the outputs show for a person whose outcome was ``previous`` before this frame."""
        if state.outcome is not Outcome.VIOLATION:
            return ON_UNSURE[self._settings.on_unsure] if state.outcome is Outcome.UNSURE else Signal.RUNNING
        # A shown signal changes between no mask and badly worn only on as much evidence as any other decision.
        if previous is Outcome.VIOLATION and abs(state.badly_worn) < self._threshold - 1e-9:
            return state.signal
        return self._incorrect if state.badly_worn > 0 else Signal.NO_MASK

    def _weigh(self, state: _State, observation: Observation, surely: bool, now_s: float) -> None:
        probabilities = tempered(observation.probabilities, self._settings.temperature)
        wrong = sum(p for label, p in probabilities.items() if label not in self._accepted)
        badly = 0.0 if WITH_INCORRECT_MASK in self._accepted else probabilities.get(WITH_INCORRECT_MASK, 0.0)
        if state.evidence < 0 and state.outcome in (Outcome.UNDECIDED, Outcome.UNSURE):
            state.evidence *= 0.5 ** max(0.0, (now_s - state.observed_s) / EVIDENCE_HALF_LIFE_S - 1)
        # Observations in quick succession are of the same picture; only time makes them independent.
        fresh = min(1.0, (now_s - state.observed_s) / self._settings.observation_s)
        weight = observation.quality * fresh
        state.evidence += weight * _log_odds(wrong, 1 - wrong)
        # An observation of a correctly worn mask says nothing about how badly another is worn.
        badly_worn = state.badly_worn + weight * wrong * _log_odds(badly, wrong - badly)
        state.badly_worn = self._bounded(badly_worn, self._threshold)
        for label, p in probabilities.items():
            # Each full observation halves the older ones, so that the label describes now, not when they were far away.
            state.weights[label] = state.weights.get(label, 0.0) * 0.5**weight + weight * p
        state.observations += 1
        good = GOOD_QUALITY if surely and observation.quality else 0.0
        state.best = max(state.best, observation.quality, good)
        state.observed_s = now_s

    def _to_clear(self, state: _State) -> float:
        """Return the evidence against a violation that clears a person, as positive log odds."""
        return self._threshold * (CLEAR_FACTOR if state.outcome is Outcome.VIOLATION else 1)

    def _bounded(self, evidence: float, to_clear: float) -> float:
        return max(-to_clear, min(self._threshold, evidence))

    def _decide(self, state: _State, now_s: float) -> bool:
        """Set the outcome and signal that the evidence gives; return whether it changed what fmd does."""
        previous, shown = state.outcome, state.signal
        state.outcome = self._outcome(state, now_s)
        # The bound follows the new outcome: a mask taken off is noticed as soon, however much evidence cleared them.
        state.evidence = self._bounded(state.evidence, self._to_clear(state))
        state.signal = self._signal(state, previous)
        if state.outcome is previous and state.signal.alarming is shown.alarming:
            return False
        state.changed_s = now_s
        return True

    def _outcome(self, state: _State, now_s: float) -> Outcome:
        # 1e-9: sums of bounded evidence reach the threshold only up to rounding.
        if state.evidence >= self._threshold - 1e-9:
            return Outcome.VIOLATION
        if state.evidence <= -self._to_clear(state) + 1e-9 and state.best >= GOOD_QUALITY - 1e-9:
            return Outcome.COMPLIANT
        late = now_s - state.entered_s >= self._settings.unsure_after_s
        if state.outcome is Outcome.UNDECIDED and state.best and late:
            return Outcome.UNSURE
        return state.outcome

    def _departures(self, present: Set[int], now_s: float, pictures: Collection[int] = ()) -> list[Decision]:
        """Remove people who have left; those without a decision give none (most were never a person)."""
        left = [state for id_, state in self._states.items() if id_ not in present]
        for state in left:
            del self._states[state.id]
        return [
            self._decision(Change.PICTURE if s.id in pictures else Change.LEFT, s, now_s) for s in left if s.reported
        ]


def _to_report(state: _State) -> Change | None:
    """Return the change that a decision reports now, if any, and note that it was reported."""
    now = (state.outcome, state.signal.alarming)
    if state.outcome is Outcome.UNDECIDED or now == state.reported:
        return None
    change = Change.REVISED if state.reported else Change.DECIDED
    state.reported = now
    state.violated |= state.outcome is Outcome.VIOLATION
    return change


def _of_a_face(observation: Observation, track: Track) -> bool:
    return is_face(track.score, observation.background, MIN_LOG_ODDS_AT_DOOR)


def tempered(probabilities: Mapping[str, float], temperature: float) -> Mapping[str, float]:
    """Return probabilities that are less sure at a temperature above 1, and surer below it; their order stays."""
    if temperature == 1:
        return probabilities
    logs = {label: math.log(max(p, 1e-7)) / temperature for label, p in probabilities.items()}
    top = max(logs.values())
    weights = {label: math.exp(value - top) for label, value in logs.items()}
    total = sum(weights.values())
    return {label: weight / total for label, weight in weights.items()}


def _log_odds(p: float, q: float) -> float:
    """Return the log odds of p against q, at most MAX_EVIDENCE either way."""
    return max(-MAX_EVIDENCE, min(MAX_EVIDENCE, math.log(max(p, 1e-6) / max(q, 1e-6))))
