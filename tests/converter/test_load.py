"""Every way people keep a model is read, and answers as it did where it was saved."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter.load import Source, load
from converter.pixels import SCALINGS, find_pixels, scaling_layer
from tests.converter.conftest import SIZE, drawn


@pytest.fixture(scope="module")
def probe() -> np.ndarray[Any, Any]:
    return drawn(24, 5)[0].astype(np.float32)


def answers(source: Source, probe: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return source.predict(probe)[0]


@pytest.fixture(scope="module")
def original(softmax_keras: Path) -> Any:
    import keras

    return keras.saving.load_model(softmax_keras)


@pytest.mark.parametrize("name", ["again.keras", "again.h5", "mask_detector.model", "no_ending"])
def test_files_are_read_by_content(name: str, original: Any, probe: np.ndarray[Any, Any], tmp_path: Path) -> None:
    saved = tmp_path / ("saved.keras" if name.endswith("keras") else "saved.h5")
    original.save(saved)
    saved.rename(tmp_path / name)
    source = load(tmp_path / name)
    assert (source.task, source.neurons, source.height, source.width) == ("classifier", 2, SIZE, SIZE)
    assert source.activation == "softmax"
    np.testing.assert_allclose(answers(source, probe), original.predict(probe, verbose=0), atol=1e-6)


def test_saved_model_folder(original: Any, probe: np.ndarray[Any, Any], tmp_path: Path) -> None:
    original.export(tmp_path / "exported", verbose=False)
    source = load(tmp_path / "exported")
    assert source.keras_model is None
    np.testing.assert_allclose(answers(source, probe), original.predict(probe, verbose=0), atol=1e-6)


def test_lambda_runs_where_it_is_trusted(probe: np.ndarray[Any, Any], tmp_path: Path) -> None:
    import keras

    pixels = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Lambda(lambda v: v / 255.0)(pixels))
    model = keras.Model(pixels, keras.layers.Dense(2, activation="softmax")(x))
    model.save(tmp_path / "lambda.keras")
    source = load(tmp_path / "lambda.keras", allow_code=True)
    np.testing.assert_allclose(answers(source, probe), model.predict(probe, verbose=0), atol=1e-6)


def test_custom_layer_from_a_file(probe: np.ndarray[Any, Any], tmp_path: Path) -> None:
    import keras

    code = "import keras\nclass Half(keras.layers.Layer):\n    def call(self, x):\n        return x / 2\n"
    (tmp_path / "mine.py").write_text(code)
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    pixels = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.GlobalAveragePooling2D()(namespace["Half"]()(pixels))
    keras.Model(pixels, keras.layers.Dense(2, activation="softmax")(x)).save(tmp_path / "m.keras")
    source = load(tmp_path / "m.keras", custom_objects=tmp_path / "mine.py")
    assert answers(source, probe).shape == (len(probe), 2)


def test_scaling_is_seen_behind_augmentation_and_in_nested_models() -> None:
    import keras

    inner = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(2, 3)])
    augment = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.RandomFlip("horizontal")])
    pixels = keras.Input((8, 8, 3))
    assert scaling_layer(keras.Model(pixels, inner(augment(pixels)))).startswith("rescaling")
    scaled = keras.Model(pixels, keras.layers.Conv2D(2, 3)(pixels / 127.5 - 1.0))
    assert scaling_layer(scaled)
    assert scaling_layer(keras.Model(pixels, keras.layers.Conv2D(2, 3)(pixels))) == ""


@pytest.mark.parametrize("scaling", ["-1..1", "0..1", "0..255"])
def test_scaling_is_found_by_the_first_batch_norm(scaling: str, seeded: None, pictures: Path, tmp_path: Path) -> None:
    import keras

    from converter.calibrate import Fit, gather
    from converter.noise import Progress
    from tests.converter.conftest import features

    images, kinds = drawn(300, 8)
    pixels = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(pixels, keras.layers.Dense(2, activation="softmax")(features(pixels)))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(SCALINGS[scaling].of_bytes(images), kinds, epochs=4, batch_size=16, verbose=0)
    model.save(tmp_path / "m.keras")
    calibration = gather(pictures, Fit(SIZE, SIZE, False, 0.0), 40, 10, 1, Progress(None))
    found = find_pixels(load(tmp_path / "m.keras"), calibration.fit, "auto", "auto")
    assert (found.name, found.guessed) == (scaling, True)


KERAS_2 = """
import sys, numpy as np
from tensorflow import keras
folder, data = sys.argv[1], np.load(sys.argv[2])
pixels = data["images"].astype("float32") / 127.5 - 1
base = keras.applications.MobileNetV2(
    weights=None, include_top=False, input_tensor=keras.layers.Input(shape=(32, 32, 3)), alpha=0.35)
x = keras.layers.GlobalAveragePooling2D()(base.get_layer("block_3_expand_relu").output)
x = keras.layers.Dense(16, activation="relu")(keras.layers.Flatten(name="flatten")(x))
model = keras.Model(base.input, keras.layers.Dense(2, activation="softmax")(keras.layers.Dropout(0.5)(x)))
model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
model.fit(pixels, data["kinds"], epochs=3, batch_size=32, verbose=0)
model.save(folder + "/mask_detector.model", save_format="h5")
model.save(folder + "/model.keras")
model.save(folder + "/exported", save_format="tf")
np.save(folder + "/answers.npy", model.predict(pixels[:32], verbose=0))
"""


@pytest.fixture(scope="module")
def keras_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MobileNetV2 that TensorFlow 2.15 trained and saved in the three ways of Keras 2."""
    python = os.environ.get("FMD_KERAS2_PYTHON", "")
    if not shutil.which(python):
        pytest.skip("set FMD_KERAS2_PYTHON to the python of a venv with tensorflow==2.15.1")
    folder = tmp_path_factory.mktemp("keras2")
    images, kinds = drawn(300, 6)
    np.savez(folder / "drawn.npz", images=images, kinds=kinds)
    subprocess.run([python, "-c", KERAS_2, str(folder), str(folder / "drawn.npz")], check=True, capture_output=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mask_detector.model", "model.keras", "exported"])
def test_keras_2_models_answer_as_they_did(name: str, keras_2: Path) -> None:
    pixels = np.load(keras_2 / "drawn.npz")["images"][:32].astype(np.float32) / 127.5 - 1
    source = load(keras_2 / name)
    np.testing.assert_allclose(source.predict(pixels)[0], np.load(keras_2 / "answers.npy"), atol=1e-5)
