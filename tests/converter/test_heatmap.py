"""The second output shows where the model looked, and the first stays what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter import Conversion, Options, convert
from converter.heatmap import overlay
from converter.report import heat_sheet
from edge.drivers import open_interpreter
from edge.errors import ConversionError
from edge.inference import bundle
from tests.converter.conftest import SIZE, drawn


@pytest.fixture(scope="module")
def pooled_keras(seeded: None, workshop: Path) -> Path:
    """A classifier that ends in average pooling and one dense layer, as MobileNetV2 does."""
    import keras

    images, kinds = drawn(300, 9)
    pixels = keras.Input((SIZE, SIZE, 3), name="pixels")
    x: Any = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(pixels)
    for filters in (12, 24, 32):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(x)
    x = keras.layers.Dropout(0.1)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(pixels, keras.layers.Dense(2, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(6e-3), "sparse_categorical_crossentropy")
    model.fit(images.astype(np.float32), kinds, epochs=20, batch_size=16, verbose=0)
    model.save(workshop / "pooled.keras")
    return workshop / "pooled.keras"


@pytest.fixture(scope="module")
def both(pooled_keras: Path, pictures: Path, workshop: Path) -> tuple[Conversion, Conversion]:
    """The same model converted without and with heat maps."""
    plain = Options(output=workshop / "plain.tflite", calibration=pictures)
    mapped = Options(output=workshop / "mapped.tflite", calibration=pictures, heatmap=True)
    return convert(pooled_keras, plain), convert(pooled_keras, mapped)


def test_labels_do_not_change(both: tuple[Conversion, Conversion]) -> None:
    plain, mapped = both
    np.testing.assert_array_equal(plain.parity.tflite_answers, mapped.parity.tflite_answers)


def test_maps_come_second_and_average_to_the_answer(both: tuple[Conversion, Conversion], pooled_keras: Path) -> None:
    import keras

    model = bundle.load(both[1].target, "classifier", open_interpreter)
    assert model.contract.heatmap
    assert model.output_shapes == ((1, 2), (1, 4, 4, 2))
    assert model.replay() <= 1
    bias = keras.saving.load_model(pooled_keras).layers[-1].get_weights()[1]
    for image in both[1].calibration.proof.images[:10]:
        answer, maps = model.run(image)
        logits = np.exp(maps[0].mean(axis=(0, 1)) + bias)
        np.testing.assert_allclose(logits / logits.sum(), answer[0], atol=0.1)


def test_pictures_to_look_at(both: tuple[Conversion, Conversion]) -> None:
    assert heat_sheet(both[1]).shape == (256, 8 * 128, 3)
    image = np.full((8, 8, 3), 100, np.uint8)
    maps = np.array([[[0.0, 1.0], [0.0, -1.0]]], np.float32)
    shown = overlay(image, np.array([0.1, 0.9], np.float32), maps).astype(int)
    assert shown[4, 0, 0] > shown[4, 0, 2]  # red where it speaks for the label
    assert shown[4, 7, 2] > shown[4, 7, 0]  # blue where against


def test_other_heads_are_refused(softmax_keras: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"--heatmap: .* expected average pooling"):
        convert(softmax_keras, Options(output=tmp_path / "m.tflite", heatmap=True))


def test_the_tutorials_head_of_two_dense_layers_is_mapped() -> None:
    """Where every place shows the same, the map says there what the whole picture is given."""
    import keras

    from converter.heatmap import mapped_model

    keras.utils.set_random_seed(5)
    pixels = keras.Input((14, 14, 3))
    x = keras.layers.AveragePooling2D(7)(keras.layers.Conv2D(6, 1, strides=2, activation="relu")(pixels))
    x = keras.layers.Dense(8, activation="relu")(keras.layers.Flatten()(x))
    last = keras.layers.Dense(2, activation="softmax")
    model = keras.Model(pixels, last(keras.layers.Dropout(0.5)(x)))
    last.set_weights([last.get_weights()[0], np.array([0.3, -0.2])])
    same = np.full((1, 14, 14, 3), 0.7, np.float32)
    answer, maps = mapped_model(model, Path("model.keras"), keras).predict(same, verbose=0)
    np.testing.assert_allclose(answer, model.predict(same, verbose=0), atol=1e-6)
    assert maps.shape == (1, 7, 7, 2)
    logits = maps[0, 3, 3] + np.array([0.3, -0.2])
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(), answer[0], atol=1e-5)
