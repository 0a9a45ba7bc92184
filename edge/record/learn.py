"""Settings of [decide] from pictures that a person has sorted: how sure the classifier's answers are, and how much
evidence decides. Weights never change.

Temperature: Guo et al. 2017, arXiv 1706.04599. All intervals come from resampled people, because pictures of one person
resemble each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from edge.config import DecideSettings
from edge.contracts import Outcome
from edge.record.replay import Recorded, Replayed, replay

TEMPERATURES = np.geomspace(0.25, 8.0, 121)
"""Temperatures that are tried. One at either end says that the answers have nothing to do with the labels."""
ERROR_RATES = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
MIN_PEOPLE = 30
"""Fewest people to learn anything from."""
RESAMPLES = 1000
UNDECIDED_COST = 0.5
"""Cost of a person who is not decided, where a wrong decision costs 1: both answers are then equally far away."""

Numbers = npt.NDArray[np.float64]


class Sorted(NamedTuple):
    """A sorted picture. ``person`` is equal for pictures of one person; ``answers`` are the classifier's probabilities
    of each label, in the order of its labels, for the plain and the mirrored picture."""

    person: str
    label: str
    answers: tuple[tuple[float, ...], ...]


class Estimate(NamedTuple):
    """A value with the ends of its 95% interval."""

    value: float
    low: float
    high: float


class Temperature(NamedTuple):
    """``fitted`` is the temperature at which the answers are as often right as they say.

    ``before`` and ``after`` are the mean negative log probability of the right label, now and with it.
    """

    fitted: Estimate
    accuracy: Estimate
    before: float
    after: float

    @property
    def found(self) -> bool:
        """False if no temperature fits: the answers have nothing to do with the labels, or there are no errors."""
        return bool(TEMPERATURES[0] < self.fitted.value < TEMPERATURES[-1])


class Threshold(NamedTuple):
    """``error_rate`` has the lowest cost; ``saved`` is how much of the mean cost it saves on people it was not chosen
    on."""

    error_rate: float
    before: float
    after: float
    saved: Estimate


def fit_temperature(pictures: Sequence[Sorted], labels: Sequence[str], now: float) -> Temperature:
    """Fit the temperature to ``pictures``; ``now`` is the present one."""
    people = sorted({picture.person for picture in pictures})
    place = {person: i for i, person in enumerate(people)}
    answers = [(place[p.person], labels.index(p.label), answer) for p in pictures for answer in p.answers]
    of, truth = np.array([a[0] for a in answers]), np.array([a[1] for a in answers])
    logs = np.log(np.maximum(np.array([a[2] for a in answers], float), 1e-7))
    right = np.array([np.mean(p.answers, axis=0).argmax() == labels.index(p.label) for p in pictures], float)

    def losses(temperature: float) -> Numbers:
        scaled = logs / temperature
        top = scaled.max(axis=1, keepdims=True)
        total = (top + np.log(np.exp(scaled - top).sum(axis=1, keepdims=True)))[:, 0]
        return np.asarray(total - scaled[np.arange(len(truth)), truth])

    by_person = np.array([np.bincount(of, losses(t), len(people)) for t in TEMPERATURES])
    drawn = _drawn(len(people))
    best = TEMPERATURES[(drawn @ by_person.T).argmin(axis=1)]
    fitted = TEMPERATURES[by_person.sum(axis=1).argmin()]
    whose = np.array([place[p.person] for p in pictures])
    hits, all_ = np.bincount(whose, right, len(people)), np.bincount(whose, minlength=len(people))
    return Temperature(
        _estimate(float(fitted), best),
        _estimate(float(right.mean()), (drawn @ hits) / (drawn @ all_)),
        float(losses(now).mean()),
        float(losses(float(fitted)).mean()),
    )


def truth_of(pictures: Sequence[Sorted], accepted: Collection[str]) -> dict[str, bool]:
    """Return by person whether an alarm is right; a person whose pictures show both (a mask put on) is left out."""
    found: dict[str, set[bool]] = {}
    for picture in pictures:
        found.setdefault(picture.person, set()).add(picture.label not in accepted)
    return {person: next(iter(kinds)) for person, kinds in found.items() if len(kinds) == 1}


def fit_error_rate(passages: Sequence[Recorded], truth: Mapping[str, bool], settings: DecideSettings) -> Threshold:
    """Return the ``error_rate`` with which the decider of the door decides these passages best.

    ``truth`` says of each passage, by its ``entered`` as text, whether an alarm is right.
    """
    rates = sorted({*ERROR_RATES, settings.error_rate})
    wanted = [truth[str(passage.entered)] for passage in passages]
    costs = np.array(
        [
            [
                _cost(replay(passage, msgspec.structs.replace(settings, error_rate=rate)), alarm)
                for passage, alarm in zip(passages, wanted, strict=True)
            ]
            for rate in rates
        ]
    )
    present = rates.index(settings.error_rate)
    # Equally good ones: the nearest to the present, so that nothing changes without a reason.
    far = np.abs(np.log(np.array(rates) / settings.error_rate))
    best = int(np.lexsort((far, costs.mean(axis=1).round(9)))[0])
    drawn = _drawn(len(passages))
    chosen = (drawn @ costs.T + 1e-9 * far).argmin(axis=1)
    rest = (drawn == 0).astype(float)
    saved = np.array([(costs[present] - costs[c]) @ w / max(1.0, w.sum()) for c, w in zip(chosen, rest, strict=True)])
    before, after = float(costs[present].mean()), float(costs[best].mean())
    return Threshold(rates[best], before, after, _estimate(float(saved.mean()), saved))


def _cost(found: Replayed, alarm: bool) -> float:
    if found.violated:
        return 0.0 if alarm else 1.0
    if found.outcome is Outcome.COMPLIANT:
        return 1.0 if alarm else 0.0
    return UNDECIDED_COST


def _drawn(count: int) -> Numbers:
    """Return how often each of ``count`` people is drawn, (RESAMPLES, count); always the same draws."""
    return np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float)


def _estimate(value: float, resampled: Numbers) -> Estimate:
    low, high = np.percentile(resampled, (2.5, 97.5))
    return Estimate(value, float(low), float(high))
