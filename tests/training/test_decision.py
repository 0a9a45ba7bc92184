"""Weights and threshold of what counts as a face, on drawn samples whose right answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converter.tables import LabelledFace, Picture
from edge.contracts import Box, Observation
from edge.errors import DataError
from edge.inference import bundle
from tests.edge.parts import LABELS, SIZE, contract
from training import decision
from training.decision import Observed, Rule
from training.score import Predicted

FACE, ELSEWHERE = Box(0, 0, 50, 50), Box(200, 0, 250, 50)


def guess(box: Box, score: float, background: float | None, label: str = "without_mask") -> Predicted:
    probabilities = {name: 0.8 if name == label else 0.2 for name in ("with_mask", "without_mask")}
    return Predicted(box, score, label, Observation(probabilities, 1.0, background))


def observed(pictures: int, complete: bool = True, seed: int = 1) -> Observed:
    """Pictures with one bare face each, found surely, and one place that is none, of which both networks doubt."""
    rng = np.random.default_rng(seed)
    table, found = [], {}
    for i in range(pictures):
        name = f"{seed}-{i}.jpg"
        table.append(Picture(Path(name), (LabelledFace(FACE, "without_mask"),), "", "validation", name, name))
        face = guess(FACE, float(np.clip(rng.normal(0.6, 0.15), 0.15, 0.95)), float(rng.uniform(0, 0.3)))
        other = guess(ELSEWHERE, float(np.clip(rng.normal(0.25, 0.1), 0.15, 0.95)), float(rng.uniform(0.2, 1)))
        found[name] = [face, other]
    return Observed(table, found, complete)


def test_logistic_regression_finds_the_weights_that_made_the_sample() -> None:
    rng = np.random.default_rng(3)
    inputs = rng.normal(0, 1.5, (20000, 2))
    p = 1 / (1 + np.exp(-(0.5 + inputs @ np.array([1.5, -0.7]))))
    weights = decision.logistic(inputs, (rng.random(len(p)) < p).astype(float))
    assert weights == pytest.approx((0.5, 1.5, -0.7), abs=0.1)


def test_weights_stay_finite_where_classes_separate() -> None:
    inputs = np.array([[-1.0, -1], [-2, -1], [1, 1], [2, 1]])
    weights = decision.logistic(inputs, np.array([0.0, 0, 1, 1]))
    assert all(abs(weight) < 100 for weight in weights)
    assert weights[1] > 0


def test_the_threshold_allows_so_many_alarms_and_no_more() -> None:
    part = observed(200)
    weights = decision.fitted([part])
    for allowed in (0.0, 1.0, 5.0):
        rule = Rule(*weights, decision.threshold_of([part], weights, allowed))
        assert decision.figures([part], rule)["spurious_alarms_per_100_images"] == pytest.approx(allowed)


def test_both_networks_together_beat_either_alone() -> None:
    part = observed(300)
    bias, by_score, by_background = decision.fitted([part])
    caught = {}
    for name, weights in (
        ("both", (bias, by_score, by_background)),
        ("detector", (0.0, 1.0, 0.0)),
        ("classifier", (0.0, 0.0, 1.0)),
    ):
        rule = Rule(*weights, decision.threshold_of([part], weights, 0.0))
        caught[name] = decision.figures([part], rule)["violations_caught"]
    assert caught["both"] > max(caught["detector"], caught["classifier"])


def test_alarms_count_only_where_labels_are_complete() -> None:
    complete, incomplete = observed(50), observed(50, complete=False, seed=2)
    everything = Rule(0.0, 1.0, 1.0, -99.0)
    found = decision.figures([complete, incomplete], everything)
    assert found["faces"] == 100
    assert found["spurious_alarms_per_100_images"] == 100  # one on each of the 50 complete pictures
    assert decision.fitted([complete, incomplete]) == decision.fitted([complete])


def test_folds_share_out_the_pictures_and_are_judged_by_the_others() -> None:
    part = observed(100)
    folds = [decision.in_folds(part, [fold]) for fold in range(decision.FOLDS)]
    assert sorted(p.name for fold in folds for p in fold.pictures) == sorted(p.name for p in part.pictures)
    rows = decision.cross_validated([part])
    assert sum(row["faces"] for _, row in rows) == 100
    others = decision.in_folds(part, [1, 2, 3, 4])
    assert rows[0][0] == decision.chosen([others])
    mean, spread = decision.summary(rows)["violations_caught"]
    assert 0.8 < mean <= 1
    assert 0 <= spread < 0.2


def test_temperature_of_a_classifier_that_is_too_sure() -> None:
    rng = np.random.default_rng(4)
    logits = rng.normal(0, 1.5, 4000)
    labels = ["a" if draw < 1 / (1 + np.exp(-x)) else "b" for x, draw in zip(logits, rng.random(4000), strict=True)]
    said = [{"a": 1 / (1 + np.exp(-2 * x)), "b": 1 - 1 / (1 + np.exp(-2 * x))} for x in logits]
    assert decision.temperature(labels, said) == pytest.approx(2.0, rel=0.15)


def test_the_matrix_has_true_labels_down() -> None:
    said = [{"a": 0.9, "b": 0.1}, {"a": 0.4, "b": 0.6}, {"a": 0.2, "b": 0.8}]
    names, counts = decision.matrix(["a", "a", "b"], said)
    assert names == ["a", "b"]
    np.testing.assert_array_equal(counts, [[1, 1], [0, 1]])


def test_calibration_is_written_into_the_model_file(tmp_path: Path) -> None:
    path = tmp_path / "mask.tflite"
    flatbuffer = b"\x1c\0\0\0TFL3" + bytes(100)
    golden = {"inputs": np.zeros((1, SIZE, SIZE, 3), np.uint8), "output_0": np.zeros((1, 3), np.float32)}
    path.write_bytes(bundle.pack(flatbuffer, contract("classifier", sha256=bundle.sha256(flatbuffer)), golden))
    counts = np.array([[90, 4, 6], [2, 95, 3], [5, 5, 40]])
    decision.calibrate(path, LABELS, counts, 0.8)
    after = bundle.unpack(path)
    assert after.flatbuffer == flatbuffer
    assert after.contract.format == bundle.FORMAT
    assert after.contract.temperature == 0.8
    assert after.contract.confusion is not None
    assert after.contract.confusion.observation == ((90, 4, 6), (2, 95, 3), (5, 5, 40))


def test_the_matrix_per_passage_joins_the_one_per_observation(tmp_path: Path) -> None:
    path = tmp_path / "mask.tflite"
    flatbuffer = b"\x1c\0\0\0TFL3" + bytes(100)
    golden = {"inputs": np.zeros((1, SIZE, SIZE, 3), np.uint8), "output_0": np.zeros((1, 3), np.float32)}
    path.write_bytes(bundle.pack(flatbuffer, contract("classifier", sha256=bundle.sha256(flatbuffer)), golden))
    counts = np.array([[9, 0, 0], [0, 8, 1], [1, 0, 3]])
    with pytest.raises(DataError, match="fmd-train decision --write"):
        decision.calibrate_passages(path, counts)
    decision.calibrate(path, LABELS, 10 * counts, 0.8)
    decision.calibrate_passages(path, counts)
    after = bundle.unpack(path).contract
    assert after.confusion is not None
    assert after.confusion.passage == ((9, 0, 0), (0, 8, 1), (1, 0, 3))
    assert after.confusion.observation == ((90, 0, 0), (0, 80, 10), (10, 0, 30))
    assert after.temperature == 0.8


def test_intervals_hold_what_they_should() -> None:
    low, high = decision.interval(0.9, 47)
    assert (round(low, 3), round(high, 3)) == (0.782, 0.958)
    assert decision.interval(0.0, 0) == (0.0, 1.0)


def test_a_classifier_without_the_label_has_nothing_to_fit() -> None:
    with pytest.raises(DataError, match="--background"):
        decision.features([guess(FACE, 0.5, None)])
