"""The driver for all TFLite runtimes: ai-edge-litert, tflite-runtime and TensorFlow's own interpreter."""

from __future__ import annotations

import importlib.metadata
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.contracts import Stored, TensorSpec
from edge.drivers.library import first_line, load
from edge.drivers.table import RUNTIMES
from edge.errors import BundleError, RuntimeMissingError

log = logging.getLogger(__name__)


class TFLiteInterpreter:
    """Model on a TFLite runtime; see :class:`edge.contracts.Interpreter`."""

    def __init__(self, flatbuffer: bytes, threads: int = 1, runtime: str = "auto") -> None:
        names = list(RUNTIMES) if runtime == "auto" else [runtime]
        self.runtime, interpreter_class = _first_that_works(names)
        try:
            with _without_info_lines():
                self._interpreter: Any = interpreter_class(model_content=flatbuffer, num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BundleError(
                f"{self.runtime} cannot run this model: {first_line(error)}; convert it again with this version of fmd"
            ) from error
        (details,) = self._interpreter.get_input_details()
        self._input_index = details["index"]
        self.input = _spec(details)
        self._output_indices = [d["index"] for d in self._interpreter.get_output_details()]
        self.outputs = tuple(_spec(d) for d in self._interpreter.get_output_details())

    def run(self, tensor: npt.NDArray[np.generic]) -> list[Stored]:
        """Run one inference; :attr:`input` gives shape and dtype of ``tensor``, :attr:`outputs` of the answers."""
        self._interpreter.set_tensor(self._input_index, tensor)
        self._interpreter.invoke()
        # get_tensor copies: the interpreter reuses its buffers in the next run.
        return [self._interpreter.get_tensor(index) for index in self._output_indices]


@contextmanager
def _without_info_lines() -> Iterator[None]:
    """Drop lines such as "INFO: Created TensorFlow Lite XNNPACK delegate" from the C++ core's stderr, keep the rest.

    Python has no switch for them. It is used for loading only, as later messages are worth reading.
    """
    if not hasattr(os, "memfd_create"):  # only Linux has it; elsewhere the lines stay, which is harmless
        yield
        return
    with open(os.memfd_create("stderr"), "w+b") as captured:  # noqa: PTH123 (a descriptor, no path)
        stderr = os.dup(2)
        os.dup2(captured.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            captured.seek(0)
            os.write(stderr, b"".join(line for line in captured if not line.startswith(b"INFO: ")))
            os.close(stderr)


def _spec(details: dict[str, Any]) -> TensorSpec:
    scale, zero_point = details["quantization"]
    shape = tuple(int(v) for v in details["shape"])
    return TensorSpec(details["name"], shape, np.dtype(details["dtype"]), float(scale), int(zero_point))


def _first_that_works(names: Sequence[str]) -> tuple[str, Any]:
    """Return name with version, and the Interpreter class, of the first runtime that can be imported."""
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
