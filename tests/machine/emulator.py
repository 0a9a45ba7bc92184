"""A whole board emulated by QEMU, observed from outside: its console, a shell in it, and the levels of its pins.

``virt`` replaces a Pi 4: QEMU's generic machine with a Pi 4's name in its device tree, and a PL061 of eight lines as
its GPIO chip. ``pi`` is QEMU's model of a Pi 3B with the BCM2837's own 54 lines. The proof never asks the guest for a
pin: QEMU reports every change of a line as the chip drives it.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.machine.kernel import VIRT, Kernel
from tests.machine.place import ProofError

BOOT_S = 900
"""Longest duration of a boot: an idle desktop needs 20 s, two busy cores of a small server many times that."""
POLL_S = 0.2
GUEST, PAGE_PORT = "10.0.2.15", 8080
"""The guest's address in QEMU's network, and the port of its web page."""
CLOCK = ("-icount", "shift=0", "-rtc", "base=utc,clock=vm")
"""Arguments that count guest time in instructions, one per nanosecond; idle time passes at its normal rate. So the
unit's time limits hold as shipped, however busy the host is."""


@dataclass(frozen=True)
class Board:
    """Properties in which the machines differ."""

    machine: str
    arguments: tuple[str, ...]
    console: str
    shell_device: str
    gpio_type: str


BOARDS = {
    "virt": Board(
        "virt",
        (*VIRT, "-nodefaults", "-device", "virtio-rng-pci"),
        "ttyAMA0",
        "/dev/hvc0",
        "pl061",
    ),
    "pi": Board("raspi3b", (), "ttyS1,115200", "/dev/ttyAMA0", "bcm2835_gpio"),
}


@dataclass(frozen=True)
class Edge:
    """One change of a pin's level, observed from outside at ``at_s`` (the host's monotonic seconds)."""

    pin: int
    high: bool
    at_s: float


