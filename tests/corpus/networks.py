"""Small networks for the corpus, built alike in Keras 3 and tf_keras, trained once and kept as arrays of weights."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from tests.corpus.pictures import DATA, TRAINING, Array, prepared, read


class Net(NamedTuple):
    """What tells one trained network from another. ``order`` holds classes of the outputs; one neuron: of 0 and 1."""

    body: str = "cnn"
    height: int = 64
    width: int = 64
    colour: str = "RGB"
    scale: str = "0..1"
    order: tuple[str, ...] = ("with_mask", "without_mask")
    neurons: int = 2
    activation: str = "softmax"

    @property
    def channels(self) -> int:
        return 1 if self.colour == "GRAY" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.height, self.width, self.channels


def layers_of(k: Any, net: Net) -> list[Any]:
    """Layers of the body ``net.body`` and its head, without an input layer; ``k`` is keras or tf_keras."""
    ls = k.layers
    head = [ls.Dropout(0.3), ls.Dense(32, activation="relu"), ls.Dense(net.neurons, activation=net.activation)]
    if net.body == "cnn":
        stages = [[ls.Conv2D(n, 3, activation="relu"), ls.MaxPooling2D()] for n in (16, 32, 32)]
        return [layer for stage in stages for layer in stage] + [ls.Flatten(), *head]
    if net.body == "pooled":
        stages = [[ls.Conv2D(n, 3, activation="relu", padding="same"), ls.MaxPooling2D()] for n in (16, 32, 48)]
        return [layer for stage in stages for layer in stage] + [ls.GlobalAveragePooling2D(), *head]
    if net.body == "norm":
        stages = [
            [ls.Conv2D(n, 3, use_bias=False), ls.BatchNormalization(momentum=0.8), ls.ReLU(), ls.MaxPooling2D()]
            for n in (16, 32, 32)
        ]
        return [layer for stage in stages for layer in stage] + [ls.Flatten(), *head]
    if net.body == "norm first":
        return [ls.BatchNormalization(momentum=0.8), *layers_of(k, net._replace(body="cnn"))]
    if net.body == "separable":
        return [
            ls.Conv2D(16, 3, strides=2, activation="swish"),
            ls.SeparableConv2D(32, 3, activation="swish"),
            ls.MaxPooling2D(),
            ls.DepthwiseConv2D(3, activation="relu"),
            ls.Conv2D(32, 1, activation="relu"),
            ls.MaxPooling2D(),
            ls.Flatten(),
            *head,
        ]
    if net.body == "vgg":
        stages = [
            [*(ls.Conv2D(n, 3, activation="relu", padding="same") for _ in range(2)), ls.MaxPooling2D()]
            for n in (8, 16, 32)
        ]
        return [layer for stage in stages for layer in stage] + [ls.Flatten(), *head]
    if net.body in ("residual", "xception", "excite"):
        return [_blocks(k, net), ls.GlobalAveragePooling2D(), *head]
    raise ValueError(net.body)


def _blocks(k: Any, net: Net) -> Any:
    """Nested functional model of three small blocks, of ResNet's, Xception's or EfficientNet's kind."""
    ls, pixels = k.layers, k.Input(net.shape)
    x = ls.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(pixels)
    for n in (16, 32, 48):
        before, norm = x, ls.BatchNormalization(momentum=0.8)
        if net.body == "residual":
            x = ls.ReLU()(norm(ls.Conv2D(n, 3, padding="same", use_bias=False)(x)))
            x = ls.Conv2D(n, 3, padding="same")(x)
        elif net.body == "xception":
            x = norm(ls.SeparableConv2D(n, 3, padding="same", use_bias=False)(ls.Activation("relu")(x)))
        else:
            x = ls.Activation("swish")(norm(ls.Conv2D(n, 3, padding="same", use_bias=False)(x)))
            gate = ls.GlobalAveragePooling2D(keepdims=True)(x)
            gate = ls.Conv2D(n, 1, activation="sigmoid")(ls.Conv2D(8, 1, activation="swish")(gate))
            x = ls.Multiply()([x, gate])
        x = ls.Add()([x, ls.Conv2D(n, 1)(before)])
        x = ls.MaxPooling2D()(x)
    return k.Model(pixels, x)


def base_of(k: Any, net: Net) -> Any:
    """MobileNetV2 without its top, with ImageNet's weights."""
    base = k.applications.MobileNetV2(weights=None, include_top=False, input_shape=net.shape)
    base.set_weights(imagenet())
    base.trainable = False
    return base


