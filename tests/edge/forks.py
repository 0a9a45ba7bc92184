"""The command ``fmd`` in forks of one process that has loaded its libraries: a start takes half a second, a fork none.

Each fork is a process of its own: it has the arguments, standard streams, folder and environment of the command, and
ends as the command does. What concerns the start itself, such as PYTHONPATH, needs the installed command
(:func:`tests.edge.parts.command`).
"""

from __future__ import annotations

import contextlib
import gc
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
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from edge import process

ROOT = Path(__file__).parents[2]
LOADED = (
    "ai_edge_litert.interpreter",
    "edge.api",
    "edge.record.store",
    "edge.record.weekly_report",
    "edge.reporting.reporter",
    "edge.service.control_server",
    "edge.service.run",
)
"""What most commands load besides their own modules."""
MAX_REQUEST = 1 << 17
"""Bytes of a request, which holds an environment."""


@cache
def _server() -> socket.socket:
    """Start the process that forks, and return the socket for requests; it ends when this process does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        number = theirs.fileno()
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(number)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            pass_fds=[number],
            start_new_session=True,  # at Ctrl-C it would print a traceback beside pytest's own message
        )
    return ours


def run(
    arguments: Sequence[str], cwd: Path | None, environment: Mapping[str, str], timeout_s: int
) -> subprocess.CompletedProcess[str]:
    """Run ``fmd`` with ``arguments`` and return its result; a command that takes ``timeout_s`` is killed."""
    request = {"arguments": arguments, "cwd": str(cwd or Path.cwd()), "environment": dict(environment)}
    pipes = [os.pipe() for _ in range(3)]
    data = json.dumps({**request, "timeout_s": timeout_s}).encode()
    socket.send_fds(_server(), [data], [writing for _, writing in pipes])
    for _, writing in pipes:
        os.close(writing)
    out, err, status = _read([reading for reading, _ in pipes])
    return subprocess.CompletedProcess(["fmd", *arguments], int(status or -signal.SIGABRT), out, err)


def _read(descriptors: Sequence[int]) -> list[str]:
    """Return all that comes from each descriptor, and close it."""
    found: dict[int, bytes] = dict.fromkeys(descriptors, b"")
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, 1 << 16)
                found[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return [data.decode() for data in found.values()]


def _serve(requests: socket.socket) -> int:
    """Fork a process for each request until there is no one to ask; in it, return the command's exit code.

    This process leads a group, which ends with it.
    """
    _load()
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, MAX_REQUEST, 3)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not data:
            os.killpg(0, signal.SIGTERM)  # with commands that still run, as Ctrl-C at pytest does not reach them
        # One process waits for the command and reports its end, so that commands may run beside each other.
        if os.fork() == 0:
            request = json.loads(data)
            command = os.fork()
            if command == 0:
                return _become(request, requests, descriptors)
            _report_end(command, request["timeout_s"], descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _report_end(command: int, timeout_s: int, descriptors: Sequence[int]) -> NoReturn:
    """Wait for a command, and write its exit code to the last descriptor."""
    for descriptor in descriptors[:2]:
        os.close(descriptor)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(command, signal.SIGKILL))
    signal.alarm(timeout_s)
    code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
    os.write(descriptors[2], str(code).encode())
    os._exit(0)


def _load() -> None:
    from edge.commands import main

    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main.main(["--version"])  # sets what OpenCV reads when it is loaded
    logging.getLogger().handlers.clear()
    main.make_parser().load()
    for name in LOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # a fork that collects garbage would copy all of it


def _become(request: Mapping[str, Any], requests: socket.socket, descriptors: Sequence[int]) -> int:
    os.dup2(descriptors[0], 1)
    os.dup2(descriptors[1], 2)
    for descriptor in descriptors:
        os.close(descriptor)
    requests.close()
    # As Python opens them at its start.
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.argv = ["fmd", *request["arguments"]]
    return process.fmd()


if __name__ == "__main__":
    sys.exit(_serve(socket.socket(fileno=int(sys.argv[1]))))
