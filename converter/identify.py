"""What a model expects of its pixels and what its outputs are called, found out with pictures of known content.

Every scaling in both colour orders is a hypothesis; so is what the layers inside the model suggest, because people
also scale outside it. Hypotheses are ranked by accuracy. Confidence only breaks ties: a network without batch norm is
surer of itself the larger its inputs are. Nothing is decided without a clear margin; then the user gets the commands
that decide it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from converter.evidence import Evidence
from converter.load import Source
from converter.names import (
    LAST_TRAINING,
    dangerous_of,
    guess_compliant,
    label_files,
    labels_of_run,
    read_labels,
    role_of,
)
from converter.options import CHECKS, Options, command
from converter.scaling import SCALINGS, Pixels, hypotheses, pixels_of
from edge.contracts import Floats
from edge.errors import BundleError, ConversionError, FidelityError
from edge.inference.bundle import Contract, unpack
from edge.paths import shipped_model

STAGES = ((12, 14), (48, 14), (160, 5), (400, 3))
"""(pictures, hypotheses) of each round: those far behind are dropped before the next, larger one."""
BUDGET_S, KNOWN_BUDGET_S = 10.0, 120.0
"""Seconds that ranking may take: without pictures the user gets a file or an answer within 30 s."""
CONFIRMS, WIDE_GAP = 0.03, 0.2
"""Accuracy on composed pictures: how far a confirmed scaling may be behind, and how far a chosen one must lead."""
NEAR = 0.12
"""Accuracy behind the best within which the usual scaling is offered first: composed pictures are no photographs."""
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
DECIDING = 300
"""Labelled pictures from which equal accuracy means that either choice loses less than a point."""
RECOGNISES, RECOGNISES_COMPOSED = 0.75, 0.9
"""Balanced accuracy below which a model does not recognise the pictures; composed ones are of one face only."""
ORDER_MARGIN, SCALING_MARGIN = 0.1, 0.05
"""Accuracy by which another order or scaling must be better than what the user states to be refused."""
CHANCE_MARGIN = 0.15
CONSTANT = 0.97
NO_MASK_NAMES = ("with_mask", "without_mask", "with_incorrect_mask")
BACKGROUND_ROLE = "no face"
Correct = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Labels:
    """``names`` in output order, and how they are known; ``background`` is the one, if any, for what is no face.

    ``guessed``, ``compliant_guessed`` and ``background_guessed`` mark what was concluded and not stated.
    """

    names: tuple[str, ...]
    compliant: str
    background: str | None
    why: str
    guessed: bool
    compliant_guessed: bool
    background_guessed: bool

    @property
    def dangerous(self) -> str:
        """The label that must not be missed: no mask."""
        return dangerous_of([name for name in self.names if name != self.background], self.compliant)


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


@dataclass(frozen=True, slots=True, eq=False)
class Identified:
    """What was found. ``ranking`` is best first; empty where nothing had to be ranked. ``accuracy`` is balanced.

    ``notes`` are about the pictures that were used.
    """

    pixels: Pixels
    labels: Labels | None
    ranking: tuple[Ranked, ...] = ()
    accuracy: float | None = None
    pictures: int = 0
    notes: tuple[str, ...] = ()


def identify(
    source: Source, evidence: Evidence | None, options: Options, clock: Callable[[], float] = time.monotonic
) -> Identified:
    """Pixels and labels of ``source``. ``evidence`` None: a detector, or nothing to look at.

    Raises ConversionError with the commands to choose from where the pictures do not decide, FidelityError where they
    clearly contradict what the user states.
    """
    if source.task == "detector" or evidence is None:
        asked = SCALINGS["0..255" if options.pixels == "auto" else options.pixels]
        colour = "RGB" if options.colour == "auto" else options.colour
        why = "detectors of fmd-train take bytes" if options.pixels == "auto" else "as stated with --pixels"
        return Identified(replace(asked, colour=colour, why=why), None)
    if source.channels != 1 and options.colour == "GRAY":
        raise ConversionError(f"--colour GRAY: {source.path} takes {source.channels} channels; give RGB or BGR")
    known = known_facts(source, options)
    stated, options = options, known.stated(options)
    evidence = _relevant(evidence, source)
    ranking = _rank(source, evidence, options, clock)
    why_stated = "as stated with --pixels" if stated.pixels != "auto" else known.why
    pixels, best = _pixels(source, evidence, ranking, options, why_stated)
    labels = _labels(source, evidence, best, options, known)
    _check(source, evidence, ranking, best, labels, options)
    given = _given_accuracy(best, evidence, labels.names)
    accuracy = given if given is not None else best.accuracy
    return Identified(pixels, labels, tuple(ranking), accuracy, len(best.got), evidence.notes)


# What is written down


@dataclass(frozen=True, slots=True)
class Facts:
    """What files say: labels, compliant label, background, pixels, colour; ``why`` names the file."""

    labels: tuple[str, ...] = ()
    compliant: str = ""
    background: str = ""
    pixels: str = "auto"
    colour: Any = "auto"
    why: str = ""

    def stated(self, options: Options) -> Options:
        """The options, with facts where the user states nothing of pixels and colour."""
        if options.pixels == "auto" and self.pixels != "auto":
            colour = self.colour if options.colour == "auto" else options.colour
            return replace(options, pixels=self.pixels, colour=colour if colour in ("RGB", "BGR") else "auto")
        return options


def known_facts(source: Source, options: Options) -> Facts:
    """What the file, a contract made from this very file, or files beside it say. What the user states comes first."""
    contract = _contract_of(source)
    if contract is not None:
        pixels = pixels_of(contract)
        return Facts(
            options.labels or contract.labels,
            contract.compliant if not options.labels else "",
            (contract.background or "") if not options.labels else "",
            pixels.name if pixels and pixels.name in SCALINGS else "auto",
            contract.input.colour,
            "from the .tflite that fmd made from this very file before",
        )
    notes = source.notes
    pixels_name = str(notes.get("pixels", "auto"))
    colour = str(notes.get("colour", "auto"))
    labels = tuple(str(name) for name in notes.get("labels", ()))
    if labels:
        return Facts(
            labels,
            str(notes.get("compliant", "")),
            str(notes.get("background") or ""),
            pixels_name if pixels_name in SCALINGS else "auto",
            colour if colour in ("RGB", "BGR") else "auto",
            "noted in the file by fmd-train",
        )
    for file in label_files(source.path):
        if file.is_file():
            return Facts(read_labels(file), why=f"from {file}")
    run = labels_of_run(source.path)
    if run and len(run) == max(2, source.neurons):
        return Facts(run, why=f"from {source.path.parent / LAST_TRAINING}")
    return Facts()


def _contract_of(source: Source) -> Contract | None:
    """Contract of a .tflite that was made from this very file: beside it, or shipped with fmd."""
    for file in (source.path.with_suffix(".tflite"), shipped_model("classifier"), shipped_model("detector")):
        try:
            contract = unpack(file).contract
        except BundleError:
            continue
        if contract.source_sha256 == source.sha256:
            return contract
    return None


# Ranking


def full_probabilities(answers: Floats) -> Floats:
    """(n, labels) probabilities of a classifier's raw answers (n, 1) or (n, labels)."""
    if answers.shape[1] == 1:
        answers = np.concatenate([1 - answers, answers], axis=1)
    return np.asarray(answers / np.maximum(answers.sum(axis=1, keepdims=True), 1e-9), np.float32)


