"""What a Keras model's layers say about its input and output, the same for Keras 3 and tf_keras."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

SCALERS = ("Rescaling", "Normalization", "Lambda")
SCALING_OPS = ("truedivide", "divide", "subtract", "multiply", "tfoplambda", "slicingoplambda")
"""What preprocess_input becomes when it is called on a Keras input: a nameless operation as a layer."""


@dataclass(frozen=True, slots=True)
class Structure:
    """``activation`` is the last layer's, empty where unknown. ``scaler`` is the layer that seems to scale pixels.

    ``family`` is ``mobilenet`` where depthwise convolutions follow (its authors scale to -1..1), else empty.
    ``takes_bytes``: the input tensor is an integer type. ``head`` are the types of the last layers.
    """

    activation: str = ""
    scaler: str = ""
    family: str = ""
    takes_bytes: bool = False
    head: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def structure_of(model: Any) -> Structure:
    """Structure of a Keras model, through nested models."""
    layers = list(leaves(model))
    kinds = [type(layer).__name__ for layer in layers]
    return Structure(
        activation=_activation_of(model),
        scaler=_scaler(layers),
        family="mobilenet" if "DepthwiseConv2D" in kinds else "",
        head=tuple(kinds[-4:]),
    )


def leaves(model: Any) -> Iterator[Any]:
    """Layers in order, nested models opened."""
    for layer in getattr(model, "operations", None) or getattr(model, "layers", None) or ():
        if getattr(layer, "layers", None):
            yield from leaves(layer)
        else:
            yield layer


def _scaler(layers: Sequence[Any]) -> str:
    """Name of a layer that scales pixels before the first convolution; empty if none does."""
    for layer in layers:
        kind = type(layer).__name__
        if kind in SCALERS or (kind.lower() in SCALING_OPS and len(_inputs_of(layer)) == 1):
            return str(layer.name)
        if "Conv" in kind or kind == "Dense":
            return ""
    return ""


def _inputs_of(layer: Any) -> Sequence[Any]:
    found = getattr(layer, "input", None)
    return found if isinstance(found, list | tuple) else [found]


def _activation_of(model: Any) -> str:
    layers = list(getattr(model, "layers", []))
    while layers and type(layers[-1]).__name__ in ("Dropout", "Flatten", "Reshape"):
        layers.pop()
    if not layers:
        return ""
    last = layers[-1]
    if type(last).__name__ == "Softmax":
        return "softmax"
    if getattr(last, "layers", None):
        return _activation_of(last)
    return str(getattr(getattr(last, "activation", None), "__name__", ""))


def in_float32(model: Any, keras: Any) -> Any:
    """The model with all layers computing in float32, weights kept; itself where they do already.

    Mixed precision is an aid of training on a GPU; TFLite's float16 is another thing and chosen by --scheme.
    """
    if all(getattr(layer, "compute_dtype", "float32") in ("float32", None) for layer in leaves(model)):
        return model
    config = _full_precision(model.get_config())
    rebuilt = type(model).from_config(config)
    if not rebuilt.built:
        rebuilt.build(model.input_shape)
    rebuilt.set_weights(model.get_weights())
    return rebuilt


def _full_precision(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _full_precision(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_full_precision(item) for item in value)
    return "float32" if value in ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64") else value
