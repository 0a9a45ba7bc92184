"""A terminal in which a test types Ctrl-C: the kernel sends SIGINT to every process of the command's group."""

from __future__ import annotations

import os
import pty
import select
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.edge.parts import PATIENCE_S

CTRL_C = b"\x03"


def children(pid: int) -> Iterator[int]:
    """Yield the child processes that the threads of a process have started."""
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
            yield from map(int, listed.read_text().split())


class Terminal:
    """A command that runs in the foreground of a terminal; ``pid`` is its number, ``shown`` what it printed so far."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid, self._descriptor = pid, descriptor
        self.shown = ""
        self._until_s = time.monotonic() + 5 * PATIENCE_S  # starts of Python on a machine whose cores are all busy

    def wait_for(self, text: str) -> None:
        """Read until ``text`` is shown."""
        while text not in self.shown:
            assert self._read(), self.shown

    def wait_for_child(self) -> int:
        """Read until the command has a child process; return its number."""
        while not (found := list(children(self.pid))):
            assert self._read(0.002), self.shown
        return found[0]

    def type_ctrl_c(self) -> int:
        """Type Ctrl-C, read all that comes, and return the command's exit code."""
        os.write(self._descriptor, CTRL_C)
        while self._read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self, seconds: float = 0.1) -> bool:
        """Read what comes within ``seconds``; return False at the end."""
        assert time.monotonic() < self._until_s, self.shown
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._descriptor, 1 << 16)
        except OSError:  # how Linux reports that no process has the terminal open any more
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)


@contextmanager
def terminal(command: Sequence[str | Path], cwd: Path, environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Run ``command`` in the foreground of a terminal of its own; it is killed at the end."""
    pid, descriptor = pty.fork()
    if not pid:
        try:
            # A shell starts background jobs with SIGINT ignored, and children inherit that.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.chdir(cwd)
            os.execve(str(command[0]), [str(word) for word in command], dict(environment))
        finally:
            os._exit(127)
    try:
        yield Terminal(pid, descriptor)
    finally:
        os.close(descriptor)
        with suppress(ProcessLookupError, ChildProcessError):  # where it has ended and a test has waited for it
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
