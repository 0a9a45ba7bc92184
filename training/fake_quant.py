"""A quantization-aware finish: train a little longer with the int8 file's rounding in the loop.

Post-training quantization rounds every weight to 255 steps a channel and every activation to 256 steps of its range;
MobileNetV2 feels that (Krishnamoorthi 2018, arXiv:1806.08342, section 3.2), here most of all in its 1 x 1 convolutions.
So the same network is called again with both roundings in it, gradients passing straight through (Jacob et al. 2018,
arXiv:1712.05877). Layers are shared; :func:`bake` then writes the rounded weights into the plain model, which is
converted as always: its weights are already what the int8 file can hold, so it loses next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edge.contracts import Floats
from edge.errors import DataError

Range = tuple[float, float]
LEVELS = 127
"""TFLite's int8 weights are symmetric: -127 to 127 steps of each output channel's largest."""
CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def stored_tensors(model: keras.Model) -> list[str]:
    """Return names of the layers whose output the converted file keeps: convolutions fuse with norm and activation."""
    consumers: dict[str, list[keras.layers.Layer]] = {}
    for layer in model.layers:
        for node in layer._inbound_nodes:
            for tensor in node.input_tensors:
                consumers.setdefault(tensor._keras_history.operation.name, []).append(layer)

    def fused(layer: keras.layers.Layer) -> bool:
        after = consumers.get(layer.name, [])
        fusing = (keras.layers.BatchNormalization, keras.layers.ReLU)
        return len(after) == 1 and isinstance(after[0], fusing)

    kinds = (
        keras.layers.Conv2D,
        keras.layers.DepthwiseConv2D,
        keras.layers.BatchNormalization,
        keras.layers.ReLU,
        keras.layers.Add,
        keras.layers.GlobalAveragePooling2D,
    )
    return [layer.name for layer in model.layers if isinstance(layer, kinds) and not fused(layer)]


def measure_ranges(model: keras.Model, inputs: Floats) -> dict[str, Range]:
    """Return the smallest and largest value of each stored tensor, by layer, over (n, height, width, 3) of 0..255."""
    names = stored_tensors(model)
    probe = keras.Model(model.input, {name: model.get_layer(name).output for name in names})
    ranges: dict[str, Range] = {}
    for start in range(0, len(inputs), 32):
        for name, values in probe(inputs[start : start + 32], training=False).items():
            low, high = ranges.get(name, (0.0, 0.0))
            ranges[name] = (min(low, float(np.min(values))), max(high, float(np.max(values))))
    return ranges


class FakeQuant(keras.layers.Layer):
    """Rounds to 256 steps between two fixed values; gradients pass straight through inside them."""

    def __init__(self, low: float, high: float, **options: Any) -> None:
        super().__init__(**options)
        self.low, self.high = low, max(high, low + 1e-6)

    def call(self, values: Any) -> Any:
        """Return the same shape, rounded."""
        return tf.quantization.fake_quant_with_min_max_args(values, self.low, self.high)


class RoundedConvolution(keras.layers.Layer):
    """A convolution with the weights of ``inner``, rounded as the int8 file will store them.

    Raises :class:`edge.errors.DataError` for what it does not compute: an activation inside the layer, or dilation.
    """

    def __init__(self, inner: keras.layers.Layer, **options: Any) -> None:
        super().__init__(**options)
        if inner.activation is not keras.activations.linear:
            name = getattr(inner.activation, "__name__", str(inner.activation))
            raise DataError(
                f"layer {inner.name}: has the activation {name} inside, expected none to train with rounding; make it "
                "a layer of its own after the convolution"
            )
        if set(inner.dilation_rate) != {1}:
            raise DataError(
                f"layer {inner.name}: got dilation {inner.dilation_rate}, expected 1 to train with rounding"
            )
        self.inner = inner

    def call(self, values: Any) -> Any:
        """Compute the inner layer with rounded weights; gradients reach the unrounded ones."""
        kernel = self.inner.kernel
        steps = _step(self.inner, keras.ops.abs(kernel), keras.ops.max)
        rounded = kernel + keras.ops.stop_gradient(keras.ops.round(kernel / steps) * steps - kernel)
        depthwise = isinstance(self.inner, keras.layers.DepthwiseConv2D)
        convolve = keras.ops.depthwise_conv if depthwise else keras.ops.conv
        out = convolve(values, rounded, strides=self.inner.strides, padding=self.inner.padding)
        return out + self.inner.bias if self.inner.use_bias else out


def _step(layer: Any, magnitude: Any, largest: Any) -> Any:
    """Return one quantization step of every output channel, broadcastable to the kernel."""
    axes = (0, 1, 3) if isinstance(layer, keras.layers.DepthwiseConv2D) else (0, 1, 2)
    return largest(magnitude, axis=axes, keepdims=True) / LEVELS + 1e-12


def with_rounding(model: keras.Model, ranges: Mapping[str, Range]) -> keras.Model:
    """Return the same layers, called with rounded weights, and with rounding after each layer that has a range."""

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(layer, CONVOLUTIONS):
            layer = RoundedConvolution(layer, name=f"rounded_{layer.name}")
            name = layer.inner.name
        else:
            name = layer.name
        out = layer(*arguments, **options)
        return FakeQuant(*ranges[name], name=f"round_{name}")(out) if name in ranges else out

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


def bake(model: keras.Model) -> None:
    """Replace every convolution's weights by their rounded values, in place."""
    for layer in model.layers:
        if isinstance(layer, CONVOLUTIONS):
            kernel, *rest = layer.get_weights()
            steps = _step(layer, np.abs(kernel), np.max)
            layer.set_weights([np.rint(kernel / steps) * steps, *rest])
