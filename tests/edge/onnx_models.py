"""Small ONNX models for tests: a classifier of average colours, with a real contract and golden inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.inference.bundle import pack, sha256
from tests.edge.parts import LABELS, SIZE, contract, texture

WEIGHTS = np.array([[8, -4, -4], [-4, 8, -4], [-4, -4, 8]], np.float32) / 100


def graph(*extra_nodes: Any, outputs: tuple[str, ...] = (), **more: Any) -> Any:
    """Return the graph: mean of each channel, a layer, softmax.

    ``outputs`` name further outputs, of extra nodes; ``more`` are further arguments of make_graph.
    """
    onnx = pytest.importorskip("onnx", reason="pip install '.[onnx]'")
    from onnx import TensorProto, helper, numpy_helper

    assert onnx is not None
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
        *extra_nodes,
    ]
    return helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, SIZE, SIZE, 3])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 3]),
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs),
        ],
        [numpy_helper.from_array(WEIGHTS, "weights")],
        **more,
    )


def proto(made: Any = None) -> Any:
    """Return a model of a graph, as tf2onnx makes one."""
    pytest.importorskip("onnx", reason="pip install '.[onnx]'")
    from onnx import helper

    return helper.make_model(made or graph(), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def answers(pixels: Any) -> Any:
    """Return what the model answers to (n, SIZE, SIZE, 3) bytes, computed with NumPy: (n, 3) float32."""
    logits = pixels.astype(np.float64).mean(axis=(1, 2)) @ WEIGHTS
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def bundle_bytes(model: bytes | None = None, change: float = 0.0) -> bytes:
    """Return a whole file; ``change`` is added to the golden outputs."""
    network = proto().SerializeToString() if model is None else model
    # A picture that is red, one green, one blue: their answers lie far apart.
    inputs = np.stack([texture(SIZE, SIZE, k) // np.where(np.arange(3) == k, 1, 8).astype(np.uint8) for k in range(3)])
    golden = {"inputs": inputs, "output_0": answers(inputs) + np.float32(change)}
    about = contract("classifier", sha256=sha256(network), labels=LABELS, quantization="float32")
    return pack(network, about, golden)


def write_bundle(folder: Path, change: float = 0.0) -> Path:
    """Write the file as mask.onnx and return its path."""
    path = folder / "mask.onnx"
    path.write_bytes(bundle_bytes(change=change))
    return path
