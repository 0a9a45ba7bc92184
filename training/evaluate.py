"""Figures and mistakes of a detector and a classifier, on boxes or class folders.

Everything runs through edge's own stages on the .tflite files that ship, or reads what ``fmd predict`` wrote. Into
the output folder go ``scores.json``, ``predictions.csv``, ``mistakes.csv``, and as PNG the precision-recall curve,
the confusion matrix and a contact sheet of the worst mistakes. The sheet shows faces of the data set: keep it there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from converter.tables import LabelledFace, Picture, read_rows
from edge.contracts import WITH_INCORRECT_MASK, WITH_MASK, WITHOUT_MASK, Box, Floats
from edge.errors import DataError
from edge.inference.bundle import Model
from edge.reporting.predictor import COLUMNS, Predictor
from edge.stages.classify import PLAIN_AND_MIRRORED, MaskClassifier, classify_crop
from edge.stages.detect import FaceDetector
from training import confusion, plots, results, score, sheet
from training.data import read_rgb, shrunk, stretched, with_progress
from training.score import Matching, Predicted

START_SCORES = (0.15, 0.2, 0.25, 0.3, 0.325, 0.35, 0.375, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
SHRUNK_TO = (96, 64)
"""Longest side, pixels, to which class-folder pictures are also shrunk before they are classified."""
MOST_MISTAKES = 64
LABELS_BEHIND = {
    "violations_caught": {WITHOUT_MASK, WITH_INCORRECT_MASK},
    "badly_worn_caught": {WITH_INCORRECT_MASK},
    "false_alarms": {WITH_MASK},
}
"""Labels of which a figure needs at least one face."""
NOBODY, MISSED = "nobody", "not found"

Predictions = Mapping[str, Sequence[Predicted]]
Scores = dict[str, Any]
"""Content of ``scores.json``: plain numbers, texts, lists and mappings."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """An error on one picture; ``weight`` 0..1 is its severity, ``box`` is None for a whole picture."""

    picture: Picture
    box: Box | None
    kind: str
    true: str
    said: str
    weight: float


def read_predictions(path: Path) -> dict[str, list[Predicted]]:
    """Read predictions by picture name from a CSV of :data:`COLUMNS`; score and label may be empty."""
    found: dict[str, list[Predicted]] = {}
    for where, row in read_rows(path):
        found.setdefault(row.get("image") or "", []).append(_predicted(row, where))
    return found


def _predicted(row: Mapping[str, str], where: str) -> Predicted:
    try:
        box = Box(*(float(row[key]) for key in ("xmin", "ymin", "xmax", "ymax")))
        return Predicted(box, float(row.get("score") or 1), row.get("label") or "")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: not a prediction ({error}); expected the columns {','.join(COLUMNS)}") from error


def predictor_of(detector: Model, classifier: Model, min_score: float) -> Predictor:
    """Return a predictor that works as ``fmd predict`` does (:func:`edge.api.predictor_of`), down to ``min_score``."""
    return Predictor(FaceDetector(detector, min_score, mirrored=True), MaskClassifier(classifier))


def predict(pictures: Sequence[Picture], detector: Model, classifier: Model, min_score: float) -> Predictions:
    """Predict with the runtime's own stages, down to ``min_score``; what counts as no face has no label."""
    look = predictor_of(detector, classifier, min_score)
    out: dict[str, list[Predicted]] = {}
    for picture in with_progress(pictures, "predicting"):
        image = read_rgb(picture.path)
        found = look.predict(image)
        out[picture.name] = [
            # Rounded as fmd predict writes them: either way gives the same figures.
            Predicted(Box(*(round(v, 1) for v in face.box)), round(face.score, 4), face.label or "")
            for face in found
        ]
    return out


def labelled_from(predicted: Predictions, start_score: float) -> dict[str, list[Predicted]]:
    """Return predictions without the labels of faces below ``start_score``."""
    return {
        name: [guess if guess.score >= start_score else replace(guess, label="") for guess in guesses]
        for name, guesses in predicted.items()
    }


