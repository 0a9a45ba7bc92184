"""Child process with limits: the one place where files of strangers, model files above all, are opened.

The parent passes a request, reads messages (progress, the result or an error) from a pipe, and ends the child when it
exceeds a limit. What the child writes lies in a folder of its own. A crash of the child, by whatever file, is an
expected error here. The task, the limits and the class of errors are parameters: the converter uses this module as
well.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, NoReturn, Protocol

from edge import confine, errors
from edge.errors import FmdError, StopRequestedError

log = logging.getLogger(__name__)

NESTED = "FMD_CHILD"
"""Environment variable that marks a child process."""
MEGABYTE = 1 << 20
CHECKED_EVERY_S = 0.2
MAX_LINE = 1 << 22
"""Bytes of one message; a child that sends more is ended."""
LAST_OUTPUT = 1 << 16
"""Bytes of the child's standard error that are read after a crash, the last."""
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")
"""Environment of a child that opens a stranger's file: what starts Python, and none of the service's secrets."""


class Progress(Protocol):
    """Where progress of a task goes."""

    def say(self, line: str) -> None:
        """Report a whole line."""

    def count(self, what: str, done: int, total: int) -> None:
        """Report a counter."""


class NoProgress:
    """Progress that nobody reads."""

    def say(self, line: str) -> None:
        """Ignore the line."""

    def count(self, what: str, done: int, total: int) -> None:
        """Ignore the counter."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use; 0 means no limit.

    ``memory_mb`` is resident memory, which only Linux reports. ``data_mb`` is memory of its own, touched or not, which
    the kernel enforces: TensorFlow reserves far more than it uses, so it is not for the converter. ``seconds`` count
    from the start or, if the task reports that it is ready within ``start_s``, from then on: a slow SD card takes a
    minute for imports. ``bare`` keeps the parent's environment from the child. ``nice`` lowers its priority.
    """

    memory_mb: int = 8192
    seconds: float = 7200.0
    file_mb: int = 4096
    data_mb: int = 0
    start_s: float = 0.0
    bare: bool = False
    nice: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """What the parent raises for a child that crashes or exceeds a limit: the class, and what to do about it."""

    error: type[FmdError]
    subject: str
    to_do: str


Task = Callable[[Mapping[str, Any], Path, "PipeProgress"], dict[str, Any]]
"""Function of (request, folder, progress) that runs in the child; it returns plain values.

``request["data"]`` holds the bytes that :func:`run` was given, if any."""


def run(
    task: str,
    request: Mapping[str, Any],
    folder: Path,
    limits: Limits,
    failure: Failure,
    progress: Progress | None = None,
    data: bytes = b"",
) -> dict[str, Any]:
    """Run ``task`` ("module:function") in a child whose working directory is ``folder``; return what it returns.

    Raises the task's own expected error, ``failure`` if the child crashed or exceeded a limit, StopRequestedError if a
    handled signal came, and KeyboardInterrupt at once on Ctrl-C.
    """
    with _unnamed_file() as noise:
        with _signals_raised(), _started(task, request, folder, limits, noise, data) as process:
            parent = _Parent(process, limits, failure, progress or NoProgress())
            try:
                last = parent.listen()
            finally:
                _end(process)
        return _result_of(last, process.returncode, noise, failure, parent.step)


@contextlib.contextmanager
def talking(
    task: str, request: Mapping[str, Any], folder: Path, limits: Limits, failure: Failure, data: bytes = b""
) -> Iterator[Conversation]:
    """Run ``task`` in a child that answers questions until this block ends.

    ``request["channel"]`` is the descriptor of its end of a socket. ``limits.seconds`` here limits the processor time
    alone; each answer has a limit of its own.
    """
    ours, theirs = socket.socketpair()
    with ours, _unnamed_file() as noise:
        with theirs:
            asked = {**request, "channel": theirs.fileno()}
            process = _started(task, asked, folder, limits, noise, data, (theirs.fileno(),))
        with process:
            try:
                yield Conversation(ours, process, noise, failure)
            finally:
                _end(process)


