"""Training with int8's rounding."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from edge.errors import DataError
from training import classifier, fake_quant


def tiny() -> keras.Model:
    """Two convolutions, one depthwise, as MobileNetV2 has them."""
    keras.utils.set_random_seed(3)
    pixels = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 1, use_bias=False, name="wide")(pixels)
    x = keras.layers.BatchNormalization(name="wide_norm")(x)
    x = keras.layers.ReLU(6.0, name="wide_relu")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", strides=2, name="deep")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(pixels, keras.layers.Dense(2, activation="softmax", name="labels")(x))


def pictures(count: int = 8) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (count, 16, 16, 3)).astype(np.float32)


def test_a_convolution_fused_with_what_follows_stores_nothing_between() -> None:
    assert fake_quant.stored_tensors(tiny()) == ["wide_relu", "deep", "pool"]


def test_ranges_hold_every_value_and_zero() -> None:
    ranges = fake_quant.measure_ranges(tiny(), pictures())
    assert ranges["wide_relu"][0] == 0.0
    assert 0 < ranges["wide_relu"][1] <= 6.0
    assert all(low <= 0 <= high for low, high in ranges.values())


def test_baked_weights_are_at_most_255_values_a_channel_and_near_the_old_ones() -> None:
    model = tiny()
    before = model.get_layer("deep").get_weights()[0]
    fake_quant.bake(model)
    after = model.get_layer("deep").get_weights()[0]
    step = np.abs(before).max(axis=(0, 1, 3), keepdims=True) / 127
    np.testing.assert_allclose(after / step, np.rint(after / step), atol=1e-3)
    assert np.abs(after - before).max() <= step.max() / 2 * 1.01
    assert not np.array_equal(after, before)


def test_baking_twice_changes_nothing_more() -> None:
    model = tiny()
    fake_quant.bake(model)
    once = [w.copy() for w in model.get_weights()]
    fake_quant.bake(model)
    for again, before in zip(model.get_weights(), once, strict=True):
        np.testing.assert_allclose(again, before, rtol=1e-5, atol=1e-7)


def test_the_rounded_twin_computes_what_the_baked_model_does() -> None:
    """Weights alone: with no ranges given, the twin's rounding is exactly the baking's."""
    model = tiny()
    twin = fake_quant.with_rounding(model, {})
    rounded = twin.predict(pictures(), verbose=0)
    fake_quant.bake(model)
    np.testing.assert_allclose(rounded, model.predict(pictures(), verbose=0), atol=1e-5)


def test_training_the_twin_trains_the_model() -> None:
    model = tiny()
    twin = fake_quant.with_rounding(model, fake_quant.measure_ranges(model, pictures()))
    before = model.get_layer("wide").get_weights()[0]
    twin.compile("sgd", "categorical_crossentropy")
    twin.fit(pictures(), np.eye(2, dtype=np.float32)[np.arange(8) % 2], epochs=1, verbose=0)
    assert not np.array_equal(model.get_layer("wide").get_weights()[0], before)


def test_the_classifier_takes_rounding_everywhere_it_stores_a_tensor() -> None:
    model = classifier.build(32, None, 3, alpha=0.35)
    names = fake_quant.stored_tensors(model)
    assert "Conv1_relu" in names
    assert "block_2_add" in names
    assert not any(name.endswith(("expand_BN", "depthwise_BN")) for name in names)


@pytest.mark.parametrize(
    ("options", "words"), [({"activation": "relu"}, "activation relu"), ({"dilation_rate": 2}, "dilation")]
)
def test_what_rounding_would_leave_out_is_refused(options: dict[str, Any], words: str) -> None:
    pixels = keras.Input((16, 16, 3))
    model = keras.Model(pixels, keras.layers.Conv2D(4, 3, name="odd", **options)(pixels))
    with pytest.raises(DataError, match=f"layer odd: .*{words}"):
        fake_quant.with_rounding(model, {})
