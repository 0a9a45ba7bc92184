"""Models of one channel convert, prove and run as others do."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from converter import Options, convert, prove
from edge.contracts import Box, Face, Frame
from edge.drivers import open_interpreter
from edge.inference import bundle
from edge.stages.classify import MaskClassifier
from tests.converter.conftest import LABELS, SIZE, drawn, features, train


@pytest.fixture(scope="module")
def gray_keras(seeded: None, workshop: Path) -> Path:
    """One channel, bytes as they are scaled inside."""
    import keras

    images, kinds = drawn(450, 12)
    gray = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] for image in images])
    pixels = keras.Input((SIZE, SIZE, 1))
    outputs = keras.layers.Dense(2, activation="softmax")(features(keras.layers.Rescaling(1 / 255)(pixels)))
    model = train(pixels, outputs, gray.astype(np.float32), kinds, "sparse_categorical_crossentropy")
    model.save(workshop / "gray.keras")
    return workshop / "gray.keras"


def test_one_channel_from_end_to_end(gray_keras: Path, pictures: Path, tmp_path: Path) -> None:
    options = Options(output=tmp_path / "gray.tflite", calibration=pictures, labels=LABELS, pixels="0..255")
    found = convert(gray_keras, options)
    assert found.contract.input.colour == "GRAY"
    model = bundle.load(tmp_path / "gray.tflite", "classifier", open_interpreter)
    assert model.replay() <= 1
    image = found.calibration.proof.images[0]
    np.testing.assert_allclose(model.run(image)[0][0], found.parity.tflite_answers[0], atol=5e-3)
    frame = Frame(image, image[..., 1], 0.0, 0)
    seen = MaskClassifier(model).classify_single(frame, Face(Box(4, 4, SIZE - 4, SIZE - 4), 0.9))
    assert set(seen.probabilities) == set(LABELS)
    proof = prove(found.target, gray_keras, Options(calibration=pictures))
    assert proof.parity is not None
    assert proof.parity.numbers() == found.contract.parity
