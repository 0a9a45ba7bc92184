"""What a model expects of its pixels and what its outputs are called, found out with pictures of known content.

Every scaling in both colour orders is a hypothesis; so is what the layers inside the model suggest, because people
also scale outside it. Hypotheses are ranked by accuracy. Confidence only breaks ties: a network without batch norm is
surer of itself the larger its inputs are. Nothing is decided without a clear margin; then the user gets the commands
that decide it.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from converter.contradict import chance_fault, check_meaning, constant_fault, given_accuracy, scaling_fault
from converter.evidence import Evidence
from converter.load import Source
from converter.names import (
    LAST_TRAINING,
    Labels,
    guess_compliant,
    label_files,
    labels_of_run,
    read_labels,
    role_of,
)
from converter.options import Options, command, labels_words
from converter.rank import (
    RECOGNISES,
    RECOGNISES_COMPOSED,
    Ranked,
    choice,
    is_stated,
    names_by,
    needed,
    rank,
    relevant,
    same_scaling,
    usual_first,
)
from converter.scaling import SCALINGS, Pixels, hypotheses, pixels_of
from edge.errors import BundleError, ConversionError, FidelityError
from edge.inference.bundle import Contract, unpack
from edge.paths import shipped_model

CONFIRMS, WIDE_GAP = 0.03, 0.2
"""Accuracy on composed pictures: how far a confirmed scaling may be behind, and how far a chosen one must lead."""
NEAR = 0.12
"""Accuracy behind the best within which the usual scaling is offered first: composed pictures are no photographs."""
DECIDING = 300
"""Labelled pictures from which equal accuracy means that either choice loses less than a point."""
BACKGROUND_ROLE = "no face"


@dataclass(frozen=True, slots=True, eq=False)
class Identified:
    """What was found. ``ranking`` is best first; empty where nothing had to be ranked. ``accuracy`` is balanced.

    ``of`` says what the pictures are, such as "labelled pictures".
    ``outputs`` maps the classes of the user's labelled pictures to the output that answers each. ``notes`` are about
    the pictures that were used.
    """

    pixels: Pixels
    labels: Labels | None
    ranking: tuple[Ranked, ...] = ()
    accuracy: float | None = None
    pictures: int = 0
    notes: tuple[str, ...] = ()
    outputs: Mapping[str, int] = field(default_factory=dict)
    of: str = ""


def identify(
    source: Source, evidence: Evidence | None, options: Options, clock: Callable[[], float] = time.monotonic
) -> Identified:
    """Pixels and labels of ``source``. ``evidence`` None: a detector, or no pictures.

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
    evidence = relevant(evidence, source)
    ranking = rank(source, evidence, options, clock)
    why_stated = "as stated with --pixels" if stated.pixels != "auto" else known.why
    pixels, best = _pixels(source, evidence, ranking, options, why_stated)
    labels = _labels(source, evidence, best, options, known)
    check_meaning(source, evidence, ranking, best, labels, options)
    given = given_accuracy(best, evidence, labels.names)
    accuracy = given if given is not None else best.accuracy
    outputs = best.outputs if evidence.known and best.accuracy >= RECOGNISES else {}
    return Identified(pixels, labels, tuple(ranking), accuracy, len(best.got), evidence.notes, outputs, evidence.brief)


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


def _pixels(
    source: Source, evidence: Evidence, ranking: Sequence[Ranked], options: Options, why_stated: str
) -> tuple[Pixels, Ranked]:
    """Scaling and colour order, and their ranking."""
    mine = [r for r in ranking if is_stated(r.pixels, options)]
    every = hypotheses(source.channels, source.structure.takes_bytes, usual_first(source))
    if options.pixels != "auto" and len(mine) == 1:
        return replace(mine[0].pixels, why=why_stated), mine[0]
    chosen, margin, left = choice(mine, every)
    least = needed(evidence)
    if len(mine) > 1 and chosen.accuracy < least:
        if ranking[0] not in mine and ranking[0].accuracy >= least and "scaling" not in options.accept:
            fault = scaling_fault(source, evidence, ranking, chosen, options)
            raise FidelityError(
                f"{source.path}: {fault or 'another scaling is better'}; to convert it all the same: --accept scaling "
                "with --pixels and --colour"
            )
        fault = constant_fault(evidence, chosen) or chance_fault(evidence, chosen)
        raise ConversionError(
            f"{source.path}: does not recognise {evidence.origin} with any pixel scaling (at best "
            f"{chosen.accuracy:.0%} right of {len(chosen.got)}, with {chosen.pixels.name} {chosen.pixels.colour}; "
            f"expected {least:.0%})" + (f": {fault}" if fault else "") + _instead(evidence) + f"; {CHOOSE}"
        ).offering(_ways(source, options, [chosen], evidence))
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
            f"pictures)" + _instead(evidence) + f"; {CHOOSE}"
        ).offering(_ways(source, options, _offered(mine, left, every), evidence))
    inside = source.structure.scaler
    hint = f"; its layer {inside!r} scales pixels itself" if inside and chosen.pixels.name == "0..255" else ""
    runner = next(
        (r for r in mine if r.pixels.name != chosen.pixels.name or r.pixels.colour != chosen.pixels.colour), None
    )
    second = f", next {runner.pixels.name} {runner.pixels.colour} {runner.accuracy:.1%}" if runner else ""
    why = f"{chosen.accuracy:.1%} of {len(chosen.got)} {evidence.brief} right{second}{hint}"
    return replace(chosen.pixels, why=why, guessed=not (hint and margin == "clear")), chosen


