"""A fake of onnxruntime-gpu: it has the GPU providers, which work on the processor or fail as the real ones do.

For tests and rehearsals on machines without a GPU:

    FMD_FAKE_PROVIDERS='tensorrt=engine cuda=memory' fmd doctor --set model.runtime=fake-onnxruntime ...

A provider that the variable leaves out works. ``auto`` never selects this runtime. The messages are those of
onnxruntime-gpu 1.31.1 without CUDA, with another CUDA, and with a driver's library that refuses to work. Those of
``kernel``, ``engine`` and ``run`` are from reports in its issue tracker, because they need a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge import paths
from edge.drivers.library import import_library
from edge.drivers.nvidia import Nvidia
from edge.drivers.onnx import INSTALL, PROVIDERS, OnnxInterpreter
from edge.errors import SettingsError

VARIABLE = "FMD_FAKE_PROVIDERS"
TENSORRT, GPU = "10.3.0", "Fake sm87"
"""Version of TensorRT and GPU that the fake machine has."""
LIBRARIES = {"tensorrt": "libnvinfer.so.10", "cuda": "libcublasLt.so.13"}
ENGINE = "TensorrtExecutionProvider_TRTKernel_graph_fake_0_sm87.engine"


class ProviderError(Exception):
    """Error of the fake, as one of onnxruntime's statuses."""


FAILURES = ("library", "version", "driver", "device", "memory", "kernel", "engine", "run")
"""Failures that a provider can be set to. ``engine`` fails for an engine that lies in the cache, and works then.
``run`` works once and is then out of memory."""
UNLOADED = (
    "\x1b[1;31m[E:onnxruntime:Default, provider_bridge_ort.cc:2458 operator()] /onnxruntime_src/onnxruntime/core/"
    "session/provider_bridge_ort.cc:2043 onnxruntime::Provider& onnxruntime::ProviderLibrary::Get() "
    "[ONNXRuntimeError] : 1 : FAIL : Failed to load library libonnxruntime_providers_{name}.so with error: {library}: "
    "cannot open shared object file: No such file or directory\n\x1b[m\n\x1b[0;93m[W:onnxruntime:Default, "
    "onnxruntime_pybind_state.cc:1295 CreateExecutionProviderFactoryInstance] Failed to create {provider}. Require "
    "cuDNN 9.* and CUDA 13.*. Please install all dependencies as mentioned in the GPU requirements page.\x1b[m\n"
)
"""Printed where a provider's library does not load; onnxruntime then goes on without the provider."""
CUDA_CALL = (
    "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:154 onnxruntime::CudaCall CUDA failure {failure} ; "
    "GPU=-1 ; hostname=board ; file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider.cc ; "
    "line=355 ; expr=cudaSetDevice(info_.device_id); "
)
RAISED = {
    "device": CUDA_CALL.format(failure="100: no CUDA-capable device is detected"),
    "driver": CUDA_CALL.format(failure="35: CUDA driver version is insufficient for CUDA runtime version"),
    "memory": CUDA_CALL.format(failure="2: out of memory"),
    "engine": "[ONNXRuntimeError] : 11 : EP_FAIL : TensorRT EP could not deserialize engine from cache: {engine}",
}
PRINTED = {
    "engine": "[E:onnxruntime:Default, tensorrt_execution_provider.h:90 log] IRuntime::deserializeCudaEngine: Error "
    "Code 6: The engine plan file is not compatible with this version of TensorRT, expecting library version "
    "10.3.0.26 got 8.6.2.3, please rebuild.\n"
}
"""Printed before the exception."""
RUN = {
    "kernel": "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Conv node. Status Message: "
    "CUDA error cudaErrorNoKernelImageForDevice:no kernel image is available for execution on the device",
    "run": "[ONNXRuntimeError] : 1 : FAIL : CUDA failure 2: out of memory ; GPU=0 ; expr=cudaStreamCreateWithFlags",
}
"""Raised by an inference."""


