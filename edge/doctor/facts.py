"""Access to the machine under examination. Tests replace ``/`` by a folder, and commands by prepared results."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge import board

COMMAND_S = 120.0
"""Time limit of a command: a slow SD card takes a minute to load OpenCV for the first time."""


@dataclass(frozen=True)
class Ran:
    """Result of a command: its exit code (negative: the signal that killed it; None: it did not run) and its output."""

    code: int | None
    out: str = ""
    err: str = ""

    @property
    def last_line(self) -> str:
        """Return the last line of the output, which names the error."""
        lines = (self.err.strip() or self.out.strip()).splitlines()
        return lines[-1].strip() if lines else ""

    def decoded(self) -> dict[str, Any]:
        """Return the JSON object that a probe printed last; libraries may have printed lines before it."""
        return dict(json.loads(self.out.splitlines()[-1]))


def run_command(command: Sequence[str]) -> Ran:
    """Run a command, for at most ``COMMAND_S``."""
    try:
        done = subprocess.run(
            list(command), capture_output=True, text=True, errors="replace", timeout=COMMAND_S, check=False
        )
    except subprocess.TimeoutExpired:
        # Reported like a failed command: a hanging check must not hide the others.
        return Ran(None, err=f"took longer than {COMMAND_S:.0f} s")
    except OSError as error:
        return Ran(None, err=str(error))
    return Ran(done.returncode, done.stdout, done.stderr)


def _libc() -> tuple[int, ...]:
    name, version = platform.libc_ver()
    numbers = version.split(".")
    return tuple(map(int, numbers)) if name == "glibc" and all(n.isdigit() for n in numbers) else ()


@dataclass(frozen=True)
class Python:
    """Properties of the Python that runs fmd. ``glibc`` is empty if the C library is another one."""

    version: tuple[int, int, int] = field(default_factory=lambda: sys.version_info[:3])
    machine: str = field(default_factory=platform.machine)
    bits: int = 64 if sys.maxsize > 2**32 else 32
    glibc: tuple[int, ...] = field(default_factory=_libc)
    executable: str = sys.executable
    prefix: str = sys.prefix
    base_prefix: str = sys.base_prefix


@dataclass(frozen=True)
class Facts:
    """The machine under examination."""

    root: Path = Path("/")
    python: Python = field(default_factory=Python)
    run: Callable[[Sequence[str]], Ran] = run_command
    user: int = field(default_factory=os.geteuid)
    groups: frozenset[int] = field(default_factory=lambda: frozenset(os.getgroups()))
    now_s: Callable[[], float] = time.time

    def under_root(self, path: Path) -> Path:
        """Return an absolute path of the machine below ``root``."""
        return self.root / path.relative_to("/")

    def text(self, path: str) -> str:
        """Return the text of a file below ``root``, without blanks around it; empty if it cannot be read."""
        return board.text(self.root / path) or ""

    @property
    def board(self) -> str:
        """Return the name of the board; empty on a PC."""
        return board.model(self.root)

    @property
    def is_pi(self) -> bool:
        return self.board.startswith("Raspberry Pi")

    @property
    def is_jetson(self) -> bool:
        return "NVIDIA" in self.board or (self.root / "etc/nv_tegra_release").exists()

    @property
    def is_pc(self) -> bool:
        """Return whether this machine is a PC, as the drivers decide it: a laptop's GPIO chip makes it no board."""
        return board.is_pc(self.root)

    def members(self, group: str) -> frozenset[str] | None:
        """Return the members of a group, or None if there is no such group."""
        for line in self.text("etc/group").splitlines():
            name, *_, users = f"{line}:::".split(":")[:4]
            if name == group:
                return frozenset(users.split(",")) - {""}
        return None

    def group_id(self, group: str) -> int | None:
        """Return the number of a group, or None if there is no such group."""
        rows = (line.split(":") for line in self.text("etc/group").splitlines())
        return next((int(row[2]) for row in rows if row[0] == group and len(row) > 2 and row[2].isdigit()), None)

    def has_user(self, user: str) -> bool:
        """Return whether a user exists."""
        return any(line.startswith(f"{user}:") for line in self.text("etc/passwd").splitlines())

    def probe(self, code: str, *arguments: str) -> Ran:
        """Run Python code in a process of its own, so that a crash ends that process only."""
        return self.run([self.python.executable, "-c", code, *arguments])

    def holders(self, path: str) -> list[str]:
        """Return the processes that have a device open, as ``name (pid)``. Only root can see those of other users."""
        found = []
        for link in (self.root / "proc").glob("[0-9]*/fd/*"):
            try:
                opened = str(link.readlink())
            except OSError:
                continue
            if opened == path:
                pid = link.parts[-3]
                found.append(f"{self.text(f'proc/{pid}/comm') or '?'} ({pid})")
        return sorted(set(found))