def _relevant(evidence: Evidence, source: Source) -> Evidence:
    """The pictures that say something about a model with so many outputs: two labels know no badly worn mask."""
    if evidence.known or source.neurons > 2:
        return evidence
    keep = [i for i, name in enumerate(evidence.classes) if role_of(name) in ("masked", "bare")]
    return Evidence(evidence.images[keep], tuple(evidence.classes[i] for i in keep), evidence.origin, evidence.notes)


def _rank(source: Source, evidence: Evidence, options: Options, clock: Callable[[], float]) -> list[Ranked]:
    """Hypotheses, best first. Where the user states both pixels and colour, the others are ranked to check them."""
    every = hypotheses(source.channels, source.structure.takes_bytes, usual_first(source))
    stated = [p for p in every if _is_stated(p, options)]
    waiting = every if evidence.known else stated
    deadline_s = clock() + (KNOWN_BUDGET_S if evidence.known else BUDGET_S)
    answers: dict[Pixels, Floats] = {}
    ranking: list[Ranked] = []
    running = len(waiting)
    for stage, (count, _) in enumerate(STAGES):
        images = evidence.images[:count]
        begun_s = clock()
        for pixels in waiting:
            done = answers.get(pixels)
            start = 0 if done is None else len(done)
            if start < len(images):
                more = source.predict(images[start:], pixels.of_bytes)[0]
                answers[pixels] = more if done is None else np.concatenate([done, more])
        if stage == 0:
            _check_probabilities(source, list(answers.values()))
        ranking = _ranked(answers, evidence)
        best = ranking[0]
        decided = _choice(ranking, every)[1] == "clear" and len(best.answers) >= min(48, len(evidence))
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
    return ranking


