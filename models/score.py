"""How good predictions are, against labelled boxes: average precision and what reaches the door.

A prediction finds a face when their overlap (IoU) reaches 0.4; each face is found once, best score first. Faces
narrower than 24 pixels are neither asked for nor held against anyone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.contracts import Box
from models.data import LabelledFace

MIN_WIDTH = 24.0
MIN_IOU = 0.4


@dataclass(frozen=True, slots=True)
class Predicted:
    """A face found: its box, confidence, and label (empty where nothing is held of it)."""

    box: Box
    score: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """One face asked for, and the prediction that found it, if any."""

    image: str
    face: LabelledFace
    found: Predicted | None


@dataclass(frozen=True, slots=True)
class Matching:
    """Every face with what found it, and the predictions on no face."""

    matches: tuple[Match, ...]
    spurious: tuple[tuple[str, Predicted], ...]
    images: int


def match(truth: Mapping[str, Sequence[LabelledFace]], predicted: Mapping[str, Sequence[Predicted]]) -> Matching:
    """Pair predictions with faces, image by image."""
    matches: list[Match] = []
    spurious: list[tuple[str, Predicted]] = []
    for image, faces in truth.items():
        found: dict[int, Predicted] = {}
        for guess in sorted(predicted.get(image, ()), key=lambda p: -p.score):
            free = [(guess.box.iou(faces[i].box), i) for i in range(len(faces)) if i not in found]
            best, i = max(free, default=(0.0, -1))
            if best >= MIN_IOU:
                found[i] = guess
            elif guess.box.width >= MIN_WIDTH:
                spurious.append((image, guess))
        matches += [Match(image, face, found.get(i)) for i, face in enumerate(faces) if face.box.width >= MIN_WIDTH]
    return Matching(tuple(matches), tuple(spurious), len(truth))


def average_precision(matching: Matching) -> float:
    """Area under the precision envelope over recall, every point used."""
    ranked = [(m.found.score, True) for m in matching.matches if m.found]
    ranked += [(guess.score, False) for _, guess in matching.spurious]
    ranked.sort(key=lambda r: -r[0])
    hits, curve = 0, []
    for i, (_, hit) in enumerate(ranked, start=1):
        hits += hit
        curve.append((hits / max(1, len(matching.matches)), hits / i))
    area, best, last = 0.0, 0.0, curve[-1][0] if curve else 0.0
    for recall, precision in reversed(curve):
        area += (last - recall) * best
        best, last = max(best, precision), recall
    return area + last * best


def share(part: int, whole: int) -> float:
    """``part / whole``, 0 where there is nothing to share."""
    return part / whole if whole else 0.0


def summary(matching: Matching, compliant: str = "with_mask") -> dict[str, float]:
    """The figures quoted of a detector with a classifier, each 0..1 (spurious alarms: per 100 images)."""
    matches = matching.matches
    out = {
        "faces": float(len(matches)),
        "average_precision": average_precision(matching),
        "recall": share(sum(m.found is not None for m in matches), len(matches)),
    }
    for label in sorted({m.face.label for m in matches}):
        ours = [m for m in matches if m.face.label == label]
        out[f"recall_{label}"] = share(sum(m.found is not None for m in ours), len(ours))
    flagged = [m.found is not None and m.found.label not in ("", compliant) for m in matches]
    masked = [m.face.label == compliant for m in matches]
    badly = [m.face.label == "with_incorrect_mask" for m in matches]
    right = sum(
        (m.found is not None and m.found.label == compliant) if ok else flag
        for m, ok, flag in zip(matches, masked, flagged, strict=True)
    )
    out["right_side"] = share(right, len(matches))
    out["violations_caught"] = share(
        sum(f for f, ok in zip(flagged, masked, strict=True) if not ok), len(matches) - sum(masked)
    )
    out["badly_worn_caught"] = share(sum(f for f, b in zip(flagged, badly, strict=True) if b), sum(badly))
    out["false_alarms"] = share(sum(f for f, ok in zip(flagged, masked, strict=True) if ok), sum(masked))
    alarms = sum(guess.label not in ("", compliant) for _, guess in matching.spurious)
    out["spurious_alarms_per_100_images"] = 100 * share(alarms, matching.images)
    return out
