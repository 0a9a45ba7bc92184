"""What the model expects of a pixel: the most common wrong thing in converted models, so it is found out.

A Rescaling layer inside the file settles it. Otherwise the calibration pictures do: with the right scaling a trained
classifier is sure of itself and answers differently to different pictures; with a wrong one it is unsure, or gives
every picture the same answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from converter.calibrate import Pictures
from converter.load import BATCH, Source
from edge.contracts import Floats, Image
from edge.inference.bundle import Contract, Scaling, Triple


@dataclass(frozen=True, slots=True)
class Pixels:
    """``real = byte * scale + offset``, per channel in ``colour`` order. ``why`` says how it is known."""

    name: str
    scale: Triple
    offset: Triple
    colour: Literal["RGB", "BGR"] = "RGB"
    why: str = ""
    guessed: bool = False

    def apply(self, images: Any) -> Any:
        """Bytes (n, h, w, 3) already in ``colour`` order, as a float32 tensor, to what the model wants."""
        if self.scale == (1.0,) * 3 and self.offset == (0.0,) * 3:
            return images
        return images * np.asarray(self.scale, np.float32) + np.asarray(self.offset, np.float32)

    def of_bytes(self, images: Image) -> Floats:
        """RGB bytes (n, h, w, 3) to what the model wants."""
        ordered = images if self.colour == "RGB" else images[..., ::-1]
        return np.asarray(self.apply(ordered.astype(np.float32)), np.float32)

    @property
    def scaling(self) -> Scaling:
        """The same as a contract keeps it; the colour order stands beside it there."""
        return Scaling(name=self.name, scale=self.scale, offset=self.offset, why=self.why, guessed=self.guessed)


def _even(name: str, scale: float, offset: float) -> Pixels:
    return Pixels(name, (scale,) * 3, (offset,) * 3)


SCALINGS: dict[str, Pixels] = {
    "-1..1": _even("-1..1", 1 / 127.5, -1.0),
    "0..1": _even("0..1", 1 / 255, 0.0),
    "0..255": _even("0..255", 1.0, 0.0),
    # keras.applications.imagenet_utils, modes "torch" and "caffe" (there B, G, R: the means are in that order).
    "torch": Pixels(
        "torch",
        (1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
        (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
    ),
    "caffe": Pixels("caffe", (1.0,) * 3, (-103.939, -116.779, -123.68), "BGR"),
}
PREPROCESSING_LAYERS = ("Rescaling", "Normalization")
PREPROCESSING_OPS = ("truedivide", "divide", "subtract", "multiply")
"""What preprocess_input becomes when it is called on a Keras input: a nameless op as a layer."""
PROBES = 24
CLEAR_LEAD = 0.05
"""Of the score (0..1) by which the best scaling must lead; under it the guess is told to be a weak one."""


def find_pixels(source: Source, pictures: Pictures, asked: str, colour: str) -> Pixels:
    """How bytes become what ``source`` was trained on; ``asked`` and ``colour`` are options, ``auto`` finds out."""
    found = _asked_or_found(source, pictures, asked)
    if colour != "auto":
        return replace(found, colour="BGR" if colour == "BGR" else "RGB")
    return found


def pixels_of(contract: Contract) -> Pixels | None:
    """What a file's maker concluded; None where it was not recorded."""
    kept = contract.scaling
    if kept is None:
        return None
    return Pixels(kept.name, kept.scale, kept.offset, contract.input.colour, kept.why, kept.guessed)


def _asked_or_found(source: Source, pictures: Pictures, asked: str) -> Pixels:
    if asked != "auto":
        return replace(SCALINGS[asked], why="as asked with --pixels")
    inside = scaling_layer(source.keras_model)
    if inside:
        return replace(SCALINGS["0..255"], why=f"its layer {inside!r} scales pixels itself")
    if source.task == "detector":
        return replace(SCALINGS["0..255"], why="detectors of fmd-train take bytes")
    return _by_pictures(source, pictures)


def scaling_layer(model: Any) -> str:
    """Name of a layer that scales pixels before the first convolution, through nested models; empty if none does."""
    for layer in _leaves(model):
        kind = type(layer).__name__
        if kind in PREPROCESSING_LAYERS or (kind.lower() in PREPROCESSING_OPS and len(_inputs_of(layer)) == 1):
            return str(layer.name)
        if "Conv" in kind or kind == "Dense":
            return ""
    return ""


def _leaves(model: Any) -> Iterator[Any]:
    for layer in getattr(model, "operations", None) or getattr(model, "layers", None) or ():
        if getattr(layer, "layers", None):
            yield from _leaves(layer)
        else:
            yield layer


def _inputs_of(layer: Any) -> Sequence[Any]:
    found = getattr(layer, "input", None)
    return found if isinstance(found, list | tuple) else [found]


