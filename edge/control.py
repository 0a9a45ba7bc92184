"""Requests to a running fmd and their replies, and the client's side of its control socket.

A frame is four bytes (length, big-endian) and a msgpack map; the key ``kind`` names the struct. A connection may send
one request after another. A new request is a struct here, in :data:`Request`, and a row of the service's table
(:mod:`edge.service.control_server`).
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, TypeVar

import msgspec

from edge import paths
from edge.errors import ControlError
from edge.messages import ArmingMessage

SOCKET = "control.sock"
"""Name of the socket in the runtime directory."""
GROUP = "fmd"
"""Group whose members may control a running fmd, as root may."""
PERMISSION = f"use sudo, or: sudo adduser $USER {GROUP}, then log in again"
"""What to do about a refusal."""
MAX_REQUEST, MAX_REPLY = 4096, 8_000_000
"""Largest frames, in bytes, without the length."""
HEADER = struct.Struct(">I")
ANSWER_S = 10.0
"""How long a client waits for a reply."""
RETRY_S = 0.02
DAY_S = 86400.0

Seconds = Annotated[float, msgspec.Meta(ge=0, le=7 * DAY_S)]


class Message(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True, kw_only=True):
    """A request or a reply."""


class StateRequest(Message, frozen=True, tag="state"):
    """Ask what fmd does now; the reply is a StateReply."""


class ArmRequest(Message, frozen=True, tag="arm"):
    """Arm, until the schedule changes. The reply is a StateReply, as for the next two."""


class DisarmRequest(Message, frozen=True, tag="disarm"):
    """Disarm for ``for_s`` seconds, or ``until`` a time of day ("18:00"); without both until the schedule changes."""

    for_s: Seconds = 0.0
    until: Annotated[str, msgspec.Meta(pattern=r"^(([01]?\d|2[0-3]):[0-5]\d)?$")] = ""


class MuteRequest(Message, frozen=True, tag="mute"):
    """Silence buzzer and voice for ``for_s`` seconds; 0 ends it."""

    for_s: Annotated[float, msgspec.Meta(ge=0, le=DAY_S)]


class ReloadRequest(Message, frozen=True, tag="reload"):
    """Read the settings again, as SIGHUP does. The reply comes before the new settings are checked."""


Request = StateRequest | ArmRequest | DisarmRequest | MuteRequest | ReloadRequest
ArmingRequest = ArmRequest | DisarmRequest | MuteRequest


class StateReply(Message, frozen=True, tag="state"):
    """What fmd does now. ``clock_known`` is false while the schedule is ignored because the clock may be wrong."""

    pid: int
    arming: ArmingMessage
    clock_known: bool


class DoneReply(Message, frozen=True, tag="done"):
    """The request was carried out."""


class RefusedReply(Message, frozen=True, tag="refused"):
    """The request was not carried out; ``reason`` is one line."""

    reason: str


Reply = StateReply | DoneReply | RefusedReply

Commander = Callable[[bytes, str], str]
"""Carries out a request (JSON, or ARM and DISARM) that came as a message from a source; returns why not, or ""."""

Expected = TypeVar("Expected", bound=Message)


def encoded(message: Message) -> bytes:
    """Return a message as a frame."""
    content = msgspec.msgpack.encode(message)
    return HEADER.pack(len(content)) + content


class Client:
    """A connection to the fmd that runs with a runtime directory. Raises ControlError if there is none.

    A subclass for another socket of fmd replaces the three constants.
    """

    SOCKET = SOCKET
    REPLIES: Any = Reply
    PERMISSION = PERMISSION

    def __init__(self, folder: Path, timeout_s: float = ANSWER_S) -> None:
        self._where = folder / self.SOCKET
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._connect(time.monotonic() + timeout_s)
        except OSError as error:
            self._socket.close()
            raise ControlError(self._explained(error)) from error

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def ask(self, request: Message, reply: type[Expected]) -> Expected:
        """Send a request and return its reply. Raises ControlError, also if fmd refuses the request."""
        try:
            self._socket.sendall(encoded(request))
            content = self._read(HEADER.unpack(self._read(HEADER.size))[0])
            answer = msgspec.msgpack.decode(content, type=self.REPLIES)
        except (OSError, msgspec.MsgspecError, RecursionError) as error:
            raise ControlError(self._explained(error)) from error
        if isinstance(answer, RefusedReply):
            raise ControlError(answer.reason)
        if not isinstance(answer, reply):
            raise ControlError(f"{self._where}: got the reply {type(answer).__name__}, expected {reply.__name__}")
        return answer

    def _connect(self, until_s: float) -> None:
        """Connect, as soon as fmd has room for another client. Raises OSError."""
        while True:
            try:
                return self._socket.connect(str(self._where))
            except BlockingIOError as error:  # the queue of those that wait is full; the kernel has no timeout for it
                if time.monotonic() >= until_s:
                    raise TimeoutError from error
                time.sleep(RETRY_S)

    def _read(self, size: int) -> bytes:
        if size > MAX_REPLY:
            raise OSError(f"a reply of {size} bytes, expected at most {MAX_REPLY}")
        content = bytearray()
        while len(content) < size:
            piece = self._socket.recv(min(65536, size - len(content)))
            if not piece:
                raise ConnectionResetError("it closed the connection")
            content += piece
        return bytes(content)

    def _explained(self, error: Exception) -> str:
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            start = "start it: sudo systemctl start fmd" if self._where.parent == paths.RUNTIME else "start fmd run"
            return f"fmd does not run ({self._where} is not served); {start}"
        if isinstance(error, PermissionError):
            return f"{self._where}: this user may not control fmd; {self.PERMISSION}"
        if isinstance(error, TimeoutError):
            return f"{self._where}: fmd does not answer; to find the reason: journalctl -u fmd"
        return f"{self._where}: {getattr(error, 'strerror', None) or error}"
