"""Parity and the gate, on answers made up for the purpose."""

from __future__ import annotations

import numpy as np
import pytest

from converter.options import Gate
from converter.verify import (
    Parity,
    coarseness_of,
    compare_classifier,
    compare_detector,
    confusion,
    faces_of,
    failures_of,
    shares_of,
    worn_confusion,
)
from edge.contracts import Floats
from edge.stages.detect import cell_centres

LABELS = ("with_mask", "without_mask")


def answers(*second: float) -> Floats:
    """Probabilities (n, 2) from those of the second label."""
    return np.array([[1 - p, p] for p in second], np.float32)


def test_equal_answers_pass() -> None:
    parity = compare_classifier(answers(0.1, 0.9), answers(0.1, 0.9), LABELS, LABELS)
    assert parity.agreement == 1
    assert parity.float_recall == parity.tflite_recall == {"with_mask": 1.0, "without_mask": 1.0}
    assert failures_of(parity, Gate(), LABELS, "without_mask") == ()


def test_a_flipped_label_is_named_first() -> None:
    parity = compare_classifier(answers(0.1, 0.55, 0.0), answers(0.1, 0.45, 0.3), LABELS, ("", "", ""))
    assert parity.disagreeing == (1,)
    assert parity.worst[0] == 1
    failure = failures_of(parity, Gate(), LABELS, "without_mask")[0]
    assert failure.startswith("labels disagree by 33.33 points (1 of 3), allowed 0.50")


def test_bare_faces_are_guarded_more_closely() -> None:
    truth = ["without_mask"] * 500 + ["with_mask"] * 500
    floats = answers(*[0.9] * 500, *[0.1] * 500)
    tflites = answers(*[0.1] * 2, *[0.9] * 498, *[0.9] * 2, *[0.1] * 498)
    gate = Gate(agreement=0.9)
    parity = compare_classifier(floats, tflites, LABELS, truth)
    (only,) = failures_of(parity, gate, LABELS, "without_mask")
    assert only == "recall of without_mask is lower than in Keras by 0.40 points (2 of 500), allowed 0.20"


def one_lost_of(count: int) -> Parity:
    """``count`` bare and as many masked faces, of which TFLite gets one bare one wrong."""
    truth = ["without_mask"] * count + ["with_mask"] * count
    return compare_classifier(
        answers(*[0.6] * count, *[0.1] * count), answers(0.4, *[0.6] * (count - 1), *[0.1] * count), LABELS, truth
    )


@pytest.mark.parametrize(("count", "passes"), [(100, False), (499, False), (500, True)])
def test_the_gate_is_what_it_says_for_every_size_of_proof(count: int, passes: bool) -> None:
    """One of 500 is 0.2 points; one of 499 is more."""
    assert (failures_of(one_lost_of(count), Gate(), LABELS, "without_mask") == ()) is passes


def test_a_small_proof_says_what_it_cannot_tell() -> None:
    (failure,) = failures_of(one_lost_of(100), Gate(), LABELS, "without_mask")
    assert "with 100 pictures one is 1.00 points, so none may be lost; 500 would resolve 0.20 points" in failure
    same = answers(*[0.6] * 100, *[0.1] * 300)
    parity = compare_classifier(same, same, LABELS, ["without_mask"] * 100 + ["with_mask"] * 300)
    assert failures_of(parity, Gate(), LABELS, "without_mask") == ()
    (said,) = coarseness_of(shares_of(parity, Gate(), LABELS, "without_mask"))
    assert "recall of without_mask: with 100 pictures" in said
    assert "none lost of 100 bounds the loss at 3.0 points" in said


def test_no_more_than_all_can_be_lost() -> None:
    same = answers(0.6)
    parity = compare_classifier(same, same, LABELS, ["without_mask"])
    said = coarseness_of(shares_of(parity, Gate(), LABELS, "without_mask"))
    assert said
    assert all("none lost of 1 bounds the loss at 100.0 points" in note for note in said)


def test_a_large_proof_needs_no_excuse() -> None:
    same = answers(*[0.6] * 500, *[0.1] * 200)
    parity = compare_classifier(same, same, LABELS, ["without_mask"] * 500 + ["with_mask"] * 200)
    assert coarseness_of(shares_of(parity, Gate(), LABELS, "without_mask")) == ()


def test_no_class_may_lose_more_than_its_own_share() -> None:
    floats = answers(*[0.9] * 500, *[0.1] * 500)
    tflites = answers(*[0.9] * 500, *[0.9] * 3, *[0.1] * 497)
    parity = compare_classifier(floats, tflites, LABELS, ["without_mask"] * 500 + ["with_mask"] * 500)
    (only,) = failures_of(parity, Gate(), LABELS, "without_mask")
    assert only == "recall of with_mask is lower than in Keras by 0.60 points (3 of 500), allowed 0.50"


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_not_a_number_never_passes(wrong: float) -> None:
    with np.errstate(invalid="ignore"):
        parity = compare_classifier(answers(0.1, 0.9), answers(0.1, wrong), LABELS, LABELS)
    assert failures_of(parity, Gate(), LABELS, "without_mask")


def test_the_confusion_of_faces_leaves_out_what_is_no_face() -> None:
    answers = np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1], [0.3, 0.3, 0.4]], np.float32)
    labels, truth = ["with_mask", "without_mask", "not_a_face"], ["without_mask", "with_mask", "not_a_face"]
    assert worn_confusion(answers, labels, labels[:2], truth).tolist() == [[1, 0], [0, 1]]


def test_confusion_has_truth_in_rows_and_leaves_out_the_unknown() -> None:
    counts = confusion(np.array([0, 1, 1]), LABELS, ["without_mask", "without_mask", ""])
    assert counts.tolist() == [[0, 0], [1, 1]]


def detection(cell: int, score: float, reach: float) -> tuple[Floats, Floats]:
    """Outputs of a 64 x 64 detector: one cell sees a face that reaches ``reach`` strides to every side."""
    cells = len(cell_centres(64, 64, (8, 16, 32))[0])
    scores, boxes = np.zeros((cells, 1), np.float32), np.zeros((cells, 4), np.float32)
    scores[cell], boxes[cell] = score, np.log(reach)
    return scores, boxes


def test_faces_are_decoded_in_input_pixels() -> None:
    ((box, score),) = faces_of(*detection(9, 0.9, 1.5), 64, 64)
    assert score == pytest.approx(0.9)
    assert tuple(box) == pytest.approx((0, 0, 24, 24))  # cell 9 is row 1, column 1 of stride 8: its centre is 12, 12


def test_the_same_face_a_little_apart_agrees() -> None:
    ours, theirs = detection(9, 0.52, 1.5), detection(9, 0.45, 1.4)
    parity = compare_detector([v[None] for v in ours], [v[None] for v in theirs], 64, 64)
    assert parity.agreement == 1
    assert parity.float_faces == 1
    assert parity.mean_difference == pytest.approx(0.07, abs=1e-3)


def test_a_lost_face_counts() -> None:
    ours, theirs = detection(9, 0.9, 1.5), detection(60, 0.9, 1.5)
    parity = compare_detector([v[None] for v in ours], [v[None] for v in theirs], 64, 64)
    assert parity.agreement == 0
    assert parity.disagreeing == (0,)
    assert "faces agree on 0.00%" in failures_of(parity, Gate(), (), "")[0]
