"""The driver for onnxruntime: ONNX bundles on a Jetson's GPU, or on any processor.

Its providers are tried in order: TensorRT, CUDA, the processor. A provider counts only after an inference. Without
that, onnxruntime goes on with the next one by itself and prints a warning, and a package that was built for another
GPU fails first when it computes. Each failure is logged with its reason, and :attr:`OnnxInterpreter.failures` keeps it
for the doctor.

TensorRT compiles a model for minutes and keeps the result, an engine, in :func:`edge.paths.engine_folder`. An engine is
a program for one GPU and one version of TensorRT. So each has a folder named after both and after the model, and an
engine that cannot be read is built again.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from edge import paths
from edge.contracts import Stored, TensorSpec
from edge.drivers.library import import_library
from edge.drivers.nvidia import PAGE, Failure, Nvidia, explained, shortened
from edge.drivers.stderr import captured
from edge.errors import BundleError
from edge.inference.bundle import sha256

log = logging.getLogger(__name__)

INSTEAD = f"to use a GPU, install onnxruntime-gpu in its place ({PAGE})"
INSTALL = f"to fix this: pip install onnxruntime; on a Jetson see {PAGE}"
PROVIDERS = {
    "tensorrt": ("TensorrtExecutionProvider", "TensorRT"),
    "cuda": ("CUDAExecutionProvider", "CUDA"),
    "cpu": ("CPUExecutionProvider", "the processor"),
}
"""Name here -> onnxruntime's name, and the name in messages, in the order in which they are tried."""
DTYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}
WORKSPACE_BYTES = 512 * 1024**2
"""Largest scratch memory of TensorRT while it builds an engine. A Jetson shares it with everything else."""