class Conversation:
    """The parent's end of the socket to a child, which may send anything."""

    def __init__(
        self, channel: socket.socket, process: subprocess.Popen[bytes], noise: BinaryIO, failure: Failure
    ) -> None:
        self._channel, self._process, self._noise, self._failure = channel, process, noise, failure

    def ask(self, question: bytes, size: int, seconds: float) -> bytes:
        """Send ``question`` and return an answer of ``size`` bytes.

        Raises the child's own expected error, or ``failure`` if it crashed or gives no answer within ``seconds``.
        """
        until_s, answer = time.monotonic() + seconds, bytearray()
        try:
            self._channel.settimeout(seconds)
            self._channel.sendall(question)
            while len(answer) < size:
                self._channel.settimeout(max(0.001, until_s - time.monotonic()))
                received = self._channel.recv(min(size - len(answer), 1 << 16))
                if not received:
                    self._ended()
                answer += received
        except TimeoutError as error:
            raise self._failure.error(
                f"{self._failure.subject} took over {seconds:.0f} s; the child process was ended"
            ) from error
        except (BrokenPipeError, ConnectionResetError):
            self._ended()
        return bytes(answer)

    def _ended(self) -> NoReturn:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        _end(self._process)
        code = self._process.wait()
        assert self._process.stdout is not None
        last: dict[str, Any] = {}
        # Nobody reads the pipe before, so it holds little.
        for line in self._process.stdout.read(MAX_LINE).splitlines():
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                last = dict(json.loads(line))
        last.pop("result", None)
        _result_of(last, code, self._noise, self._failure, "")
        raise AssertionError("unreachable")


def _started(
    task: str,
    request: Mapping[str, Any],
    folder: Path,
    limits: Limits,
    noise: BinaryIO,
    data: bytes,
    channels: tuple[int, ...] = (),
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "edge.child", task, json.dumps(asdict(limits)), str(os.getpid())]
    with _unnamed_file() as asked:
        asked.write(json.dumps(dict(request)).encode() + b"\n")
        asked.write(data)
        asked.seek(0)
        return subprocess.Popen(
            command,
            stdin=asked,
            stdout=subprocess.PIPE,
            stderr=noise,
            cwd=folder,
            env=_environment(folder, limits),
            pass_fds=channels,
            # A child's own child stays in its group, so that both end together.
            start_new_session=NESTED not in os.environ,
        )


