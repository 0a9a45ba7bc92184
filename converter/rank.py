"""Scalings and colour orders ranked by how many pictures of known content the model answers rightly.

Confidence only breaks ties: a network without batch norm is surer of itself the larger its inputs are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converter.evidence import Evidence
from converter.load import Source
from converter.names import role_of
from converter.options import Options
from converter.scaling import Pixels, hypotheses
from edge.contracts import LABELS, Floats, Image
from edge.errors import ConversionError

STAGES = ((12, 14), (48, 14), (160, 5), (400, 3))
"""(pictures, hypotheses) of each round: those far behind are dropped before the next, larger one."""
BUDGET_S, KNOWN_BUDGET_S = 10.0, 120.0
"""Seconds that ranking may take: without pictures the user gets a file or an answer within 30 s."""
SAME = 0.005
"""Share of the range of a scaling below which a difference is none."""
DROPPED = 0.3
"""Accuracy behind the best by which a hypothesis is dropped after a round."""
CLEAR_Z = 2.0
"""Standard errors by which one hypothesis must be right where another is wrong (sign test of McNemar)."""
CLEAR_LIKELIHOOD = 0.03
"""Mean log-likelihood by which confidence breaks a tie."""
ALIKE = 0.985
"""Share of equal labels from which two hypotheses are the same in practice."""
RECOGNISES, RECOGNISES_COMPOSED = 0.75, 0.9
"""Balanced accuracy below which a model does not recognise the pictures; composed ones are of one face only."""
Correct = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """One hypothesis on the first ``len(answers)`` pictures. ``outputs`` maps a class to the output that means it."""

    pixels: Pixels
    answers: Floats
    outputs: dict[str, int]
    correct: Correct
    likelihood: Floats
    accuracy: float

    @property
    def got(self) -> npt.NDArray[np.intp]:
        """The answered output of each picture."""
        return self.answers.argmax(axis=1)


def full_probabilities(answers: Floats) -> Floats:
    """(n, labels) probabilities of a classifier's raw answers (n, 1) or (n, labels)."""
    if answers.shape[1] == 1:
        answers = np.concatenate([1 - answers, answers], axis=1)
    return np.asarray(answers / np.maximum(answers.sum(axis=1, keepdims=True), 1e-9), np.float32)


def needed(evidence: Evidence) -> float:
    """Return the balanced accuracy from which a model recognises these pictures."""
    return RECOGNISES_COMPOSED if evidence.composed else RECOGNISES


def relevant(evidence: Evidence, source: Source) -> Evidence:
    """Return the pictures that ``source`` can answer: a model of two labels knows no badly worn mask."""
    if source.neurons > 2:
        return evidence
    roles = {name: role_of(name) for name in set(evidence.classes)}
    # A person's own words are left as they are unless two of them certainly mean the two labels.
    if evidence.known and sorted(role for role in roles.values() if role in ("masked", "bare")) != ["bare", "masked"]:
        return evidence
    keep = [i for i, name in enumerate(evidence.classes) if roles[name] in ("masked", "bare")]
    return Evidence(evidence.images[keep], tuple(evidence.classes[i] for i in keep), evidence.origin, evidence.notes)


def rank(source: Source, evidence: Evidence, options: Options, clock: Callable[[], float]) -> list[Ranked]:
    """Hypotheses, best first. Where the user states both pixels and colour, the others are ranked to check them."""
    every = hypotheses(source.channels, source.structure.takes_bytes, usual_first(source))
    stated = [p for p in every if is_stated(p, options)]
    waiting = stated if evidence.composed else every
    deadline_s = clock() + (BUDGET_S if evidence.composed else KNOWN_BUDGET_S)
    answers: dict[Pixels, Floats] = {}
    ranking: list[Ranked] = []
    running = len(waiting)
    for stage, (count, _) in enumerate(STAGES):
        images = evidence.images[:count]
        begun_s = clock()
        for pixels in waiting:
            _answer(source, pixels, images, answers)
        if stage == 0:
            _check_probabilities(source, list(answers.values()))
        ranking = _ranked(answers, evidence)
        best = ranking[0]
        decided = choice(ranking, every)[1] == "clear" and len(best.answers) >= min(48, len(evidence))
        if decided or len(images) == len(evidence):
            break
        if stage and best.accuracy < RECOGNISES - 0.1:
            break
        ahead = [r.pixels for r in ranking if len(r.answers) == len(images) and r.accuracy > best.accuracy - DROPPED]
        if stage + 1 == len(STAGES):
            break
        ahead = _distinct(ahead, every)
        seen = len(images) if stage == 0 else len(images) - STAGES[stage - 1][0]
        # Near chance, more pictures of all hypotheses would only confirm it.
        most = STAGES[stage + 1][1] if best.accuracy >= RECOGNISES - 0.1 else 4
        spent_s, waiting = clock() - begun_s, ahead[:most]
        # What the user states is compared to the end.
        waiting += [p for p in stated if p not in waiting and len(stated) <= 2]
        left = min(STAGES[stage + 1][0], len(evidence)) - len(images)
        if clock() + spent_s / max(1, seen * running) * left * len(waiting) > deadline_s:
            break
        running = len(waiting)
    if evidence.composed:
        return ranking
    return _completed(source, evidence, answers, options, every, lambda: clock() < deadline_s)


