"""More kinds of model files, as strangers on the internet make them: other architectures, sizes, orders and names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.corpus import kinds
from tests.corpus.kinds import (
    BARE_FIRST,
    CNN,
    INSIDE,
    NORM,
    PAPERS,
    Kind,
    Made,
    behind,
    k2,
    k3,
    load_weights,
    predict_of,
    saved,
    trained,
    with_text,
)
from tests.corpus.networks import Net, functional, layers_of, sequential
from tests.corpus.pictures import Array


def two_heads(folder: Path, net: Net, weights: list[Array]) -> Made:
    """Functional model with two outputs: the labels, and a box beside them."""
    keras = k3()
    inner = trained(sequential(keras, net), net, weights)
    pixels = keras.Input(net.shape)
    x = pixels
    for layer in inner.layers[:-1]:
        x = layer(x)
    model = keras.Model(pixels, [inner.layers[-1](x), keras.layers.Dense(4, name="box")(x)])
    model.save(folder / "model.keras")
    return Made(folder / "model.keras", lambda pictures: np.asarray(model.predict(pictures, verbose=0)[0]))


def tensorflow_functions(folder: Path, net: Net, weights: list[Array]) -> Made:
    """Activations given as functions of TensorFlow, as its first tutorials do: Dense(2, activation=tf.nn.softmax)."""
    import tensorflow as tf

    ls = k3().layers
    body = layers_of(k3(), net._replace(activation=tf.nn.softmax))
    body[-2] = ls.Dense(32, activation=tf.nn.relu)
    model = load_weights(k3().Sequential([k3().Input(net.shape), *body]), net, weights)
    model.save(folder / "model.keras")
    return Made(folder / "model.keras", predict_of(model))


def nameless_signature(folder: Path, net: Net, weights: list[Array]) -> Made:
    """SavedModel of a plain module, saved without naming a signature: TensorFlow takes its one function for it."""
    import tensorflow as tf

    model = trained(sequential(k3(), net), net, weights)
    holder = tf.Module()
    holder.kept = model.variables
    holder.run = tf.function(lambda x: model(x, training=False), input_signature=[tf.TensorSpec((None, *net.shape))])
    tf.saved_model.save(holder, folder / "exported")
    return Made(folder / "exported", predict_of(model))


def augmented_first(library: Any, name: str) -> Any:
    """Sequential whose first layer is a Sequential of augmentation, then Rescaling: TensorFlow's own tutorial."""

    def make(folder: Path, net: Net, weights: list[Array]) -> Made:
        keras = library()
        ls = keras.layers
        front = keras.Sequential(
            [keras.Input(net.shape), ls.RandomFlip("horizontal"), ls.RandomRotation(0.1), ls.RandomZoom(0.1)]
        )
        model = keras.Sequential([keras.Input(net.shape), front, ls.Rescaling(1.0 / 255), *layers_of(keras, net)])
        own = model.get_weights()
        floats = [i for i, w in enumerate(own) if w.dtype == np.float32]
        for i, w in zip(floats, weights, strict=True):
            own[i] = w
        model.set_weights(own)
        model.save(folder / name)
        return Made(folder / name, predict_of(model))

    return make


def flipped_sigmoid(folder: Path, net: Net, weights: list[Array]) -> Made:
    """One neuron that is 1 minus what it was: a Lambda-free inversion by its weights."""
    changed = [*weights[:-2], -weights[-2], -weights[-1]]
    model = trained(sequential(k3(), net), net, changed)
    model.save(folder / "model.h5")
    return Made(folder / "model.h5", predict_of(model))


