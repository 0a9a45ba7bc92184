"""Proof of model files: what is not known to be harmless on this board is first opened in a child process.

The native runtime is C++ that trusts a model: a crafted file corrupts its memory or never returns. So the child opens
the file and replays its golden inputs, without privileges and with limits on memory, processor and time. A file is then
recorded by its hash, with the runtime's version and the board; the next opening costs only the hash.

A record only skips this check, for users who trust the one who wrote it: a record counts if it belongs to root or to
the user who reads it, and nobody else may write it. Root so never trusts what user fmd wrote.
"""

from __future__ import annotations

import codecs
import logging
import os
import platform
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from edge import board, child, drivers, paths, state_file
from edge.child import Failure, Limits, PipeProgress
from edge.errors import BundleError, FmdError
from edge.files import make_folder, printable
from edge.inference import bundle
from edge.inference.bundle import Model

log = logging.getLogger(__name__)

RECORD = "proven-models.json"
"""State file of the proven model files."""
MAX_RECORDED = 64
MAX_RECORD = 1 << 16
"""Bytes of the record that are read."""
LIMITS = Limits(memory_mb=512, seconds=20.0, file_mb=1, data_mb=512, start_s=120.0, bare=True)
"""What opening one file may use. Both models of a start must fit into the unit's TimeoutStartSec and MemoryMax."""
TASK = f"{__name__}:open_model"

Prove = Callable[[bytes, Path], None]
"""(bytes of a model file, its path for messages): raises BundleError unless the file may be opened in this process."""


class Proven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One proven file: SHA-256 of all its bytes, name and version of the runtime, and the board."""

    sha256: str
    runtime: str
    machine: str


class Record(msgspec.Struct, forbid_unknown_fields=True):
    """Proven files, the newest last."""

    proven: list[Proven]


class Replayed(msgspec.Struct, frozen=True):
    """Result of the child: what the file is, and the largest difference from its golden outputs.

    ``worst`` is a share of what is allowed.
    """

    worst: float
    runtime: str
    task: Literal["classifier", "detector"]
    labels: tuple[str, ...]


def proving(runtime: str = "auto", threads: int = 1) -> Prove:
    """Return the check of model files for ``runtime``: quick for files that are recorded as proven."""

    def prove(data: bytes, path: Path) -> None:
        proven = Proven(bundle.sha256(data), drivers.runtime_version(data, runtime), machine())
        if not any(proven in recorded(folder) for folder in paths.proofs_folders()):
            check(data, path, runtime, threads)

    return prove


def check(data: bytes, path: Path, runtime: str = "auto", threads: int = 1, limits: Limits = LIMITS) -> Replayed:
    """Open a model file in a child process, replay its golden inputs there, and record it as proven.

    Raises BundleError or GoldenError, also if the file crashes the runtime or exceeds the limits.
    """
    # Before the child imports a runtime: this machine may lack the one for ONNX, which no other file needs.
    bundle.check_kind(data, Path(printable(path)))
    log.debug("%s: opened in a process of its own first", path)
    failure = Failure(
        BundleError,
        f"{printable(path)}: the model",
        "the file is damaged or hostile: copy it again, or convert its Keras model again",
    )
    request = {"path": printable(path), "runtime": runtime, "threads": threads}
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = child.run(TASK, request, Path(folder), limits, failure, data=data)
        except FmdError:
            raise
        except OSError as error:
            raise BundleError(
                f"{printable(path)}: cannot start the process that checks it: {error.strerror}"
            ) from error
    try:
        replayed = msgspec.convert(found, Replayed)
    except msgspec.ValidationError as error:
        raise BundleError(f"{printable(path)}: the process that checks it gave no result: {error}") from error
    _add(Proven(bundle.sha256(data), replayed.runtime, machine()))
    return replayed


def open_model(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    """Open ``request["data"]`` and replay it: the task of the child process."""
    runtime, path = str(request["runtime"]), Path(str(request["path"]))
    # Imported now, while this process may still read the installation: the runtime, and the encoding of names in a zip.
    drivers.runtime_version(request["data"], runtime)
    codecs.lookup("cp437")
    progress.ready()
    checked = bundle.parse(request["data"], path)
    progress.say("loading it")
    try:
        runtime = drivers.proof_runtime(checked.flatbuffer, runtime)
        interpreter = drivers.open_interpreter(checked.flatbuffer, int(request["threads"]), runtime, quiet=False)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error
    model = Model(checked, interpreter, str(path))
    progress.say("replaying its golden inputs")
    contract = checked.contract
    about = {"task": contract.task, "labels": contract.labels}
    return {"worst": model.replay(), "runtime": model.runtime, **about}


def machine() -> str:
    """Return what a proof depends on beside file and runtime: the board, or the processor of a PC."""
    lines = (board.text(Path("/proc/cpuinfo")) or "").splitlines()
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return " ".join(filter(None, (platform.machine(), board.model() or processor)))


def recorded(folder: Path) -> list[Proven]:
    """Return the files that are recorded in ``folder``, none if another user could have written the record."""
    try:
        handle = os.open(folder / RECORD, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return []
    with open(handle, "rb") as file:  # noqa: PTH123 (a descriptor, no path)
        about = os.fstat(handle)
        trusted = stat.S_ISREG(about.st_mode) and about.st_uid in (0, os.geteuid())
        if not trusted or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            log.debug("%s: ignored, because another user can write it", folder / RECORD)
            return []
        try:
            return msgspec.json.decode(file.read(MAX_RECORD), type=Record).proven
        except (OSError, msgspec.MsgspecError, RecursionError):
            return []


def _add(proven: Proven) -> None:
    """Record a file as proven; without a place for it, the next opening checks it once more."""
    for folder in paths.proofs_folders():
        try:
            make_folder(folder, 0o755)
            # Root writes no file into a folder whose owner could put a link there.
            if folder.stat().st_uid != os.geteuid():
                continue
            kept = [one for one in recorded(folder) if one != proven][1 - MAX_RECORDED :]
            state_file.write_state(folder / RECORD, Record([*kept, proven]), for_all=True)
        except OSError as error:
            log.debug("%s: %s", folder / RECORD, error.strerror)
        else:
            return
