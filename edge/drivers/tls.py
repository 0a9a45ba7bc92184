"""Verified TLS to network cameras (https, rtsps), through a tunnel.

FFmpeg's own TLS will not do: it checks no host name, cannot pin a certificate, and OpenCV's wheels bring an OpenSSL
that gets no security updates. So Python connects to the camera with the system's OpenSSL and checks the certificate.
FFmpeg reads plain HTTP or RTSP from a port of this machine. The password leaves the machine only after the check.

A certificate is good if an authority of ``camera.ca_file`` (or of the system) signed it for the camera's host name, or
if ``camera.fingerprints`` has its SHA-256 for that host.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import ssl
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit

from edge import addresses
from edge.config import CameraSettings, digits_of
from edge.errors import CameraError

PLAIN = {"https": "http", "rtsps": "rtsp"}
"""Schemes with TLS, and the scheme in which FFmpeg reads from the tunnel."""
CONNECT_S = 3.0
"""Time that the camera has to accept the connection and complete the handshake."""
CHUNK = 1 << 16
"""Most bytes that are passed on at once."""
REDIRECT = re.compile(rb"(HTTP|RTSP)/1\.\d 3\d\d")
STATUS_BYTES = 12
"""Length of the part of an answer that REDIRECT matches."""
SELF_SIGNED, NO_ISSUER = (18, 19), (20, 21)
REASONS = {
    9: "its certificate is not valid yet; check this board's date with timedatectl",
    10: "its certificate has expired; renew it in the camera",
    62: "its certificate is for another host name; use that name in the address",
    64: "its certificate is for another address; use a name or address that it contains",
}
"""OpenSSL's codes of failed checks (X509_V_ERR_...)."""


class Trust(NamedTuple):
    """How the certificate of one host is checked: by ``context``, and by its SHA-256 unless ``digits`` is empty."""

    context: ssl.SSLContext
    digits: str

    def accepts(self, certificate: bytes | None) -> bool:
        """Return whether a certificate (DER) that passed ``context`` is good."""
        return not self.digits or hashlib.sha256(certificate or b"").hexdigest() == self.digits


def uses_tls(source: str) -> bool:
    """Return whether a camera's address asks for TLS."""
    return urlsplit(source).scheme in PLAIN


def trust_in(settings: CameraSettings, host: str) -> Trust:
    """Return how the certificate of ``host`` is checked. Raises CameraError if ``camera.ca_file`` cannot be used."""
    pinned = {name.lower(): digits_of(shown) for name, shown in settings.fingerprints.items()}
    if host in pinned:
        context = ssl.create_default_context()
        # A pinned certificate may be self-signed, expired, or for another name: it is compared as a whole.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return Trust(context, pinned[host])
    try:
        return Trust(ssl.create_default_context(cafile=settings.ca_file or None), "")
    except (OSError, ssl.SSLError) as error:
        raise CameraError(f"camera.ca_file: {settings.ca_file}: {error.strerror or error}") from error


def _check(source: str, trust: Trust) -> None:
    """Complete one handshake and send nothing. Raises CameraError if the camera or its certificate is not the right."""
    host, port = addresses.place(source)
    shown = addresses.redacted(source)
    try:
        with (
            socket.create_connection((host, port), CONNECT_S) as plain,
            trust.context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            certificate = secure.getpeercert(binary_form=True)
    except ssl.SSLCertVerificationError as error:
        raise CameraError(f"{shown}: {_why_not(host, port, error)}") from error
    except ssl.SSLError as error:
        raise CameraError(f"{shown}: no TLS at this port ({error.reason or error}); check scheme and port") from error
    # Unreachable, or it stopped answering within the handshake. UnicodeError: a host name that cannot be encoded.
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error) or "no such host"
        raise CameraError(
            f"{shown}: no camera answers at {host} port {port} ({why}); check that it is on and in this network"
        ) from error
    if not trust.accepts(certificate):
        raise CameraError(
            f"{shown}: its certificate is not the one in camera.fingerprints; got {fingerprint(certificate or b'')}. "
            "Someone may pretend to be the camera. If the camera has a new certificate, correct the setting"
        )


