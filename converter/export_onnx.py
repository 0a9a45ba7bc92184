"""Source -> ONNX beside the TFLite file, with the same contract and the same proof, for a Jetson's TensorRT.

Float32 holding bytes 0..255 goes in, (1, height, width, 3) RGB; TensorRT chooses its own precision when it builds an
engine on the device: ``trtexec --onnx=mask.onnx --saveEngine=mask.engine --fp16``. The contract is the metadata entry
``fmd.json``, the golden inputs and what onnxruntime answered to them ``golden.npz`` in base64.
"""

from __future__ import annotations

import base64
import importlib.util
import io
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from converter.load import Source
from converter.noise import quiet
from converter.quantize import graph_of
from converter.scaling import Pixels
from edge.contracts import Floats, TensorSpec
from edge.errors import ConversionError, RuntimeMissingError
from edge.inference.bundle import CONTRACT_NAME, GOLDEN_NAME, Contract, Golden, sha256

OPSET = 17
"""Understood by TensorRT 8.6 (JetPack 6) and later."""
NEEDED = ("tf2onnx", "onnx", "onnxruntime")


class OnnxInterpreter:
    """An ONNX model on onnxruntime's CPU, one thread, behind :class:`edge.contracts.Interpreter`."""

    def __init__(self, model: bytes) -> None:
        import onnxruntime  # type: ignore[import-untyped, unused-ignore]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.runtime = f"onnxruntime {onnxruntime.__version__}"
        self.input = _spec(self._session.get_inputs()[0])
        self.outputs = tuple(_spec(output) for output in self._session.get_outputs())

    def run(self, tensor: npt.NDArray[np.generic]) -> list[Floats]:
        """One inference; float32 in, float32 out."""
        found: list[Floats] = self._session.run(None, {self.input.name: tensor})
        return found


def _spec(tensor: Any) -> TensorSpec:
    return TensorSpec(tensor.name, tuple(int(v) for v in tensor.shape), np.dtype(np.float32), 0.0, 0)


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


def with_contract(model: bytes, contract: Contract, golden: Golden) -> bytes:
    """The same model with its contract and golden inputs in its metadata."""
    import onnx

    arrays = io.BytesIO()
    np.savez_compressed(arrays, allow_pickle=False, **golden)
    proto = onnx.load_from_string(model)
    onnx.helper.set_model_props(
        proto,
        {
            CONTRACT_NAME: msgspec.json.encode(contract).decode(),
            GOLDEN_NAME: base64.b64encode(arrays.getvalue()).decode(),
        },
    )
    serialized: bytes = proto.SerializeToString()
    return serialized


def contract_of(draft: Contract, model: bytes, parity: dict[str, float]) -> Contract:
    """The TFLite file's contract as it holds for the ONNX one."""
    return msgspec.structs.replace(
        draft, sha256=sha256(model), quantization="float32", reason="ONNX; TensorRT rounds on the device", parity=parity
    )
