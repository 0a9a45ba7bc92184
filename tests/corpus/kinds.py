"""Kinds of model files: one function each, which writes the file as its author does and returns the live model."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.corpus.networks import Net, base_of, functional, head_of, layers_of, load_weights, sequential, weights_of
from tests.corpus.pictures import Array, prepared, read

MASKED_FIRST, BARE_FIRST = ("with_mask", "without_mask"), ("without_mask", "with_mask")
PAPERS = Net("mobilenet", 224, 224, scale="-1..1")
SMALL = Net("mobilenet", 96, 96, scale="-1..1")

Predict = Callable[[Array], Array]


@dataclass(frozen=True)
class Made:
    """A file that was written: ``predict`` maps prepared pictures (n, h, w, c) float32 to the model's own answers."""

    path: Path
    predict: Predict


@dataclass(frozen=True)
class Kind:
    """``make`` writes the file into a folder; ``net`` says what the author's script feeds and how outputs are ordered.

    ``needs`` are options without which nobody can convert it (a Lambda layer, an open size), ``knows`` the rest of
    what the author would type. ``readable`` is False for what must be refused whatever is typed, with ``says`` in the
    message. ``misled``: the options are wrong, and must be refused. ``called`` are the author's
    own names of the labels.
    """

    net: Net
    make: Callable[[Path, Net, list[Array]], Made]
    needs: tuple[str, ...] = ()
    knows: tuple[str, ...] = ()
    readable: bool = True
    says: str = ""
    misled: bool = False
    files: tuple[str, ...] = field(default=())
    called: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What the author calls the outputs, in their order."""
        return self.called or self.net.order

    def options(self) -> list[str]:
        """Everything the author knows, as options."""
        scale = "0..255" if "scaling inside" in self.files else self.net.scale
        # A value that starts with a minus is a separate option to argparse unless it is joined.
        known = [f"--pixels={scale}", f"--colour={self.net.colour}", "--labels", ",".join(self.names)]
        return [*self.needs, *(self.knows or known)]


def k3() -> Any:
    import keras

    return keras


def k2() -> Any:
    import tf_keras

    return tf_keras


def predict_of(model: Any) -> Predict:
    return lambda pixels: np.asarray(model.predict(pixels, verbose=0, batch_size=32))


def trained(model: Any, net: Net, weights: list[Array]) -> Any:
    """Loaded and compiled, as it is after training."""
    loaded = load_weights(model, net, weights)
    loss = "categorical_crossentropy" if net.neurons > 1 else "binary_crossentropy"
    loaded.compile("adam", loss, metrics=["accuracy"])
    return loaded


def saved(name: str, build: Callable[..., Any] = sequential, library: Callable[[], Any] = k3, **how: Any) -> Any:
    """Kind that is built by ``build`` and saved under ``name``."""

    def make(folder: Path, net: Net, weights: list[Array]) -> Made:
        model = trained(build(library(), net), net, weights)
        model.save(folder / name, **how)
        return Made(folder / name, predict_of(model))

    return make


def behind(name: str, layers: Callable[[Any], Sequence[Any]], build: Callable[..., Any] = sequential, scale: str = ""):
    """Kind with ``layers`` in front of the trained network; ``scale`` is what its author feeds, if not bytes."""

    def make(folder: Path, net: Net, weights: list[Array]) -> Made:
        inner = trained(sequential(k3(), net), net, weights)
        front = list(layers(k3()))
        pixels = k3().Input(net.shape)
        x = pixels
        for layer in front:
            x = layer(x)
        model = k3().Model(pixels, inner(x))
        model.save(folder / name)
        return Made(folder / name, predict_of(model))

    return make


def exported(folder: Path, net: Net, weights: list[Array]) -> Made:
    model = trained(sequential(k3(), net), net, weights)
    model.export(folder / "exported", verbose=False)
    return Made(folder / "exported", predict_of(model))


def other_signature(folder: Path, net: Net, weights: list[Array]) -> Made:
    import tensorflow as tf

    model = trained(sequential(k3(), net), net, weights)
    spec = tf.TensorSpec((None, *net.shape), tf.float32, name="image")
    function = tf.function(lambda image: {"scores": model(image, training=False)}, input_signature=[spec])
    holder = tf.Module()
    holder.kept, holder.run = model.variables, function
    tf.saved_model.save(holder, folder / "exported", signatures={"predict": function})
    return Made(folder / "exported", predict_of(model))


def bytes_signature(folder: Path, net: Net, weights: list[Array]) -> Made:
    import tensorflow as tf

    model = trained(sequential(k3(), net), net, weights)
    spec = tf.TensorSpec((None, *net.shape), tf.uint8, name="image")
    function = tf.function(
        lambda image: model(tf.cast(image, tf.float32) / 255.0, training=False), input_signature=[spec]
    )
    holder = tf.Module()
    holder.kept, holder.run = model.variables, function
    tf.saved_model.save(holder, folder / "exported", signatures=function)
    return Made(folder / "exported", lambda pixels: predict_of(model)(pixels / 255.0))


def subclassed_export(folder: Path, net: Net, weights: list[Array]) -> Made:
    keras = k3()

    class Detector(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.body = layers_of(keras, net)

        def call(self, x: Any, training: bool = False) -> Any:
            for layer in self.body:
                x = layer(x)
            return x

    model = Detector()
    model(np.zeros((1, *net.shape), np.float32))
    model.set_weights(weights)
    model.export(folder / "exported", verbose=False)
    return Made(folder / "exported", predict_of(model))


CUSTOM = """
import keras

