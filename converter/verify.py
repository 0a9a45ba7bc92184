"""Keras and TFLite on the same held-back pictures: how far apart, and is it close enough.

The TFLite file runs where it will run: on the edge's own runtime, through the edge's own way in.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from converter.noise import ProgressLine
from converter.options import Gate
from edge.contracts import Box, Floats, Image
from edge.inference.bundle import Model
from edge.stages.detect import MAX_IOU, STRIDES, cell_centres, decode, faces_among, reach_of

Counts = npt.NDArray[np.int64]
FACE_SCORE = 0.5
"""A detection of at least this score is a face; its partner may be down to FACE_SLACK lower, for scores near the
threshold fall to either side of it without a face being lost."""
FACE_SLACK = 0.1
SAME_FACE_IOU = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Parity:
    """Keras (float) and TFLite, side by side on ``pictures`` pictures.

    ``agreement`` is the share on which they say the same: the same label, or of detectors the same faces.
    Differences are of probabilities, of detectors' scores on faces both found. ``worst`` are indices, worst first.
    """

    pictures: int
    agreement: float
    mean_difference: float
    max_difference: float
    disagreeing: tuple[int, ...]
    worst: tuple[int, ...]
    differences: Floats
    float_answers: Floats
    tflite_answers: Floats
    float_recall: Mapping[str, float] = field(default_factory=dict)
    tflite_recall: Mapping[str, float] = field(default_factory=dict)
    float_confusion: Counts | None = None
    tflite_confusion: Counts | None = None
    float_faces: int = 0
    tflite_faces: int = 0

    def numbers(self) -> dict[str, float]:
        """What goes into the contract, rounded so that equal conversions give equal files."""
        found = {
            "pictures": float(self.pictures),
            "agreement": self.agreement,
            "mean_difference": self.mean_difference,
            "max_difference": self.max_difference,
        }
        if self.float_confusion is None and self.float_faces + self.tflite_faces:
            found |= {"faces_float": float(self.float_faces), "faces_tflite": float(self.tflite_faces)}
        for label, recall in self.float_recall.items():
            found |= {f"recall_float_{label}": recall, f"recall_tflite_{label}": self.tflite_recall[label]}
        return {name: round(value, 5) for name, value in found.items()}


def tflite_outputs(model: Model, images: Image, progress: ProgressLine) -> list[Floats]:
    """Outputs of (n, height, width, 3) RGB bytes, one inference each as at the door; float32, first axis n."""
    rows = []
    for i, image in enumerate(images):
        progress.count("running TFLite", i + 1, len(images))
        rows.append(model.run(image))
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def paired_ms(models: Mapping[str, Model], images: Image) -> dict[str, float]:
    """Median milliseconds of one picture on each model, in turn on each picture, so that all see the same weather."""
    taken: dict[str, list[float]] = {name: [] for name in models}
    for image in images:
        for name, model in models.items():
            begun_s = time.perf_counter()
            model.run(image)
            taken[name].append((time.perf_counter() - begun_s) * 1000)
    return {name: float(np.median(values)) for name, values in taken.items()}


def compare_classifier(floats: Floats, tflites: Floats, labels: Sequence[str], truth: Sequence[str]) -> Parity:
    """Parity of probabilities (n, labels); ``truth`` names what each picture shows, empty where unknown."""
    differences = np.abs(floats - tflites).max(axis=1)
    got, had = tflites.argmax(axis=1), floats.argmax(axis=1)
    disagreeing = np.flatnonzero(got != had)
    worst = np.lexsort((-differences, got == had))
    float_confusion, tflite_confusion = (confusion(answers, labels, truth) for answers in (had, got))
    return Parity(
        len(floats),
        float((got == had).mean()),
        float(np.abs(floats - tflites).mean()),
        float(differences.max()),
        tuple(int(i) for i in disagreeing),
        tuple(int(i) for i in worst),
        differences.astype(np.float32),
        floats,
        tflites,
        recalls(float_confusion, labels),
        recalls(tflite_confusion, labels),
        float_confusion,
        tflite_confusion,
    )


def confusion(answers: npt.NDArray[np.intp], labels: Sequence[str], truth: Sequence[str]) -> Counts:
    """(labels, labels) counts: row the truth, column the answer; pictures of unknown truth are left out."""
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for answer, label in zip(answers, truth, strict=True):
        if label in labels:
            counts[labels.index(label), answer] += 1
    return counts


def worn_confusion(answers: Floats, labels: Sequence[str], worn: Sequence[str], truth: Sequence[str]) -> Counts:
    """(worn, worn) counts of probabilities (n, labels), as at the door: what is no face decides nothing there."""
    columns = [labels.index(label) for label in worn]
    return confusion(answers[:, columns].argmax(axis=1), worn, truth)


def recalls(counts: Counts, labels: Sequence[str]) -> dict[str, float]:
    """Share of each label's pictures that were called so; labels without pictures are left out."""
    return {name: float(counts[i, i] / counts[i].sum()) for i, name in enumerate(labels) if counts[i].sum()}


