from __future__ import annotations

import numpy as np
import pytest

from training.confusion import accuracy, class_scores, confusion


def test_figures_of_a_hand_worked_matrix() -> None:
    wanted = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    got = np.array([0, 0, 1, 1, 1, 1, 1, 0])
    matrix = confusion(wanted, got, 2, 2)
    assert matrix.tolist() == [[2, 1], [1, 4]]
    assert accuracy(matrix) == 0.75
    masked, bare = class_scores(matrix, ["with_mask", "without_mask"])
    assert masked == ("with_mask", pytest.approx(2 / 3), pytest.approx(2 / 3), pytest.approx(2 / 3), 3)
    assert bare == ("without_mask", 0.8, 0.8, pytest.approx(0.8), 5)


def test_classes_without_examples_have_no_scores() -> None:
    matrix = confusion(np.array([0, 0]), np.array([0, 2]), 3, 3)
    (only,) = class_scores(matrix, ["a", "b", "c"])
    assert only == ("a", 1.0, 0.5, pytest.approx(2 / 3), 2)


def test_nothing_at_all() -> None:
    empty = confusion(np.zeros(0, np.int64), np.zeros(0, np.int64), 2, 2)
    assert accuracy(empty) == 0.0
    assert class_scores(empty, ["a", "b"]) == []
