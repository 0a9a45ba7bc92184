"""Batches of cases in processes of their own: counts, findings, crashes, hangs and memory."""

from __future__ import annotations

import contextlib
import gc
import json
import mmap
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.fuzz import targets

HANG_S = 25.0
MAX_MB = 512
BATCH = 2000
"""Cases of one process: each starts afresh, so that memory that one case leaves behind is not another one's."""
KERNEL_MB = 1024
"""Limit that the kernel enforces, so that a finding does not take the whole machine's memory."""
MAX_KEPT = 20
DONE, EXPECTED, AT, BEGAN = range(4)


@dataclass
class Result:
    """Counts of one target. ``findings`` holds (case, what) of unexpected exceptions and crashes."""

    target: str
    cases: int = 0
    expected: int = 0
    unexpected: int = 0
    hangs: int = 0
    peak_mb: int = 0
    seconds: float = 0.0
    findings: list[tuple[int, str]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """True without a finding."""
        return not self.unexpected and not self.hangs and self.peak_mb <= MAX_MB

    def found(self, case: int, what: str) -> None:
        """Count an unexpected end; the first ones are kept."""
        self.unexpected += 1
        if len(self.findings) < MAX_KEPT:
            self.findings.append((case, what))


def fuzz(name: str, seed: int, cases: int, hang_s: float = HANG_S) -> Result:
    """Run the cases 0 .. ``cases`` of a target; each batch in a process of its own.

    The caller has a single thread: its threads would not survive the forks.
    """
    result, began_s = Result(name), time.monotonic()
    first = 0
    while first < cases:
        first = _batch(result, seed, first, min(cases, first + BATCH), hang_s)
    result.seconds = time.monotonic() - began_s
    return result


def _batch(result: Result, seed: int, first: int, end: int, hang_s: float) -> int:
    """Run a batch and add its counts; return the case to go on with, after a crash or a hang before ``end``."""
    shared = mmap.mmap(-1, 4096)
    state: npt.NDArray[np.float64] = np.frombuffer(shared, np.float64)
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        os.close(reading)
        _work(result.target, seed, first, end, state, writing)
    os.close(writing)
    hung = _wait(pid, state, hang_s)
    with os.fdopen(reading, "rb") as pipe:
        lines = [json.loads(line) for line in pipe.read().splitlines()]
    _, status, usage = os.wait4(pid, 0)
    result.cases += int(state[DONE])
    result.expected += int(state[EXPECTED])
    result.peak_mb = max(result.peak_mb, usage.ru_maxrss // 1024)
    for case, what in lines:
        result.found(case, what)
    case = int(state[AT])
    if hung:
        result.hangs += 1
        result.cases += 1
        result.findings.append((case, f"took over {hang_s:.0f} s"))
    elif os.WIFSIGNALED(status):
        result.cases += 1
        result.found(case, f"crash: {signal.Signals(os.WTERMSIG(status)).name}")
    elif os.WEXITSTATUS(status):
        raise RuntimeError(f"{result.target}: the fuzzer itself failed; see above")
    else:
        return end
    return case + 1


def _wait(pid: int, state: npt.NDArray[np.float64], hang_s: float) -> bool:
    """Wait until the process ends; kill it and return True if one case takes too long."""
    while True:
        info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if info is not None:
            return False
        began_s = float(state[BEGAN])  # once: the other process sets it to zero
        if began_s and time.monotonic() - began_s > hang_s:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            return True
        time.sleep(0.02)


def _work(name: str, seed: int, first: int, end: int, state: npt.NDArray[np.float64], writing: int) -> None:
    """Run the cases in this process, the fork, and end it."""
    os.setsid()
    code = 1
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (KERNEL_MB << 20,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with _quiet(), os.fdopen(writing, "wb") as pipe:
            target = targets.opened(name)
            gc.freeze()
            for case in range(first, end):
                data = targets.input_of(name, seed, case)
                state[AT], state[BEGAN] = case, time.monotonic()
                try:
                    target.read(data)
                except target.expected:
                    state[EXPECTED] += 1
                except Exception as error:  # noqa: BLE001 (that is what is looked for)
                    where = traceback.extract_tb(error.__traceback__)[-1]
                    what = f"{type(error).__name__}: {str(error)[:200]} ({Path(where.filename).name}:{where.lineno})"
                    pipe.write(json.dumps([case, what]).encode() + b"\n")
                    pipe.flush()
                state[DONE] += 1
                state[BEGAN] = 0.0
        code = 0
    except BaseException:  # noqa: BLE001 (the parent sees the exit code)
        traceback.print_exc()
    finally:
        os._exit(code)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Send what libraries print to nowhere, and keep it for an error of the fuzzer itself."""
    kept = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)


def table(results: list[Result]) -> str:
    """Return the table of all targets, and their findings."""
    lines = [f"{'target':<12}{'cases':>8}{'expected':>10}{'unexpected':>12}{'hangs':>7}{'peak MB':>9}{'s':>8}"]
    for one in results:
        counts = (
            f"{one.cases:>8}{one.expected:>10}{one.unexpected:>12}{one.hangs:>7}{one.peak_mb:>9}{one.seconds:>8.1f}"
        )
        lines.append(f"{one.target:<12}{counts}")
    lines += [f"{one.target} case {case}: {what}" for one in results for case, what in one.findings]
    return "\n".join(lines)


def plain(results: list[Result]) -> str:
    """Return the results as JSON."""
    return json.dumps([asdict(one) for one in results])
