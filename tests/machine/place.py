"""Where the proof keeps what it need not make twice, and the small helpers its parts share."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


class ProofError(Exception):
    """A step of the proof could not be made: told in one line, with what to do where that is known."""


def cache() -> Path:
    """``~/.cache/fmd-proof``, or what ``FMD_PROOF_CACHE`` names: roots, kernels, wheels. Never in the repository."""
    folder = Path(os.environ.get("FMD_PROOF_CACHE") or Path.home() / ".cache" / "fmd-proof")
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def need(*programs: str) -> None:
    """Raise :class:`ProofError` that names the packages to install where a program is missing."""
    missing = [name for name in programs if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]
    if missing:
        raise ProofError(f"missing on this machine: {', '.join(missing)}; install what tests/machine/README.md lists")


def need_root() -> None:
    """Namespaces with real mounts, and Debian roots with other owners, want root."""
    if os.geteuid() != 0:
        raise ProofError("this proof mounts and changes roots: run it as root (sudo make proof-arm)")


def call(command: Sequence[str | Path], *, timeout_s: float = 1800, words: str = "", **more: object) -> str:
    """Run one command; its standard output, or :class:`ProofError` with the end of what it said.

    ``words`` name it there where its first word does not.
    """
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
        **more,  # type: ignore[call-overload]
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise ProofError(f"{words or command[0]} ended with {done.returncode}:\n{said}")
    return str(done.stdout)


def end_in_order() -> None:
    """Let SIGTERM end the proof as Ctrl-C does: with its machines cut and its folders gone."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def processor_s() -> float:
    """Processor seconds of every process this one has started, directly or not, the finished ones included."""
    parents, spent = dict[int, int](), dict[int, float]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # gone meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            process = int(stat.parent.name)
            parents[process] = int(fields[1])
            spent[process] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    mine = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in mine} - mine:
        mine |= more
    return sum(spent[process] for process in mine)


class Report:
    """What was checked, with the seconds each check took; the exit status of the whole proof.

    Two numbers stand before each check: seconds by the clock, which depend on what else the host does, and seconds of
    its processors.
    """

    def __init__(self) -> None:
        self.failed: list[str] = []
        self._started = time.monotonic(), processor_s()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One check: PASS where nothing is raised inside. A failure is told and the proof goes on with the next."""
        started = time.monotonic(), processor_s()
        try:
            yield
        except (ProofError, subprocess.TimeoutExpired, AssertionError) as error:
            self.failed.append(name)
            self._tell("FAIL", f"{name}: {error}", started)
        else:
            self._tell("PASS", name, started)

    def _tell(self, observation: str, words: str, started: tuple[float, float]) -> None:
        wall_s, spent_s = time.monotonic() - started[0], processor_s() - started[1]
        print(f"{observation}  {wall_s:6.0f} s {spent_s:6.0f} s  {words}", flush=True)

    def say(self, text: str) -> None:
        """A figure or a remark between the checks."""
        print(f"{'':24}{text}", flush=True)

    def end(self) -> int:
        """The last line, and 0 where every check passed, else 1."""
        self._tell("FAIL" if self.failed else "PASS", f"in all; failed: {self.failed or 'none'}", self._started)
        return 1 if self.failed else 0
