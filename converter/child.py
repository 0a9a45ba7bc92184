"""Child process with limits: the one place where model files of other people are opened.

The parent passes a request, reads messages (progress, the result or an error) from a pipe, and ends the child when it
exceeds a limit. What the child writes lies in a folder of its own. A crash of the child, by whatever file, is an
expected error here. Task names and limits are parameters, so that all users of model files share this module.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import resource
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from converter.noise import ProgressLine
from edge import errors
from edge.errors import ConversionError, FmdError

TASKS = {
    "convert": "converter.tasks:convert_into",
    "prove": "converter.tasks:prove_again",
    "keras 2": "converter.legacy:export",
}
"""Task name -> function of (request, folder, progress) that runs in the child; it returns plain values.

:func:`run` also takes ``module:function`` itself, for users of this module outside the converter."""

log = logging.getLogger(__name__)

Request = Mapping[str, Any]
Work = Callable[[Request, Path, ProgressLine], dict[str, Any]]
NESTED = "FMD_CONVERT_CHILD"
"""Environment variable that marks a child process."""
MEGABYTE = 1 << 20
CHECKED_EVERY_S = 0.2
MAX_LINE = 1 << 24
"""Bytes of one message; a child that sends more is ended."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use. ``memory_mb`` is resident memory, which only Linux reports; 0 means no limit.

    TensorFlow reserves far more address space than it uses, so RLIMIT_AS cannot stand in for it.
    """

    memory_mb: int = 8192
    seconds: float = 7200.0
    file_mb: int = 4096


def run(task: str, request: Request, folder: Path, limits: Limits, progress: ProgressLine) -> dict[str, Any]:
    """Run ``task`` in a child whose working directory is ``folder``; returns what the task returns.

    Raises the task's own expected error, or ConversionError where the child crashed or exceeded a limit.
    """
    package = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH", ""))))
    # runpy warns that converter imported the module before; after a crash that would be the last line of its output.
    quietly = ("-W", "ignore::RuntimeWarning:runpy")
    command = [sys.executable, *quietly, "-m", "converter.child", task, str(limits.file_mb)]
    with tempfile.TemporaryFile() as noise, tempfile.TemporaryFile() as asked:
        asked.write(json.dumps(request).encode())
        asked.seek(0)
        with subprocess.Popen(
            command,
            stdin=asked,
            stdout=subprocess.PIPE,
            stderr=noise,
            cwd=folder,
            # Temporary files of a child that is ended lie in a folder that its parent removes.
            env={**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", "TMPDIR": str(folder), NESTED: "1"},
            # A child's own child stays in its group, so that both end together.
            start_new_session=NESTED not in os.environ,
        ) as process:
            steps: list[str] = []
            try:
                last = _listen(process, limits, progress, steps)
            finally:
                _end(process)
        return _result_of(last, process.returncode, noise, steps[-1] if steps else "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a child, and its own children where it leads a group."""
    if NESTED in os.environ:
        process.kill()
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # it has ended by itself
        process.kill()


def _listen(
    process: subprocess.Popen[bytes], limits: Limits, progress: ProgressLine, steps: list[str]
) -> dict[str, Any]:
    """Pass progress on until the child sends its last message or closes the pipe; returns the last message.

    What the child says that it does is added to ``steps``.
    """
    assert process.stdout is not None
    deadline_s = time.monotonic() + limits.seconds
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(CHECKED_EVERY_S):
                data = os.read(process.stdout.fileno(), 1 << 16)
                if not data:
                    process.wait()
                    return {}
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    message = json.loads(line)
                    if "say" in message:
                        steps.append(str(message["say"]))
                        progress.say(steps[-1])
                    elif "count" in message:
                        progress.count(*message["count"])
                    else:
                        return dict(message)
            if len(pending) > MAX_LINE:
                raise ConversionError(f"the child process sent a message of over {MAX_LINE} bytes; it was ended")
            _check_limits(process.pid, limits, deadline_s)


def _check_limits(pid: int, limits: Limits, deadline_s: float) -> None:
    if time.monotonic() > deadline_s:
        raise ConversionError(f"the model took over {limits.seconds:.0f} s; the child process was ended")
    used_mb = resident_mb(pid)
    if limits.memory_mb and used_mb > limits.memory_mb:
        raise ConversionError(
            f"the model needs more than {limits.memory_mb} MB of memory (got {used_mb}); the child process was ended"
        )


def resident_mb(pid: int) -> int:
    """Resident memory of a process; 0 where the system does not report it."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() // MEGABYTE
    except (OSError, IndexError, ValueError):
        return 0


def _result_of(message: dict[str, Any], code: int, noise: BinaryIO | Any, step: str) -> dict[str, Any]:
    if "result" in message:
        return dict(message["result"])
    if "error" in message:
        kind, text = message["error"]
        found = getattr(errors, str(kind), ConversionError)
        raise (found if isinstance(found, type) and issubclass(found, FmdError) else ConversionError)(str(text))
    if "interrupted" in message:
        raise KeyboardInterrupt
    if "unexpected" in message:
        log.debug("%s", message["unexpected"])
        raise RuntimeError(str(message["unexpected"]).strip().splitlines()[-1])
    noise.seek(0)
    lines = [line for line in noise.read().decode(errors="replace").splitlines() if line.strip()]
    said = f"; it last wrote: {lines[-1][:200]}" if lines else ""
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    where = f" while {step}" if step else ""
    raise ConversionError(
        f"the child process that opens the model crashed ({how}){where}{said}; the file is damaged or hostile, memory "
        "ran out, or TensorFlow cannot convert one of its layers: free memory and try again, save the model once more, "
        "or replace unusual layers"
    )


class PipeProgress(ProgressLine):
    """Progress that is sent to the parent."""

    def __init__(self, pipe: BinaryIO) -> None:
        super().__init__(None)
        self._pipe = pipe
        self._sent_s = 0.0

    def send(self, message: dict[str, Any]) -> None:
        """Write one message; the parent reads lines."""
        self._pipe.write(json.dumps(message).encode() + b"\n")
        self._pipe.flush()

    def say(self, line: str) -> None:
        self.send({"say": line})

    def count(self, what: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if done == total or now_s - self._sent_s > CHECKED_EVERY_S:
            self._sent_s = now_s
            self.send({"count": [what, done, total]})


def main(task: str, file_mb: str) -> int:
    """Entry point of the child: the request on stdin, messages to what was stdout."""
    # Libraries print to stdout; the pipe must carry messages alone.
    with os.fdopen(os.dup(1), "wb") as pipe:
        os.dup2(2, 1)
        progress = PipeProgress(pipe)
        try:
            if int(file_mb):
                resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_mb) * MEGABYTE,) * 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            module, name = TASKS.get(task, task).split(":")
            work: Work = getattr(importlib.import_module(module), name)
            progress.send({"result": work(json.load(sys.stdin), Path.cwd(), progress)})
        except FmdError as error:
            progress.send({"error": [type(error).__name__, str(error)]})
        except KeyboardInterrupt:
            progress.send({"interrupted": True})
        except MemoryError:
            progress.send({"error": ["ConversionError", "the model needs more memory than there is"]})
        except OSError as error:  # RLIMIT_FSIZE among them
            said = f"{error.filename or 'the model'}: {error.strerror or error} (files have at most {file_mb} MB)"
            progress.send({"error": ["ConversionError", said]})
        except Exception:  # noqa: BLE001 (whatever it is, the parent reports it)
            progress.send({"unexpected": traceback.format_exc()})
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
