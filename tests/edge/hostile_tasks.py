"""Tasks of a child process that do what a crafted model file may do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge import child
from edge.child import PipeProgress
from edge.errors import BundleError


def answer(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    progress.say("working")
    print("libraries print what they like")
    return {**request, "folder": str(folder)}


def refuse(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    raise BundleError("not a model; give another")


def crash(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    progress.say("opening it")
    print("heap is broken", file=sys.stderr, flush=True)
    os.abort()


def eat(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    held = [bytearray(os.urandom(1 << 20)) for _ in range(400)]
    time.sleep(30)
    return {"held": len(held)}


def sleep(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    time.sleep(30)
    return {}


def fill(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    (folder / "large").write_bytes(bytes(3 << 20))
    return {}


def fail(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    return {"a": 1 / 0}


def shout(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    progress.say("x" * (1 << 23))
    return {}


def reach_out(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    """Try, confined, what a model that took its process over would try; return what was refused."""
    progress.ready()
    tries: dict[str, Callable[[], object]] = {
        "network": lambda: socket.socket().connect(("127.0.0.1", int(request["port"]))),
        "another program": lambda: subprocess.run(["/bin/true"], check=True),
        "another process": lambda: os.kill(int(request["victim"]), 0),
        "a new file": lambda: (folder / "new").write_bytes(b"x"),
        "a file of others": lambda: Path(request["file"]).write_bytes(b"x"),
        "removal": lambda: Path(request["file"]).unlink(),
        "renaming": lambda: Path(request["file"]).rename(folder / "moved"),
        "memory": lambda: bytearray(1 << 30),
    }
    found = {name: _refused(attempt) for name, attempt in tries.items()}
    # What an inference needs still works.
    thread = threading.Thread(target=lambda: found.update(threads=False))
    thread.start()
    thread.join()
    return {
        **found,
        "secret": os.environ.get("FMD_TEST_SECRET", ""),
        "user": os.geteuid(),
        "data": len(request["data"]),
    }


def _refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (OSError, MemoryError):
        return True
    return False


def import_slowly(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    """Start more slowly than a task may take, as from a cold SD card."""
    time.sleep(1.2)
    progress.ready()
    return {}


def hang_when_ready(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    progress.ready()
    while True:
        pass


def scream(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    """Write to standard error without an end, then crash."""
    try:
        while True:
            os.write(2, b"y" * (1 << 16))
    except OSError:
        os.abort()


def lie(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    """Send what no task would."""
    os.write(progress._pipe.fileno(), bytes.fromhex(request["sent"]) + b"\n")
    time.sleep(30)
    return {}


def nest(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    """Run a child of its own, with limits that are wider than those of this one."""
    failure = child.Failure(BundleError, "the nested one", "copy it again")
    return child.run("tests.edge.hostile_tasks:answer", {"a": 1}, folder, child.Limits(file_mb=4096), failure)