def compare_detector(floats: Sequence[Floats], tflites: Sequence[Floats], height: int, width: int) -> Parity:
    """Parity of scores (n, cells, 1) and boxes (n, cells, 4): the share of faces that both found."""
    shares, apart, float_count, tflite_count = [], [], 0, 0
    for i in range(len(floats[0])):
        ours = faces_of(floats[0][i], floats[1][i], height, width)
        theirs = faces_of(tflites[0][i], tflites[1][i], height, width)
        missed, differences = _unmatched(ours, theirs)
        extra, _ = _unmatched(theirs, ours)
        sure, sure_theirs = (sum(score >= FACE_SCORE for _, score in faces) for faces in (ours, theirs))
        float_count, tflite_count = float_count + sure, tflite_count + sure_theirs
        shares.append((missed + extra, max(differences, default=0.0)))
        apart += differences
    lost = np.array([share[0] for share in shares])
    differences_by_picture = np.array([share[1] for share in shares], np.float32)
    return Parity(
        len(shares),
        1 - float(lost.sum()) / max(1, float_count + tflite_count),
        float(np.mean(apart)) if apart else 0.0,
        max(apart, default=0.0),
        tuple(int(i) for i in np.flatnonzero(lost)),
        tuple(int(i) for i in np.lexsort((-differences_by_picture, -lost))),
        differences_by_picture,
        floats[0].max(axis=1),
        tflites[0].max(axis=1),
        float_faces=float_count,
        tflite_faces=tflite_count,
    )


def faces_of(scores: Floats, distances: Floats, height: int, width: int) -> list[tuple[Box, float]]:
    """Faces (box in input pixels, score), best first, of scores (cells, 1) and log distances (cells, 4)."""
    flat = scores.reshape(-1)
    candidates = np.flatnonzero(flat >= FACE_SCORE - FACE_SLACK)
    centres, strides = cell_centres(height, width, STRIDES)
    boxes = decode(reach_of(distances[candidates]), centres[candidates], strides[candidates])
    return faces_among(boxes, flat[candidates], MAX_IOU)


def _unmatched(wanted: Sequence[tuple[Box, float]], found: Sequence[tuple[Box, float]]) -> tuple[int, list[float]]:
    """How many sure faces of ``wanted`` have no partner in ``found``, and how far the partners' scores are."""
    free = list(found)
    missed, differences = 0, []
    for box, score in wanted:
        if score < FACE_SCORE:
            continue
        best = max(free, key=lambda other: box.iou(other[0]), default=None)
        if best is None or box.iou(best[0]) < SAME_FACE_IOU:
            missed += 1
            continue
        free.remove(best)
        differences.append(abs(score - best[1]))
    return missed, differences


@dataclass(frozen=True, slots=True)
class Share:
    """One of the gate's shares as it came out: ``lost`` of ``pictures``, and the share that may be."""

    what: str
    lost: int
    pictures: int
    allowed: float

    @property
    def needed(self) -> int:
        """Pictures from which on one is no more than is allowed; with fewer the gate asks that none is lost."""
        return math.ceil(1 / self.allowed - 1e-9) if self.allowed > 0 else 0

    @property
    def coarse(self) -> bool:
        """Whether one picture is already more than is allowed."""
        return self.pictures < self.needed

    @property
    def failed(self) -> bool:
        return self.lost > self.allowed * self.pictures + 1e-9

    def resolution(self) -> str:
        """Resolution of a proof of this size; empty where it is fine enough for the gate."""
        if not self.coarse:
            return ""
        return (
            f"with {self.pictures} pictures one is {100 / self.pictures:.2f} points, so none may be lost; "
            f"{self.needed} would resolve {100 * self.allowed:.2f} points"
        )

    def failure(self) -> str:
        """A sentence for what was lost beyond what is allowed; empty where it was not."""
        if not self.failed:
            return ""
        because = self.resolution()
        return (
            f"{self.what} by {100 * self.lost / self.pictures:.2f} points ({self.lost} of {self.pictures}), allowed "
            f"{100 * self.allowed:.2f}" + (f" ({because})" if because else "")
        )


def shares_of(parity: Parity, gate: Gate, labels: Sequence[str], dangerous: str) -> tuple[Share, ...]:
    """The shares in the gate of a classifier: equal labels, then the recall of every label with pictures."""
    shares = [Share("labels disagree", len(parity.disagreeing), parity.pictures, 1 - gate.agreement)]
    confusions = (parity.float_confusion, parity.tflite_confusion)
    for i, label in enumerate(labels):
        had, got = (0 if counts is None else int(counts[i, i]) for counts in confusions)
        shown = 0 if parity.float_confusion is None else int(parity.float_confusion[i].sum())
        if shown:
            allowed = gate.dangerous_recall_drop if label == dangerous else gate.recall_drop
            shares.append(Share(f"recall of {label} is lower than in Keras", had - got, shown, allowed))
    return tuple(shares)


def failures_of(parity: Parity, gate: Gate, labels: Sequence[str], dangerous: str) -> tuple[str, ...]:
    """What of the gate was not reached, a sentence each; empty where all was. A detector has no ``labels``."""
    failures = []
    if not labels and parity.agreement < gate.faces:
        failures.append(f"faces agree on {parity.agreement:.2%} of {parity.pictures} pictures, floor {gate.faces:.2%}")
    if labels:
        failures += filter(None, (share.failure() for share in shares_of(parity, gate, labels, dangerous)))
    # Not-a-number compares false with everything and must not pass.
    if not parity.mean_difference <= gate.mean_difference:
        failures.append(f"mean difference {parity.mean_difference:.4f}, ceiling {gate.mean_difference:.4f}")
    return tuple(failures)


def coarseness_of(shares: Sequence[Share]) -> tuple[str, ...]:
    """What is below the resolution of so few pictures, a sentence each; empty for one that is large enough.

    Where none of n was lost, the share lost of all there are may still be 3/n (the "rule of three", Hanley and
    Lippman-Hand 1983): a pass on a small proof is a weaker one, and the note says so.
    """
    return tuple(
        f"the proof is small for its gate: {share.what.removesuffix(' is lower than in Keras')}: "
        f"{share.resolution()}; none lost of {share.pictures} bounds the loss at "
        f"{min(100, 300 / share.pictures):.1f} points"
        for share in shares
        if share.coarse and not share.failed
    )
