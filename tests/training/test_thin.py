"""Thinner blocks: least squares by hand, and a network that still answers alike."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="keras is not installed; pip install '.[convert]'")

from training import detector, thin  # noqa: E402


def test_the_surgeon_drops_what_others_can_stand_in_for() -> None:
    rng = np.random.default_rng(1)
    free = rng.normal(size=(500, 3))
    inputs = np.column_stack([free[:, 0], free[:, 1], 2 * free[:, 0] - free[:, 1] + 3, free[:, 2]])
    kernel = rng.normal(size=(4, 5))
    kept, thinned = thin.surgeon(inputs, kernel, 3)
    assert 3 in kept
    wanted, got = inputs @ kernel, inputs[:, kept] @ thinned
    np.testing.assert_allclose(got - got.mean(axis=0), wanted - wanted.mean(axis=0), atol=0.01)


def test_of_independent_columns_the_least_matters_least() -> None:
    inputs = np.random.default_rng(2).normal(size=(2000, 3)) * [1.0, 0.1, 5.0]
    kept, _ = thin.surgeon(inputs, np.ones((3, 2)), 2)
    assert kept.tolist() == [0, 2]


def test_a_thinner_detector_is_smaller_and_sees_as_before() -> None:
    keras.utils.set_random_seed(3)
    _, shipped = detector.build(64, None)
    pictures = np.random.default_rng(3).uniform(0, 255, (12, 64, 64, 3)).astype(np.float32)
    spare = tuple(f"block_{i}" for i in range(1, 17) if i not in (2, 14))
    thinner = thin.thinner(shipped, pictures, 0.5, spare)
    assert thinner.get_layer("block_2_expand").filters == 72
    assert thinner.get_layer("block_14_expand").filters == 480
    assert thinner.get_layer("block_3_expand").filters == 144
    assert thinner.count_params() < shipped.count_params()
    before, after = (m.predict(pictures, verbose=0)["boxes"].ravel() for m in (shipped, thinner))
    assert np.corrcoef(before, after)[0, 1] > 0.95
    training = detector.for_training(detector.resized(thinner, 64, 96))
    assert training.output_shape == (None, 96 + 24 + 6, 5)