def _environment(folder: Path, limits: Limits) -> dict[str, str]:
    package = str(Path(__file__).resolve().parents[1])
    kept = {key: os.environ[key] for key in KEPT_VARIABLES if key in os.environ} if limits.bare else dict(os.environ)
    path = os.pathsep.join(filter(None, (package, kept.get("PYTHONPATH", ""))))
    # Temporary files of a child that is ended lie in a folder that its parent removes.
    more = {"PYTHONPATH": path, "TMPDIR": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3", NESTED: "1"}
    # Pools of threads that OpenBLAS would start at import reserve tens of megabytes each.
    return {**kept, **more, **({"OPENBLAS_NUM_THREADS": "1"} if limits.bare else {})}


def _unnamed_file() -> BinaryIO | Any:
    """Return a file without a name; on Linux it is in memory, which spares the card."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("fmd"), "w+b")
    return tempfile.TemporaryFile()


class _Signalled(BaseException):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def _signals_raised() -> Iterator[None]:
    """End a wait at once when a signal comes whose handler only notes it, as a service's do."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        raise _Signalled(number)

    noted = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        # The default of SIGINT raises by itself; the default of SIGTERM ends this process, and with it the child.
        if callable(handler) and handler is not signal.default_int_handler:
            noted[number] = handler
    for number in noted:
        signal.signal(number, handle)
    caught: int | None = None
    try:
        yield
    except _Signalled as signalled:
        caught = signalled.number
    finally:
        for number, handler in noted.items():
            signal.signal(number, handler)
    if caught is not None:
        noted[signal.Signals(caught)](caught, None)
        raise StopRequestedError("stopped by a signal while a model file was checked")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a child, and its own children where it leads a group."""
    if NESTED in os.environ:
        process.kill()
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # it has ended by itself
        process.kill()


class _Parent:
    """The parent's end of the pipe. ``step`` is what the child last said that it does."""

    def __init__(self, process: subprocess.Popen[bytes], limits: Limits, failure: Failure, progress: Progress) -> None:
        self._process, self._limits, self._failure, self._progress = process, limits, failure, progress
        self._deadline_s = time.monotonic() + (limits.start_s or limits.seconds)
        self._ready = False
        self.step = ""

    def listen(self) -> dict[str, Any]:
        """Pass progress on until the child sends its last message or closes the pipe; return the last message."""
        assert self._process.stdout is not None
        pending = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while True:
                if selector.select(CHECKED_EVERY_S):
                    data = os.read(self._process.stdout.fileno(), 1 << 16)
                    if not data:
                        self._process.wait()
                        return {}
                    *lines, pending = (pending + data).split(b"\n")
                    for line in lines:
                        last = self._heard(line)
                        if last is not None:
                            return last
                if len(pending) > MAX_LINE:
                    raise self._failure.error(
                        f"the child process sent a message of over {MAX_LINE} bytes; it was ended"
                    )
                self._check_limits()

    def _heard(self, line: bytes) -> dict[str, Any] | None:
        """Pass a message on; return it if it is the last one. A child that was taken over may send anything."""
        try:
            message = dict(json.loads(line))
            if "say" in message:
                self.step = str(message["say"])
                self._progress.say(self.step)
            elif "count" in message:
                what, done, total = message["count"]
                self._progress.count(str(what), int(done), int(total))
            elif "ready" in message:
                if not self._ready:
                    self._ready, self._deadline_s = True, time.monotonic() + self._limits.seconds
            else:
                return message
        except (ValueError, TypeError, RecursionError) as error:
            raise self._failure.error(f"the child process sent no message ({error}); it was ended") from error
        return None

    def _check_limits(self) -> None:
        subject, limits = self._failure.subject, self._limits
        if time.monotonic() > self._deadline_s:
            seconds = limits.seconds if self._ready or not limits.start_s else limits.start_s
            raise self._failure.error(f"{subject} took over {seconds:.0f} s; the child process was ended")
        used_mb = resident_mb(self._process.pid)
        if limits.memory_mb and used_mb > limits.memory_mb:
            raise self._failure.error(
                f"{subject} needs more than {limits.memory_mb} MB of memory (got {used_mb}); the child process was "
                "ended"
            )


def resident_mb(pid: int) -> int:
    """Return the resident memory of a process; 0 where the system does not report it."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // MEGABYTE
    except (OSError, IndexError, ValueError, AttributeError):
        return 0


def _result_of(message: dict[str, Any], code: int, noise: BinaryIO, failure: Failure, step: str) -> dict[str, Any]:
    if isinstance(message.get("result"), dict):
        return dict(message["result"])
    if "error" in message:
        kind, text, *commands = [*message["error"], "", ""][: max(2, len(message["error"]))]
        found = getattr(errors, str(kind), failure.error)
        known = found if isinstance(found, type) and issubclass(found, FmdError) else failure.error
        raise known(str(text)).offering(map(str, commands))
    if "interrupted" in message:
        raise KeyboardInterrupt
    if "unexpected" in message:
        log.debug("%s", message["unexpected"])
        raise RuntimeError(str(message["unexpected"]).strip().splitlines()[-1])
    said = f"; it last wrote: {line}" if (line := _last_line(noise)) else ""
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    where = f" while {step}" if step else ""
    raise failure.error(f"{failure.subject} crashed ({how}){where}{said}; {failure.to_do}")


def _last_line(noise: BinaryIO) -> str:
    """Return the last line that a child wrote to standard error and that is no mere information of a library."""
    noise.seek(max(0, noise.seek(0, io.SEEK_END) - LAST_OUTPUT))
    lines = [line.strip() for line in noise.read(LAST_OUTPUT).decode(errors="replace").splitlines()]
    telling = [line for line in lines if line and not line.startswith(("INFO: ", "WARNING: All log messages"))]
    return telling[-1][:200] if telling else ""


class PipeProgress:
    """Progress that is sent to the parent."""

    def __init__(self, pipe: BinaryIO, parent: int = 0) -> None:
        self._pipe = pipe
        self._sent_s = 0.0
        self._parent = parent

    def send(self, message: dict[str, Any]) -> None:
        """Write one message; the parent reads lines."""
        self._pipe.write(json.dumps(message).encode() + b"\n")
        self._pipe.flush()

    def ready(self) -> None:
        """Report that everything is loaded, give up privileges, and begin to open the stranger's file."""
        confine.confine(self._parent)
        self.send({"ready": True})

    def say(self, line: str) -> None:
        """Send a whole line."""
        self.send({"say": line})

    def count(self, what: str, done: int, total: int) -> None:
        """Send a counter, a few times a second at most."""
        now_s = time.monotonic()
        if done == total or now_s - self._sent_s > CHECKED_EVERY_S:
            self._sent_s = now_s
            self.send({"count": [what, done, total]})


def main(task: str, limited: str, parent: str) -> int:
    """Entry point of the child: the request on stdin, messages to what was stdout."""
    limits = Limits(**json.loads(limited))
    # Libraries print to stdout; the pipe must carry messages alone.
    with os.fdopen(os.dup(1), "wb") as pipe:
        os.dup2(2, 1)
        progress = PipeProgress(pipe, int(parent))
        try:
            _limit(limits, int(parent))
            module, name = task.split(":")
            work: Task = getattr(importlib.import_module(module), name)
            request, data = json.loads(sys.stdin.buffer.readline()), sys.stdin.buffer.read()
            given = {**request, "data": data} if data else request
            progress.send({"result": work(given, Path.cwd(), progress)})
        except FmdError as error:
            progress.send({"error": [type(error).__name__, str(error), *error.commands]})
        except KeyboardInterrupt:
            progress.send({"interrupted": True})
        except MemoryError:
            progress.send({"error": ["", "it needs more memory than it may use"]})
        except OSError as error:  # RLIMIT_FSIZE among them
            said = f"{error.filename or 'the file'}: {error.strerror or error} (files have at most {limits.file_mb} MB)"
            progress.send({"error": ["", said]})
        except Exception:  # noqa: BLE001 (whatever it is, the parent reports it)
            progress.send({"unexpected": traceback.format_exc()})
    return 0


def _limit(limits: Limits, parent: int) -> None:
    """Set the limits that the kernel enforces."""
    import resource

    confine.die_with_parent(parent)
    confine.be_killed_first()
    if limits.nice:
        with contextlib.suppress(OSError):  # where a filter of system calls forbids it
            os.nice(limits.nice)
    for number, value in (
        (resource.RLIMIT_FSIZE, limits.file_mb * MEGABYTE),
        (resource.RLIMIT_DATA, limits.data_mb * MEGABYTE),
        # Several threads together use more than the time that passes; 16 is the most that the settings allow.
        (resource.RLIMIT_CPU, int(16 * limits.seconds) + int(limits.start_s)),
    ):
        if value:
            # A child's own child may have more only as far as the child itself.
            most = resource.getrlimit(number)[1]
            least = value if most == resource.RLIM_INFINITY else min(value, most)
            resource.setrlimit(number, (least, least))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