def _distinct(ahead: Sequence[Pixels], usual: Sequence[Pixels]) -> list[Pixels]:
    """Hypotheses without those that scale as a more usual one does, such as x/127-1 beside -1..1."""
    kept: list[Pixels] = []
    for pixels in sorted(ahead, key=usual.index):
        if not any(_same_scaling(pixels, k) for k in kept):
            kept.append(pixels)
    return sorted(kept, key=ahead.index)


def _same_scaling(one: Pixels, other: Pixels) -> bool:
    """Whether two scalings of the same colour order differ less than a tenth of a camera's noise."""
    ends = np.array([0.0, 255.0])
    a, b = (ends[:, None] * np.array(p.scale) + np.array(p.offset) for p in (one, other))
    return one.colour == other.colour and float(np.abs(a - b).max()) <= SAME * float(np.ptp(a))


def usual_first(source: Source) -> Sequence[str]:
    """Names of scalings, the most usual for such a model first; pictures must confirm it."""
    usual = ["0..1", "-1..1", "0..255", "-0.5..0.5", "torch", "caffe", "x/127-1"]
    first = "0..255" if source.structure.scaler else "-1..1" if source.structure.family == "mobilenet" else "0..1"
    return [first, *(name for name in usual if name != first)]


def _is_stated(pixels: Pixels, options: Options) -> bool:
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


def _behind(best: Ranked, other: Ranked) -> float:
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


def _choice(ranking: Sequence[Ranked], usual: Sequence[Pixels]) -> tuple[Ranked, str, list[Ranked]]:
    """(chosen, margin, those that remain possible). The margin is ``clear``, ``alike`` or ``none``."""
    best = ranking[0]
    # The others were dropped after a round: they are far behind, or scale as another one does.
    last = [r for r in ranking if len(r.answers) >= min(48, len(best.answers))]
    tied = [r for r in last if r is best or _behind(best, r) < CLEAR_Z]
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


# Deciding


def _pixels(
    source: Source, evidence: Evidence, ranking: Sequence[Ranked], options: Options, why_stated: str
) -> tuple[Pixels, Ranked]:
    """Scaling and colour order, and their ranking."""
    mine = [r for r in ranking if _is_stated(r.pixels, options)]
    every = hypotheses(source.channels, source.structure.takes_bytes, usual_first(source))
    if options.pixels != "auto" and len(mine) == 1:
        return replace(mine[0].pixels, why=why_stated), mine[0]
    chosen, margin, left = _choice(mine, every)
    needed = RECOGNISES_COMPOSED if evidence.composed else RECOGNISES
    if len(mine) > 1 and chosen.accuracy < needed:
        if ranking[0] not in mine and ranking[0].accuracy >= needed and "scaling" not in options.accept:
            fault = _scaling_fault(source, evidence, ranking, chosen, options)
            raise FidelityError(
                f"{source.path}: {fault or 'another scaling is better'}; to convert it all the same: --accept scaling "
                "with --pixels and --colour"
            )
        fault = _constant_fault(evidence, chosen) or _chance_fault(evidence, chosen)
        raise ConversionError(
            f"{source.path}: does not recognise {evidence.origin} with any pixel scaling (at best "
            f"{chosen.accuracy:.0%} right of {len(chosen.got)}, with {chosen.pixels.name} {chosen.pixels.colour}; "
            f"expected {needed:.0%})"
            + (f": {fault}" if fault else "")
            + "; "
            + _ways(source, options, [chosen], evidence)
        )
    if evidence.composed:
        chosen, decided = _choice_of_composed(source, mine, chosen)
    else:
        # Equally good with swapped colours and swapped labels: a guess could be the opposite of the truth.
        same_order = all(r.outputs == chosen.outputs for r in left)
        decided = margin in ("clear", "alike") or (evidence.known and same_order and len(chosen.got) >= DECIDING)
    scores = ", ".join(f"{r.pixels.name} {r.pixels.colour} {r.accuracy:.1%}" for r in mine[:4])
    if not decided:
        raise ConversionError(
            f"{source.path}: {evidence.origin} do not decide how pixels are scaled ({scores}, of {len(chosen.got)} "
            f"pictures); " + _ways(source, options, _offered(mine, left, every), evidence)
        )
    inside = source.structure.scaler
    hint = f"; its layer {inside!r} scales pixels itself" if inside and chosen.pixels.name == "0..255" else ""
    runner = next(
        (r for r in mine if r.pixels.name != chosen.pixels.name or r.pixels.colour != chosen.pixels.colour), None
    )
    second = f", next {runner.pixels.name} {runner.pixels.colour} {runner.accuracy:.1%}" if runner else ""
    why = f"{chosen.accuracy:.1%} of {len(chosen.got)} {_short(evidence)} right{second}{hint}"
    return replace(chosen.pixels, why=why, guessed=not (hint and margin == "clear")), chosen


