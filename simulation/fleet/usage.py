"""Processor time and memory of processes, read from /proc; free ports."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
FIRST_PORT, LAST_PORT = 20_000, 32_000
"""Ports to listen at: the kernel uses higher ones for connections, and one could take a door's port."""


@dataclass(frozen=True)
class Reading:
    """Processor time and memory of one process at one moment."""

    at_s: float
    cpu_s: float
    memory_bytes: int


def read(pid: int, proc: Path = Path("/proc")) -> Reading:
    """Return the reading of a process with all its threads; memory is what is resident. Raises OSError if it ended."""
    # The name, in parentheses, may hold spaces.
    fields = (proc / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    status = (proc / str(pid) / "status").read_text(encoding="utf-8")
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return Reading(time.monotonic(), (int(fields[11]) + int(fields[12])) / TICKS, resident * 1024)


@dataclass(frozen=True)
class Load:
    """Load of one process over a time: share of a core, and memory at its end."""

    cores: float
    memory_bytes: int


def loads(before: Mapping[str, Reading], after: Mapping[str, Reading]) -> dict[str, Load]:
    """Return the load of each process between two readings of it."""
    return {
        name: Load((now.cpu_s - before[name].cpu_s) / (now.at_s - before[name].at_s), now.memory_bytes)
        for name, now in after.items()
    }


class Ports:
    """Free ports of this machine, each given once, and kept from other programs that look for one until ``close``."""

    def __init__(self, first: int = FIRST_PORT) -> None:
        self._next = first
        self._held: list[socket.socket] = []

    def take(self) -> int:
        """Return the next free port, at which a server can listen. Raises OSError if there is none left."""
        for port in range(self._next, LAST_PORT):
            holder = socket.socket()
            try:
                holder.bind(("127.0.0.1", port))
            except OSError:
                holder.close()
                continue
            # Only from now on: a server, which sets the same, may share the port; a search like this one may not.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._held.append(holder)
            self._next = port + 1
            return port
        raise OSError(f"no free port from {self._next} to {LAST_PORT}")

    def close(self) -> None:
        """Give all ports back."""
        for holder in self._held:
            holder.close()