def write_predictions(predicted: Predictions, path: Path) -> None:
    """Write the table that :func:`read_predictions` reads."""
    rows = ((name, *guess.box, guess.score, guess.label) for name, guesses in predicted.items() for guess in guesses)
    results.write_csv(path, COLUMNS, rows)


def sweep(truth: Mapping[str, Sequence[LabelledFace]], predicted: Predictions) -> list[dict[str, float]]:
    """Return the figures of alarms at each start_score: choose it on the validation split, never on the test split."""
    return [
        {"start_score": start, **score.door_figures(score.match(truth, labelled_from(predicted, start)))}
        for start in START_SCORES
    ]


def evaluate_boxes(pictures: Sequence[Picture], predicted: Predictions, start_score: float, out: Path) -> Scores:
    """Score predictions against boxes, write everything to ``out``, return the scores.

    All predictions count, as they stand; ``start_score`` only marks a point of the curve.
    """
    truth = {picture.name: picture.faces for picture in pictures}
    if predicted and not predicted.keys() & truth.keys():
        raise DataError(
            f"the predictions name no picture of the truth (got {next(iter(predicted))}, expected such as "
            f"{next(iter(truth))}); predict on the same pictures, named as in the boxes CSV"
        )
    matching = score.match(truth, predicted)
    labels, matrix = door_confusion(matching)
    out.mkdir(parents=True, exist_ok=True)
    plots.precision_recall(curves_by_width(matching), start_score, out / "precision-recall.png")
    plots.confusion_matrix(matrix, [*labels, NOBODY], [*labels, MISSED], "faces", out / "confusion.png")
    write_mistakes(box_mistakes(pictures, matching), out)
    return {
        "images": len(pictures),
        "figures": score.summary(matching),
        "by_width": by_width(matching),
        "confusion": {"rows": [*labels, NOBODY], "columns": [*labels, MISSED], "counts": matrix.tolist()},
        "curve": [[round(v, 5) for v in point] for point in thinned(score.curve(matching))],
    }


def by_width(matching: Matching) -> dict[str, dict[str, float]]:
    """Return the figures of each band of face widths, by name, without those of labels that the band lacks."""
    out = {}
    for band in score.BANDS:
        part = score.in_band(matching, *band)
        labels = {match.face.label for match in part.matches}
        out[band_name(*band)] = {k: v for k, v in score.summary(part).items() if labels & LABELS_BEHIND.get(k, labels)}
    return out


def band_name(low: float, high: float) -> str:
    """Return ``24-40 px``, or ``160+ px`` for a band without an end."""
    return f"{low:g}+ px" if high == float("inf") else f"{low:g}-{high:g} px"


def curves_by_width(matching: Matching) -> dict[str, list[score.CurvePoint]]:
    """Return precision-recall points of all faces and of each band."""
    bands = {band_name(*band): score.curve(score.in_band(matching, *band)) for band in score.BANDS}
    return {"all": score.curve(matching), **bands}