def _choice_of_composed(source: Source, ranking: Sequence[Ranked], chosen: Ranked) -> tuple[Ranked, bool]:
    """(chosen, whether it is decided) with composed pictures.

    One face in odd colours ranks scalings that are nearly alike in any order: measured, the right one was up to 12
    points behind. So it confirms what a layer inside the model shows, or decides by a wide gap; else the user decides.
    """
    if source.structure.scaler or source.structure.takes_bytes:
        first = next((r for r in ranking if r.pixels.name == "0..255" and r.pixels.colour != "BGR"), chosen)
        return first, first.accuracy >= max(RECOGNISES_COMPOSED, ranking[0].accuracy - CONFIRMS)
    others = [r for r in ranking if r is not chosen and not _same_scaling(r.pixels, chosen.pixels)]
    gap = chosen.accuracy - max((r.accuracy for r in others if len(r.got) >= min(48, len(chosen.got))), default=0.0)
    return chosen, gap >= WIDE_GAP


def _offered(ranking: Sequence[Ranked], left: Sequence[Ranked], usual: Sequence[Pixels]) -> list[Ranked]:
    """Up to three hypotheses to choose from: the most usual of those that are nearly as good comes first."""
    near = [r for r in ranking if r.accuracy >= ranking[0].accuracy - NEAR]
    first = min(near, key=lambda r: usual.index(r.pixels))
    return [first, *(r for r in left if r is not first)][:3]


def _short(evidence: Evidence) -> str:
    return {
        "your labelled pictures": "labelled pictures",
        "composed pictures": "composed pictures",
    }.get(evidence.origin, "pictures labelled by fmd's own classifier")


def _ways(source: Source, options: Options, left: Sequence[Ranked], evidence: Evidence) -> str:
    """The commands to choose from, a line each."""
    lines = []
    for ranked in left:
        words = list(ranked.pixels.words)
        if not options.labels:
            words.append("--labels " + ",".join(_names_by(ranked, evidence, max(2, source.neurons))))
        lines.append(command(source.path, options, *words))
    if not evidence.known:
        lines.append(command(source.path, options, "--calibration FOLDER_WITH_A_FOLDER_PER_CLASS"))
    return "type one of these (the most usual first), by what the script that trained it does:\n  " + "\n  ".join(dict.fromkeys(lines))


def _names_by(ranked: Ranked, evidence: Evidence, count: int) -> list[str]:
    """Names in output order as far as pictures show them; the rest in fmd's own words."""
    names = [""] * count
    for name, output in ranked.outputs.items():
        if output < count:
            names[output] = name
    spare = [name for name in NO_MASK_NAMES if name not in names] + [f"label_{i}" for i in range(count)]
    return [name or spare.pop(0) for name in names]


