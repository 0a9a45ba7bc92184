"""Cameras with TLS: the right one gives pictures, and no other server ever gets the password."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import numpy as np
import pytest

from edge import config, drivers
from edge.contracts import Camera
from edge.drivers import tls
from edge.drivers.stream import REDIRECTS, StreamCamera
from edge.errors import CameraError, SettingsError
from edge.inference.picture_file import encode
from tests.edge.drivers.test_stream import Server, server  # noqa: F401 - a fixture
from tests.edge.parts import texture

trustme = pytest.importorskip("trustme", reason="trustme is not installed")
PASSWORD = "p@ss word"
LOGIN = "me:p%40ss%20word@"
LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)


class Door:
    """A camera: MJPEG for who sends the password. ``asked`` lists the Authorization header of each request."""

    def __init__(self, redirect: str = "") -> None:
        self.asked: list[str] = []
        picture, door = encode(".jpg", texture(48, 64)), self
        wanted = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                given = self.headers.get("Authorization", "")
                door.asked.append(given)
                if redirect:
                    self.send_response(302)
                    self.send_header("Location", redirect)
                    self.end_headers()
                    return
                if given != wanted:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="door"')
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
                self.end_headers()
                head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                try:
                    for _ in range(100):
                        self.wfile.write(head.encode() + picture + b"\r\n")
                        time.sleep(0.01)
                except OSError:
                    return

            def log_message(self, *_: Any) -> None: ...

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None: ...

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    @contextmanager
    def serving(self, certificate: Any = None) -> Iterator[Door]:
        """Serve, with TLS if there is a certificate."""
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()


@pytest.fixture(scope="module")
def authority() -> Any:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: Any, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


def fingerprint(certificate: Any) -> str:
    der = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    return hashlib.sha256(der).hexdigest()


def opened(address: str, **changed: Any) -> Camera:
    overrides = {f"camera.{key}": value for key, value in changed.items()}
    settings = config.load(None, {"camera.source": address, "camera.open_s": 3.0, **overrides}).camera
    return drivers.open_camera(settings, time.monotonic)


def first_picture(address: str, **changed: Any) -> tuple[int, ...]:
    camera = opened(address, **changed)
    try:
        frame = camera.read()
    finally:
        camera.close()
    assert frame is not None
    return frame.image.shape


def test_a_camera_with_a_certificate_of_the_authority_gives_pictures(authority: Any, ca_file: str) -> None:
    with Door().serving(authority.issue_cert("127.0.0.1")) as door:
        assert first_picture(f"https://{LOGIN}127.0.0.1:{door.port}/mjpeg", ca_file=ca_file) == (48, 64, 3)
    assert any(door.asked)


@pytest.mark.parametrize("pinned", [str.lower, str.upper, lambda digits: "sha256:" + digits])
def test_a_pinned_certificate_gives_pictures_whatever_else_is_wrong_with_it(pinned: Callable[[str], str]) -> None:
    certificate = trustme.CA().issue_cert("another.example", not_after=LONG_AGO)
    with Door().serving(certificate) as door:
        pins = {"127.0.0.1": pinned(fingerprint(certificate))}
        assert first_picture(f"https://{LOGIN}127.0.0.1:{door.port}/mjpeg", fingerprints=pins) == (48, 64, 3)


def test_the_fingerprint_that_fmd_names_can_be_set(tmp_path: Path) -> None:
    del tmp_path
    with Door().serving(trustme.CA().issue_cert("127.0.0.1")) as door:
        address = f"https://{LOGIN}127.0.0.1:{door.port}/mjpeg"
        with pytest.raises(CameraError) as caught:
            opened(address)
        named = str(caught.value).partition('"127.0.0.1" = "')[2].partition('"')[0]
        assert first_picture(address, fingerprints={"127.0.0.1": named}) == (48, 64, 3)


IMPOSTORS: dict[str, tuple[Callable[[Any], Any], dict[str, Any], str]] = {
    "unknown authority": (lambda ca: trustme.CA().issue_cert("127.0.0.1"), {}, "its certificate"),
    "system's list": (lambda ca: trustme.CA().issue_cert("127.0.0.1"), {"ca_file": ""}, "has an unknown authority"),
    "expired": (lambda ca: ca.issue_cert("127.0.0.1", not_after=LONG_AGO), {}, "has expired"),
    "wrong host": (lambda ca: ca.issue_cert("another.example"), {}, "another address"),
    "wrong pin": (
        lambda ca: ca.issue_cert("127.0.0.1"),
        {"fingerprints": {"127.0.0.1": "ab" * 32}},
        "not the one in camera.fingerprints",
    ),
    "pin of another host": (
        lambda ca: trustme.CA().issue_cert("127.0.0.1"),
        {"fingerprints": {"192.168.1.7": "ab" * 32}},
        "its certificate",
    ),
}


@pytest.mark.parametrize("kind", IMPOSTORS)
@pytest.mark.parametrize("scheme", ["https", "rtsps"])
def test_no_impostor_gets_the_password(kind: str, scheme: str, authority: Any, ca_file: str) -> None:
    made, changed, message = IMPOSTORS[kind]
    received: list[bytes] = []

    class Listener(BaseRequestHandler):
        def handle(self) -> None:
            try:
                secure = context.wrap_socket(self.request, server_side=True)
                secure.settimeout(2.0)
                received.append(secure.recv(1 << 16))
            except OSError:
                pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made(authority).configure_cert(context)
    with ThreadingTCPServer(("127.0.0.1", 0), Listener) as listening:
        threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        address = f"{scheme}://{LOGIN}127.0.0.1:{listening.server_address[1]}/x"
        with pytest.raises(CameraError, match=message) as caught:
            opened(address, **{"ca_file": ca_file, **changed})
        listening.shutdown()
    assert not b"".join(received)
    assert "p%40ss" not in str(caught.value)


def test_an_impostor_that_takes_over_later_gets_nothing(authority: Any, ca_file: str) -> None:
    """The first handshake is with the camera, those of the stream with another server."""
    received: list[bytes] = []
    contexts = []
    for certificate in (authority.issue_cert("127.0.0.1"), trustme.CA().issue_cert("127.0.0.1")):
        contexts.append(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        certificate.configure_cert(contexts[-1])

    class Listener(BaseRequestHandler):
        def handle(self) -> None:
            context = contexts.pop(0) if len(contexts) > 1 else contexts[0]
            try:
                secure = context.wrap_socket(self.request, server_side=True)
                received.append(secure.recv(1 << 16))
            except OSError:
                pass

    with ThreadingTCPServer(("127.0.0.1", 0), Listener) as listening:
        threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        with pytest.raises(CameraError):
            opened(f"https://{LOGIN}127.0.0.1:{listening.server_address[1]}/x", ca_file=ca_file)
        listening.shutdown()
    assert not b"".join(received)


def test_ffmpeg_reads_through_the_tunnel_as_well(authority: Any, ca_file: str) -> None:
    with Door().serving(authority.issue_cert("127.0.0.1")) as door:
        address = f"https://{LOGIN}127.0.0.1:{door.port}/mjpeg"
        camera = StreamCamera(config.load(None, {"camera.ca_file": ca_file}).camera, address, time.monotonic)
        frame = camera.read()
        camera.close()
    assert frame is not None
    assert frame.image.shape == (48, 64, 3)


@pytest.mark.parametrize("secure", [True, False])
def test_a_redirect_carries_no_password(secure: bool, authority: Any, ca_file: str) -> None:
    with (
        Door().serving() as other,
        Door(f"http://127.0.0.1:{other.port}/x").serving(authority.issue_cert("127.0.0.1") if secure else None) as door,
    ):
        scheme = "https" if secure else "http"
        with pytest.raises(CameraError) as caught:
            opened(f"{scheme}://{LOGIN}127.0.0.1:{door.port}/x", ca_file=ca_file)
    assert not any(other.asked)
    assert not (secure and other.asked)
    assert REDIRECTS in str(caught.value)


def test_a_plain_server_at_the_port_and_a_missing_authority_are_reported(tmp_path: Path) -> None:
    with Door().serving() as door:
        with pytest.raises(CameraError, match="no TLS at this port"):
            opened(f"https://{LOGIN}127.0.0.1:{door.port}/x")
        assert not any(door.asked)
    with pytest.raises(CameraError, match=r"camera\.ca_file: .*nowhere.pem: No such file"):
        opened(f"https://127.0.0.1:{door.port}/x", ca_file=str(tmp_path / "nowhere.pem"))
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(CameraError, match=r"camera\.ca_file: .*empty.pem"):
        opened(f"https://127.0.0.1:{door.port}/x", ca_file=str(tmp_path / "empty.pem"))
    with pytest.raises(CameraError, match=f"no camera answers at 127.0.0.1 port {door.port}"):
        opened(f"https://{LOGIN}127.0.0.1:{door.port}/x")


def test_a_fingerprint_that_is_none_is_an_error_of_the_settings() -> None:
    with pytest.raises(SettingsError, match=r"camera\.fingerprints: door: expected the SHA-256"):
        config.load(None, {"camera.fingerprints": {"door": "AB:CD"}})


def test_rtsps_reads_a_real_stream_through_tls(server: Server, authority: Any, ca_file: str) -> None:  # noqa: F811
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    class Proxy(BaseRequestHandler):
        def handle(self) -> None:
            try:
                secure = context.wrap_socket(self.request, server_side=True)
                with socket.create_connection(("127.0.0.1", server.port)) as plain:
                    both = [threading.Thread(target=copy, args=pair) for pair in ((secure, plain), (plain, secure))]
                    for thread in both:
                        thread.start()
                    for thread in both:
                        thread.join()
            except OSError:
                pass

    def copy(one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(1 << 16):
                other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    ThreadingTCPServer.daemon_threads = True
    with ThreadingTCPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        camera = opened(f"rtsps://127.0.0.1:{proxy.server_address[1]}/door", ca_file=ca_file)
        frames = [camera.read() for _ in range(5)]
        camera.close()
        proxy.shutdown()
    assert all(frame is not None and frame.image.shape == (240, 320, 3) for frame in frames)
    assert np.ptp([frame.index for frame in frames if frame]) == 4


def test_closing_the_tunnel_ends_a_connection_that_stands_at_that_moment(
    authority: Any, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``asyncio.wait_for`` of Python 3.10 and 3.11 then returns the connection and drops the cancellation."""
    began = threading.Event()

    async def dropping(connecting: Any, _timeout_s: float) -> Any:
        connection = await connecting
        began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return connection

    with Door().serving(authority.issue_cert("127.0.0.1")) as door:
        tunnel = tls.Tunnel(f"https://127.0.0.1:{door.port}/x", config.load(None, {"camera.ca_file": ca_file}).camera)
        monkeypatch.setattr(tls.asyncio, "wait_for", dropping)
        port = int(tunnel.address.rpartition(":")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port)):
            assert began.wait(10)
            closing = threading.Thread(target=tunnel.close, daemon=True)
            closing.start()
            closing.join(10)
    assert not closing.is_alive()


def test_closing_the_tunnel_ends_its_thread(authority: Any, ca_file: str) -> None:
    with Door().serving(authority.issue_cert("127.0.0.1")) as door:
        settings = config.load(None, {"camera.ca_file": ca_file}).camera
        tunnel = tls.Tunnel(f"https://127.0.0.1:{door.port}/x", settings)
        port = int(tunnel.address.rpartition(":")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port)):
            tunnel.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "tls tunnel"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
