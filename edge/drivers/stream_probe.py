"""Why an RTSP camera gives no stream: FFmpeg says only that it failed, so the server is asked once more.

Nothing that the server sends is shown but its status code: the rest may quote the address and its password.
"""

from __future__ import annotations

import base64
import hashlib
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple
from urllib.parse import unquote, urlsplit

from edge import addresses

MAX_BODY = 1 << 16
"""Longest description of a stream that is read, bytes."""
UNAUTHORIZED = 401


class Examined(NamedTuple):
    """Why a server gives no stream, in words (empty if the answers do not show it), and whether it refuses TCP."""

    reason: str = ""
    refuses_tcp: bool = False


@dataclass
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: str


def examine(source: str, timeout_s: float) -> Examined:
    """Return what the answers of the server at ``source`` show."""
    try:
        return _rtsp(source, timeout_s) if source.startswith("rtsp://") else Examined()
    # A diagnosis must not hide the error that it explains.
    except (OSError, ValueError):
        return Examined()


def _rtsp(source: str, timeout_s: float) -> Examined:
    """Describe the stream and set it up over TCP, as FFmpeg does."""
    url, user, password = _without_login(source)
    with socket.create_connection(addresses.place(source), timeout_s) as connection, connection.makefile("rb") as lines:
        described = _ask(connection, lines, "DESCRIBE", url, 1, "Accept: application/sdp\r\n")
        login = ""
        if described.status == UNAUTHORIZED and user:
            challenge = described.headers.get("www-authenticate", "")
            login = _authorization(challenge, "DESCRIBE", url, user, password)
            described = _ask(connection, lines, "DESCRIBE", url, 2, f"Accept: application/sdp\r\n{login}")
            login = _authorization(challenge, "SETUP", _track(described, url), user, password)
        if described.status != 200:
            return Examined(refused(described.status, user))
        transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        setup = _ask(connection, lines, "SETUP", _track(described, url), 3, transport + login)
    if setup.status == 200:
        return Examined()
    # The standard's status for a refused transport is 461; some cameras send others.
    return Examined(refused(setup.status, user), setup.status not in (UNAUTHORIZED, 403, 404, 454))


def refused(status: int, user: str) -> str:
    """Return in words what a status says to a request by ``user``, empty for none."""
    if status in (UNAUTHORIZED, 403):
        return f"the camera answers {status}: {'user or password is wrong' if user else 'it wants user and password'}"
    if status in (404, 454, 400):
        return f"the camera answers {status}: the path is wrong"
    return f"the camera answers {status}"


def _ask(connection: socket.socket, lines: BinaryIO, method: str, url: str, number: int, headers: str) -> _Answer:
    connection.sendall(f"{method} {url} RTSP/1.0\r\nCSeq: {number}\r\n{headers}\r\n".encode())
    status = re.match(rb"RTSP/1\.\d (\d{3})", lines.readline(MAX_BODY))
    if status is None:
        raise ValueError("no RTSP server")
    found: dict[str, str] = {}
    while (line := lines.readline(MAX_BODY).decode(errors="replace").strip()) and len(found) < 100:
        name, _, value = line.partition(":")
        # Of several challenges the first counts.
        found.setdefault(name.lower(), value.strip())
    length = int(found.get("content-length", "0"))
    return _Answer(int(status[1]), found, lines.read(min(max(length, 0), MAX_BODY)).decode(errors="replace"))


def _track(described: _Answer, url: str) -> str:
    """Return the address of the first track with video."""
    video = described.body.partition("m=video")[2]
    control = re.search(r"^a=control:(\S+)", video, re.MULTILINE)
    if control is None or control[1] == "*":
        return url
    if control[1].startswith("rtsp://"):
        return control[1]
    return f"{described.headers.get('content-base', url).rstrip('/')}/{control[1]}"


def _authorization(challenge: str, method: str, url: str, user: str, password: str) -> str:
    """Return the header that answers a challenge, Basic or Digest (RFC 2069, which cameras use)."""
    if not challenge.lower().startswith("digest"):
        return f"Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}\r\n"
    realm, nonce = (_quoted(challenge, name) for name in ("realm", "nonce"))
    answer = _md5(f"{_md5(f'{user}:{realm}:{password}')}:{nonce}:{_md5(f'{method}:{url}')}")
    login = f'username="{user}", realm="{realm}", nonce="{nonce}", uri="{url}", response="{answer}"'
    return f"Authorization: Digest {login}\r\n"


def _quoted(challenge: str, name: str) -> str:
    found = re.search(rf'\b{name}="([^"]*)"', challenge)
    return found[1] if found else ""


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _without_login(source: str) -> tuple[str, str, str]:
    """Return the address without user and password, the user, and the password."""
    parts = urlsplit(source)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=place).geturl(), unquote(parts.username or ""), unquote(parts.password or "")
