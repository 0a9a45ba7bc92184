"""A second output that shows which part of the picture decided: class activation maps (Zhou et al. 2016,
arXiv:1512.04150).

A classifier that averages its last convolution's features and weighs the averages gives, weighing before averaging, a
map for every label: one 1 x 1 convolution with the last layer's own weights. A head of two dense layers (the
tutorials') is not linear; its map takes the hidden layer, with its activation, at every place before averaging.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.contracts import Box, Floats, Heat, Image
from edge.errors import ConversionError
from edge.reporting.annotate import draw_heat
from edge.stages.classify import heat_of

BETWEEN = ("Dropout", "Flatten", "Reshape", "ActivityRegularization", "InputLayer")
"""Layers between pooling and the last one that change nothing at inference but the shape."""
SUPPORTED = "average pooling, then one or two Dense layers (Dropout and Flatten may stand between them)"


def mapped_model(model: Any, path: Path, keras: Any) -> Any:
    """The same classifier with a second output (n, height, width, neurons), a map for each neuron.

    ``keras`` is the library that made it (Keras 3 or tf_keras). Raises ConversionError where the head is another than
    :data:`SUPPORTED`.
    """
    body, pool, dense = _head_of(model, path)
    features = pool.input
    for i, layer in enumerate(dense):
        last = i == len(dense) - 1
        made = keras.layers.Conv2D(
            layer.units,
            1,
            use_bias=not last and layer.use_bias,
            activation=None if last else layer.activation,
            name="heatmap" if last else f"heatmap_{i}",
        )
        features = made(features)
        kernel, *bias = layer.get_weights()
        made.set_weights([kernel[None, None], *([] if last else bias)])
    return keras.Model(body.inputs, [body.outputs[0], features])


def _head_of(model: Any, path: Path) -> tuple[Any, Any, list[Any]]:
    """(model, pooling layer, dense layers after it)."""
    layers = [layer for layer in getattr(model, "layers", ()) if type(layer).__name__ not in BETWEEN]
    kinds = [type(layer).__name__ for layer in layers]
    dense = next((i for i, kind in enumerate(reversed(kinds)) if kind != "Dense"), len(kinds))
    pool: Any = layers[-dense - 1] if 1 <= dense <= 2 and len(layers) > dense else None
    whole = type(pool).__name__ == "GlobalAveragePooling2D" or (
        type(pool).__name__ == "AveragePooling2D" and tuple(pool.output.shape[1:3]) == (1, 1)
    )
    if not whole:
        ends = " -> ".join(kinds[-3:]) or "layers that are not known"
        raise ConversionError(f"--heatmap: {path} ends in {ends}; expected {SUPPORTED}; convert without --heatmap")
    return model, pool, layers[-dense:]


def overlay(image: Image, answer: Floats, maps: Floats) -> Image:
    """A copy of a model's input (height, width, 3) RGB under the map of the label it was given.

    ``answer`` (neurons,) and ``maps`` (h, w, neurons) are the model's answers to it. The edge draws the same.
    """
    label = int(answer.argmax()) if len(answer) > 1 else int(answer[0] > 0.5)
    shown, (height, width) = image.copy(), image.shape[:2]
    draw_heat(shown, Heat(Box(0, 0, width, height), heat_of(maps, label)))
    return shown