def head_of(k: Any, net: Net) -> list[Any]:
    """Head on MobileNetV2: the papers' (7 x 7 average pooling) at 224 pixels, global pooling else."""
    ls = k.layers
    pool = [ls.AveragePooling2D((7, 7)), ls.Flatten()] if net.height == 224 else [ls.GlobalAveragePooling2D()]
    return [
        *pool,
        ls.Dense(128, activation="relu"),
        ls.Dropout(0.5),
        ls.Dense(net.neurons, activation=net.activation),
    ]


def imagenet() -> list[Array]:
    import keras

    base = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(96, 96, 3))
    base.load_weights(DATA / "weights" / "mobilenet_v2_1.0_224_imagenet_no_top.weights.h5")
    return base.get_weights()


def sequential(k: Any, net: Net, before: Sequence[Any] = ()) -> Any:
    """Sequential of the whole network; ``before`` are layers in front of it."""
    if net.body == "mobilenet":
        return k.Sequential([k.Input(net.shape), *before, base_of(k, net), *head_of(k, net)])
    return k.Sequential([k.Input(net.shape), *before, *layers_of(k, net)])


def functional(k: Any, net: Net, before: Sequence[Any] = ()) -> Any:
    """The same as a functional model; MobileNetV2 comes flat, as the papers build it."""
    pixels = k.Input(net.shape)
    x = pixels
    for layer in before:
        x = layer(x)
    if net.body == "mobilenet":
        base = k.applications.MobileNetV2(weights=None, include_top=False, input_tensor=x)
        base.set_weights(imagenet())
        x, rest = base.output, head_of(k, net)
    else:
        rest = layers_of(k, net)
    for layer in rest:
        x = layer(x)
    return k.Model(pixels, x)


def weights_of(net: Net, cache: Path) -> list[Array]:
    """Weights of the trained network: of all layers, or of the head alone for MobileNetV2."""
    file = cache / "networks" / f"{zlib.crc32(repr(net).encode()):08x}.npz"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        weights = _train(net)
        part = file.with_suffix(f".{os.getpid()}.npz")
        np.savez(part, *weights)
        part.replace(file)
    with np.load(file) as arrays:
        return [arrays[name] for name in arrays.files]


def load_weights(model: Any, net: Net, weights: Sequence[Array]) -> Any:
    """``model`` with the trained weights; layers in front of the network must have none."""
    if net.body == "mobilenet":
        total = len(model.get_weights())
        model.set_weights([*model.get_weights()[: total - len(weights)], *weights])
    else:
        model.set_weights(list(weights))
    return model


def wanted(net: Net, kinds: Array) -> Array:
    """What the network is trained to answer: (n,) for one neuron, one-hot (n, neurons) else."""
    index = np.array([net.order.index(("with_mask", "without_mask", "with_incorrect_mask")[k]) for k in kinds])
    return index.astype(np.float32) if net.neurons == 1 else np.eye(net.neurons, dtype=np.float32)[index]


def training_set(net: Net) -> tuple[Array, Array]:
    images, kinds = read("train", TRAINING, net.height, net.width)
    if len(net.order) < 3:
        return images, kinds
    chins = np.stack([chin_mask(image) for image in images[kinds == 1][:400]])
    return np.concatenate([images, chins]), np.concatenate([kinds, np.full(len(chins), 2)])


def chin_mask(image: Array) -> Array:
    """A face with a cloth drawn over its chin, for a third class."""
    made, (height, width) = image.copy(), image.shape[:2]
    cv2.rectangle(made, (int(0.2 * width), int(0.78 * height)), (int(0.8 * width), height), (90, 150, 200), -1)
    return made


def _train(net: Net) -> list[Array]:
    import keras

    keras.utils.set_random_seed(3)
    images, kinds = training_set(net)
    pixels, answers = prepared(images, net.colour, net.scale), wanted(net, kinds)
    loss = "categorical_crossentropy" if net.activation == "softmax" else "binary_crossentropy"
    if net.body == "mobilenet":
        frozen = keras.Sequential([keras.Input(net.shape), base_of(keras, net)])
        pixels = frozen.predict(pixels, batch_size=16, verbose=0)
        model = keras.Sequential([keras.Input(pixels.shape[1:]), *head_of(keras, net)])
    else:
        model = sequential(keras, net)
    rate = 5e-4 if net.scale in ("0..255", "caffe") and net.body != "mobilenet" else 2e-3
    for attempt in range(3):  # a tiny network without batch norm now and then learns nothing
        model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
        model.fit(pixels, answers, epochs=16, batch_size=32, verbose=0)
        accuracy = model.evaluate(pixels, answers, verbose=0)[1]
        if accuracy > 0.92:
            print(f"trained {tuple(net)}: {accuracy:.3f}", flush=True)
            return model.get_weights()
        keras.utils.set_random_seed(4 + attempt)
        model = keras.models.clone_model(model)
    raise RuntimeError(f"{net}: learned only {accuracy:.3f}")