def _labels(source: Source, evidence: Evidence, best: Ranked, options: Options, facts: Facts) -> Labels:
    count = max(2, source.neurons)
    names, why, guessed = _names(source, evidence, best, options, facts, count)
    if len(names) != count:
        raise ConversionError(
            f"labels: got {len(names)} ({', '.join(names)}; {why}), but {source.path} has {count} outputs; "
            f"give --labels with {count} names in output order"
        )
    if len(set(names)) != len(names) or not all(names):
        raise ConversionError(f"labels: got {', '.join(names)} ({why}), expected {count} different names")
    background = _background(names, options.background or facts.background)
    worn = [name for name in names if name != background]
    if options.compliant and options.compliant not in worn:
        raise ConversionError(
            f"--compliant {options.compliant}: not among the labels {', '.join(worn)}; give one of them"
        )
    stated = options.compliant or (facts.compliant if facts.compliant in worn else "")
    compliant = stated or guess_compliant(worn) or _compliant_by_pictures(names, worn, evidence, best)
    if not compliant:
        commands = [command(source.path, options, f"--labels {','.join(names)}", f"--compliant {n}") for n in worn[:3]]
        raise ConversionError(
            f"--compliant: the names {', '.join(worn)} do not show which label is a rightly worn mask; type one of:\n  "
            + "\n  ".join(commands)
        )
    found = background is not None and not (options.background or facts.background)
    return Labels(names, compliant, background, why, guessed, not stated, found)


def _names(
    source: Source, evidence: Evidence, best: Ranked, options: Options, facts: Facts, count: int
) -> tuple[tuple[str, ...], str, bool]:
    if options.labels:
        return tuple(options.labels), "as stated with --labels", False
    if facts.labels:
        return facts.labels, facts.why, False
    classes = set(evidence.classes)
    needed = RECOGNISES_COMPOSED if evidence.composed else RECOGNISES
    if len(best.outputs) == count == len(classes) and best.accuracy >= needed:
        names = sorted(best.outputs, key=lambda name: best.outputs[name])
        return tuple(names), f"in the order that is right for {best.accuracy:.1%} of {_short(evidence)}", True
    guess = ",".join(_names_by(best, evidence, count))
    other = ",".join(reversed(guess.split(",")))
    orders = [guess, other] if count == 2 else [guess]
    raise ConversionError(
        f"labels: {source.path} has {count} outputs and nothing names them (no labels file beside it; "
        f"{evidence.origin} show {', '.join(sorted(classes))}, {best.accuracy:.0%} right); type, with the names in "
        "output order:\n  "
        + "\n  ".join(command(source.path, options, *best.pixels.words, f"--labels {o}") for o in orders)
    )


def _background(names: Sequence[str], stated: str) -> str | None:
    """The label for what is no face; as stated, else by its name."""
    if stated and stated not in names:
        raise ConversionError(f"--background {stated}: not among the labels {', '.join(names)}; give one of them")
    found = stated or next((name for name in names if role_of(name) == BACKGROUND_ROLE), None)
    if found and len(names) < 3:
        raise ConversionError(
            f"--background {found}: beside it {len(names) - 1} label is left, expected 2 or more; a mask classifier "
            "has at least one label for faces with a mask and one for faces without"
        )
    return found


def _compliant_by_pictures(names: Sequence[str], worn: Sequence[str], evidence: Evidence, best: Ranked) -> str:
    """The label that masked faces get, where pictures show it and names do not contradict."""
    if best.accuracy < (RECOGNISES_COMPOSED if evidence.composed else RECOGNISES):
        return ""
    masked = [output for name, output in best.outputs.items() if role_of(name) == "masked"]
    bare = [output for name, output in best.outputs.items() if role_of(name) == "bare"]
    if len(masked) != 1 or not bare or masked[0] >= len(names):
        return ""
    found = names[masked[0]]
    return found if found in worn and role_of(found) in ("masked", "") else ""


# Refusing


def _given_accuracy(ranked: Ranked, evidence: Evidence, names: Sequence[str]) -> float | None:
    """Balanced accuracy under the order of ``names``; None where names and classes cannot be compared."""
    outputs = given_outputs(names, sorted(set(evidence.classes)))
    if len(outputs) < 2:
        return None
    shares = []
    for shown, output in outputs.items():
        mine = [i for i, name in enumerate(evidence.classes[: len(ranked.got)]) if name == shown]
        shares.append(float((ranked.got[mine] == output).mean()) if mine else 0.0)
    return float(np.mean(shares))


