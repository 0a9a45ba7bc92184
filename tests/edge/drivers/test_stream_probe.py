"""Servers that give no stream, and the reason that fmd reports for it."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import pytest

from edge import config
from edge.drivers.stream import StreamCamera
from edge.drivers.stream_probe import examine
from edge.errors import CameraError
from edge.inference.picture_file import encode
from tests.edge.parts import texture

SDP = "v=0\r\nm=audio 0 RTP/AVP 0\r\na=control:track1\r\nm=video 0 RTP/AVP 26\r\na=control:track2\r\n"


@contextmanager
def served(server: Any) -> Iterator[int]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def rtsp_server(answer: Callable[[str, str, str], tuple[int, str]]) -> Any:
    """Return a server whose ``answer`` maps method, address and headers to a status and further headers."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline().decode():
                method, url, _ = line.split()
                headers = ""
                while (header := self.rfile.readline().decode()).strip():
                    headers += header
                status, more = answer(method, url, headers)
                body = SDP if (method, status) == ("DESCRIBE", 200) else ""
                self.wfile.write(
                    f"RTSP/1.0 {status} x\r\nCSeq: 1\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}".encode()
                )

    ThreadingTCPServer.allow_reuse_address = ThreadingTCPServer.daemon_threads = True
    return ThreadingTCPServer(("127.0.0.1", 0), Handler)


def udp_only(method: str, url: str, headers: str) -> tuple[int, str]:
    if method != "SETUP":
        return 200, ""
    assert re.search("/door/track[12]$", url)
    return (461 if "TCP" in headers else 200), ""


def no_tcp(method: str, url: str, headers: str) -> tuple[int, str]:
    """Refuse TCP, with another status than the standard's."""
    status, more = udp_only(method, url, headers)
    return 400 if status == 461 else status, more


def digest(method: str, url: str, headers: str) -> tuple[int, str]:
    """Accept user "me" with password "p@ss" by digest."""

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    wanted = md5(f"{md5('me:cam:p@ss')}:abc:{md5(f'{method}:{url}')}")
    if f'response="{wanted}"' not in headers:
        return 401, 'WWW-Authenticate: Digest realm="cam", nonce="abc"\r\n'
    return udp_only(method, url, headers)


@pytest.mark.parametrize(
    ("answer", "login", "wanted"),
    [
        (udp_only, "", "the camera offers its stream over UDP only, and none arrives over UDP"),
        (
            lambda *asked: (udp_only(*asked)[0] + 90 * (asked[0] == "SETUP"), ""),
            "",
            "the camera offers its stream over",
        ),
        (digest, "me:p%40ss@", "the camera offers its stream over UDP only"),
        (digest, "me:wrong@", "the camera answers 401: user or password is wrong"),
        (digest, "", "the camera answers 401: it wants user and password"),
        (lambda *_: (404, ""), "", "the camera answers 404: the path is wrong"),
        (lambda *_: (503, ""), "", "the camera answers 503"),
    ],
)
def test_a_camera_without_a_stream_over_tcp_gives_the_reason(
    answer: Callable[[str, str, str], tuple[int, str]], login: str, wanted: str
) -> None:
    with served(rtsp_server(answer)) as port:
        address = f"rtsp://{login}127.0.0.1:{port}/door"
        with pytest.raises(CameraError) as caught:
            StreamCamera(config.load(None, {"camera.source": address}).camera, address, lambda: 0.0)
    assert re.sub(r"^rtsp://(\*\*\*@)?127.0.0.1:\d+/door: ", "", str(caught.value)).startswith(wanted)
    assert "p%40ss" not in str(caught.value)
    assert "wrong@" not in str(caught.value)


def test_a_camera_that_refuses_tcp_is_refused_if_the_settings_want_tcp() -> None:
    with served(rtsp_server(udp_only)) as port:
        address = f"rtsp://127.0.0.1:{port}/door"
        settings = config.load(None, {"camera.source": address, "camera.rtsp_transport": "tcp"}).camera
        with pytest.raises(CameraError, match=r'over UDP only; switch TCP on .* or set camera.rtsp_transport = "auto"'):
            StreamCamera(settings, address, lambda: 0.0)


def http_server(kind: str, status: int = 200) -> Any:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = encode(".jpg", texture(48, 64)) if kind.startswith("image") else b"<html>"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def read_three(address: str, **settings: float) -> None:
    """Open the stream at ``address`` and read three pictures."""
    changed = {f"camera.{key}": value for key, value in settings.items()}
    camera = StreamCamera(config.load(None, {"camera.source": address, **changed}).camera, address, time.monotonic)
    for _ in range(3):
        camera.read()


def test_a_stream_that_is_slower_than_the_settings_allow_gives_that_reason() -> None:
    over = threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
            self.end_headers()
            picture = encode(".jpg", texture(48, 64))
            for _ in range(2):
                head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                self.wfile.write(head.encode() + picture + b"\r\n")
            over.wait(20)

        def log_message(self, *_: Any) -> None: ...

    with served(ThreadingHTTPServer(("127.0.0.1", 0), Slow)) as port:
        with pytest.raises(CameraError, match=r"no picture for \d s; .* needs its rate as camera\.fps"):
            read_three(f"http://127.0.0.1:{port}/video", stall_s=0.5)
        over.set()


@pytest.mark.parametrize(
    ("kind", "status", "wanted"),
    [
        ("image/jpeg", 200, "the address gives one picture per request (a snapshot), no stream"),
        ("text/html; charset=utf-8", 200, "the address gives a web page, no stream"),
        ("text/html", 401, "the camera answers 401: it wants user and password"),
        ("text/html", 404, "the camera answers 404: the path is wrong"),
    ],
)
def test_an_address_of_something_else_than_a_stream_gives_the_reason(kind: str, status: int, wanted: str) -> None:
    with served(http_server(kind, status)) as port:
        address = f"http://127.0.0.1:{port}/shot"
        with pytest.raises(CameraError) as caught:
            read_three(address)
    assert f": {wanted}" in str(caught.value)


def test_a_server_that_hangs_up_or_talks_nonsense_gives_no_reason() -> None:
    class Nonsense(StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(b"what?\r\n")

    with served(ThreadingTCPServer(("127.0.0.1", 0), Nonsense)) as port:
        assert examine(f"rtsp://127.0.0.1:{port}/door", 2.0).reason == ""
        assert examine(f"http://127.0.0.1:{port}/door", 2.0).reason == ""
    assert examine(f"rtsp://127.0.0.1:{port}/door", 2.0).reason == ""
