"""The decision of what is a face: weights of the two networks' log odds, and a threshold, by cross-validation.

Folds are of groups of similar pictures. In each fold weights and threshold come from the other folds, as they would
for pictures of tomorrow; the spread over folds shows how much the figures of one data set are worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from converter.tables import Picture
from converter.write import write
from edge.contracts import WITH_MASK, Frame
from edge.errors import DataError
from edge.inference import bundle
from edge.inference.bundle import Model
from edge.inference.evidence import log_odds
from edge.stages.classify import MaskClassifier
from edge.stages.detect import FaceDetector
from training import confusion, score
from training.data import draw_of, read_rgb, with_progress
from training.score import Matching, Predicted

FOLDS = 5
RIDGE = 1e-2
"""Weight of the squared coefficients against a sample's log likelihood: keeps them finite where classes separate."""
MAX_SPURIOUS = 1.5
"""Alarms on no face, per 100 pictures, that the chosen threshold may cost on the pictures it is chosen on. With 1, a
single picture of 177 set the threshold."""
TEMPERATURES = np.exp(np.linspace(np.log(0.5), np.log(3), 61))
MIN_PROBABILITY = 1e-4

Values = npt.NDArray[np.float64]


class Rule(NamedTuple):
    """What is a face: ``bias + score_weight * log odds(score) - background_weight * log odds(background)`` of at least
    ``threshold``."""

    bias: float
    score_weight: float
    background_weight: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Observed:
    """Pictures, what was found in each, and whether alarms on no face are counted there (labels are complete)."""

    pictures: Sequence[Picture]
    found: Mapping[str, Sequence[Predicted]]
    complete: bool


def observe(
    pictures: Sequence[Picture], detector: Model, classifier: Model, min_score: float, complete: bool
) -> Observed:
    """Detect and classify on every picture, as ``fmd predict`` does, down to ``min_score``."""
    detect, classify = FaceDetector(detector, min_score, mirrored=True), MaskClassifier(classifier)
    found = {}
    for i, picture in enumerate(with_progress(pictures, "predicting")):
        image = read_rgb(picture.path)
        frame = Frame(image, None, 0.0, i)
        observed = [(face, classify.classify_single(frame, face)) for face in detect.detect(frame)]
        found[picture.name] = [Predicted(face.box, face.score, seen.label, seen) for face, seen in observed]
    return Observed(pictures, found, complete)


def fold_of(group: str) -> int:
    """Return the fold of a group, 0 to :data:`FOLDS` - 1; independent of the draw of the validation split."""
    return int(draw_of(f"fold of {group}") * FOLDS) % FOLDS


def in_folds(observed: Observed, folds: Sequence[int]) -> Observed:
    """Return the part whose groups are in ``folds``."""
    return replace(observed, pictures=[picture for picture in observed.pictures if fold_of(picture.group) in folds])


def matched(observed: Observed) -> Matching:
    """Pair what was found with the labelled faces."""
    return score.match({picture.name: picture.faces for picture in observed.pictures}, observed.found)


def features(guesses: Sequence[Predicted]) -> Values:
    """Return log odds (n, 2) of the detector's score and of the classifier's taking it for a face."""
    rows = [(log_odds(guess.score), -log_odds(_background_of(guess))) for guess in guesses]
    return np.array(rows, np.float64).reshape(-1, 2)


def _background_of(guess: Predicted) -> float:
    """Return the classifier's probability of no face. Raises DataError where it has no label for that."""
    if guess.observation is None or guess.observation.background is None:
        raise DataError("the classifier has no label for what is no face; convert it with --background LABEL")
    return guess.observation.background


def fitted(parts: Sequence[Observed]) -> tuple[float, float, float]:
    """Return bias and weights of a logistic regression of faces against no faces, where labels are complete.

    Elsewhere much of what matches no label is an unlabelled face.
    """
    faces: list[Predicted] = []
    others: list[Predicted] = []
    for part in parts:
        if part.complete:
            matching = matched(part)
            faces += [match.found for match in matching.matches if match.found]
            others += [guess for _, guess in matching.spurious]
    inputs = features([*faces, *others])
    wanted = np.repeat([1.0, 0.0], [len(faces), len(others)])
    return logistic(inputs, wanted)


def logistic(inputs: Values, wanted: Values) -> tuple[float, float, float]:
    """Fit bias and two weights to inputs (n, 2) and classes (n,) of 0 and 1, by Newton's method."""
    design = np.column_stack([np.ones(len(inputs)), inputs])
    weights = np.zeros(3)
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (wanted - p) - RIDGE * weights
        hessian = (design * (p * (1 - p))[:, None]).T @ design + RIDGE * np.eye(3)
        step = np.linalg.solve(hessian, gradient)
        weights += np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-8:
            break
    return float(weights[0]), float(weights[1]), float(weights[2])


def threshold_of(parts: Sequence[Observed], weights: tuple[float, float, float], max_spurious: float) -> float:
    """Return the lowest threshold that costs at most ``max_spurious`` alarms on no face per 100 pictures."""
    strongest: list[float] = []
    images = 0
    for part in parts:
        if part.complete:
            matching = matched(part)
            images += matching.images
            alarms = [guess for _, guess in matching.spurious if guess.label != WITH_MASK]
            strongest += list(odds(features(alarms), weights))
    allowed = int(max_spurious * images / 100)
    ordered = sorted(strongest, reverse=True)
    # Half way between the last alarm allowed and the first that is not: neither is the edge of anything.
    if allowed >= len(ordered):
        return ordered[-1] if ordered else 0.0
    above = ordered[allowed - 1] if allowed else ordered[0] + 1.0
    return (above + ordered[allowed]) / 2


