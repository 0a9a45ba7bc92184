"""The figures, against a second reading of their definition written here without looking at the first."""

from __future__ import annotations

import numpy as np
import pytest

from converter.tables import IGNORE, LabelledFace
from edge.contracts import Box
from training import score
from training.score import Predicted


def face(x: float, width: float, label: str = "with_mask") -> LabelledFace:
    return LabelledFace(Box(x, 0, x + width, width), label)


def guess(x: float, width: float, sure: float, label: str = "with_mask") -> Predicted:
    return Predicted(Box(x, 0, x + width, width), sure, label)


def reference_average_precision(hits: list[bool], faces: int) -> float:
    """Area under the envelope: each hit adds 1/faces times the best precision at its recall or beyond."""
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(sum(precision[i:].max() / faces for i, hit in enumerate(hits) if hit))


def test_hand_worked_pictures() -> None:
    truth = {
        "a": [face(0, 50), face(100, 50, "without_mask"), face(200, 50, "with_incorrect_mask")],
        "b": [face(0, 100), face(300, 20, "without_mask")],
    }
    predicted = {
        "a": [
            guess(0, 50, 0.9),  # right
            guess(100, 50, 0.8),  # a bare face taken for a masked one
            guess(200, 50, 0.7, "without_mask"),  # flagged, though not by its own label
            guess(400, 50, 0.6, "without_mask"),  # an alarm on no face
        ],
        "b": [guess(300, 20, 0.95, "without_mask"), guess(500, 20, 0.99, "without_mask")],  # too small to count
    }
    found = score.summary(score.match(truth, predicted))
    assert found == pytest.approx(
        {
            "faces": 4,
            "average_precision": 0.75,
            "precision": 0.75,
            "recall": 0.75,
            "recall_with_mask": 0.5,
            "recall_without_mask": 1.0,
            "recall_with_incorrect_mask": 1.0,
            "right_side": 0.5,
            "violations_caught": 0.5,
            "badly_worn_caught": 1.0,
            "false_alarms": 0.0,
            "spurious_alarms_per_100_images": 50.0,
            "exact_label": 0.25,
        }
    )


@pytest.mark.parametrize("seed", range(8))
def test_average_precision_of_random_rankings(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = {f"{i}": [face(0, 40)] for i in range(30)}
    predicted, ranking = {}, []
    for i, sure in enumerate(rng.permutation(30) / 30):
        hit = bool(rng.random() < 0.7)
        predicted[str(i)] = [guess(0 if hit else 500, 40, float(sure))]
        ranking.append((float(sure), hit))
    hits = [hit for _, hit in sorted(ranking, reverse=True)]
    got = score.average_precision(score.match(truth, predicted))
    assert got == pytest.approx(reference_average_precision(hits, 30))


def test_equal_scores_rank_as_the_pictures_come() -> None:
    truth = {"a": [face(0, 40)], "b": [face(0, 40)]}
    miss_first = score.match(truth, {"a": [guess(500, 40, 0.5)], "b": [guess(0, 40, 0.5)]})
    hit_first = score.match(truth, {"a": [guess(0, 40, 0.5)], "b": [guess(500, 40, 0.5)]})
    assert score.average_precision(miss_first) == pytest.approx(0.25)
    assert score.average_precision(hit_first) == pytest.approx(0.5)


def test_a_face_is_found_once_by_its_best_prediction() -> None:
    matching = score.match({"a": [face(0, 50)]}, {"a": [guess(2, 50, 0.4), guess(0, 50, 0.9)]})
    assert [m.found.score for m in matching.matches if m.found] == [0.9]
    assert [g.score for _, g in matching.spurious] == [0.4]


@pytest.mark.parametrize(("shift", "found"), [(21, True), (22, False)])
def test_overlap_of_two_fifths_finds(shift: float, found: bool) -> None:
    # Two squares of 50 shifted by s overlap by (50 - s) / (50 + s): 0.408 at 21, 0.389 at 22.
    matching = score.match({"a": [face(0, 50)]}, {"a": [guess(shift, 50, 0.9)]})
    assert (matching.matches[0].found is not None) is found


def test_faces_marked_to_be_ignored_count_for_nothing() -> None:
    matching = score.match({"a": [face(0, 50, IGNORE)]}, {"a": [guess(0, 50, 0.9)]})
    assert (matching.matches, matching.spurious, matching.ranked) == ((), (), ())


@pytest.mark.parametrize(("shift", "counts"), [(29, False), (31, True)])
def test_a_box_near_an_ignored_one_counts_for_nothing(shift: float, counts: bool) -> None:
    # Squares of 50 shifted by s overlap by (50 - s) / (50 + s): 0.266 at 29, 0.235 at 31.
    matching = score.match({"a": [face(0, 50, IGNORE)]}, {"a": [guess(shift, 50, 0.9)]})
    assert bool(matching.spurious) is counts


def test_an_ignored_box_takes_no_prediction_from_a_face() -> None:
    truth = {"a": [face(0, 50), face(2, 50, IGNORE)]}
    (match,) = score.match(truth, {"a": [guess(2, 50, 0.9)]}).matches
    assert match.found is not None


def test_bands_share_out_every_face_and_alarm() -> None:
    truth = {"a": [face(0, 30), face(100, 60), face(300, 100), face(600, 400)]}
    predicted = {"a": [guess(0, 30, 0.9), guess(2000, 90, 0.8, "without_mask")]}
    matching = score.match(truth, predicted)
    parts = [score.in_band(matching, *band) for band in score.BANDS]
    assert [len(part.matches) for part in parts] == [1, 1, 1, 1]
    assert [len(part.spurious) for part in parts] == [0, 0, 1, 0]
    assert sum(len(part.ranked) for part in parts) == len(matching.ranked)


def test_nothing_predicted() -> None:
    found = score.summary(score.match({"a": [face(0, 50)]}, {}))
    assert found["average_precision"] == found["recall"] == found["precision"] == 0.0


def test_curve_falls_with_the_score() -> None:
    truth = {"a": [face(0, 50), face(100, 50)]}
    matching = score.match(truth, {"a": [guess(0, 50, 0.9), guess(500, 50, 0.8), guess(100, 50, 0.7)]})
    points = [tuple(point) for point in score.curve(matching)]
    assert points == [(0.5, 1.0, 0.9), (0.5, 0.5, 0.8), (1.0, pytest.approx(2 / 3), 0.7)]