def _answer(source: Source, pixels: Pixels, images: Image, answers: dict[Pixels, Floats]) -> None:
    """Extend the answers under a hypothesis to all of ``images``, of which it has seen the first."""
    done = answers.get(pixels)
    start = 0 if done is None else len(done)
    if start < len(images):
        more = source.predict(images[start:], pixels.of_bytes)[0]
        answers[pixels] = more if done is None else np.concatenate([done, more])


def _completed(
    source: Source,
    evidence: Evidence,
    answers: dict[Pixels, Floats],
    options: Options,
    every: Sequence[Pixels],
    goes_on: Callable[[], bool],
) -> list[Ranked]:
    """The ranking after those that remain possible have seen as many pictures as the best.

    Rounds keep a few hypotheses. Where more are equally good, as on MobileNetV2 with ImageNet's weights, the usual one
    may be among those that were left behind.
    """
    while True:
        ranking = _ranked(answers, evidence)
        most = len(ranking[0].answers)
        mine = [r for r in ranking if is_stated(r.pixels, options)]
        behind_ones = [r for r in choice(mine, every)[2] if len(r.answers) < most] if mine else []
        if not behind_ones or not goes_on():
            return ranking
        _answer(source, behind_ones[0].pixels, evidence.images[:most], answers)


def _distinct(ahead: Sequence[Pixels], usual: Sequence[Pixels]) -> list[Pixels]:
    """Hypotheses without those that scale as a more usual one does, such as x/127-1 beside -1..1."""
    kept: list[Pixels] = []
    for pixels in sorted(ahead, key=usual.index):
        if not any(same_scaling(pixels, k) for k in kept):
            kept.append(pixels)
    return sorted(kept, key=ahead.index)


def same_scaling(one: Pixels, other: Pixels) -> bool:
    """Whether two scalings of the same colour order differ less than a tenth of a camera's noise."""
    ends = np.array([0.0, 255.0])
    a, b = (ends[:, None] * np.array(p.scale) + np.array(p.offset) for p in (one, other))
    return one.colour == other.colour and float(np.abs(a - b).max()) <= SAME * float(np.ptp(a))


def usual_first(source: Source) -> Sequence[str]:
    """Names of scalings, the most usual for such a model first; pictures must confirm it."""
    usual = ["0..1", "-1..1", "0..255", "-0.5..0.5", "torch", "caffe", "x/127-1"]
    first = "0..255" if source.structure.scaler else "-1..1" if source.structure.family == "mobilenet" else "0..1"
    return [first, *(name for name in usual if name != first)]


def is_stated(pixels: Pixels, options: Options) -> bool:
    return options.pixels in ("auto", pixels.name) and (
        options.colour in ("auto", pixels.colour) or pixels.colour == "GRAY"
    )


def _ranked(answers: dict[Pixels, Floats], evidence: Evidence) -> list[Ranked]:
    found = [_judged(pixels, raw, evidence) for pixels, raw in answers.items()]
    return sorted(found, key=lambda r: (-len(r.answers), -r.accuracy, -float(r.likelihood.mean())))


def _judged(pixels: Pixels, raw: Floats, evidence: Evidence) -> Ranked:
    classes = evidence.classes[: len(raw)]
    if not np.isfinite(raw).all():  # a scaling far off
        raw = np.full_like(raw, 1 / max(2, raw.shape[1]))
    full = full_probabilities(raw)
    outputs, accuracy = assigned(full, classes)
    wanted = np.array([outputs.get(name, -1) for name in classes])
    given = np.where(wanted >= 0, full[np.arange(len(full)), wanted], 0.0)
    # Clipped: a scaling that makes every answer sure must not win by that.
    likelihood = np.log(np.clip(given, 0.02, 0.95)).astype(np.float32)
    return Ranked(pixels, full, outputs, full.argmax(axis=1) == wanted, likelihood, accuracy)


