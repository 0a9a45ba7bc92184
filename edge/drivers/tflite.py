"""The driver for all TFLite runtimes: ai-edge-litert, tflite-runtime and TensorFlow's own interpreter."""

from __future__ import annotations

import importlib.metadata
import logging
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.contracts import Stored, TensorSpec
from edge.drivers.library import first_line, load
from edge.drivers.stderr import captured
from edge.drivers.table import RUNTIMES
from edge.errors import BundleError, RuntimeMissingError

log = logging.getLogger(__name__)

KINDS = ("float32", "uint8", "int8", "int16")
"""Types of input and output tensors."""


class TFLiteInterpreter:
    """Model on a TFLite runtime; see :class:`edge.contracts.Interpreter`."""

    def __init__(self, flatbuffer: bytes, threads: int = 1, runtime: str = "auto", quiet: bool = True) -> None:
        self.runtime, interpreter_class = opened(runtime)
        try:
            with captured(_no_info) if quiet else nullcontext():
                self._interpreter: Any = interpreter_class(model_content=flatbuffer, num_threads=threads)
                self._interpreter.allocate_tensors()
            # A name of a tensor that is no UTF-8 raises UnicodeDecodeError, a ValueError.
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise self._refused(error) from error
        if len(inputs) != 1:
            raise BundleError(f"the model takes {len(inputs)} inputs, expected one picture; convert it again")
        self._input_index = inputs[0]["index"]
        self.input = _spec(inputs[0])
        self._output_indices = [details["index"] for details in outputs]
        self.outputs = tuple(map(_spec, outputs))

    def run(self, tensor: npt.NDArray[np.generic]) -> list[Stored]:
        """Run one inference; :attr:`input` gives shape and dtype of ``tensor``, :attr:`outputs` of the answers.

        Raises BundleError if the runtime cannot finish it.
        """
        try:
            self._interpreter.set_tensor(self._input_index, tensor)
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise self._refused(error) from error
        # get_tensor copies: the interpreter reuses its buffers in the next run.
        return [self._interpreter.get_tensor(index) for index in self._output_indices]

    def _refused(self, error: Exception) -> BundleError:
        # Where memory runs out the message is empty.
        why = first_line(error) or "it gives no reason, as where memory runs out"
        return BundleError(f"{self.runtime} cannot run this model: {why}; convert it again with this version of fmd")


def _no_info(line: bytes) -> bool:
    """Return whether a line is worth printing: not "INFO: Created TensorFlow Lite XNNPACK delegate" and the like."""
    return not line.startswith(b"INFO: ")


def _spec(details: dict[str, Any]) -> TensorSpec:
    """Return a tensor's description. Raises BundleError for a type that no model of fmd has."""
    scale, zero_point = details["quantization"]
    kind = getattr(details["dtype"], "__name__", str(details["dtype"]))
    if kind not in KINDS or (scale and kind == "float32"):
        raise BundleError(
            f"a tensor of the model holds {kind}, quantized by {scale}, expected one of {', '.join(KINDS)}; "
            "convert it again"
        )
    shape = tuple(int(v) for v in details["shape"])
    return TensorSpec(details["name"], shape, np.dtype(details["dtype"]), float(scale), int(zero_point))


def opened(runtime: str) -> tuple[str, Any]:
    """Return name with version, and the Interpreter class, of ``runtime``; for "auto" of the first that works."""
    for_tflite = [name for name, driver in RUNTIMES.items() if driver.reads == "TFLite"]
    names = for_tflite if runtime == "auto" else [runtime]
    reasons = []
    for name in names:
        try:
            interpreter = load(RUNTIMES[name].opens)
            version = _version_of(name)
        # A wheel that was built for another NumPy raises various errors; after each, the next runtime may work.
        except (ImportError, AttributeError, RuntimeError, OSError) as error:
            reasons.append(f"{name}: {first_line(error) or type(error).__name__}")
            log.info("falling back from %s: %s", name, error)
        else:
            return f"{name} {version}", interpreter
    raise RuntimeMissingError(
        f"no TFLite runtime on this machine ({'; '.join(reasons)}); to fix this: pip install ai-edge-litert (64-bit "
        "systems only; on 32-bit Bookworm: pip install tflite-runtime 'numpy<2')"
    )


def _version_of(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"