class Line:
    """One of QEMU's unix sockets, read line by line."""

    def __init__(self, path: Path, timeout_s: float = 30) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout_s)
        _connect(self._socket, path, timeout_s)
        self._file = self._socket.makefile("r", encoding="utf-8", errors="replace", newline="\n")

    def send(self, text: str) -> None:
        """Send one line."""
        self._socket.sendall(text.encode() + b"\n")

    def lines(self) -> Iterator[str]:
        """Yield the other end's lines until it closes."""
        self._socket.settimeout(None)
        try:
            yield from self._file
        except (OSError, ValueError):
            return

    def read(self) -> str:
        """Return the next line; raises ProofError if none comes in time or the other end has closed."""
        try:
            line = self._file.readline()
        except TimeoutError as error:
            raise ProofError("QEMU does not answer") from error
        if not line:
            raise ProofError("QEMU is gone")
        return line

    def close(self) -> None:
        """Close the socket, which ends a thread that reads it."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _connect(to: socket.socket, path: Path, timeout_s: float) -> None:
    until_s = time.monotonic() + timeout_s
    while True:
        try:
            return to.connect(str(path))
        except OSError as error:
            if time.monotonic() > until_s:
                raise ProofError(f"{path.name}: QEMU does not listen: {error}") from error
            time.sleep(0.05)


class Monitor:
    """The part of QEMU's machine protocol (QMP) that the proof needs."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._line.read()  # the greeting
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """Return the answer to one command and skip the events before it. Raises ProofError if QEMU refuses it."""
        self._line.send(json.dumps({"execute": command, "arguments": arguments}))
        while True:
            answer = json.loads(self._line.read())
            if "error" in answer:
                raise ProofError(f"QEMU refuses {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def path_of(self, kind: str) -> str:
        """Return the path of the first device of ``kind`` in QEMU's tree of devices."""
        tree = str(self.execute("human-monitor-command", **{"command-line": "info qom-tree"}))
        return find_device(tree, kind)


def find_device(tree: str, kind: str) -> str:
    """Return the path of the first device of ``kind`` in the output of ``info qom-tree``."""
    names: list[str] = []
    for line in tree.splitlines():
        match = re.match(r"( *)/(\S+) \((\S+)\)", line)
        if match:
            names[len(match[1]) // 2 :] = [match[2]]
            if match[3] == kind:
                return "/" + "/".join(names)
    raise ProofError(f"QEMU's machine has no {kind}")


class Pins:
    """Levels of a board's pins as its chip drives them, with every edge since the machine started."""

    def __init__(self, line: Line, device: str) -> None:
        self._line, self._device, self.edges = line, device, list[Edge]()
        self._changed = threading.Condition()
        self._line.send(f"irq_intercept_out {device}")
        threading.Thread(target=self._listen, name="pins", daemon=True).start()

    def _listen(self) -> None:
        for line in self._line.lines():
            match = re.match(r"IRQ (raise|lower) (\d+)", line)
            if match:
                with self._changed:
                    self.edges.append(Edge(int(match[2]), match[1] == "raise", time.monotonic()))
                    self._changed.notify_all()

    def level(self, pin: int) -> bool:
        """Return whether a pin is high now; a line that was never driven is low."""
        with self._changed:
            return self._level(pin)

    def _level(self, pin: int) -> bool:
        return next((edge.high for edge in reversed(self.edges) if edge.pin == pin), False)

    def drive(self, pin: int, high: bool) -> None:
        """Drive an input pin from outside, as a contact does."""
        self._line.send(f"set_irq_in {self._device} unnamed-gpio-in {pin} {int(high)}")

    def wait(self, pin: int, high: bool, timeout_s: float) -> float:
        """Wait until ``pin`` has that level and return the seconds; raises :class:`ProofError` after ``timeout_s``."""
        started_s = time.monotonic()
        with self._changed:
            if not self._changed.wait_for(lambda: self._level(pin) is high, timeout_s):
                raise ProofError(f"pin {pin} did not go {'high' if high else 'low'} within {timeout_s:.0f} s")
        return time.monotonic() - started_s

    def of(self, pin: int, since_s: float = 0) -> list[Edge]:
        """Return the edges of one pin, oldest first."""
        with self._changed:
            return [edge for edge in self.edges if edge.pin == pin and edge.at_s >= since_s]


class Shell:
    """A root shell in the guest, on a serial line of its own (the proof's unit, not part of the package)."""

    def __init__(self, line: Line) -> None:
        self._line, self._output = line, list[str]()
        self._arrived = threading.Condition()
        self._marks = (f"<{number}>" for number in itertools.count())
        threading.Thread(target=self._listen, name="shell", daemon=True).start()

    def _listen(self) -> None:
        for line in self._line.lines():
            with self._arrived:
                self._output.append(line.rstrip("\r\n"))
                self._arrived.notify_all()

    def run(self, command: str, timeout_s: float = 300) -> tuple[int, str]:
        """Run one script and return its exit status and output (both streams)."""
        mark = next(self._marks)
        with self._arrived:
            self._output.clear()
        self._line.send(f"{mark} {base64.b64encode(command.encode()).decode()}")
        with self._arrived:
            if not self._arrived.wait_for(lambda: any(line.startswith(mark) for line in self._output), timeout_s):
                raise ProofError(f"guest: `{command}` gave no answer within {timeout_s:.0f} s")
            text = "\n".join(self._output)
        output, _, status = text.rpartition(mark)
        return int(status.split()[0]), output.strip()

    def out(self, command: str, timeout_s: float = 300) -> str:
        """Run a command that must succeed and return its output."""
        status, output = self.run(command, timeout_s)
        if status:
            raise ProofError(f"guest: `{command}` ended with {status}: {output[-800:]}")
        return output


@dataclass
class Machine:
    """One emulated board, started by ``with``; leaving the block cuts its power."""

    kernel: Kernel
    disk: Path
    folder: Path
    kind: str = "virt"
    append: str = ""
    page_port: int = 0
    """Port of this host that leads to the guest's web page; 0 gives the guest no network."""
    drive: tuple[str, ...] = ()
    """QEMU's arguments for the disk in place of the plain ones, for a disk whose writes are recorded."""
    pins: Pins = field(init=False)
    shell: Shell = field(init=False)
    started_s: float = field(init=False, default=0)

    def __enter__(self) -> Machine:
        self.board = BOARDS[self.kind]
        # Not under self.folder: a socket's path has at most 107 characters.
        self._sockets = Path(tempfile.mkdtemp(prefix="fmd-proof."))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._console = self.folder / f"console.{time.time_ns()}"
        self.started_s = time.monotonic()
        self._qemu = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            self._lines = {name: Line(self._path(name)) for name in ("monitor", "qtest", "shell")}
            self.monitor = Monitor(self._lines["monitor"])
            self.pins = Pins(self._lines["qtest"], self.monitor.path_of(self.board.gpio_type))
            self.shell = Shell(self._lines["shell"])
        except ProofError as error:
            self.cut()
            assert self._qemu.stderr is not None
            raise ProofError(f"{error}\n{self._qemu.stderr.read().decode(errors='replace')}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.cut()

    def cut(self) -> None:
        """Cut the power."""
        self._qemu.kill()
        self._qemu.wait()
        for line in getattr(self, "_lines", {}).values():
            line.close()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def up_s(self) -> float:
        """Return the seconds since the power came on."""
        return time.monotonic() - self.started_s

    def console(self) -> str:
        """Return all output of the guest's console."""
        path = self._console
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_for(self, pattern: str, timeout_s: float = BOOT_S) -> re.Match[str]:
        """Wait for ``pattern`` on the console and return its first match."""
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s and self._qemu.poll() is None:
            found = re.search(pattern, self.console())
            if found:
                return found
            time.sleep(POLL_S)
        raise ProofError(f"the console never said {pattern!r}; last:\n{self.console()[-1500:]}")

    def _path(self, name: str) -> Path:
        return self._sockets / name

    def _command(self) -> list[str]:
        console, board = self._console, self.board
        serials = ["-serial", f"file:{console}"]
        channel = ["-chardev", f"socket,id=shell,path={self._path('shell')},server=on,wait=off"]
        if self.kind == "pi":
            plain = ["-drive", f"if=sd,file={self.disk},format=raw"]
            serials = [*channel, "-serial", "chardev:shell", *serials]
        else:
            plain = ["-drive", f"if=none,id=disk,file={self.disk},format=raw,cache=writeback"]
            plain += ["-device", "virtio-blk-pci,drive=disk"]
            serials += [*channel, "-device", "virtio-serial-pci", "-device", "virtconsole,chardev=shell"]
        return [
            *("qemu-system-aarch64", "-M", board.machine, *board.arguments),
            *("-accel", "tcg", *CLOCK, "-display", "none", "-no-reboot"),
            *("-kernel", str(self.kernel.image), "-initrd", str(self.kernel.initrd(self.kind))),
            *("-dtb", str(self.kernel.device_tree(self.kind))),
            *("-append", f"console={board.console} rw panic=-1 quiet systemd.show_status=0 {self.append}".strip()),
            *(self.drive or plain),
            *serials,
            *(network_of(self.page_port) if self.page_port else ()),
            *("-qmp", f"unix:{self._path('monitor')},server=on,wait=off"),
            *("-qtest", f"unix:{self._path('qtest')},server=on,wait=off", "-qtest-log", "/dev/null"),
        ]


def network_of(page_port: int) -> tuple[str, ...]:
    """Return QEMU's arguments for a network in which the guest reaches nothing, and this host the guest's web page."""
    forward = f"hostfwd=tcp:127.0.0.1:{page_port}-{GUEST}:{PAGE_PORT}"
    return ("-netdev", f"user,id=net,restrict=on,{forward}", "-device", "virtio-net-pci,netdev=net,romfile=")


@contextmanager
def powered(machine: Machine) -> Iterator[Machine]:
    """Boot ``machine`` until its shell answers, and yield it."""
    with machine as started:
        started.wait_for("PROOF SHELL READY")
        yield started