def old_2_2(folder: Path, net: Net, weights: list[Array]) -> Made:
    """Keras 2.2.4 (not TensorFlow's): the config of Sequential is a bare list without an input layer."""
    import h5py

    model = load_weights(sequential(k2(), net), net, weights)
    model.save(folder / "model.h5")
    with h5py.File(folder / "model.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        layers = config["config"]["layers"]
        shape = layers.pop(0)["config"]["batch_input_shape"]
        layers[0]["config"]["batch_input_shape"] = shape
        for layer in layers:
            for extra in ("module", "registered_name", "build_config"):
                layer.pop(extra, None)
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": layers}).encode()
        file.attrs["keras_version"] = b"2.2.4"
        file.attrs["backend"] = b"tensorflow"
        if "training_config" in file.attrs:
            del file.attrs["training_config"]
    return Made(folder / "model.h5", predict_of(model))


def in_folder(make: Any, name: str) -> Any:
    """The same in a folder with spaces and letters of another alphabet."""

    def both(folder: Path, net: Net, weights: list[Array]) -> Made:
        place = folder / name
        place.mkdir()
        return make(place, net, weights)

    return both


def renamed(make: Any, name: str) -> Any:
    def both(folder: Path, net: Net, weights: list[Array]) -> Made:
        made = make(folder, net, weights)
        return Made(made.path.rename(made.path.with_name(name)), made.predict)

    return both


VGG100 = Net("vgg", 100, 100)
RUSSIAN = "В маске\nБез маски\n"

KINDS: dict[str, Kind] = {
    **kinds.KINDS,
    "VGG style 100": Kind(VGG100, saved("model.h5")),
    "VGG style 150, sigmoid": Kind(Net("vgg", 150, 150, neurons=1, activation="sigmoid"), saved("model-010.h5")),
    "ResNet style, caffe": Kind(Net("residual", scale="caffe", colour="BGR"), saved("resnet.keras")),
    "Xception style, -1..1": Kind(Net("xception", scale="-1..1"), saved("xception.h5")),
    "EfficientNet style, bytes": Kind(Net("excite", scale="0..255"), saved("effnet.keras")),
    "grayscale 48": Kind(Net("cnn", 48, 48, colour="GRAY", order=BARE_FIRST), saved("model-008.model.h5")),
    "grayscale 100": Kind(Net("cnn", 100, 100, colour="GRAY"), saved("model-017.h5")),
    "augmentation first": Kind(CNN, augmented_first(k3, "model.keras"), files=(*INSIDE, "feeds bytes")),
    "Keras 2 augmentation first": Kind(CNN, augmented_first(k2, "model.h5"), files=(*INSIDE, "feeds bytes")),
    "functions of TensorFlow": Kind(CNN, tensorflow_functions),
    "two outputs": Kind(CNN, two_heads, readable=False, says="has 2 outputs"),
    "SavedModel without signature": Kind(CNN, nameless_signature),
    "sigmoid inverted": Kind(Net(neurons=1, activation="sigmoid", order=("without_mask", "with_mask")), saved("m.h5")),
    "Keras 2.2.4 bare list": Kind(CNN, old_2_2),
    "Russian labels": Kind(
        CNN, with_text(saved("model.keras"), "labels.txt", RUSSIAN), called=("В маске", "Без маски")
    ),
    "labels with spaces": Kind(
        CNN,
        with_text(saved("model.h5"), "labels.txt", "0 Wearing a mask\n1 Not wearing a mask\n"),
        called=("Wearing a mask", "Not wearing a mask"),
    ),
    "labels with tabs": Kind(
        CNN, with_text(saved("model.h5"), "labels.txt", "\ufeff0\tmask\r\n1\tnomask\r\n"), called=("mask", "nomask")
    ),
    "labels file the wrong way round": Kind(
        CNN, with_text(saved("model.h5"), "labels.txt", "without_mask\nwith_mask\n")
    ),
    "three labels, mask incorrect nomask": Kind(
        NORM._replace(neurons=3, order=("with_mask", "with_incorrect_mask", "without_mask")),
        with_text(saved("model.keras"), "labels.txt", "Mask\nincorrect\nnomask\n"),
        called=("Mask", "incorrect", "nomask"),
    ),
    "three labels, incorrect first": Kind(
        NORM._replace(neurons=3, order=("with_incorrect_mask", "with_mask", "without_mask")), saved("model.keras")
    ),
    "spaces and Cyrillic": Kind(CNN, in_folder(saved("моя модель.keras"), "папка с 'quote' и пробелом")),
    "spaces and Cyrillic, Keras 2": Kind(CNN, in_folder(saved("моя модель.h5", sequential, k2), "папка $HOME")),
    "percent in name": Kind(CNN, renamed(saved("model.h5"), "mask 100% {final} (2).h5")),
    "Rescaling and 0..1 outside": Kind(
        CNN, behind("model.keras", lambda k: [k.layers.Rescaling(255.0), k.layers.Rescaling(1 / 255)])
    ),
    "papers, Keras 2": Kind(PAPERS, saved("mask_detector.h5", functional, k2)),
    "papers, trained on 0..1": Kind(PAPERS._replace(scale="0..1"), saved("mask_detector.keras", functional)),
    "papers, BGR": Kind(PAPERS._replace(colour="BGR", order=BARE_FIRST), saved("mask_detector.keras", functional)),
}