def _why_not(host: str, port: int, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in REASONS:
        return REASONS[error.verify_code]
    if error.verify_code not in SELF_SIGNED + NO_ISSUER:
        return f"its certificate is not trusted ({error.verify_message})"
    kind = "is self-signed" if error.verify_code in SELF_SIGNED else "has an unknown authority"
    try:
        pem = ssl.get_server_certificate((host, port), timeout=CONNECT_S)
        found = fingerprint(ssl.PEM_cert_to_DER_cert(pem))
    except (OSError, ValueError):
        found = "SHA-256"
    return (
        f"its certificate {kind}. If the camera's own page shows the same fingerprint, set camera.fingerprints = "
        f'{{ "{host}" = "{found}" }}; or name its authority in camera.ca_file'
    )


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 fingerprint of a certificate (DER) as ``AA:BB:...``, as browsers and openssl show it."""
    digits = hashlib.sha256(certificate).hexdigest().upper()
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


class Tunnel:
    """A port of this machine behind which a camera answers whose certificate has been checked, until it is closed.

    ``address`` is the camera's address for FFmpeg. ``redirected`` is true if the camera named another address instead
    of answering: FFmpeg would follow it without any check, so the tunnel passes no such answer on.
    """

    def __init__(self, source: str, settings: CameraSettings) -> None:
        """Check the camera. Raises CameraError if it does not answer, or is not the camera that it should be."""
        self._host, self._port = addresses.place(source)
        self._trust = trust_in(settings, self._host)
        _check(source, self._trust)
        self.redirected = False
        ready: Future[int] = Future()
        # Cancelled and collected by asyncio: server and connections end with this one task.
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), name="tls tunnel", daemon=True)
        self._thread.start()
        parts = urlsplit(source)
        user, at, _ = parts.netloc.rpartition("@")
        plain = parts._replace(scheme=PLAIN[parts.scheme], netloc=f"{user}{at}127.0.0.1:{ready.result()}")
        self.address = plain.geturl()

    def close(self) -> None:
        """Close the port and all connections."""
        with suppress(RuntimeError):  # closed before
            self._loop.call_soon_threadsafe(self._closed.set)
        self._thread.join()

    async def _run(self, ready: Future[int]) -> None:
        self._loop, self._closed = asyncio.get_running_loop(), asyncio.Event()
        try:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        except OSError as error:
            ready.set_exception(CameraError(f"no port of this machine for the tunnel to the camera: {error.strerror}"))
            return
        ready.set_result(server.sockets[0].getsockname()[1])
        await self._closed.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect one client to the camera; nothing is sent before the certificate has been checked."""
        writers = [writer]
        # The client finds the connection closed; the next check names the reason.
        with suppress(OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            connecting = asyncio.open_connection(
                self._host, self._port, ssl=self._trust.context, server_hostname=self._host
            )
            from_camera, to_camera = await asyncio.wait_for(connecting, CONNECT_S)
            writers.append(to_camera)
            certificate = to_camera.get_extra_info("ssl_object").getpeercert(binary_form=True)
            # Until Python 3.12 wait_for drops a cancellation that comes as the connection stands: nothing would end it.
            if not self._closed.is_set() and self._trust.accepts(certificate):
                await self._pass_on(reader, to_camera, from_camera, writer)
        for each in writers:
            each.close()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        to_camera: asyncio.StreamWriter,
        from_camera: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Pass on both directions until either ends."""
        both = [
            asyncio.ensure_future(_copy(reader, to_camera)),
            asyncio.ensure_future(self._answer(from_camera, writer)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _answer(self, from_camera: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        status = await from_camera.readexactly(STATUS_BYTES)
        if REDIRECT.match(status):
            self.redirected = True
            return
        writer.write(status)
        await _copy(from_camera, writer)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
