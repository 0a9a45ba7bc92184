"""Tasks of a child process that do what a crafted model file may do."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converter.noise import ProgressLine
from edge.errors import BundleError


def answer(request: Mapping[str, Any], folder: Path, progress: ProgressLine) -> dict[str, Any]:
    progress.say("working")
    print("libraries print what they like")
    return {**request, "folder": str(folder)}


def refuse(request: Mapping[str, Any], folder: Path, progress: ProgressLine) -> dict[str, Any]:
    raise BundleError("not a model; give another")


def crash(request: Mapping[str, Any], folder: Path, progress: ProgressLine) -> dict[str, Any]:
    progress.say("opening it")
    print("heap is broken", file=sys.stderr, flush=True)
    os.abort()


def eat(request: Mapping[str, Any], folder: Path, progress: ProgressLine) -> dict[str, Any]:
    held = [bytearray(os.urandom(1 << 20)) for _ in range(400)]
    time.sleep(30)
    return {"held": len(held)}


def sleep(request: Mapping[str, Any], folder: Path, progress: ProgressLine) -> dict[str, Any]:
    time.sleep(30)
    return {}


def fill(request: Mapping[str, Any], folder: Path, progress: ProgressLine) -> dict[str, Any]:
    (folder / "large").write_bytes(bytes(3 << 20))
    return {}


def fail(request: Mapping[str, Any], folder: Path, progress: ProgressLine) -> dict[str, Any]:
    return {"a": 1 / 0}


def shout(request: Mapping[str, Any], folder: Path, progress: ProgressLine) -> dict[str, Any]:
    progress.say("x" * (1 << 25))
    return {}