def assigned(answers: Floats, classes: Sequence[str]) -> tuple[dict[str, int], float]:
    """Class -> output, each output at most once, so that most is right, and the mean of the classes' recalls."""
    names, outputs = sorted(set(classes)), answers.shape[1]
    got = answers.argmax(axis=1)
    shares = np.zeros((len(names), outputs))
    for i, name in enumerate(names):
        mine = got[[k for k, shown in enumerate(classes) if shown == name]]
        shares[i] = np.bincount(mine, minlength=outputs) / len(mine)
    slots = min(len(names), outputs)
    best: tuple[float, tuple[int, ...], tuple[int, ...]] = (-1.0, (), ())
    for rows in itertools.combinations(range(len(names)), slots):
        for columns in itertools.permutations(range(min(outputs, 8)), slots):
            right = float(shares[rows, columns].sum())
            if right > best[0] + 1e-12:
                best = (right, rows, columns)
    return {names[r]: c for r, c in zip(best[1], best[2], strict=True)}, best[0] / len(names)


def names_by(ranked: Ranked, evidence: Evidence, count: int) -> list[str]:
    """Names in output order as far as pictures show them; the rest in fmd's own words."""
    names = [""] * count
    for name, output in ranked.outputs.items():
        if output < count:
            names[output] = name
    spare = [name for name in LABELS if name not in names] + [f"label_{i}" for i in range(count)]
    return [name or spare.pop(0) for name in names]


def behind(best: Ranked, other: Ranked) -> float:
    """Standard errors by which ``best`` is right where ``other`` is wrong, on the pictures that both saw."""
    count = min(len(best.correct), len(other.correct))
    ahead = int((best.correct[:count] & ~other.correct[:count]).sum())
    back = int((~best.correct[:count] & other.correct[:count]).sum())
    return float((ahead - back) / np.sqrt(max(1, ahead + back)))


def _surer(one: Ranked, other: Ranked) -> bool:
    """Whether the clipped log-likelihoods of ``one`` are clearly above those of ``other``."""
    count = min(len(one.likelihood), len(other.likelihood))
    difference = (one.likelihood[:count] - other.likelihood[:count]).astype(np.float64)
    error = difference.std() / np.sqrt(max(1, count))
    return bool(difference.mean() > CLEAR_LIKELIHOOD and difference.mean() > CLEAR_Z * error)


def _alike(one: Ranked, other: Ranked) -> float:
    count = min(len(one.got), len(other.got))
    return float((one.got[:count] == other.got[:count]).mean())


def choice(ranking: Sequence[Ranked], usual: Sequence[Pixels]) -> tuple[Ranked, str, list[Ranked]]:
    """(chosen, margin, those that remain possible). The margin is ``clear``, ``alike`` or ``none``."""
    best = ranking[0]
    # The others were dropped after a round: they are far behind, or scale as another one does.
    last = [r for r in ranking if len(r.answers) >= min(48, len(best.answers))]
    tied = [r for r in last if r is best or behind(best, r) < CLEAR_Z]
    surest = max(tied, key=lambda r: float(r.likelihood[: min(len(t.likelihood) for t in tied)].mean()))
    left = [r for r in tied if r is surest or not _surer(surest, r)]
    chosen = min(left, key=lambda r: usual.index(r.pixels))
    others = [r for r in left if r is not chosen]
    if not others or all(_alike(chosen, r) >= 0.998 for r in others):
        return chosen, "clear", [chosen]
    return chosen, "alike" if all(_alike(chosen, r) >= ALIKE for r in others) else "none", [chosen, *others]


def _check_probabilities(source: Source, answers: Sequence[Floats]) -> None:
    """Refuse what does not answer in probabilities: a regression, or a last layer without its activation."""
    finite = [raw for raw in answers if np.isfinite(raw).all()]
    if not finite:
        raise ConversionError(
            f"{source.path}: answers NaN or infinity to pictures; the training diverged: train it again"
        )
    activation = source.structure.activation
    raw = np.concatenate(finite)
    sums_right = raw.shape[1] == 1 or np.allclose(raw.sum(axis=1), 1, atol=2e-2) or activation == "sigmoid"
    # Two or more neurons that sum to anything within 0..1 are sigmoids of their own.
    sums_right = sums_right or activation == ""
    bounded = raw.min() >= -1e-3 and raw.max() <= 1 + 1e-3 and activation in ("", "softmax", "sigmoid", "hard_sigmoid")
    if not (sums_right and bounded):
        raise ConversionError(
            f"{source.path}: answers {raw.min():.3g} to {raw.max():.3g} (last activation {activation or 'unknown'}), "
            "expected probabilities; end it with softmax, or sigmoid for one neuron (a model trained with "
            "from_logits=True: save keras.Sequential([model, keras.layers.Softmax()]) as model.keras and give that)"
        )