def given_outputs(names: Sequence[str], classes: Sequence[str]) -> dict[str, int]:
    """Class -> output under the order of ``names``: equal names, else equal meanings that only one label has."""
    found: dict[str, int] = {}
    for shown in classes:
        role = role_of(shown)
        alike = [i for i, name in enumerate(names) if name == shown] or [
            i for i, name in enumerate(names) if role and role_of(name) == role
        ]
        if len(alike) == 1:
            found[shown] = alike[0]
    return found


def _check(
    source: Source,
    evidence: Evidence,
    ranking: Sequence[Ranked],
    best: Ranked,
    labels: Labels,
    options: Options,
) -> None:
    """Refuse what pictures of known content clearly contradict, unless the user accepts it."""
    if not (evidence.known or (evidence.composed and best.accuracy >= RECOGNISES_COMPOSED)):
        return
    given = _given_accuracy(best, evidence, labels.names)
    right = f"{given if given is not None else best.accuracy:.1%} of {len(best.got)} {_short(evidence)} right"
    recalls = ", ".join(f"{name} {_recall(best, evidence, name):.0%}" for name in sorted(set(evidence.classes)))
    for name, found in (
        ("order", _order_fault(source, evidence, best, labels, options, given)),
        ("scaling", _scaling_fault(source, evidence, ranking, best, options)),
        ("constant", _constant_fault(evidence, best)),
        ("chance", _chance_fault(evidence, best)),
    ):
        if found and name not in options.accept:
            raise FidelityError(
                f"{source.path}: {right} (answered rightly under the best order: {recalls}): {found}; to convert it "
                f"all the same: --accept {name} ({CHECKS[name]})"
            )


def _recall(ranked: Ranked, evidence: Evidence, name: str) -> float:
    mine = [i for i, shown in enumerate(evidence.classes[: len(ranked.correct)]) if shown == name]
    return float(ranked.correct[mine].mean()) if mine else 0.0


def _order_fault(
    source: Source, evidence: Evidence, best: Ranked, labels: Labels, options: Options, given: float | None
) -> str:
    if given is None or best.accuracy - given < ORDER_MARGIN or best.accuracy < RECOGNISES:
        return ""
    order = list(labels.names)
    outputs = given_outputs(labels.names, sorted(set(evidence.classes)))
    for shown, output in outputs.items():
        if shown in best.outputs and best.outputs[shown] < len(order):
            order[best.outputs[shown]] = labels.names[output]
    if len(set(order)) != len(order):
        order = _names_by(best, evidence, len(order))
    better = command(source.path, options, f"--labels {','.join(order)}")
    return (
        f"the labels {', '.join(labels.names)} ({labels.why}) are in another order than the outputs: "
        f"{', '.join(order)} makes {best.accuracy:.1%} right; type: {better}"
    )


def _scaling_fault(
    source: Source, evidence: Evidence, ranking: Sequence[Ranked], best: Ranked, options: Options
) -> str:
    top = ranking[0]
    if top is best or top.accuracy - best.accuracy < SCALING_MARGIN or _behind(top, best) < 2.5:
        return ""
    better = command(source.path, options, *top.pixels.words)
    return (
        f"pixels as {best.pixels.name} {best.pixels.colour} make {best.accuracy:.1%} right, {top.pixels.name} "
        f"{top.pixels.colour} {top.accuracy:.1%}; type: {better}"
    )


def _constant_fault(evidence: Evidence, best: Ranked) -> str:
    shares = np.bincount(best.got, minlength=best.answers.shape[1]) / len(best.got)
    if shares.max() < CONSTANT or len(best.got) < 2 * len(set(evidence.classes)):
        return ""
    return (
        f"it gives the same answer (output {int(shares.argmax())}) to {shares.max():.1%} of pictures of "
        f"{len(set(evidence.classes))} classes; train it again, or give the --pixels it was trained with"
    )


def _chance_fault(evidence: Evidence, best: Ranked) -> str:
    chance = 1 / len(set(evidence.classes))
    if best.accuracy >= chance + CHANCE_MARGIN:
        return ""
    return (
        f"it is near chance level ({chance:.0%}) on these pictures; give pictures like those it was trained on, or "
        "train it again (fmd-train classifier)"
    )
