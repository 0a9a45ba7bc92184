"""Refuses what pictures of known content clearly contradict: label order, scaling, constant answers, chance level."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import numpy as np

from converter.evidence import Evidence
from converter.load import Source
from converter.names import Labels, role_of
from converter.options import CHECKS, Options, command, labels_words
from converter.rank import RECOGNISES, RECOGNISES_COMPOSED, Correct, Ranked, behind, names_by
from edge.errors import FidelityError

ORDER_MARGIN, SCALING_MARGIN = 0.1, 0.05
"""Accuracy by which another order or scaling must be better than what the user states to be refused."""
CHANCE_MARGIN = 0.15
CONSTANT = 0.97


def check_meaning(
    source: Source,
    evidence: Evidence,
    ranking: Sequence[Ranked],
    best: Ranked,
    labels: Labels,
    options: Options,
) -> None:
    """Refuse what pictures of known content clearly contradict, unless the user accepts it."""
    # Pictures that no person labelled contradict nobody unless some hypothesis answers nearly all of them.
    if not (evidence.known or ranking[0].accuracy >= RECOGNISES_COMPOSED):
        return
    given = given_accuracy(best, evidence, labels.names)
    right = f"{given if given is not None else best.accuracy:.1%} of {len(best.got)} {evidence.brief} right"
    recalls = ", ".join(
        f"{name} {_share_of(best.correct, evidence, name):.0%}" for name in sorted(set(evidence.classes))
    )
    for name, found in (
        ("order", _order_fault(source, evidence, best, labels, options, given)),
        ("order", _compliant_fault(source, best, labels, options)),
        ("scaling", scaling_fault(source, evidence, ranking, best, options)),
        ("constant", constant_fault(evidence, best)),
        ("chance", chance_fault(evidence, best)),
    ):
        if found and name not in options.accept:
            raise FidelityError(
                f"{source.path}: {right} (answered rightly under the best order: {recalls}): {found}; to convert it "
                f"all the same: --accept {name} ({CHECKS[name]})"
            )


def given_accuracy(ranked: Ranked, evidence: Evidence, names: Sequence[str]) -> float | None:
    """Balanced accuracy under the order of ``names``; None where names and classes cannot be compared."""
    outputs = given_outputs(names, sorted(set(evidence.classes)))
    if len(outputs) < 2:
        return None
    shares = [_share_of(ranked.got == output, evidence, shown) for shown, output in outputs.items()]
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


def _share_of(right: Correct, evidence: Evidence, name: str) -> float:
    """Share of the pictures of a class that are ``right`` (n,), of the first n pictures; 0 where none is among them."""
    mine = [i for i, shown in enumerate(evidence.classes[: len(right)]) if shown == name]
    return float(right[mine].mean()) if mine else 0.0


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
        order = names_by(best, evidence, len(order))
    better = command(source.path, options, labels_words(order))
    return (
        f"the labels {', '.join(labels.names)} ({labels.why}) are in another order than the outputs: "
        f"{', '.join(order)} makes {best.accuracy:.1%} right; type: {better}"
    )


def _compliant_fault(source: Source, best: Ranked, labels: Labels, options: Options) -> str:
    """Report a compliant label that bare faces get: names alone do not always show it (``a,b`` with --compliant b)."""
    names = labels.names
    meant = {role_of(shown): names[output] for shown, output in best.outputs.items() if output < len(names)}
    masked, bare = meant.get("masked"), meant.get("bare")
    if masked is None or bare != labels.compliant or best.accuracy < RECOGNISES:
        return ""
    better = command(source.path, options, labels_words(names), f"--compliant {shlex.quote(masked)}")
    return (
        f"faces without a mask get the label {bare}, which counts as compliant, and faces with a mask get "
        f"{masked}; type: {better}"
    )


def scaling_fault(source: Source, evidence: Evidence, ranking: Sequence[Ranked], best: Ranked, options: Options) -> str:
    top = ranking[0]
    if top is best or top.accuracy - best.accuracy < SCALING_MARGIN or behind(top, best) < 2.5:
        return ""
    better = command(source.path, options, *top.pixels.words)
    return (
        f"pixels as {best.pixels.name} {best.pixels.colour} make {best.accuracy:.1%} right, {top.pixels.name} "
        f"{top.pixels.colour} {top.accuracy:.1%}; type: {better}"
    )


def constant_fault(evidence: Evidence, best: Ranked) -> str:
    shares = np.bincount(best.got, minlength=best.answers.shape[1]) / len(best.got)
    if shares.max() < CONSTANT or len(best.got) < 2 * len(set(evidence.classes)):
        return ""
    return (
        f"it gives the same answer (output {int(shares.argmax())}) to {shares.max():.1%} of pictures of "
        f"{len(set(evidence.classes))} classes; train it again, or give the --pixels it was trained with"
    )


def chance_fault(evidence: Evidence, best: Ranked) -> str:
    chance = 1 / len(set(evidence.classes))
    if best.accuracy >= chance + CHANCE_MARGIN:
        return ""
    return (
        f"it is near chance level ({chance:.0%}) on these pictures; give pictures like those it was trained on, or "
        "train it again (fmd-train classifier)"
    )
