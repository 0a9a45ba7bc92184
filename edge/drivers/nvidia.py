"""What this machine has of NVIDIA's: libraries, the GPU; and what a failure of onnxruntime's GPU providers means.

onnxruntime's messages name neither the cause nor what to do: a provider whose library is missing is left out with a
warning. :func:`explained` makes one sentence and a fix of what the libraries printed.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

FOLDERS = (
    "usr/lib/aarch64-linux-gnu",
    "usr/lib/aarch64-linux-gnu/nvidia",
    "usr/lib/x86_64-linux-gnu",
    "usr/local/cuda*/lib64",
    "usr/local/cuda*/targets/*/lib",
)
"""Where JetPack and CUDA's packages put libraries, below the root."""
MAJOR, MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of CUDA's driver API."""
PAGE = "docs/jetson-gpu.md"


class Failure(NamedTuple):
    """Why a provider of onnxruntime cannot be used: the kind (a key of :data:`KINDS`), a sentence, and the fix."""

    provider: str
    kind: str
    text: str
    fix: str


class Nvidia:
    """The machine's libraries and GPU. ``root`` is the folder that holds usr; ``load`` opens a shared library."""

    def __init__(self, root: Path = Path("/"), load: Callable[[str], Any] = ctypes.CDLL) -> None:
        self._root, self._load = root, load

    def versions(self, library: str) -> list[str]:
        """Return the versions of a library here, such as ["10", "10.3.0"] for libnvinfer; empty if there is none."""
        found = {
            path.name.partition(".so.")[2] for folder in self._folders() for path in folder.glob(f"{library}.so.*")
        }
        return sorted(found)

    def tensorrt(self) -> str:
        """Return the version of TensorRT, such as "10.3.0", or "" if it is unknown."""
        # The full version is in the name of the file that the soname links to. Two versions side by side are unknown.
        full = [version for version in self.versions("libnvinfer") if version.count(".") >= 2]
        return full[0] if len(full) == 1 else ""

    def gpu(self) -> str:
        """Return name and compute capability of the first GPU, such as "Orin sm87", or "" if it is unknown."""
        name, major, minor, device = ctypes.create_string_buffer(100), ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        try:
            cuda = self._load("libcuda.so.1")
            # Every function of CUDA's driver returns 0 for success.
            failed = (
                cuda.cuInit(0)
                or cuda.cuDeviceGet(ctypes.byref(device), 0)
                or cuda.cuDeviceGetName(name, len(name), device)
                or cuda.cuDeviceGetAttribute(ctypes.byref(major), MAJOR, device)
                or cuda.cuDeviceGetAttribute(ctypes.byref(minor), MINOR, device)
            )
        except (OSError, AttributeError):
            return ""
        return "" if failed else f"{name.value.decode(errors='replace')} sm{major.value}{minor.value}"

    def _folders(self) -> Iterator[Path]:
        for pattern in FOLDERS:
            yield from self._root.glob(pattern)
        yield from map(Path, filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":")))


MISSING = re.compile(r"(lib[\w+-]+)\.so\.?([\d.]*): cannot open shared object file")
KINDS: dict[str, tuple[re.Pattern[str], str, str]] = {
    "engine": (
        re.compile(
            r"engine plan file|deseriali[sz]e|version tag does not match|serialization assertion", re.IGNORECASE
        ),
        "the kept TensorRT engine is of another version or GPU, or damaged",
        "sudo rm -r /var/lib/fmd/engines; fmd builds it again, which takes minutes",
    ),
    "memory": (
        re.compile(r"out of memory|failed to allocate memory|NvMapMemAlloc|std::bad_alloc", re.IGNORECASE),
        "out of memory: a Jetson's GPU shares the memory of its processor",
        "stop other programs, switch the desktop off (sudo systemctl set-default multi-user.target), or raise "
        "MemoryMax in fmd-gpu.conf",
    ),
    "kernel": (
        re.compile(r"no kernel image", re.IGNORECASE),
        "this onnxruntime was not built for this GPU (no kernel image)",
        f"install an onnxruntime-gpu that was built for this board ({PAGE})",
    ),
    "driver": (
        re.compile(r"driver version is insufficient|unsupported display driver|forward compatibility", re.IGNORECASE),
        "the driver is older than the CUDA that this onnxruntime was built for",
        f"install an onnxruntime-gpu for this JetPack's CUDA ({PAGE})",
    ),
    "device": (
        re.compile(r"no CUDA-capable device|NvRmMemInit|Permission denied|operation not permitted", re.IGNORECASE),
        "the GPU's device cannot be opened",
        "the service needs the drop-in fmd-gpu.conf, a user the groups video and render: sudo adduser $USER video",
    ),
}
"""Kind of failure -> what its messages contain, a sentence, and the fix. The first that fits counts."""
OTHER = f"see {PAGE}; fmd watches the door without the GPU"


def explained(provider: str, messages: list[str], nvidia: Nvidia) -> Failure:
    """Return what a provider's ``messages`` mean: lines that libraries printed, and the text of exceptions."""
    text = " ".join(messages)
    if missing := MISSING.search(text):
        return _missing(provider, missing.group(1), missing.group(2), nvidia)
    for kind, (pattern, sentence, fix) in KINDS.items():
        if pattern.search(text):
            return Failure(provider, kind, sentence, fix)
    return Failure(provider, "other", shortened(messages), OTHER)


def _missing(provider: str, library: str, version: str, nvidia: Nvidia) -> Failure:
    here = nvidia.versions(library)
    majors = sorted({found.partition(".")[0] for found in here} - {version})
    if majors:
        what = "TensorRT" if library.startswith("libnv") else "CUDA"
        return Failure(
            provider,
            "version",
            f"this onnxruntime was built for another {what}: it needs {library}.so.{version}, this machine has "
            f"version {', '.join(majors)}",
            f"install the onnxruntime-gpu for this JetPack ({PAGE})",
        )
    fix = {
        "libcuda": "no NVIDIA driver was found: on a Jetson install JetPack (sudo apt install nvidia-jetpack)",
        "libnvinfer": "install TensorRT: sudo apt install nvidia-jetpack",
    }.get(library, "install CUDA and cuDNN: sudo apt install nvidia-jetpack")
    return Failure(provider, "library", f"{library}.so{version and f'.{version}'} is missing", fix)


def shortened(messages: list[str]) -> str:
    """Return the first message without the colours, times and places of C++ code in front of it."""
    text = next((message for message in messages if message.strip()), "no reason was given")
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    if reason := re.search(r"CUDA failure \d+: [^;]+|Failed to allocate memory [\w ]+", text):
        return reason.group().strip()
    return re.sub(r"^.*\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(text.split()))[:300]
