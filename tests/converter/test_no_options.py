"""``fmd-convert model.keras`` and nothing else: a file where composed pictures show enough, else the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter import Options, cli, convert, evidence
from edge.drivers import open_interpreter
from edge.inference import bundle
from tests.converter.conftest import LABELS, SIZE, features, train

pytest.importorskip("skimage", reason="the portrait: pip install '.[convert]'")


@pytest.fixture(scope="module")
def masked_first(seeded: None) -> Any:
    """A model with its scaling inside that knows the composed pictures; its first output answers a mask."""
    import keras

    images, classes = evidence.composed(SIZE, SIZE, 500, 21)
    known = [i for i, name in enumerate(classes) if name in LABELS]
    kinds = np.array([LABELS.index(classes[i]) for i in known])
    pixels = keras.Input((SIZE, SIZE, 3))
    x = features(keras.layers.Rescaling(1 / 255)(pixels))
    outputs = keras.layers.Dense(2, activation="softmax")(x)
    return train(pixels, outputs, images[known].astype(np.float32), kinds, "sparse_categorical_crossentropy")


@pytest.fixture(scope="module", params=[LABELS, LABELS[::-1]], ids=["masked first", "bare first"])
def portrait_keras(request: pytest.FixtureRequest, masked_first: Any, workshop: Path) -> tuple[Path, tuple[str, ...]]:
    """That model in either label order, and the order."""
    import keras

    order: tuple[str, ...] = request.param
    model = keras.models.clone_model(masked_first)
    model.set_weights(masked_first.get_weights())
    if order != LABELS:
        kernel, bias = model.layers[-1].get_weights()
        model.layers[-1].set_weights([kernel[:, ::-1], bias[::-1]])
    path = workshop / f"portrait-{order[0]}.keras"
    model.save(path)
    return path, order


def test_labels_and_pixels_are_found_and_int8_is_not_chosen(
    portrait_keras: tuple[Path, tuple[str, ...]], tmp_path: Path
) -> None:
    path, order = portrait_keras
    found = convert(path, Options(output=tmp_path / "m.tflite"))
    assert found.contract.labels == order
    assert (found.pixels.name, found.pixels.colour) == ("0..255", "RGB")
    assert found.contract.quantization == "dynamic"
    assert found.contract.confusion is None
    assert str(found.notes[0]).startswith("decision needed: ")
    model = bundle.load(tmp_path / "m.tflite", "classifier", open_interpreter)
    images, classes = evidence.composed(SIZE, SIZE, 60, 33)
    said: list[Any] = [order[int(model.run(image)[0][0].argmax())] for image in images]
    right = [s == c for s, c in zip(said, classes, strict=True) if c in order]
    assert np.mean(right) > 0.85


def test_otherwise_the_complete_commands_are_printed(
    softmax_keras: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A model of drawn faces does not know the portrait."""
    assert cli.main([str(softmax_keras), "-o", str(tmp_path / "m.tflite")], isolated=False) == 1
    lines = capfd.readouterr().err.splitlines()
    commands = [line.strip() for line in lines if line.startswith("  fmd-convert ")]
    assert any("--pixels" in line and "--labels" in line for line in commands)
    assert any("--calibration" in line for line in commands)
    assert all(str(softmax_keras) in line and "--output" in line for line in commands)
    assert list(tmp_path.iterdir()) == []


def test_an_order_that_composed_pictures_contradict_is_a_decision_for_the_user(
    portrait_keras: tuple[Path, tuple[str, ...]], tmp_path: Path
) -> None:
    path, order = portrait_keras
    stated = Options(
        output=tmp_path / "m.tflite", labels=order[::-1], pixels="0..255", colour="RGB", accept=("order",), report=False
    )
    said = [str(note) for note in convert(path, stated).notes]
    assert any(line.startswith("decision needed: the labels") and "composed pictures right" in line for line in said)