class OnnxInterpreter:
    """ONNX model on onnxruntime; see :class:`edge.contracts.Interpreter`.

    ``library`` is onnxruntime or a stand-in, ``engines`` the folder for TensorRT's engines (None: not kept),
    ``providers`` are keys of PROVIDERS, in their order. Raises BundleError if no provider can run the model,
    RuntimeMissingError if onnxruntime is not installed.
    """

    def __init__(
        self,
        model: bytes,
        threads: int = 1,
        library: ModuleType | Any | None = None,
        nvidia: Nvidia | None = None,
        engines: Path | None = None,
        providers: Sequence[str] = tuple(PROVIDERS),
    ) -> None:
        self.failures: tuple[Failure, ...] = ()
        with captured(_of_others):
            self._library: Any = library or import_library("onnxruntime", "model.runtime", INSTALL)
        self._model, self._threads = model, threads
        self._nvidia, self._engines = nvidia or Nvidia(), engines
        provider, self._session = self._first_that_works(providers)
        self.runtime = f"onnxruntime/{provider} {self._library.__version__}"
        self.input = _only_input(self._session)
        self.outputs = tuple(_spec(tensor) for tensor in self._session.get_outputs())
        self._model = b""  # the session has a copy of its own

    def run(self, tensor: npt.NDArray[np.generic]) -> Sequence[Stored]:
        """Run one inference; :attr:`input` gives shape and dtype of ``tensor``, :attr:`outputs` of the answers.

        Raises BundleError if the GPU fails: the next start tries it again, and goes on without it if it must.
        """
        try:
            return self._session.run(None, {self.input.name: tensor})  # type: ignore[no-any-return]
        except Exception as error:  # onnxruntime has a class of its own for every status, with no base but this
            found = explained(self.runtime, [str(error)], self._nvidia)
            raise BundleError(f"{self.runtime}: an inference failed: {found.text}; {found.fix}") from error

    def _first_that_works(self, names: Sequence[str]) -> tuple[str, Any]:
        """Return the name and the session of the first provider that can run the model."""
        available = self._library.get_available_providers()
        messages: list[str] = []
        for name in names:
            provider, shown = PROVIDERS[name]
            if provider not in available:
                text = f"the installed onnxruntime {self._library.__version__} does not contain it"
                self._failed(Failure(shown, "package", text, INSTEAD))
                continue
            session, messages = self._tried(name)
            if session is None and name == "tensorrt" and self._emptied_cache(messages):
                session, messages = self._tried(name)
            if session is not None:
                return name, session
            if name != "cpu":
                self._failed(explained(shown, messages, self._nvidia))
        raise BundleError(
            f"onnxruntime {self._library.__version__} cannot run this model: {shortened(messages)}; convert it again "
            "with this version of fmd"
        )

    def _failed(self, failure: Failure) -> None:
        self.failures += (failure,)
        # A package without GPU providers was chosen so; the others were meant to work.
        level = logging.INFO if failure.kind == "package" else logging.WARNING
        log.log(level, "falling back from %s: %s; %s", failure.provider, failure.text, failure.fix)

    def _tried(self, name: str) -> tuple[Any | None, list[str]]:
        """Return a session that has run the model once on a provider, or None and what libraries said about it."""
        made: Any | None = None
        raised: list[str] = []
        chosen = self._options(name)
        with captured(_of_others) as lines:
            try:
                made = self._made(chosen)
                if made.get_providers()[0] == PROVIDERS[name][0]:
                    made.run(None, {tensor.name: _zeros(tensor) for tensor in made.get_inputs()})
                else:
                    made = None
            except BundleError:
                raise
            except Exception as error:  # noqa: BLE001  as in run
                made, raised = None, [str(error)]
        return made, [*lines, *raised]

    def _options(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """Return onnxruntime's names of a provider, and of those that complete it, with their options."""
        # TensorRT lacks a few operators.
        names = ("tensorrt", "cuda") if name == "tensorrt" else (name,)
        return [(PROVIDERS[one][0], self._options_of(one)) for one in names]

    def _made(self, chosen: list[tuple[str, dict[str, Any]]]) -> Any:
        options = self._library.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        # Threads that spin between two inferences take the processor from camera and decisions.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors
        # Without enable_fallback=0, onnxruntime prints an error and goes on with another provider.
        return self._library.InferenceSession(
            self._model, options, providers=chosen, enable_fallback=0, read_config_from_model=0
        )

    def _options_of(self, name: str) -> dict[str, Any]:
        if name == "cuda":
            # The full precision of 32-bit floats: otherwise CUDA rounds the factors of a product to 10 bits. And no
            # search for the fastest convolution at every start.
            return {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
        if name == "cpu":
            return {}
        options = {"trt_fp16_enable": "1", "trt_max_workspace_size": str(WORKSPACE_BYTES)}
        if (cache := self._cache()) is not None:
            if not any(cache.glob("*.engine")):
                log.warning("TensorRT builds an engine for this model, once; this takes minutes")
            options |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(cache)}
            options |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": str(cache)}
        return options

    def _cache(self) -> Path | None:
        """Return the folder for this model's engine on this machine, or None if none can be kept."""
        tensorrt, gpu = self._nvidia.tensorrt(), self._nvidia.gpu()
        # An engine whose version or GPU cannot be checked must not be used.
        if self._engines is None or not tensorrt or not gpu:
            return None
        model = sha256(self._model)[:12]
        folder = self._engines / f"{model}-tensorrt{tensorrt}-{re.sub('[^A-Za-z0-9]+', '-', gpu)}"
        try:
            if not folder.is_dir():
                for outdated in self._engines.glob(f"{model}-*"):  # before an update of JetPack
                    shutil.rmtree(outdated, ignore_errors=True)
                folder.mkdir(mode=0o700, parents=True)
        except OSError as error:
            log.warning("%s: %s; the TensorRT engine is not kept", folder, error.strerror)
            return None
        return folder

    def _emptied_cache(self, messages: list[str]) -> bool:
        """Remove an engine that cannot be read, and return whether there was one."""
        cache = self._cache()
        if cache is None or not any(cache.iterdir()) or explained("", messages, self._nvidia).kind != "engine":
            return False
        found = explained("TensorRT", messages, self._nvidia)
        self.failures += (found._replace(text=f"{found.text}; it was built again", fix=""),)
        log.warning("%s: %s", cache, self.failures[-1].text)
        for file in cache.iterdir():
            file.unlink(missing_ok=True)
        return True


def _of_others(line: bytes) -> bool:
    """Return whether a line on standard error is not onnxruntime's: other threads write there as well."""
    return b":onnxruntime:" not in line and line.strip() not in (b"", b"\x1b[m")


def opened(model: bytes, threads: int) -> OnnxInterpreter:
    """Open a model on the installed onnxruntime, with the engines of this user.

    Without a folder for them, as for root, TensorRT is not tried: it would compile for minutes at every start.
    """
    engines = paths.engine_folder()
    providers = tuple(name for name in PROVIDERS if engines is not None or name != "tensorrt")
    return OnnxInterpreter(model, threads, engines=engines, providers=providers)


def opened_on_processor(model: bytes, threads: int) -> OnnxInterpreter:
    """Open a model on the installed onnxruntime, without a GPU."""
    return OnnxInterpreter(model, threads, providers=("cpu",))


def version() -> str:
    """Return name and version of onnxruntime without a GPU, as its interpreters give it."""
    with captured(_of_others):
        return f"onnxruntime/cpu {import_library('onnxruntime', 'model.runtime', INSTALL).__version__}"


def _only_input(session: Any) -> TensorSpec:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise BundleError(
            f"the model takes {len(inputs)} inputs, expected 1; convert it again with this version of fmd"
        )
    return _spec(inputs[0])


def _spec(tensor: Any) -> TensorSpec:
    if tensor.type not in DTYPES or not all(isinstance(side, int) for side in tensor.shape):
        raise BundleError(
            f"the model's tensor {tensor.name} is {tensor.type} {tensor.shape}, expected tensor(float) of a fixed "
            "shape; convert it again with this version of fmd"
        )
    return TensorSpec(tensor.name, tuple(tensor.shape), np.dtype(DTYPES[tensor.type]), 0.0, 0)


def _zeros(tensor: Any) -> npt.NDArray[np.generic]:
    spec = _spec(tensor)
    return np.zeros(spec.shape, spec.dtype)
