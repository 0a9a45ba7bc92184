"""Webhooks that answer without end, slowly, or with another address cost little, and get no secret."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edge import config
from edge.contracts import MessageKind
from edge.drivers import notify
from edge.drivers.notify import ApprisePublisher
from edge.errors import PublishError
from tests.edge.drivers.test_mqtt import message

pytest.importorskip("apprise", reason="apprise is not installed")
VIOLATION = message(MessageKind.DECISION, change="decided", outcome="violation", label="without_mask", signal="no_mask")


@contextmanager
def webhook(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            try:
                answer(self)
            except OSError:
                self.close_connection = True

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None: ...

    ThreadingHTTPServer.daemon_threads = True
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def publisher(port: int, login: str = "") -> ApprisePublisher:
    settings = config.load(None, {"notify.every_s": 0.0}).notify
    return ApprisePublisher(settings, f"json://{login}127.0.0.1:{port}/hook", "door")


def peak_mb() -> float:
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(800 << 20))
    handler.end_headers()
    while True:
        handler.wfile.write(b"\0" * (1 << 16))


def expanding(handler: BaseHTTPRequestHandler) -> None:
    packer = zlib.compressobj(1, wbits=31)
    body = b"".join([packer.compress(bytes(1 << 20)) for _ in range(200)]) + packer.flush()
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize("attack", [endless, expanding])
def test_an_answer_of_any_size_costs_little_memory(attack: Callable[[BaseHTTPRequestHandler], None]) -> None:
    with webhook(attack) as port:
        before = peak_mb()
        with pytest.raises(PublishError):
            publisher(port).send(VIOLATION)
    assert peak_mb() - before < 30


def test_an_answer_that_trickles_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "ANSWER_S", 0.2)
    over = threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not over.wait(0.05):
            handler.wfile.write(b"x" * 16384)

    with webhook(slow) as port, pytest.raises(PublishError):
        publisher(port).send(VIOLATION)
    over.set()


def test_an_ordinary_answer_is_good() -> None:
    def good(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"ok")

    with webhook(good) as port:
        publisher(port).send(VIOLATION)


def test_a_redirect_to_another_host_gets_no_password() -> None:
    asked: list[str | None] = []

    def other(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.headers.get("Authorization"))
        handler.send_response(200)
        handler.end_headers()

    with webhook(other) as there:

        def moved(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(302)
            handler.send_header("Location", f"http://localhost:{there}/x")
            handler.end_headers()

        with webhook(moved) as port, suppress(PublishError):
            publisher(port, "me:planted-secret@").send(VIOLATION)
    assert asked in ([], [None])
