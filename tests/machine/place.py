"""The proof's cache, its report, and small helpers of its parts."""

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
    """A step of the proof failed: the message is one line and says what to do if that is known."""


def cache() -> Path:
    """Return the folder of roots, kernels and wheels, outside of the repository.

    It is ``$FMD_PROOF_CACHE``, or ``~/.cache/fmd-proof``.
    """
    folder = Path(os.environ.get("FMD_PROOF_CACHE") or Path.home() / ".cache" / "fmd-proof")
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def need(*programs: str) -> None:
    """Raise :class:`ProofError` if a program is missing."""
    missing = [name for name in programs if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]
    if missing:
        raise ProofError(f"missing on this machine: {', '.join(missing)}; install what tests/machine/README.md lists")


def need_root() -> None:
    """Raise :class:`ProofError` unless this is root, which mounts and other owners of files need."""
    if os.geteuid() != 0:
        raise ProofError("this proof mounts and changes roots: run it as root (sudo make proof-arm)")


def call(command: Sequence[str | Path], *, timeout_s: float = 1800, words: str = "", **more: object) -> str:
    """Run one command and return its standard output; raises :class:`ProofError` with the end of its output.

    ``words`` name the command in the message if its first word is not enough.
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
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise ProofError(f"{words or command[0]} ended with {done.returncode}:\n{tail}")
    return str(done.stdout)


def end_in_order() -> None:
    """Make SIGTERM end the proof as Ctrl-C does: its machines lose power and its folders are removed."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def processor_s() -> float:
    """Return the processor seconds of all descendants of this process, finished ones included."""
    parents, spent = dict[int, int](), dict[int, float]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # the process has ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            process = int(stat.parent.name)
            parents[process] = int(fields[1])
            spent[process] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    mine = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in mine} - mine:
        mine |= more
    return sum(spent[process] for process in mine)


class Report:
    """Results of the checks, with the seconds that each took, and the exit status of the whole proof.

    Each check is printed with two numbers: seconds by the clock, which depend on the host's other work, and processor
    seconds.
    """

    def __init__(self) -> None:
        self.failed: list[str] = []
        self._started = time.monotonic(), processor_s()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Run one check, which passes if the block raises nothing; print a failure and continue with the next check."""
        started = time.monotonic(), processor_s()
        try:
            yield
        except (ProofError, subprocess.TimeoutExpired, AssertionError) as error:
            self.failed.append(name)
            self._print("FAIL", f"{name}: {error}", started)
        else:
            self._print("PASS", name, started)

    def _print(self, result: str, words: str, started: tuple[float, float]) -> None:
        wall_s, spent_s = time.monotonic() - started[0], processor_s() - started[1]
        print(f"{result}  {wall_s:6.0f} s {spent_s:6.0f} s  {words}", flush=True)

    def say(self, text: str) -> None:
        """Print a remark between the checks."""
        print(f"{'':24}{text}", flush=True)

    def end(self) -> int:
        """Print the last line, and return 0 if every check passed, else 1."""
        self._print("FAIL" if self.failed else "PASS", f"in all; failed: {self.failed or 'none'}", self._started)
        return 1 if self.failed else 0
