"""Compliance with its uncertainty."""

from __future__ import annotations

import numpy as np
import pytest

from edge.record.compliance import corrected, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # By hand, from Wilson's formula with z = 1.96.
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (90, 100, 0.8256, 0.9448)],
)
def test_wilsons_interval(successes: int, trials: int, low: float, high: float) -> None:
    found = wilson(successes, trials)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)


def test_nobody_has_no_share() -> None:
    assert wilson(0, 0) is None
    assert corrected([0, 0], [[9, 1], [1, 9]], 0) is None


def test_a_perfect_model_needs_no_correction() -> None:
    found = corrected([90, 10], [[1000, 0], [0, 1000]], 0)
    assert found is not None
    assert found.share == pytest.approx(0.9)
    assert found.low < 0.9 < found.high


def test_the_true_share_is_recovered_from_a_model_that_errs() -> None:
    """Of 80% compliant people a model that misses 5% and passes 10% shows 78%."""
    found = corrected([7800, 2200], [[950, 50], [100, 900]], 0)
    assert found is not None
    assert found.share == pytest.approx(0.8)
    assert 0.77 < found.low < 0.8 < found.high < 0.83


def test_the_interval_contains_the_truth_as_often_as_it_says() -> None:
    """200 doors with a true compliance of 85%, three labels, each with its own small labelled set."""
    chance, rates, true = np.random.default_rng(1), np.array([[0.95, 0.03, 0.02], [0.02, 0.96, 0.02]]), 0
    rates = np.vstack([rates, [0.1, 0.05, 0.85]])
    for _ in range(200):
        people = chance.multinomial(800, [0.85, 0.1, 0.05])
        decided = sum(chance.multinomial(count, row) for count, row in zip(people, rates, strict=True))
        labelled = [chance.multinomial(300, row).tolist() for row in rates]
        found = corrected(list(decided), labelled, 0)
        assert found is not None
        true += found.low <= 0.85 <= found.high
    assert 180 <= true <= 200


@pytest.mark.parametrize("matrix", [[[5, 5], [5, 5]], [[0, 0], [1, 9]]])
def test_a_poor_matrix_corrects_nothing(matrix: list[list[int]]) -> None:
    assert corrected([50, 50], matrix, 0) is None


def test_a_share_stays_between_none_and_all() -> None:
    found = corrected([100, 0], [[90, 10], [10, 90]], 0)
    assert found is not None
    assert 0.9 < found.low <= found.share <= found.high <= 1.0