def thinned(points: Sequence[score.CurvePoint], most: int = 200) -> list[score.CurvePoint]:
    """Return at most ``most`` of the points, the last among them."""
    step = max(1, -(-len(points) // most))
    return list(points[::-1][::step][::-1])


def door_confusion(matching: Matching) -> tuple[list[str], confusion.Matrix]:
    """Return labels and counts: true labels and "nobody" down, predicted labels and "not found" across.

    Detections without a label are under "no label".
    """
    said = {m.found.label for m in matching.matches if m.found} | {guess.label for _, guess in matching.spurious}
    labels = sorted({m.face.label for m in matching.matches} | said)
    place = {label: i for i, label in enumerate(labels)}
    pairs = [(place[m.face.label], place[m.found.label] if m.found else len(labels)) for m in matching.matches]
    pairs += [(len(labels), place[guess.label]) for _, guess in matching.spurious]
    wanted, got = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    return [label or "no label" for label in labels], confusion.confusion(wanted, got, len(labels) + 1, len(labels) + 1)


def box_mistakes(pictures: Sequence[Picture], matching: Matching, compliant: str = WITH_MASK) -> list[Mistake]:
    """Return faces missed or on the wrong side, and alarms on no face, the worst first.

    A face not found, or found without a label, weighs by its width (160 pixels and more weigh 1), everything else by
    its score.
    """
    by_name = {picture.name: picture for picture in pictures}
    judged = any(m.found and m.found.label for m in matching.matches)
    out = []
    for match in matching.matches:
        said = match.found.label if match.found else ""
        kind = kind_of(match, judged, compliant)
        if kind:
            sure = match.found.score if match.found and said else min(1.0, match.face.box.width / 160)
            weight = sure / 2 if kind == "wrong label" else sure
            out.append(Mistake(by_name[match.image], match.face.box, kind, match.face.label, said or MISSED, weight))
    out += [
        Mistake(by_name[image], guess.box, "on no face", NOBODY, guess.label or "a face", guess.score)
        for image, guess in matching.spurious
        if guess.label or not judged
    ]
    return sorted(out, key=lambda mistake: -mistake.weight)


def kind_of(match: score.Match, judged: bool, compliant: str) -> str:
    """Return the kind of error on a labelled face, empty for none; ``judged`` is false for a detector alone."""
    if match.found is None or (judged and not match.found.label):
        return "missed"
    if not judged or match.found.label == match.face.label:
        return ""
    return "wrong side" if compliant in (match.found.label, match.face.label) else "wrong label"


def evaluate_folders(pictures: Sequence[Picture], classifier: Model, out: Path) -> Scores:
    """Classify whole pictures as they are and first shrunk, write everything to ``out``, return the scores."""
    labels = classifier.contract.labels
    unknown = sorted({picture.label for picture in pictures} - set(labels))
    if unknown:
        raise DataError(f"the classifier knows {', '.join(labels)}, not {', '.join(unknown)}; rename the folder")
    out.mkdir(parents=True, exist_ok=True)
    given = folder_probabilities(pictures, classifier)
    scores = {name: folder_scores(pictures, p, labels, classifier.contract.compliant) for name, p in given.items()}
    matrix = np.array(scores["whole"]["confusion"]["counts"], np.int64)
    plots.confusion_matrix(matrix, labels, labels, "whole pictures", out / "confusion.png")
    write_mistakes(folder_mistakes(pictures, given["whole"], labels), out)
    return {"images": len(pictures), "folders": scores}


def folder_probabilities(pictures: Sequence[Picture], classifier: Model) -> dict[str, Floats]:
    """Return probabilities (pictures, labels) of the whole pictures, and of pictures first shrunk, by name.

    Each is classified twice, plain and mirrored, as :mod:`edge.reporting.predictor` does.
    """
    size = classifier.contract.input.width
    out: dict[str, list[list[float]]] = {"whole": [], **{f"shrunk to {side} px": [] for side in SHRUNK_TO}}
    for picture in with_progress(pictures, "predicting"):
        image = read_rgb(picture.path)
        for name, seen in zip(out, (image, *(shrunk(image, side) for side in SHRUNK_TO)), strict=True):
            probabilities, _ = classify_crop(classifier, stretched(seen, size), PLAIN_AND_MIRRORED)
            out[name].append(list(probabilities.values()))
    return {name: np.array(rows, np.float32) for name, rows in out.items()}


def folder_scores(
    pictures: Sequence[Picture], probabilities: Floats, labels: Sequence[str], compliant: str
) -> dict[str, Any]:
    """Return accuracy of the label, of the side (compliant or not), and per class with the confusion matrix.

    ``accuracy`` is among the labels the folders have: the papers' two leave no room for the badly worn masks that lie
    in them. ``accuracy_of_all_labels`` holds any other label against the classifier.
    """
    wanted = np.array([list(labels).index(picture.label) for picture in pictures], np.int64)
    got = probabilities.argmax(axis=1)
    matrix = confusion.confusion(wanted, got, len(labels), len(labels))
    good = list(labels).index(compliant)
    asked = np.unique(wanted)
    return {
        "accuracy": float((asked[probabilities[:, asked].argmax(axis=1)] == wanted).mean()),
        "accuracy_of_all_labels": confusion.accuracy(matrix),
        "right_side": float(((wanted == good) == (got == good)).mean()),
        "classes": [row._asdict() for row in confusion.class_scores(matrix, labels)],
        "confusion": {"rows": list(labels), "columns": list(labels), "counts": matrix.tolist()},
    }


def folder_mistakes(pictures: Sequence[Picture], probabilities: Floats, labels: Sequence[str]) -> list[Mistake]:
    """Return pictures taken for another class, the surest mistakes first."""
    out = []
    for picture, row in zip(pictures, probabilities, strict=True):
        said = labels[int(row.argmax())]
        if said != picture.label:
            out.append(Mistake(picture, None, "wrong label", picture.label, said, float(row.max())))
    return sorted(out, key=lambda mistake: -mistake.weight)


def write_mistakes(mistakes: Sequence[Mistake], out: Path) -> None:
    """Write all to ``mistakes.csv``, and the worst to the contact sheet ``mistakes.png``."""
    header = ["image", "xmin", "ymin", "xmax", "ymax", "kind", "true", "said", "weight"]
    corners = [[round(v, 1) for v in m.box] if m.box else [""] * 4 for m in mistakes]
    rows = [
        [m.picture.name, *box, m.kind, m.true, m.said, round(m.weight, 3)]
        for m, box in zip(mistakes, corners, strict=True)
    ]
    results.write_csv(out / "mistakes.csv", header, rows)
    sheet.write([_tile(mistake) for mistake in mistakes[:MOST_MISTAKES]], out / "mistakes.png")


def _tile(mistake: Mistake) -> sheet.Tile:
    image = read_rgb(mistake.picture.path)
    picture = sheet.face_tile(image, mistake.box, (255, 40, 40)) if mistake.box else sheet.whole_tile(image)
    short = {WITH_MASK: "mask", WITHOUT_MASK: "bare", WITH_INCORRECT_MASK: "badly"}
    true, said = short.get(mistake.true, mistake.true), short.get(mistake.said, mistake.said)
    return sheet.Tile(picture, f"{true} > {said} {mistake.weight:.2f}", mistake.picture.path.stem)


def report(scores: Scores) -> str:
    """Return the figures as a table for the terminal."""
    lines = []
    if "figures" in scores:
        columns = {"all": scores["figures"], **scores["by_width"]}
        lines.append(f"{'':32}" + "".join(f"{name:>12}" for name in columns))
        for key in scores["figures"]:
            cells = "".join(f"{_cell(key, figures.get(key)):>12}" for figures in columns.values())
            lines.append(f"{key:32}{cells}")
    for name, found in scores.get("folders", {}).items():
        lines.append(folder_line(name, found))
        lines += [
            f"  {c['label']:22} precision {c['precision']:.4f}  recall {c['recall']:.4f}  f1 {c['f1']:.4f}"
            f"  support {c['support']}"
            for c in found["classes"]
        ]
    return "\n".join(lines)


def folder_line(name: str, found: Mapping[str, Any]) -> str:
    """Return the result of :func:`folder_scores` in a line."""
    return (
        f"{name}: accuracy {found['accuracy']:.4f} among the folders' labels, {found['accuracy_of_all_labels']:.4f} "
        f"among all; right side {found['right_side']:.4f}"
    )


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if key == "faces" else f"{value:.4f}"


def write_scores(scores: Scores, out: Path) -> Path:
    """Write ``scores.json``, for readers, the model card and comparisons of runs; return its path."""
    path = out / "scores.json"
    results.write_json(path, scores)
    return path
