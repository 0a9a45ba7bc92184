"""Figures of predictions against labelled boxes: average precision, and alarms right and wrong.

A prediction finds a face when their overlap (IoU) reaches 0.4; each face is found once, best score first. Faces
narrower than 24 pixels count neither way, and neither do boxes labelled ``ignore``: a prediction that finds no face
but overlaps one of those by 0.25 is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from converter.tables import IGNORE, LabelledFace
from edge.contracts import WITH_INCORRECT_MASK, WITH_MASK, Box, Observation
from training.data import NOT_A_FACE

MIN_WIDTH = 24.0
MIN_IOU = 0.4
IGNORE_IOU = 0.25
BANDS = ((24.0, 40.0), (40.0, 80.0), (80.0, 160.0), (160.0, float("inf")))
"""Bands of face width in pixels, upper bound exclusive: across a room, a few steps away, at the door, close up."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """A face found: its box, confidence, and label (empty where it counts as no face).

    ``observation`` is what the classifier gave, where it is needed beyond the label.
    """

    box: Box
    score: float
    label: str = ""
    observation: Observation | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Match:
    """A labelled face that counts, and the prediction that found it, if any."""

    image: str
    face: LabelledFace
    found: Predicted | None


class Ranked(NamedTuple):
    """A prediction that counts: its score, whether it is on a face, and that face's width (its own, if on none)."""

    score: float
    hit: bool
    width: float


@dataclass(frozen=True, slots=True)
class Matching:
    """Labelled faces with what found them, predictions on no face, and all that counts by falling score."""

    matches: tuple[Match, ...]
    spurious: tuple[tuple[str, Predicted], ...]
    ranked: tuple[Ranked, ...]
    images: int


class CurvePoint(NamedTuple):
    """Recall and precision, each 0..1, of everything scored ``score`` or more."""

    recall: float
    precision: float
    score: float


def match(truth: Mapping[str, Sequence[LabelledFace]], predicted: Mapping[str, Sequence[Predicted]]) -> Matching:
    """Pair predictions with faces, image by image. Equal scores rank in the order of ``truth``."""
    matches: list[Match] = []
    spurious: list[tuple[str, Predicted]] = []
    ranked: list[Ranked] = []
    for image, labelled in truth.items():
        faces = [face for face in labelled if face.label not in (IGNORE, NOT_A_FACE)]
        ignored = [face.box for face in labelled if face.label == IGNORE]
        found: dict[int, Predicted] = {}
        for guess in sorted(predicted.get(image, ()), key=lambda p: -p.score):
            free = [(guess.box.iou(faces[i].box), i) for i in range(len(faces)) if i not in found]
            best, i = max(free, default=(0.0, -1))
            if best >= MIN_IOU:
                found[i] = guess
                if _asked_for(faces[i]):
                    ranked.append(Ranked(guess.score, True, faces[i].box.width))
            elif guess.box.width >= MIN_WIDTH and all(guess.box.iou(box) < IGNORE_IOU for box in ignored):
                spurious.append((image, guess))
                ranked.append(Ranked(guess.score, False, guess.box.width))
        matches += [Match(image, face, found.get(i)) for i, face in enumerate(faces) if _asked_for(face)]
    ranked.sort(key=lambda r: -r.score)
    return Matching(tuple(matches), tuple(spurious), tuple(ranked), len(truth))


def _asked_for(face: LabelledFace) -> bool:
    return face.box.width >= MIN_WIDTH


def in_band(matching: Matching, low: float, high: float) -> Matching:
    """Return the part about faces (and boxes on no face) at least ``low`` and less than ``high`` pixels wide."""
    return Matching(
        tuple(m for m in matching.matches if low <= m.face.box.width < high),
        tuple((image, guess) for image, guess in matching.spurious if low <= guess.box.width < high),
        tuple(r for r in matching.ranked if low <= r.width < high),
        matching.images,
    )


def curve(matching: Matching) -> list[CurvePoint]:
    """Return recall and precision as the threshold on the score falls, one point for each prediction."""
    hits, points = 0, []
    for i, (score, hit, _) in enumerate(matching.ranked, start=1):
        hits += hit
        points.append(CurvePoint(hits / max(1, len(matching.matches)), hits / i, score))
    return points


def average_precision(matching: Matching) -> float:
    """Return the area under the precision envelope over recall, every point used."""
    points = curve(matching)
    area, best, last = 0.0, 0.0, points[-1].recall if points else 0.0
    for recall, precision, _ in reversed(points):
        area += (last - recall) * best
        best, last = max(best, precision), recall
    return area + last * best


def share(part: int, whole: int) -> float:
    """Return ``part / whole``, 0 where ``whole`` is 0."""
    return part / whole if whole else 0.0


def summary(matching: Matching, compliant: str = WITH_MASK) -> dict[str, float]:
    """Return all figures of a detector with a classifier, each 0..1 (spurious alarms: per 100 images)."""
    return {**detector_figures(matching), **door_figures(matching, compliant)}


def detector_figures(matching: Matching) -> dict[str, float]:
    """Return the number of faces, average precision, precision, and recall over all and by label."""
    matches = matching.matches
    out = {
        "faces": float(len(matches)),
        "average_precision": average_precision(matching),
        "precision": share(sum(r.hit for r in matching.ranked), len(matching.ranked)),
        "recall": _share_of(matches, _found),
    }
    for label in sorted({m.face.label for m in matches}):
        out[f"recall_{label}"] = _share_of([m for m in matches if m.face.label == label], _found)
    return out


def is_right(match: Match, compliant: str = WITH_MASK) -> bool:
    """Return whether a face was found and put on its side: ``compliant``, or anything else."""
    label = match.found.label if match.found else ""
    return bool(label) and (label == compliant) is (match.face.label == compliant)


def door_figures(matching: Matching, compliant: str = WITH_MASK) -> dict[str, float]:
    """Return the figures of alarms: a face is flagged when it is found and its label is not ``compliant``."""

    def flagged(match: Match) -> bool:
        return match.found is not None and match.found.label not in ("", compliant)

    def right(match: Match) -> bool:
        return is_right(match, compliant)

    matches = matching.matches
    masked = [m for m in matches if m.face.label == compliant]
    bad = [m for m in matches if m.face.label != compliant]
    alarms = sum(guess.label not in ("", compliant) for _, guess in matching.spurious)
    return {
        "right_side": _share_of(matches, right),
        "violations_caught": _share_of(bad, flagged),
        "badly_worn_caught": _share_of([m for m in bad if m.face.label == WITH_INCORRECT_MASK], flagged),
        "false_alarms": _share_of(masked, flagged),
        "spurious_alarms_per_100_images": 100 * share(alarms, matching.images),
        "exact_label": _share_of(matches, lambda m: m.found is not None and m.found.label == m.face.label),
    }


def _found(match: Match) -> bool:
    return match.found is not None


def _share_of(matches: Sequence[Match], test: Callable[[Match], bool]) -> float:
    return share(sum(test(m) for m in matches), len(matches))
