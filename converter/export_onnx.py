"""Source -> ONNX beside the TFLite file, with the same contract and the same proof, for onnxruntime on a Jetson's GPU.

Float32 holding bytes 0..255 goes in, (1, height, width, 3) RGB; TensorRT chooses its own precision when it builds an
engine on the device. :mod:`edge.inference.onnx_file` describes the file.
"""

from __future__ import annotations

import importlib.util

import msgspec

from converter.load import Source
from converter.noise import quiet
from converter.quantize import graph_of
from converter.scaling import Pixels
from edge.errors import ConversionError, RuntimeMissingError
from edge.inference.bundle import Contract, sha256

OPSET = 17
"""Understood by TensorRT 8.6 (JetPack 6) and later."""
NEEDED = ("tf2onnx", "onnx", "onnxruntime")


def check_onnx() -> None:
    """Complain before the long work where a library is missing."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeMissingError(f"--also onnx: needs {', '.join(missing)}; in fmd's folder: pip install '.[onnx]'")


def to_onnx(source: Source, pixels: Pixels) -> bytes:
    """The model as ONNX, taking float32 bytes 0..255 (1, height, width, channels); a detector's scores come first."""
    with quiet():
        import tf2onnx  # type: ignore[import-untyped, unused-ignore]

        graph, shape = graph_of(source, pixels)
        try:
            model, _ = tf2onnx.convert.from_function(graph, (shape,), opset=OPSET)
        # tf2onnx raises whatever its handlers raise; each means that it cannot do this model.
        except Exception as error:
            raise ConversionError(
                f"{source.path}: cannot be made ONNX: {str(error).splitlines()[0][:200]}; leave --also onnx away"
            ) from error
    serialized: bytes = model.SerializeToString()
    return serialized


def contract_of(draft: Contract, model: bytes, parity: dict[str, float]) -> Contract:
    """The TFLite file's contract as it holds for the ONNX one."""
    return msgspec.structs.replace(
        draft, sha256=sha256(model), quantization="float32", reason="ONNX; TensorRT rounds on the device", parity=parity
    )
