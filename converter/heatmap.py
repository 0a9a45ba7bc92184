"""A second output that shows where the model looked: class activation maps (Zhou et al. 2016, arXiv:1512.04150).

A classifier that averages its last convolution's features and weighs the averages gives, weighing before averaging,
a map for every label. That is one 1 x 1 convolution with the last layer's own weights: next to nothing to compute,
and the labels' own branch is left as it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from converter.load import Source
from converter.pixels import full_probabilities
from edge.contracts import Box, Floats, Heat, Image
from edge.errors import ConversionError
from edge.reporting.annotate import draw_heat
from edge.stages.classify import heat_of

BETWEEN = ("Dropout", "Flatten", "Reshape", "ActivityRegularization", "InputLayer")
"""Layers between pooling and the last one that change nothing at inference but the shape."""


def with_heatmap(source: Source) -> Source:
    """The same classifier with a second output (n, height, width, neurons), a map for each neuron.

    Raises :class:`edge.errors.ConversionError` where it does not end in average pooling and one dense layer.
    """
    import keras
    import tensorflow as tf

    pool, dense = _head_of(source)
    # Layers hold the graph's own tensors; what went into the pooling is the last feature map.
    maps = keras.layers.Conv2D(dense.units, 1, use_bias=False, name="heatmap")
    model = keras.Model(source.keras_model.inputs, [source.keras_model.outputs[0], maps(pool.input)])
    maps.set_weights([dense.get_weights()[0][None, None]])

    def forward(pixels: Any) -> tuple[Any, ...]:
        return tuple(model(pixels, training=False))

    return replace(source, forward=forward, compiled=tf.function(forward), model=model)


def _head_of(source: Source) -> tuple[Any, Any]:
    layers = [layer for layer in getattr(source.keras_model, "layers", ()) if type(layer).__name__ not in BETWEEN]
    pool: Any
    dense: Any
    pool, dense = layers[-2:] if len(layers) > 1 else (None, None)
    whole = type(pool).__name__ == "GlobalAveragePooling2D" or (
        type(pool).__name__ == "AveragePooling2D" and tuple(pool.output.shape[1:3]) == (1, 1)
    )
    if type(dense).__name__ != "Dense" or not whole or source.task != "classifier":
        ends = " -> ".join(type(layer).__name__ for layer in layers[-3:]) or "a SavedModel"
        raise ConversionError(
            f"--heatmap: {source.path} ends in {ends}, expected average pooling and then one Dense layer; leave it away"
        )
    return pool, dense


def overlay(image: Image, answer: Floats, maps: Floats) -> Image:
    """A copy of a model's input (height, width, 3) RGB under the map of the label it was given.

    ``answer`` (neurons,) and ``maps`` (h, w, neurons) are what the model said of it. The edge draws the same.
    """
    label = int(full_probabilities(answer[None])[0].argmax())
    shown, (height, width) = image.copy(), image.shape[:2]
    draw_heat(shown, Heat(Box(0, 0, width, height), heat_of(maps, label)))
    return shown
