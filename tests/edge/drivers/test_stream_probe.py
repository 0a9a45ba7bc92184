"""Servers that give no stream, and the reason that fmd reports for it."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import pytest

from edge import config
from edge.drivers.stream import StreamCamera
from edge.drivers.stream_probe import examine
from edge.errors import CameraError

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
        (digest, "me:nothis@", "the camera answers 401: user or password is wrong"),
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


def test_a_server_that_hangs_up_or_talks_nonsense_gives_no_reason() -> None:
    class Nonsense(StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(b"what?\r\n")

    with served(ThreadingTCPServer(("127.0.0.1", 0), Nonsense)) as port:
        assert examine(f"rtsp://127.0.0.1:{port}/door", 2.0).reason == ""
    assert examine(f"rtsp://127.0.0.1:{port}/door", 2.0).reason == ""
