"""Tiny classifiers, trained on drawn faces for some seconds: real enough to be sure of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from converter import draw, evidence, job
from edge.contracts import Image

pytest.importorskip("tensorflow", reason="the converter needs TensorFlow: pip install '.[convert]'")

SIZE = 32
LABELS = ("with_mask", "without_mask")


def train(inputs: Any, outputs: Any, pixels: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any], loss: str) -> Any:
    """Fit a model on (n, SIZE, SIZE, 3) pixels and return it; fails the test run if it did not learn."""
    import keras

    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(4e-3), loss=loss, metrics=["accuracy"])
    history = model.fit(pixels, wanted, epochs=14, batch_size=32, verbose=0)
    assert history.history["accuracy"][-1] > 0.9
    return model


def features(x: Any) -> Any:
    """A few convolutions, enough to see whether a mouth is there."""
    import keras

    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization(momentum=0.8)(x))
    for filters in (16, 24):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(x)
    return keras.layers.Flatten()(x)


def drawn(count: int, seed: int, kinds: tuple[str, ...] = LABELS) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Drawn faces (n, SIZE, SIZE, 3) uint8 of ``kinds`` and the index of each one's kind."""
    images, shown = draw.faces(SIZE, SIZE, count, seed)
    chosen = [i for i, label in enumerate(shown) if label in kinds]
    return images[chosen], np.array([kinds.index(shown[i]) for i in chosen])


@pytest.fixture(scope="session", autouse=True)
def composed_once() -> Iterator[None]:
    """Compose pictures of the same size, count and seed once: most conversions of these tests use the same."""
    compose = evidence.composed

    @cache
    def composed(height: int, width: int, count: int, seed: int) -> tuple[Image, tuple[str, ...]]:
        images, classes = compose(height, width, count, seed)
        images.flags.writeable = False
        return images, classes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "composed", composed)
        patch.setattr(job, "composed", composed)
        yield


@pytest.fixture(scope="session")
def seeded() -> None:
    import keras

    keras.utils.set_random_seed(7)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's models lie."""
    return tmp_path_factory.mktemp("workshop")


@pytest.fixture(scope="session")
def softmax_keras(seeded: None, workshop: Path) -> Path:
    """Two labels, softmax, a Rescaling layer inside."""
    import keras

    images, kinds = drawn(450, 1)
    pixels = keras.Input((SIZE, SIZE, 3), name="pixels")
    x = features(keras.layers.Rescaling(1 / 127.5, offset=-1.0)(pixels))
    model = train(
        pixels,
        keras.layers.Dense(2, activation="softmax")(x),
        images.astype(np.float32),
        kinds,
        "sparse_categorical_crossentropy",
    )
    path = workshop / "softmax.keras"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def sigmoid_keras(seeded: None, workshop: Path) -> Path:
    """One neuron, pixels expected in 0..1 and nothing inside that says so."""
    import keras

    images, kinds = drawn(450, 2)
    pixels = keras.Input((SIZE, SIZE, 3))
    outputs = keras.layers.Dense(1, activation="sigmoid")(features(pixels))
    model = train(pixels, outputs, images.astype(np.float32) / 255, kinds, "binary_crossentropy")
    path = workshop / "sigmoid.keras"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibration folder: 60 drawn faces in a folder a class."""
    return folder_of(90, tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def many_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of 400: enough to decide between scalings that are nearly alike."""
    return folder_of(600, tmp_path_factory.mktemp("many"))


def folder_of(count: int, root: Path) -> Path:
    """Class folders of ``count`` drawn faces, those of :data:`LABELS` alone."""
    images, kinds = drawn(count, 3)
    for label in LABELS:
        (root / label).mkdir()
    for i, (image, kind) in enumerate(zip(images, kinds, strict=True)):
        cv2.imwrite(str(root / LABELS[kind] / f"{i:03d}.png"), image[:, :, ::-1])
    return root