def odds(inputs: Values, weights: tuple[float, float, float]) -> Values:
    """Return the log odds (n,) of a face for inputs (n, 2)."""
    return np.asarray(weights[0] + inputs @ np.array(weights[1:]))


def chosen(parts: Sequence[Observed], max_spurious: float = MAX_SPURIOUS) -> Rule:
    """Return the rule that these pictures call for."""
    weights = fitted(parts)
    return Rule(*weights, threshold_of(parts, weights, max_spurious))


def applied(observed: Observed, rule: Rule) -> Observed:
    """Return what was observed, without a label where the rule holds what was found for no face."""
    out = {}
    for name, guesses in observed.found.items():
        keep = (odds(features(guesses), rule[:3]) >= rule.threshold).tolist()
        out[name] = [g if kept else replace(g, label="") for g, kept in zip(guesses, keep, strict=True)]
    return replace(observed, found=out)


def figures(parts: Sequence[Observed], rule: Rule) -> dict[str, float]:
    """Return the figures of all parts together; alarms on no face only of those with complete labels."""
    matches: list[score.Match] = []
    spurious: list[tuple[str, Predicted]] = []
    images = 0
    for part in parts:
        matching = matched(applied(part, rule))
        matches += matching.matches
        if part.complete:
            spurious += matching.spurious
            images += matching.images
    return {
        "faces": float(len(matches)),
        **score.door_figures(Matching(tuple(matches), tuple(spurious), (), images)),
    }


def cross_validated(
    parts: Sequence[Observed], max_spurious: float = MAX_SPURIOUS
) -> list[tuple[Rule, dict[str, float]]]:
    """Return for each fold the rule that the other folds call for, and its figures on this one."""
    out = []
    for fold in range(FOLDS):
        others = [other for other in range(FOLDS) if other != fold]
        rule = chosen([in_folds(part, others) for part in parts], max_spurious)
        out.append((rule, figures([in_folds(part, [fold]) for part in parts], rule)))
    return out


def observations(parts: Sequence[Observed], rule: Rule) -> tuple[list[str], list[dict[str, float]]]:
    """Return true labels and the classifier's probabilities of all labelled faces that the rule takes for faces."""
    labels: list[str] = []
    said: list[dict[str, float]] = []
    for part in parts:
        for match in matched(applied(part, rule)).matches:
            if match.found and match.found.label and match.found.observation:
                labels.append(match.face.label)
                said.append(dict(match.found.observation.probabilities))
    return labels, said


def temperature(labels: Sequence[str], said: Sequence[Mapping[str, float]]) -> float:
    """Return the temperature (Guo et al. 2017, arXiv:1706.04599) under which the true labels are likeliest."""
    names = list(said[0])
    logs = np.log(np.maximum([[row[name] for name in names] for row in said], MIN_PROBABILITY))
    true = np.array([names.index(label) for label in labels])

    def cost(t: float) -> float:
        scaled = logs / t
        return float((np.logaddexp.reduce(scaled, axis=1) - scaled[np.arange(len(true)), true]).mean())

    return float(min(TEMPERATURES, key=cost))


def matrix(labels: Sequence[str], said: Sequence[Mapping[str, float]]) -> tuple[list[str], confusion.Matrix]:
    """Return the worn labels and counts: true labels down, the classifier's most likely label across."""
    names = list(said[0])
    wanted = np.array([names.index(label) for label in labels], np.int64)
    got = np.array([names.index(max(row, key=row.__getitem__)) for row in said], np.int64)
    return names, confusion.confusion(wanted, got, len(names), len(names))


def calibrate(path: Path, labels: Sequence[str], counts: confusion.Matrix, fitted_temperature: float) -> None:
    """Write a confusion matrix per observation and a temperature into a model file's contract."""
    old = bundle.unpack(path)
    measured = bundle.Confusion(labels=tuple(labels), observation=_rows(counts))
    _write_contract(path, old, confusion=measured, temperature=fitted_temperature)


def calibrate_passages(path: Path, counts: confusion.Matrix) -> None:
    """Write a confusion matrix per passage into a model file's contract, beside the one per observation.

    Raises DataError where the file has none of those.
    """
    old = bundle.unpack(path)
    if old.contract.confusion is None:
        raise DataError(f"{path}: has no matrix per observation; write that first: fmd-train decision --write")
    _write_contract(path, old, confusion=msgspec.structs.replace(old.contract.confusion, passage=_rows(counts)))


def _rows(counts: confusion.Matrix) -> bundle.Counts:
    return tuple(tuple(row) for row in counts.tolist())


def _write_contract(path: Path, old: bundle.Bundle, **changed: Any) -> None:
    contract = msgspec.structs.replace(old.contract, format=bundle.FORMAT, **changed)
    write(path, bundle.pack(old.flatbuffer, contract, old.golden))


def interval(hits: float, of: int) -> tuple[float, float]:
    """Return the 95% interval of a proportion (Wilson 1927)."""
    if not of:
        return 0.0, 1.0
    z = 1.96
    middle = (hits + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * float(np.sqrt(hits * (1 - hits) / of + z * z / (4 * of * of)))
    return middle - half, middle + half


def summary(folds: Sequence[tuple[Rule, Mapping[str, float]]]) -> dict[str, Any]:
    """Return mean and standard deviation over folds of every figure and of the rules."""
    names = folds[0][1].keys()
    out: dict[str, Any] = {
        name: [float(np.mean(column)), float(np.std(column, ddof=1))]
        for name in names
        for column in [[row[name] for _, row in folds]]
    }
    rules = np.array([rule for rule, _ in folds])
    return {**out, "rules": [list(map(float, rule)) for rule in rules]}