def _instead(evidence: Evidence) -> str:
    """Why composed pictures were used although the user gave some; empty where no picture was given."""
    return f"; they were used because {'; '.join(evidence.notes)}" if evidence.composed and evidence.notes else ""


def _choice_of_composed(source: Source, ranking: Sequence[Ranked], chosen: Ranked) -> tuple[Ranked, bool]:
    """(chosen, whether it is decided) with composed pictures.

    One face in odd colours ranks scalings that are nearly alike in any order: measured, the right one was up to 12
    points behind. So it confirms what a layer inside the model shows, or decides by a wide gap; else the user decides.
    """
    if source.structure.scaler or source.structure.takes_bytes:
        first = next((r for r in ranking if r.pixels.name == "0..255" and r.pixels.colour != "BGR"), chosen)
        return first, first.accuracy >= max(RECOGNISES_COMPOSED, ranking[0].accuracy - CONFIRMS)
    others = [r for r in ranking if r is not chosen and not same_scaling(r.pixels, chosen.pixels)]
    gap = chosen.accuracy - max((r.accuracy for r in others if len(r.got) >= min(48, len(chosen.got))), default=0.0)
    return chosen, gap >= WIDE_GAP


def _offered(ranking: Sequence[Ranked], left: Sequence[Ranked], usual: Sequence[Pixels]) -> list[Ranked]:
    """Up to three hypotheses to choose from: the most usual of those that are nearly as good comes first."""
    near = [r for r in ranking if r.accuracy >= ranking[0].accuracy - NEAR]
    first = min(near, key=lambda r: usual.index(r.pixels))
    return [first, *(r for r in left if r is not first)][:3]


CHOOSE = "type one of these (the most usual first), by what the script that trained it does:"


def _ways(source: Source, options: Options, left: Sequence[Ranked], evidence: Evidence) -> list[str]:
    """The commands to choose from."""
    lines = []
    for ranked in left:
        words = list(ranked.pixels.words)
        if not options.labels:
            words.append(labels_words(names_by(ranked, evidence, max(2, source.neurons))))
        lines.append(command(source.path, options, *words))
    if not evidence.known:
        lines.append(command(source.path, options, "--calibration FOLDER_WITH_A_FOLDER_PER_CLASS"))
    return lines


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
        commands = [
            command(source.path, options, labels_words(names), f"--compliant {shlex.quote(n)}") for n in worn[:3]
        ]
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
    if len(best.outputs) == count == len(classes) and best.accuracy >= needed(evidence):
        names = sorted(best.outputs, key=lambda name: best.outputs[name])
        return tuple(names), f"in the order that is right for {best.accuracy:.1%} of {evidence.brief}", True
    guess = names_by(best, evidence, count)
    orders = [guess, guess[::-1]] if count == 2 else [guess]
    raise ConversionError(
        f"labels: {source.path} has {count} outputs and nothing names them (no labels file beside it; "
        f"{evidence.origin} show {', '.join(sorted(classes))}, {best.accuracy:.0%} right); type, with the names in "
        "output order:"
    ).offering(command(source.path, options, *best.pixels.words, labels_words(order)) for order in orders)


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
    if best.accuracy < needed(evidence):
        return ""
    masked = [output for name, output in best.outputs.items() if role_of(name) == "masked"]
    bare = [output for name, output in best.outputs.items() if role_of(name) == "bare"]
    if len(masked) != 1 or not bare or masked[0] >= len(names):
        return ""
    found = names[masked[0]]
    return found if found in worn and role_of(found) in ("masked", "") else ""
