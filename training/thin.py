"""Make MobileNetV2 thinner: drop the channels inside its blocks that the rest of a block can replace.

Which go, and what the rest must do instead, is least squares: the optimal brain surgeon (Hassibi and Stork 1992) on
the 1 x 1 convolution that ends a block, whose squared error is exactly quadratic in its weights. Reconstruction on
real activations is how channels are pruned since He et al. 2017 (arXiv:1707.06168). A short training run follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from converter.tables import Picture
from edge.contracts import Floats
from training import detector
from training.data import load_faces

Doubles = npt.NDArray[np.float64]

POSITIONS = 12_000
"""Places in the pictures at which a block's activations are recorded: a dozen a channel for the widest."""
RIDGE = 1e-4
"""Share of the mean variance added to every channel's: some are constant, and their matrix has no inverse."""


PICTURES = 48
"""Augmented training pictures on which a detector's activations are recorded."""


def thinner_detector(model: keras.Model, pictures: Sequence[Picture], size: int, keep: float) -> keras.Model:
    """Return a detector with the share ``keep`` of channels, for an input of ``size`` pixels, chosen on pictures."""
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(pictures), min(4 * PICTURES, len(pictures)), replace=False)
    pool = [[load_faces(pictures[i]) for i in chosen]]
    shown = np.stack([detector.sample(pool, size, rng)[0] for _ in range(PICTURES)]).astype(np.float32)
    # What reads the channels inside these two blocks is not only the end of the block.
    read_elsewhere = tuple(tap.removesuffix("_expand_relu") for tap in detector.TAPS if tap.endswith("_expand_relu"))
    return thinner(detector.resized(model, size, size), shown, keep, read_elsewhere)


def thinner(model: keras.Model, pictures: Floats, keep: float, spare: tuple[str, ...] = ()) -> keras.Model:
    """Return a copy of ``model`` whose blocks keep the share ``keep`` of their channels inside.

    ``pictures`` (n, H, W, 3) RGB 0..255 is what it should still see as before. ``spare`` names blocks left as they
    are, such as those whose inner channels something else reads. Blocks are thinned front to back, each on what the
    thinner ones before it give, so errors are made good instead of adding up.
    """
    blocks = [layer.name[: -len("_expand")] for layer in model.layers if layer.name.endswith("_expand")]
    for block in (name for name in blocks if name not in spare):
        kept, kernel, bias = _thinned_block(model, block, pictures, keep)
        model = _with_fewer(model, block, kept, kernel, bias)
        print(f"{block}: {len(kept)} channels kept", flush=True)
    return model


def _thinned_block(model: keras.Model, block: str, pictures: Floats, keep: float) -> tuple[Any, Floats, Floats]:
    """Return the channels kept (k,), and kernel (k, out) and offset (out,) of the block's last convolution."""
    inside = keras.Model(model.input, model.get_layer(f"{block}_depthwise_relu").output)
    rng = np.random.default_rng(0)
    flat = np.concatenate(
        [
            _some(inside.predict(part, verbose=0), rng, POSITIONS * len(part) // len(pictures))
            for part in _parts(pictures)
        ]
    ).astype(np.float64)
    kernel = model.get_layer(f"{block}_project").get_weights()[0][0, 0].astype(np.float64)
    kept, thinned = surgeon(flat, kernel, max(8, 8 * round(keep * flat.shape[1] / 8)))
    offset = flat.mean(axis=0) @ kernel - flat[:, kept].mean(axis=0) @ thinned
    return kept, thinned.astype(np.float32), offset.astype(np.float32)


def surgeon(inputs: Doubles, kernel: Doubles, count: int) -> tuple[npt.NDArray[np.intp], Doubles]:
    """Return the ``count`` columns of ``inputs`` (n, c) that best give ``inputs @ kernel`` (c, out), up to a constant.

    Returns them in order, with the kernel (count, out) that does. One at a time the column goes whose loss costs
    least squared error, |w|^2 / H^-1, and the others take over its part (Hassibi and Stork 1992, eq. 5).
    """
    centred = inputs - inputs.mean(axis=0)
    moments = centred.T @ centred
    moments += RIDGE * np.trace(moments) / len(moments) * np.eye(len(moments))
    inverse, weights = np.linalg.inv(moments), kernel.copy()
    kept = np.arange(len(kernel))
    while len(kept) > count:
        worst = int(np.argmin((weights**2).sum(axis=1) / np.diag(inverse)))
        column = inverse[:, worst] / inverse[worst, worst]
        weights = np.delete(weights - np.outer(column, weights[worst]), worst, axis=0)
        inverse = np.delete(np.delete(inverse - np.outer(column, inverse[worst]), worst, axis=0), worst, axis=1)
        kept = np.delete(kept, worst)
    return kept, weights


def _some(activations: Floats, rng: np.random.Generator, count: int) -> Floats:
    flat = activations.reshape(-1, activations.shape[-1])
    return np.asarray(flat[rng.choice(len(flat), min(count, len(flat)), replace=False)])


def _parts(pictures: Floats) -> list[Floats]:
    return np.array_split(pictures, max(1, len(pictures) // 16))


def _with_fewer(
    model: keras.Model, block: str, kept: npt.NDArray[np.intp], kernel: Floats, offset: Floats
) -> keras.Model:
    """Return ``model`` with one block's channels cut down to ``kept`` and its last convolution replaced."""

    def narrowed(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer.name == f"{block}_expand":
            config["filters"] = len(kept)
        return type(layer).from_config(config)

    inner = {f"{block}_expand", f"{block}_expand_BN", f"{block}_depthwise", f"{block}_depthwise_BN"}
    thinned = keras.models.clone_model(model, clone_function=narrowed)
    for layer in model.layers:
        weights = layer.get_weights()
        if layer.name in inner:
            weights = [_cut(w, kept, layer.name.endswith("_depthwise")) for w in weights]
        elif layer.name == f"{block}_project":
            weights = [kernel[None, None]]
        elif layer.name == f"{block}_project_BN":
            scale, shift, mean, variance = weights
            # The norm is fixed, so what the dropped channels gave on average can go into its mean.
            weights = [scale, shift, mean - offset, variance]
        if weights:
            thinned.get_layer(layer.name).set_weights(weights)
    return thinned


def _cut(weights: Floats, kept: npt.NDArray[np.intp], depthwise: bool) -> Floats:
    """Return a kernel's or norm's channels ``kept``: the last axis, but the one before it of a depthwise kernel."""
    return np.asarray(weights[:, :, kept] if depthwise else weights[..., kept])