class FakeNvidia(Nvidia):
    """A machine with TensorRT and a GPU; where ``older`` is true, with an older CUDA than onnxruntime needs."""

    def __init__(self, older: bool = False) -> None:
        super().__init__(Path(os.devnull))
        self._older = older

    def versions(self, library: str) -> list[str]:
        """Return one old version of every library, or none."""
        return ["8"] if self._older and library == "libnvinfer" else ["12"] if self._older else []

    def tensorrt(self) -> str:
        """Return the fake version."""
        return TENSORRT

    def gpu(self) -> str:
        """Return the fake GPU."""
        return GPU


class FakeOnnxruntime:
    """The part of onnxruntime that the driver uses, over the real one. ``plan`` maps a provider to its failure."""

    def __init__(self, plan: Mapping[str, str]) -> None:
        real = import_library("onnxruntime", "model.runtime", INSTALL)
        self.plan, self._real = plan, real
        self.__version__ = f"{real.__version__}-fake"
        self.SessionOptions = real.SessionOptions
        self.tried: list[str] = []
        """Names of the providers that were tried, in order."""

    def get_available_providers(self) -> list[str]:
        """Return all providers: as with the real one, this says nothing about whether they work."""
        return [provider for provider, _ in PROVIDERS.values()]

    def InferenceSession(  # noqa: N802 (the real name)
        self, model: bytes, options: Any, providers: Sequence[tuple[str, dict[str, Any]]], **more: int
    ) -> FakeSession:
        """Return a session, after the messages and errors of the plan."""
        asked, its_options = providers[0]
        name = next(name for name, (provider, _) in PROVIDERS.items() if provider == asked)
        self.tried.append(name)
        failure = self.plan.get(name, "")
        real = self._real.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        if failure in ("library", "version"):
            _print(UNLOADED.format(name=name, library=LIBRARIES[name], provider=asked))
            return FakeSession(real, "CPUExecutionProvider", failure)
        folder = its_options.get("trt_engine_cache_path")
        engine = Path(folder) / ENGINE if folder else None
        if failure in RAISED and (failure != "engine" or (engine and engine.exists())):
            _print(PRINTED.get(failure, ""))
            raise ProviderError(RAISED[failure].format(engine=engine))
        if engine is not None:
            engine.write_bytes(b"a compiled model")
        return FakeSession(real, asked, failure)


class FakeSession:
    """A session of the real onnxruntime, which says that it runs on ``provider``."""

    def __init__(self, real: Any, provider: str, failure: str) -> None:
        self._real, self._provider, self._failure = real, provider, failure
        self._runs = 0
        self.get_inputs, self.get_outputs = real.get_inputs, real.get_outputs

    def get_providers(self) -> list[str]:
        """Return the provider, and the processor, which is always there."""
        return list(dict.fromkeys([self._provider, "CPUExecutionProvider"]))

    def run(self, names: None, tensors: Mapping[str, Any]) -> Any:
        """Run one inference on the processor, or fail as the plan says."""
        self._runs += 1
        if self._failure in RUN and (self._failure != "run" or self._runs > 1):
            raise ProviderError(RUN[self._failure])
        return self._real.run(names, tensors)


def _print(text: str) -> None:
    """Print as a library in C++ does, past Python's own standard error."""
    os.write(2, text.encode())


def plan_of(text: str) -> dict[str, str]:
    """Return provider -> failure of a text such as "tensorrt=engine cuda=memory". Raises SettingsError."""
    plan = dict(word.partition("=")[::2] for word in text.split())
    for name, failure in plan.items():
        if name not in LIBRARIES or failure not in FAILURES:
            raise SettingsError(
                f"{VARIABLE}: {name}={failure}: expected {' or '.join(LIBRARIES)}, = and one of {', '.join(FAILURES)}"
            )
    return plan


def opened(model: bytes, threads: int) -> OnnxInterpreter:
    """Open a model on the fake, with the failures that the environment names."""
    plan = plan_of(os.environ.get(VARIABLE, ""))
    nvidia = FakeNvidia(older="version" in plan.values())
    return OnnxInterpreter(model, threads, FakeOnnxruntime(plan), nvidia, paths.engine_folder())
