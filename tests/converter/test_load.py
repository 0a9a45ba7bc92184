"""Every way people keep a model is read, and answers as it did where it was saved."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter.keras_files import add_notes
from converter.load import Reading, Source, load
from converter.structure import structure_of
from edge.errors import ConversionError
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
    assert source.structure.activation == "softmax"
    np.testing.assert_allclose(answers(source, probe), original.predict(probe, verbose=0), atol=1e-6)


def test_saved_model_folder(original: Any, probe: np.ndarray[Any, Any], tmp_path: Path) -> None:
    original.export(tmp_path / "exported", verbose=False)
    source = load(tmp_path / "exported")
    assert source.structure.activation == ""
    np.testing.assert_allclose(answers(source, probe), original.predict(probe, verbose=0), atol=1e-6)


def test_lambda_runs_where_it_is_trusted(probe: np.ndarray[Any, Any], tmp_path: Path) -> None:
    import keras

    pixels = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Lambda(lambda v: v / 255.0)(pixels))
    model = keras.Model(pixels, keras.layers.Dense(2, activation="softmax")(x))
    model.save(tmp_path / "lambda.keras")
    source = load(tmp_path / "lambda.keras", Reading(allow_code=True))
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
    source = load(tmp_path / "m.keras", Reading(custom_objects=tmp_path / "mine.py"))
    assert answers(source, probe).shape == (len(probe), 2)


def test_scaling_is_seen_behind_augmentation_and_in_nested_models() -> None:
    import keras

    inner = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(2, 3)])
    augment = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.RandomFlip("horizontal")])
    pixels = keras.Input((8, 8, 3))
    assert structure_of(keras.Model(pixels, inner(augment(pixels)))).scaler.startswith("rescaling")
    scaled = keras.Model(pixels, keras.layers.Conv2D(2, 3)(pixels / 127.5 - 1.0))
    assert structure_of(scaled).scaler
    assert structure_of(keras.Model(pixels, keras.layers.Conv2D(2, 3)(pixels))).scaler == ""


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


def small(shape: tuple[int | None, ...] = (SIZE, SIZE, 3), **how: Any) -> Any:
    """A classifier of two labels with random weights."""
    import keras

    pixels = keras.Input(shape, **how)
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu")(pixels)
    return keras.Model(pixels, keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x)))


def test_a_fixed_batch_of_one(probe: np.ndarray[Any, Any], tmp_path: Path) -> None:
    model = small(batch_size=1)
    model.save(tmp_path / "m.h5")
    source = load(tmp_path / "m.h5")
    assert source.batch == 1
    one_by_one = np.concatenate([np.asarray(model(probe[i : i + 1])) for i in range(3)])
    np.testing.assert_allclose(answers(source, probe)[:3], one_by_one, atol=1e-6)


def test_an_open_size_is_asked_for(tmp_path: Path) -> None:
    small((None, None, 3)).save(tmp_path / "m.keras")
    with pytest.raises(ConversionError, match="--size 224"):
        load(tmp_path / "m.keras")
    source = load(tmp_path / "m.keras", Reading(size=(48, 40)))
    assert (source.height, source.width) == (48, 40)


def test_mixed_precision_is_rebuilt_in_float32(probe: np.ndarray[Any, Any], tmp_path: Path) -> None:
    import keras

    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = small()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    model.save(tmp_path / "m.keras")
    source = load(tmp_path / "m.keras")
    assert {layer.compute_dtype for layer in source.model.layers} == {"float32"}
    np.testing.assert_allclose(answers(source, probe), model.predict(probe, verbose=0), atol=5e-3)


def test_one_channel(tmp_path: Path) -> None:
    small((SIZE, SIZE, 1)).save(tmp_path / "m.keras")
    assert load(tmp_path / "m.keras").channels == 1


def exported(folder: Path, function: Any, kept: Any, **how: Any) -> Path:
    import tensorflow as tf

    holder = tf.Module()
    holder.kept, holder.run = kept, function
    tf.saved_model.save(holder, folder, **how)
    return folder


def test_a_single_signature_of_another_name_and_bytes(probe: np.ndarray[Any, Any], tmp_path: Path) -> None:
    import tensorflow as tf

    model = small()
    spec = tf.TensorSpec((None, SIZE, SIZE, 3), tf.uint8, name="image")
    function = tf.function(lambda image: {"scores": model(tf.cast(image, tf.float32))}, input_signature=[spec])
    source = load(exported(tmp_path / "s", function, model.variables, signatures={"predict": function}))
    assert source.structure.takes_bytes
    np.testing.assert_allclose(answers(source, probe), model.predict(probe, verbose=0), atol=1e-6)


def test_a_saved_model_that_writes_files_is_refused_before_it_runs(tmp_path: Path) -> None:
    import tensorflow as tf

    model, victim = small(), tmp_path / "victim"
    spec = tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32, name="image")

    def write(image: Any) -> Any:
        with tf.control_dependencies([tf.io.write_file(str(victim), "gone")]):
            return model(image)

    function = tf.function(write, input_signature=[spec])
    folder = exported(tmp_path / "s", function, model.variables, signatures=function)
    victim.unlink(missing_ok=True)
    with pytest.raises(ConversionError, match=r"contains WriteFile.* --allow-code"):
        load(folder)
    assert not victim.exists()
    assert load(folder, Reading(allow_code=True)).neurons == 2


def test_hdf5_that_refers_to_other_files_is_refused(original: Any, tmp_path: Path) -> None:
    import h5py

    original.save(tmp_path / "linked.h5")
    with h5py.File(tmp_path / "linked.h5", "r+") as file:
        file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(ConversionError, match="is a link to another file"):
        load(tmp_path / "linked.h5")
    original.save(tmp_path / "stored.h5")
    with h5py.File(tmp_path / "stored.h5", "r+") as file:
        file.create_dataset("elsewhere", (10,), "u1", external=[("/etc/passwd", 0, 10)])
    with pytest.raises(ConversionError, match="is stored in another file"):
        load(tmp_path / "stored.h5")


@pytest.mark.parametrize("name", ["config.json", "metadata.json"])
def test_a_description_that_expands_beyond_bounds_is_refused(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for each in ("config.json", "metadata.json"):
            archive.writestr(each, b" " * (33 << 20) if each == name else "{}")
    with pytest.raises(ConversionError, match="expands to"):
        load(tmp_path / "m.keras")


def test_deeply_nested_json_is_one_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", "[" * 200_000)
    with pytest.raises(ConversionError, match="cut short or damaged"):
        load(tmp_path / "m.keras")


def test_notes_of_the_trainer_travel_inside_the_archive(original: Any, tmp_path: Path) -> None:
    original.save(tmp_path / "m.keras")
    add_notes(tmp_path / "m.keras", {"labels": ["a", "b"], "pixels": "0..255"})
    assert load(tmp_path / "m.keras").notes == {"labels": ["a", "b"], "pixels": "0..255"}


def test_keras_2_is_read_by_tf_keras_in_a_child(probe: np.ndarray[Any, Any], tmp_path: Path) -> None:
    """A model that Keras 3 refuses: DepthwiseConv2D with groups, and no InputLayer, as Keras 2.3 wrote it."""
    import h5py

    tf_keras = pytest.importorskip("tf_keras", reason="Keras 2: pip install '.[convert]'")
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [
            layers.DepthwiseConv2D(3, strides=2, activation="relu", input_shape=(SIZE, SIZE, 3)),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.save(tmp_path / "mask_detector.h5")
    with h5py.File(tmp_path / "mask_detector.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        first, second = config["config"]["layers"][:2]
        second["config"].update(batch_input_shape=first["config"]["batch_input_shape"], groups=1)
        del config["config"]["layers"][0]
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.2.4-tf"
    source = load(tmp_path / "mask_detector.h5")
    assert (source.made_by, source.structure.activation) == ("Keras 2.2.4-tf", "softmax")
    assert source.structure.family == "mobilenet"
    np.testing.assert_allclose(answers(source, probe), model.predict(probe, verbose=0), atol=1e-6)


def test_activations_given_as_functions_of_tensorflow(tmp_path: Path) -> None:
    """Keras writes tf.nn.softmax as softmax_v2 and does not read that name."""
    import keras
    import tensorflow as tf

    layers = keras.layers
    stages = [layers.Conv2D(4, 3, activation=tf.nn.swish), layers.GlobalAveragePooling2D()]
    model = keras.Sequential([keras.Input((16, 16, 3)), *stages, layers.Dense(2, activation=tf.nn.softmax)])
    model.save(tmp_path / "model.keras")
    source, pixels = load(tmp_path / "model.keras"), np.random.default_rng(1).random((8, 16, 16, 3), np.float32)
    assert source.structure.activation == "softmax"
    np.testing.assert_allclose(source.predict(pixels)[0], model.predict(pixels, verbose=0), atol=1e-6)


def test_a_model_that_keras_quantized_is_refused(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    model = keras.Sequential([keras.Input((16, 16, 3)), layers.GlobalAveragePooling2D(), layers.Dense(2, "softmax")])
    model.quantize("int8")
    model.save(tmp_path / "model.keras")
    with pytest.raises(ConversionError, match=r"was quantized by Keras \(int8\); give the model as it was before"):
        load(tmp_path / "model.keras")


def test_two_outputs_of_labels_are_a_question_for_the_author(tmp_path: Path) -> None:
    import keras

    pixels = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(pixels)
    heads = [keras.layers.Dense(n, "softmax")(x) for n in (2, 4)]
    keras.Model(pixels, heads).save(tmp_path / "model.keras")
    with pytest.raises(ConversionError, match=r"has 2 outputs .* keras\.Model\(model\.inputs, model\.outputs\[0\]\)"):
        load(tmp_path / "model.keras")


def test_double_precision_is_rebuilt_in_single(tmp_path: Path) -> None:
    import keras

    keras.config.set_dtype_policy("float64")
    try:
        stages = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, "softmax")]
        model = keras.Sequential([keras.Input((16, 16, 3)), *stages])
        model.save(tmp_path / "model.keras")
        pixels = np.random.default_rng(1).random((8, 16, 16, 3), np.float32)
        expected = model.predict(pixels, verbose=0)
    finally:
        keras.config.set_dtype_policy("float32")
    answers = load(tmp_path / "model.keras").predict(pixels)[0]
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers, expected, atol=1e-6)


def test_a_head_of_convolutions_needs_a_flatten_layer(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    stages = [layers.GlobalAveragePooling2D(keepdims=True), layers.Conv2D(2, 1, activation="softmax")]
    keras.Sequential([keras.Input((16, 16, 3)), *stages]).save(tmp_path / "model.keras")
    with pytest.raises(ConversionError, match="add a Flatten layer at its end"):
        load(tmp_path / "model.keras")
