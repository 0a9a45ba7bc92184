"""Which layer loses most: the quantized file against the same model unrounded, tensor by tensor.

TFLite's converter names tensors after the graph's operations in both files, so equal names are equal places. What a
tensor lost is the root mean square of the difference as a share of the root mean square of what it should be; it adds
up along the network, so a layer's own loss is what it adds to the loss before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.noise import quiet
from edge.contracts import Floats, Image, TensorSpec

SHOWN = 12


def explain(flatbuffer: bytes, plain: bytes, images: Image) -> tuple[tuple[str, float], ...]:
    """(place, share lost there) of the layers that lose most, most first; ``plain`` is the float32 flatbuffer."""
    rounded, exact = _activations(flatbuffer, images), _activations(plain, images)
    shared = [name for name in rounded if name and name in exact and rounded[name].shape == exact[name].shape]
    losses = {name: _loss(rounded[name], exact[name]) for name in shared}
    before, added = 0.0, []
    for name, loss in losses.items():
        added.append((_short(name), loss - before))
        before = loss
    return tuple(sorted(added, key=lambda pair: -pair[1])[:SHOWN])


def _loss(rounded: Floats, exact: Floats) -> float:
    return float(np.sqrt(np.mean((rounded - exact) ** 2)) / max(1e-9, float(np.sqrt(np.mean(exact**2)))))


def _short(name: str) -> str:
    """The layer a tensor comes out of. Names are ``model_1/layer_1/Op``, joined by ``;`` where several were fused."""
    parts = name.split(";")[0].split("/")
    return "/".join(part.removesuffix("_1") for part in parts[1:-1] if part != "batchnorm") or parts[0]


def _activations(flatbuffer: bytes, images: Image) -> dict[str, Floats]:
    """Every tensor that changes with the picture, by name in the order of computing, as float32 (n, ...)."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with quiet():
        # The reference kernels keep every tensor readable; the default ones fuse layers away.
        interpreter: Any = Interpreter(
            model_content=flatbuffer,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    details = [d for d in interpreter.get_tensor_details() if len(d["shape"]) >= 2 and d["shape"][0] == 1]
    names = {d["index"]: d["name"] for d in details}
    found: dict[int, list[Floats]] = {}
    for image in images:
        interpreter.set_tensor(entry["index"], image[None].astype(entry["dtype"]))
        interpreter.invoke()
        for detail in details:
            value = _value_of(interpreter, detail)
            if value is not None:
                found.setdefault(detail["index"], []).append(value)
    # Some tensors share a name; the last of them is what the operation gives.
    stacked = {names[index]: np.concatenate(values) for index, values in found.items()}
    # Weights are the same for every picture.
    return {name: values for name, values in stacked.items() if values.std(axis=0).max() > 0}


def _value_of(interpreter: Any, detail: dict[str, Any]) -> Floats | None:
    scale, zero_point = detail["quantization"]
    try:
        stored = interpreter.get_tensor(detail["index"])
    except ValueError:  # a tensor of the plan that holds no data
        return None
    spec = TensorSpec(detail["name"], stored.shape, np.dtype(stored.dtype), float(scale), int(zero_point))
    return spec.real(stored)
