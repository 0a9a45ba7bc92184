"""Other programs, run with an error that states what failed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from release.errors import ReleaseError

LINES = 15
"""Lines of a failed program's output that its error repeats."""


def run(command: Sequence[str | Path], folder: Path, also: Mapping[str, str] | None = None) -> str:
    """Run a program in ``folder`` and return its standard output; ``also`` are environment variables.

    Raises ReleaseError with the end of its output if it fails.
    """
    words = [str(word) for word in command]
    environment = {**os.environ, **(also or {})}
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        tail = " | ".join((done.stdout + done.stderr).strip().splitlines()[-LINES:])
        raise ReleaseError(f"`{' '.join(words)}` ended with {done.returncode}: {tail}")
    return done.stdout


def missing(programs: Iterable[str]) -> list[str]:
    """Return those of ``programs`` that this machine lacks."""
    return [program for program in programs if shutil.which(program) is None]