def _by_pictures(source: Source, pictures: Pictures) -> Pixels:
    chosen = np.linspace(0, len(pictures) - 1, min(PROBES, len(pictures))).astype(int)
    probes = Pictures(
        pictures.images[chosen], tuple(pictures.labels[i] for i in chosen), tuple(pictures.names[i] for i in chosen)
    )
    judge, what = _judge_of(source)
    scored = sorted(((judge(p, probes), p) for p in SCALINGS.values()), key=lambda pair: -pair[0])
    # Of those that are equally good the more usual is taken: SCALINGS is in that order.
    level = [p for score, p in scored if score >= scored[0][0] - CLEAR_LEAD]
    winner = min(level, key=lambda p: list(SCALINGS).index(p.name))
    scores = ", ".join(f"{p.name} {score:.2f}" for score, p in scored)
    doubt = "" if len(level) == 1 else "; that is close, so say it with --pixels if you know"
    return replace(winner, why=f"by {what}, on {len(probes)} pictures: {scores}{doubt}", guessed=True)


def _judge_of(source: Source) -> tuple[Callable[[Pixels, Pictures], float], str]:
    """What scores a scaling, 0..1, and its name."""
    norm = first_norm(source.keras_model)
    if norm is None:
        return (lambda pixels, probes: _score(source, pixels, probes)), "how sensible its answers are"
    return (lambda pixels, probes: _fits_norm(norm, pixels, probes)), "what its first batch norm was trained on"


def first_norm(model: Any) -> tuple[Any, Any] | None:
    """The first batch norm as (model up to its input, layer), through nested models; None where there is none.

    Only what stands first is entered: what lies before a nested model otherwise would be left out.
    """
    import keras

    for layer in getattr(model, "layers", None) or ():
        if type(layer).__name__ == "BatchNormalization":
            return keras.Model(model.inputs, layer.input), layer
        if getattr(layer, "layers", None):
            return first_norm(layer)
    return None


def _fits_norm(norm: tuple[Any, Any], pixels: Pixels, probes: Pictures) -> float:
    """How near mean and variance before a batch norm come to the remembered ones, 0..1."""
    front, layer = norm
    before = np.asarray(front.predict(pixels.of_bytes(probes.images), batch_size=BATCH, verbose=0))
    axes = tuple(range(before.ndim - 1))
    mean, variance = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance) + 1e-3
    away = np.abs(before.mean(axis=axes) - mean) / np.sqrt(variance)
    wider = np.abs(np.log((before.var(axis=axes) + 1e-3) / variance))
    return float(1 / (1 + np.median(away + wider)))


def _score(source: Source, pixels: Pixels, probes: Pictures) -> float:
    """How sensible the answers are, 0..1: the share right under the best label order, else how much they tell."""
    answers = full_probabilities(source.predict(probes.images, pixels.of_bytes)[0])
    if not np.isfinite(answers).all():
        return -1.0
    told = information(answers)
    if len(set(probes.labels) - {""}) < 2:
        return told
    return (best_order(answers, probes.labels)[1] + told) / 2


def full_probabilities(answers: Floats) -> Floats:
    """(n, labels) probabilities of a classifier's raw answers (n, 1) or (n, labels)."""
    if answers.shape[1] == 1:
        answers = np.concatenate([1 - answers, answers], axis=1)
    return np.asarray(answers / np.maximum(answers.sum(axis=1, keepdims=True), 1e-9), np.float32)


def information(answers: Floats) -> float:
    """Mutual information of picture and label as a share of the most there can be: sure, and not always the same."""
    clipped = np.clip(answers, 1e-9, 1)
    each = -(clipped * np.log(clipped)).sum(axis=1).mean()
    mean = clipped.mean(axis=0)
    return float((-(mean * np.log(mean)).sum() - each) / np.log(answers.shape[1]))


def best_order(answers: Floats, labels: Sequence[str]) -> tuple[tuple[str, ...], float]:
    """The order of the classes' names under which most labelled pictures are right, and that share.

    Where the model has more outputs than there are classes the rest are named by ``output N``.
    """
    known = np.array([i for i, label in enumerate(labels) if label])
    got = answers[known].argmax(axis=1)
    best: tuple[tuple[str, ...], float] = ((), -1.0)
    for order in _orders(sorted(set(labels) - {""}), answers.shape[1]):
        right = float(np.mean([order[g] == labels[i] for g, i in zip(got, known, strict=True)]))
        if right > best[1]:
            best = (order, right)
    return best


def _orders(classes: Sequence[str], outputs: int) -> Iterator[tuple[str, ...]]:
    names = list(classes) + [f"output {i}" for i in range(len(classes), outputs)]
    if len(names) > 6:  # 720 orders; more would take longer than the conversion
        yield tuple(names)[:outputs]
        return
    for order in itertools.permutations(names):
        yield order[:outputs]
