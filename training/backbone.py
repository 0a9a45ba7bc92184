"""MobileNetV2 with ImageNet weights, taking raw RGB bytes, its batch norms fixed."""

from __future__ import annotations

from pathlib import Path

import keras

from edge.errors import DataError


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