@keras.saving.register_keras_serializable("doorway")
class MaskNet(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        layers = keras.layers
        self.stages = [layers.Conv2D(n, 3, activation="relu") for n in (16, 32, 32)]
        self.pool, self.flat, self.drop = layers.MaxPooling2D(), layers.Flatten(), layers.Dropout(0.3)
        self.hidden, self.last = layers.Dense(32, activation="relu"), layers.Dense(2, activation="softmax")

    def call(self, x, training=False):
        for stage in self.stages:
            x = self.pool(stage(x))
        return self.last(self.hidden(self.drop(self.flat(x), training=training)))
"""


def subclassed_keras(folder: Path, net: Net, weights: list[Array]) -> Made:
    namespace: dict[str, Any] = {}
    exec(CUSTOM, namespace)
    (folder / "masknet.py").write_text(CUSTOM)
    model = namespace["MaskNet"]()
    model(np.zeros((1, *net.shape), np.float32))
    model.set_weights(weights)
    model.save(folder / "model.keras")
    return Made(folder / "model.keras", predict_of(model))


def mixed(library: Callable[[], Any], name: str) -> Any:
    def make(folder: Path, net: Net, weights: list[Array]) -> Made:
        keras = library()
        keras.mixed_precision.set_global_policy("mixed_float16")
        try:
            model = trained(sequential(keras, net), net, weights)
            model.save(folder / name)
            return Made(folder / name, predict_of(model))
        finally:
            keras.mixed_precision.set_global_policy("float32")

    return make


def open_size(folder: Path, net: Net, weights: list[Array]) -> Made:
    model = trained(k3().Sequential([k3().Input((None, None, 3)), *layers_of(k3(), net)]), net, weights)
    model.save(folder / "model.keras")
    return Made(folder / "model.keras", predict_of(model))


def one_batch(folder: Path, net: Net, weights: list[Array]) -> Made:
    model = k3().Sequential([k3().Input(net.shape, batch_size=1), *layers_of(k3(), net)])
    trained(model, net, weights).save(folder / "model.h5")
    return Made(folder / "model.h5", lambda x: np.concatenate([np.asarray(model(x[i : i + 1])) for i in range(len(x))]))


def two_tops(library: Callable[[], Any], name: str) -> Any:
    """Nested base: Sequential of MobileNetV2 and a head."""
    return saved(name, sequential, library)


def preprocess_inside(folder: Path, net: Net, weights: list[Array]) -> Made:
    """``preprocess_input`` called on the Keras input of a functional model with a nested base, as the guides do."""
    keras = k3()
    pixels = keras.Input(net.shape)
    x = base_of(keras, net)(keras.applications.mobilenet_v2.preprocess_input(pixels), training=False)
    for layer in head_of(keras, net):
        x = layer(x)
    model = trained(keras.Model(pixels, x), net, weights)
    model.save(folder / "model.keras")
    return Made(folder / "model.keras", predict_of(model))


def augmented(folder: Path, net: Net, weights: list[Array]) -> Made:
    keras = k3()
    front = [keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1), keras.layers.Rescaling(1 / 255)]
    inner = trained(sequential(keras, net), net, weights)
    model = keras.Sequential([keras.Input(net.shape), *front, *inner.layers])
    model.save(folder / "model.keras")
    return Made(folder / "model.keras", predict_of(model))


def softmax_layer(folder: Path, net: Net, weights: list[Array]) -> Made:
    keras = k3()
    bare = net._replace(activation="linear")
    model = keras.Sequential([keras.Input(net.shape), *layers_of(keras, bare), keras.layers.Activation("softmax")])
    model.set_weights(weights)
    model.save(folder / "model.keras")
    return Made(folder / "model.keras", predict_of(model))


def with_text(make: Any, name: str, text: str) -> Any:
    """The same kind with a labels file beside it."""

    def both(folder: Path, net: Net, weights: list[Array]) -> Made:
        (folder / name).write_bytes(text.encode("utf-8"))
        return make(folder, net, weights)

    return both


def teachable_machine(folder: Path, net: Net, weights: list[Array]) -> Made:
    keras = k2()
    inner = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=net.shape)
    from tests.corpus.networks import imagenet

    inner.set_weights(imagenet())
    first = keras.Sequential([inner, keras.layers.GlobalAveragePooling2D()])
    head = [layer for layer in head_of(keras, net) if not type(layer).__name__.startswith("Global")]
    model = keras.Sequential([first, keras.Sequential(head)])
    model.build((None, *net.shape))
    load_weights(model, net, weights)
    model.save(folder / "keras_model.h5")
    (folder / "labels.txt").write_bytes(b"\xef\xbb\xbf0 Mask\r\n1 No Mask\r\n")
    return Made(folder / "keras_model.h5", predict_of(model))


def old_hdf5(change: Callable[[dict[str, Any]], None], build: Callable[..., Any] = sequential) -> Any:
    """HDF5 of tf_keras whose configuration is rewritten as an older Keras 2 wrote it."""

    def make(folder: Path, net: Net, weights: list[Array]) -> Made:
        import h5py

        model = trained(build(k2(), net), net, weights)
        model.save(folder / "model.h5")
        with h5py.File(folder / "model.h5", "r+") as file:
            config = json.loads(file.attrs["model_config"])
            change(config)
            file.attrs["model_config"] = json.dumps(config).encode()
            file.attrs["keras_version"] = b"2.2.4-tf"
        return Made(folder / "model.h5", predict_of(model))

    return make


def without_input_layer(config: dict[str, Any]) -> None:
    layers = config["config"]["layers"]
    if layers[0]["class_name"] == "InputLayer":
        shape = layers.pop(0)["config"]["batch_input_shape"]
        layers[0]["config"]["batch_input_shape"] = shape


def typed_initializers(config: dict[str, Any]) -> None:
    """Keras 2.2.4-tf: initializers with a dtype and no registered names."""
    for value in list(config.values()) if isinstance(config, dict) else config:
        if isinstance(value, dict | list):
            typed_initializers(value)  # type: ignore[arg-type]
    if isinstance(config, dict) and str(config.get("class_name", "")).endswith(("Uniform", "Zeros", "Ones", "Normal")):
        for extra in ("module", "registered_name"):
            config.pop(extra, None)
        config["config"] = {**config.get("config", {}), "dtype": "float32"}


def random_flip(folder: Path, net: Net, weights: list[Array]) -> Made:
    keras = k2()
    front = [keras.layers.RandomFlip("horizontal"), keras.layers.Rescaling(1 / 255)]
    model = keras.Sequential([keras.Input(net.shape), *front, *layers_of(keras, net)])
    own = [w for w in model.get_weights() if w.dtype != np.float32]
    model.set_weights([*own, *weights])
    model.save(folder / "model.h5")
    return Made(folder / "model.h5", predict_of(model))


def op_lambda(folder: Path, net: Net, weights: list[Array]) -> Made:
    keras = k2()
    pixels = keras.Input(net.shape)
    x = pixels / 127.5 - 1.0
    for layer in layers_of(keras, net):
        x = layer(x)
    model = keras.Model(pixels, x)
    model.set_weights(weights)
    model.save(folder / "model.h5")
    return Made(folder / "model.h5", predict_of(model))


def legacy_saved_model(folder: Path, net: Net, weights: list[Array]) -> Made:
    """Compiled with a legacy optimizer that has slots, trained a step, saved as a SavedModel."""
    keras = k2()
    model = load_weights(sequential(keras, net), net, weights)
    model.compile(keras.optimizers.legacy.Adam(1e-7), "categorical_crossentropy")
    model.fit(np.zeros((4, *net.shape), np.float32), np.eye(2, dtype=np.float32)[[0, 1, 0, 1]], verbose=0)
    model.set_weights(weights)
    model.save(folder / "saved", save_format="tf")
    return Made(folder / "saved", predict_of(model))


# Files that are no model for fmd, or a wrong one


def plain(name: str, data: bytes | str) -> Any:
    def make(folder: Path, net: Net, weights: list[Array]) -> Made:
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return Made(folder / name, lambda pixels: np.zeros((len(pixels), 2)))

    return make


def zipped(name: str, *members: str) -> Any:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member in members:
            archive.writestr(member, b"\x80\x02}q\x00.")
    return plain(name, buffer.getvalue())


def frozen_graph(folder: Path, net: Net, weights: list[Array]) -> Made:
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        tf.nn.softmax(tf.compat.v1.placeholder(tf.float32, (None, 2), "x"), name="out")
    (folder / "frozen.pb").write_bytes(graph.as_graph_def().SerializeToString())
    return Made(folder / "frozen.pb", lambda pixels: np.zeros((len(pixels), 2)))


def weights_only(name: str) -> Any:
    def make(folder: Path, net: Net, weights: list[Array]) -> Made:
        model = trained(sequential(k3() if "weights" in name else k2(), net), net, weights)
        model.save_weights(folder / name)
        return Made(folder / name, predict_of(model))

    return make


def damaged(share: float, name: str) -> Any:
    def make(folder: Path, net: Net, weights: list[Array]) -> Made:
        model = trained(sequential(k3(), net), net, weights)
        model.save(folder / f"whole-{name}")
        data = (folder / f"whole-{name}").read_bytes()
        (folder / f"whole-{name}").unlink()
        (folder / name).write_bytes(data[: int(len(data) * share)])
        return Made(folder / name, predict_of(model))

    return make


def tflite_file(folder: Path, net: Net, weights: list[Array]) -> Made:
    return plain("model_unquant.tflite", b"\x1c\x00\x00\x00TFL3" + bytes(200))(folder, net, weights)


def logits(folder: Path, net: Net, weights: list[Array]) -> Made:
    model = trained(sequential(k3(), net._replace(activation=None)), net, weights)
    model.save(folder / "model.keras")
    return Made(folder / "model.keras", predict_of(model))


def spoilt(change: Callable[[list[Array]], list[Array]]) -> Any:
    """The network with its weights changed: it answers, and is worth nothing."""

    def make(folder: Path, net: Net, weights: list[Array]) -> Made:
        model = trained(sequential(k3(), net), net, change(weights))
        model.save(folder / "model.keras")
        return Made(folder / "model.keras", predict_of(model))

    return make


def constant(weights: list[Array]) -> list[Array]:
    return [*weights[:-2], weights[-2] * 0, np.array([8.0, -8.0], np.float32)]


def untrained(weights: list[Array]) -> list[Array]:
    rng = np.random.default_rng(5)
    return [rng.normal(0, 0.05, w.shape).astype(np.float32) for w in weights]


def thousand(folder: Path, net: Net, weights: list[Array]) -> Made:
    keras = k3()
    model = keras.Sequential(
        [
            keras.Input((96, 96, 3)),
            base_of(keras, SMALL),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(1000, activation="softmax"),
        ]
    )
    model.save(folder / "imagenet.keras")
    return Made(folder / "imagenet.keras", predict_of(model))


CNN, NORM = Net(), Net("norm")
SIGMOID = Net(neurons=1, activation="sigmoid")
INSIDE = ("scaling inside",)
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e\nsize 11490000\n"
TORCH_ZIP = ("archive/data.pkl", "archive/version", "archive/data/0")

KINDS: dict[str, Kind] = {
    # Keras 3
    "papers .keras": Kind(PAPERS, saved("mask_detector.keras", functional)),
    "papers, bare first, .model": Kind(
        PAPERS._replace(order=BARE_FIRST), saved("tmp.h5", functional), files=("rename mask_detector.model",)
    ),
    "Sequential .keras": Kind(CNN, saved("model.keras")),
    "Sequential .h5": Kind(CNN, saved("model.h5")),
    "BGR of cv2.imread": Kind(CNN._replace(colour="BGR"), saved("model.h5")),
    "grayscale": Kind(CNN._replace(colour="GRAY"), saved("model.keras")),
    "grayscale .h5": Kind(CNN._replace(colour="GRAY"), saved("model-017.model.h5", functional)),
    "sigmoid": Kind(SIGMOID, saved("model.h5")),
    "sigmoid, bare first": Kind(SIGMOID._replace(order=BARE_FIRST), saved("model.keras")),
    "two sigmoids": Kind(CNN._replace(activation="sigmoid"), saved("model.keras")),
    "bytes, no scaling": Kind(CNN._replace(scale="0..255"), saved("model.keras")),
    "-1..1": Kind(CNN._replace(scale="-1..1"), saved("model.keras", functional)),
    "-0.5..0.5": Kind(CNN._replace(scale="-0.5..0.5"), saved("model.keras")),
    "batch norm, 0..1": Kind(NORM, saved("model.keras")),
    "batch norm first, bytes": Kind(Net("norm first", scale="0..255"), saved("model.keras")),
    "x/127-1": Kind(NORM._replace(scale="x/127-1"), saved("model.h5")),
    "torch": Kind(NORM._replace(scale="torch"), saved("model.keras")),
    "caffe": Kind(NORM._replace(scale="caffe", colour="BGR"), saved("model.keras")),
    "caffe on RGB": Kind(NORM._replace(scale="caffe"), saved("model.keras")),
    "-1..1 BGR, bare first": Kind(NORM._replace(scale="-1..1", colour="BGR", order=BARE_FIRST), saved("model.h5")),
    "separable, swish": Kind(Net("separable"), saved("model.keras", functional)),
    "pooled": Kind(Net("pooled", scale="-1..1"), saved("model.keras")),
    "rectangular": Kind(Net(height=48, width=80), saved("model.keras")),
    "three labels": Kind(
        NORM._replace(neurons=3, order=("with_mask", "with_incorrect_mask", "without_mask")), saved("model.keras")
    ),
    "Rescaling inside": Kind(
        CNN, behind("model.keras", lambda k: [k.layers.Rescaling(1 / 255)]), files=(*INSIDE, "feeds bytes")
    ),
    "Rescaling inside, scaled outside too": Kind(
        CNN, behind("model.keras", lambda k: [k.layers.Rescaling(2.0), k.layers.Rescaling(0.5)])
    ),
    "Normalization inside": Kind(
        CNN,
        behind("model.keras", lambda k: [k.layers.Normalization(mean=0.0, variance=255.0**2)]),
        files=(*INSIDE, "feeds bytes"),
    ),
    "Lambda inside": Kind(
        CNN,
        behind("model.keras", lambda k: [k.layers.Lambda(lambda x: x / 255.0)]),
        needs=("--allow-code",),
        files=(*INSIDE, "feeds bytes"),
    ),
    "Lambda before batch norm": Kind(
        NORM,
        behind("model.h5", lambda k: [k.layers.Lambda(lambda x: x / 255.0)]),
        needs=("--allow-code",),
        files=(*INSIDE, "feeds bytes"),
    ),
    "nested base": Kind(SMALL, two_tops(k3, "model.keras")),
    "nested base .h5": Kind(SMALL, two_tops(k3, "model.h5")),
    "preprocess_input inside": Kind(SMALL, preprocess_inside, files=(*INSIDE, "feeds bytes")),
    "frozen base fed 0..1": Kind(SMALL._replace(scale="0..1"), two_tops(k3, "model.keras")),
    "mixed_float16": Kind(CNN, mixed(k3, "model.keras")),
    "open size": Kind(Net("pooled", scale="-1..1"), open_size, needs=("--size", "64")),
    "batch of one": Kind(CNN, one_batch),
    "augmentation inside": Kind(CNN, augmented, files=(*INSIDE, "feeds bytes")),
    "softmax as a layer": Kind(CNN, softmax_layer),
    "labels.txt": Kind(
        CNN._replace(colour="BGR"), with_text(saved("model.keras"), "labels.txt", "﻿0: Mask\n1: NoMask\n")
    ),
    "class_indices.json": Kind(
        SIGMOID._replace(order=BARE_FIRST),
        with_text(saved("model.keras"), "class_indices.json", '{"0": "without_mask", "1": "with_mask"}'),
    ),
    "subclassed, custom objects": Kind(
        CNN, subclassed_keras, needs=("--custom-objects", "{folder}/masknet.py", "--size", "64")
    ),
    # SavedModels
    "SavedModel of Keras 3": Kind(CNN, exported),
    "SavedModel of a subclass": Kind(CNN, subclassed_export),
    "SavedModel, other signature": Kind(CNN, other_signature),
    "SavedModel, uint8": Kind(CNN, bytes_signature, files=(*INSIDE, "feeds bytes")),
    "SavedModel, legacy optimizer": Kind(CNN, legacy_saved_model),
    # Keras 2
    "Keras 2 .h5": Kind(CNN, saved("model.h5", sequential, k2)),
    "Keras 2 papers .model": Kind(SMALL, saved("tmp.h5", functional, k2), files=("rename mask_detector.model",)),
    "Keras 2 .keras": Kind(CNN, saved("model.keras", functional, k2)),
    "Keras 2 nested base": Kind(SMALL, two_tops(k2, "model.h5")),
    "Keras 2 nested base .keras": Kind(SMALL, two_tops(k2, "model.keras")),
    "Keras 2 SavedModel": Kind(CNN, saved("saved", sequential, k2, save_format="tf")),
    "Keras 2 separable": Kind(Net("separable"), saved("model.h5", sequential, k2)),
    "Keras 2 separable .keras": Kind(Net("separable"), saved("model.keras", functional, k2)),
    "Keras 2 mixed_float16": Kind(CNN, mixed(k2, "model.h5")),
    "Keras 2 RandomFlip": Kind(CNN, random_flip, files=(*INSIDE, "feeds bytes")),
    "Keras 2 TFOpLambda": Kind(CNN._replace(scale="-1..1"), op_lambda, files=(*INSIDE, "feeds bytes")),
    "Keras 2 grayscale": Kind(CNN._replace(colour="GRAY"), saved("model.h5", sequential, k2)),
    "Teachable Machine": Kind(SMALL._replace(scale="x/127-1"), teachable_machine),
    "no InputLayer": Kind(CNN, old_hdf5(without_input_layer)),
    "no InputLayer, batch norm": Kind(NORM, old_hdf5(without_input_layer)),
    "initializers with dtype": Kind(CNN, old_hdf5(typed_initializers, functional)),
    # What must be refused
    "PyTorch .pt": Kind(CNN, zipped("best.pt", *TORCH_ZIP), readable=False, says="PyTorch"),
    "PyTorch old .pth": Kind(
        CNN,
        plain("model.pth", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."),
        readable=False,
        says="PyTorch",
    ),
    "ONNX": Kind(
        CNN, plain("model.onnx", b"\x08\x08\x12\x07pytorch\x1a\x032.1:\x10\x12\x04main"), readable=False, says="ONNX"
    ),
    "pickle": Kind(CNN, plain("model.pkl", pickle.dumps({"a": [1, 2]})), readable=False, says="pickle"),
    "joblib": Kind(CNN, plain("svm.joblib", pickle.dumps([1])), readable=False, says="pickle"),
    "frozen graph": Kind(CNN, frozen_graph, readable=False, says="frozen"),
    "TensorFlow.js": Kind(
        CNN,
        plain("model.json", json.dumps({"format": "layers-model", "modelTopology": {}, "weightsManifest": []})),
        readable=False,
        says="TensorFlow.js",
    ),
    "Teachable Machine zip": Kind(
        CNN, zipped("converted_keras.zip", "keras_model.h5", "labels.txt"), readable=False, says="unzip"
    ),
    "Teachable Machine .tflite": Kind(CNN, tflite_file, readable=False, says="TFLite"),
    "Git LFS pointer": Kind(CNN, plain("mask_detector.model", LFS), readable=False, says="git lfs pull"),
    "HTML": Kind(
        CNN, plain("model.h5", "\n<!DOCTYPE html>\n<html><title>GitHub</title></html>"), readable=False, says="web page"
    ),
    "weights alone": Kind(CNN, weights_only("model.weights.h5"), readable=False, says="weights"),
    "Keras 2 weights alone": Kind(CNN, weights_only("only.h5"), readable=False, says="weights"),
    "cut HDF5": Kind(CNN, damaged(0.6, "model.h5"), readable=False, says="cut short or damaged"),
    "cut .keras": Kind(CNN, damaged(0.6, "model.keras"), readable=False, says="cut short or damaged"),
    "Python source": Kind(
        CNN,
        plain("model.py", "from keras.models import Sequential\nmodel = Sequential()\n"),
        readable=False,
        says="Python",
    ),
    "empty": Kind(CNN, plain("model.keras", b""), readable=False, says="empty"),
    "logits": Kind(CNN, logits, readable=False, says="Softmax"),
    "1000 classes": Kind(CNN, thousand, readable=False, says="1000 classes"),
    "always the same answer": Kind(CNN, spoilt(constant), readable=False, says="same answer"),
    "near chance": Kind(CNN, spoilt(untrained), readable=False, says="chance"),
    # Real models, converted with the wrong words: the pictures know better.
    "labels given the wrong way round": Kind(
        CNN,
        saved("model.keras"),
        knows=("--labels", "without_mask,with_mask", "--pixels", "0..1"),
        misled=True,
        says="--labels with_mask,without_mask",
    ),
    "scaling given wrongly": Kind(
        NORM,
        saved("model.keras"),
        knows=("--labels", "with_mask,without_mask", "--pixels", "0..255"),
        misled=True,
        says="--pixels 0..1",
    ),
}


def held_out(kind: Kind) -> tuple[Array, Array]:
    """RGB bytes of the held-out pictures at the kind's size, and class indices."""
    return read("test", 200, kind.net.height, kind.net.width)


def fed(kind: Kind, images: Array) -> Array:
    """What the author's script feeds."""
    scale = "0..255" if "feeds bytes" in kind.files else kind.net.scale
    return prepared(images, kind.net.colour, scale)


def build(name: str, kind: Kind, cache: Path, root: Path) -> None:
    """Write one kind's file and ``expected.npz``: the model's own answers on the held-out pictures."""
    folder = root / name.replace("/", "-")
    if (folder / "expected.npz").is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "model").mkdir(parents=True)
    made = kind.make(folder / "model", kind.net, weights_of(kind.net, cache))
    path = made.path
    for note in kind.files:
        if note.startswith("rename "):
            path = path.rename(path.parent / note.removeprefix("rename "))
    images, kinds = held_out(kind)
    answers = made.predict(fed(kind, images)) if kind.readable else np.zeros((len(images), kind.net.neurons))
    np.savez(folder / "expected.npz", answers=answers, kinds=kinds, path=str(path.relative_to(folder)))
