"""Interpreters in child processes: root compares models without running one of them in its own process.

A model that answered its golden inputs may still do something else on other pictures. So each interpreter runs in a
confined child (:mod:`edge.child`). Only tensors pass between the two, of sizes that the parent checks.
"""

from __future__ import annotations

import codecs
import dataclasses
import math
import socket
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from edge import child, drivers
from edge.child import Conversation, Failure, PipeProgress
from edge.contracts import Stored, TensorSpec
from edge.errors import BundleError
from edge.service import model_proof
from edge.service.models import OpenInterpreter
from edge.text import escaped

TASK = f"{__name__}:serve"
# Processor time of a comparison over a clip of any length.
LIMITS = dataclasses.replace(model_proof.LIMITS, seconds=7 * 86400.0)
START_S, ANSWER_S = model_proof.LIMITS.start_s, model_proof.LIMITS.seconds
"""Longest wait for the model to be loaded, and for one inference."""
LENGTH = struct.Struct("<I")
MAX_ABOUT, MAX_TENSORS, MAX_BYTES = 1 << 16, 8, 64 << 20
"""Largest description in bytes, number of tensors, and bytes of all outputs together."""

Axis = Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]


class Tensor(msgspec.Struct, frozen=True):
    """Description of a tensor, as :class:`edge.contracts.TensorSpec`."""

    name: str
    shape: Annotated[tuple[Axis, ...], msgspec.Meta(max_length=6)]
    dtype: Literal["uint8", "int8", "int16", "int32", "float32"]
    scale: float
    zero_point: int

    def spec(self) -> TensorSpec:
        """Return it as the parent uses it."""
        return TensorSpec(escaped(self.name), self.shape, np.dtype(self.dtype), self.scale, self.zero_point)


class About(msgspec.Struct, frozen=True):
    """What a child says of the interpreter that it has opened."""

    runtime: str
    input: Tensor
    outputs: Annotated[tuple[Tensor, ...], msgspec.Meta(min_length=1, max_length=MAX_TENSORS)]


class ConfinedInterpreter:
    """An :class:`edge.contracts.Interpreter` that runs in a child process. Raises BundleError if that ends."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        (size,) = LENGTH.unpack(conversation.ask(b"", LENGTH.size, START_S))
        if size > MAX_ABOUT:
            raise BundleError(f"the model: its process describes it in {size:,} bytes; it was ended")
        try:
            about = msgspec.json.decode(conversation.ask(b"", size, ANSWER_S), type=About)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BundleError(f"the model: its process gives no description: {error}") from error
        self.runtime = escaped(about.runtime)
        self.input, self.outputs = about.input.spec(), tuple(tensor.spec() for tensor in about.outputs)
        self._sizes = [_bytes_of(spec) for spec in self.outputs]
        if sum(self._sizes) > MAX_BYTES or _bytes_of(self.input) > MAX_BYTES:
            raise BundleError(f"the model: its tensors have more than {MAX_BYTES:,} bytes")

    def run(self, tensor: npt.NDArray[np.generic]) -> Sequence[Stored]:
        """Run one inference in the child."""
        question = np.ascontiguousarray(tensor, self.input.dtype).tobytes()
        if len(question) != _bytes_of(self.input):
            raise BundleError(f"the model takes {self.input.shape}, got {tensor.shape}")
        answer, found, at = self._conversation.ask(question, sum(self._sizes), ANSWER_S), [], 0
        for spec, size in zip(self.outputs, self._sizes, strict=True):
            found.append(np.frombuffer(answer, spec.dtype, size // spec.dtype.itemsize, at).reshape(spec.shape))
            at += size
        return found


@contextmanager
def opening() -> Iterator[OpenInterpreter]:
    """Yield a function that opens networks as :func:`edge.drivers.open_interpreter` does, each in its own child."""
    with ExitStack() as stack:

        def opened(network: bytes, threads: int = 1, runtime: str = "auto") -> ConfinedInterpreter:
            failure = Failure(BundleError, "the model", "do not use this model; convert its Keras model again")
            request = {"threads": threads, "runtime": runtime}
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            conversation = child.talking(TASK, request, folder, LIMITS, failure, network)
            return ConfinedInterpreter(stack.enter_context(conversation))

        yield opened


def serve(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    """Open ``request["data"]``, describe it, and run inferences until the parent ends: the task of the child."""
    network, runtime = request["data"], str(request["runtime"])
    with socket.socket(fileno=int(request["channel"])) as channel:
        drivers.runtime_version(network, runtime)
        codecs.lookup("cp437")
        progress.ready()
        runtime = drivers.proof_runtime(network, runtime)
        interpreter = drivers.open_interpreter(network, int(request["threads"]), runtime, quiet=False)
        outputs = tuple(map(_described, interpreter.outputs))
        about = msgspec.json.encode(About(interpreter.runtime, _described(interpreter.input), outputs))
        channel.sendall(LENGTH.pack(len(about)) + about)
        spec, count = interpreter.input, 0
        while asked := _receive(channel, _bytes_of(spec)):
            tensor = np.frombuffer(asked, spec.dtype).reshape(spec.shape)
            channel.sendall(b"".join(np.ascontiguousarray(output).tobytes() for output in interpreter.run(tensor)))
            count += 1
    return {"inferences": count}


def _receive(channel: socket.socket, size: int) -> bytes:
    """Return ``size`` bytes, or none once the other end is closed."""
    found = bytearray()
    while len(found) < size:
        received = channel.recv(size - len(found))
        if not received:
            return b""
        found += received
    return bytes(found)


def _described(spec: TensorSpec) -> Tensor:
    name: Any = spec.dtype.name
    return Tensor(spec.name, tuple(map(int, spec.shape)), name, float(spec.scale), int(spec.zero_point))


def _bytes_of(spec: TensorSpec) -> int:
    return math.prod(spec.shape) * spec.dtype.itemsize
