"""Control socket: a Unix socket in the runtime directory, through which root and the group fmd ask a running fmd.

:mod:`edge.control` defines frames, requests and replies. The table below says which function answers a request, and who
may send it; a new request is one more row. All connections of a socket are served in one thread of its own, which never
waits for a client: a client that is slow, silent or sends nonsense is disconnected. An answer that takes long is a
future, and its client waits alone. The loop that watches the door notices none of this.

The web page has a socket of its own, so that its clients take no room from operators.
"""

from __future__ import annotations

import fcntl
import grp
import logging
import os
import pwd
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Union

import msgspec

from edge.control import (
    GROUP,
    HEADER,
    MAX_REQUEST,
    PERMISSION,
    SOCKET,
    ArmRequest,
    DisarmRequest,
    DoneReply,
    Message,
    MuteRequest,
    RefusedReply,
    ReloadRequest,
    Reply,
    StateReply,
    StateRequest,
    encoded,
)
from edge.errors import ControlError, FmdError
from edge.service.arming_control import ArmingControl

log = logging.getLogger(__name__)

LOCK = "fmd.lock"
"""File in the runtime directory that the process which runs there holds locked."""
MAX_CONNECTIONS = 16
"""Further clients wait until one of these has ended."""
FRAME_S, IDLE_S = 2.0, 60.0
"""Time for a whole frame, in either direction, and between two requests of one connection."""
ACCEPT_S = 0.05
"""Pause after a client that could not be accepted: without a free file, the next try would fail at once."""
BURST_S, LONGEST_REST_S = 0.5, 0.5
"""Processor time that a thread may save for a burst of requests, and how long it rests at once after one."""
PEER_GROUPS = 59
"""SO_PEERGROUPS of socket(7), which Python's module does not name."""
CREDENTIALS = struct.Struct("3i")


class Peer(NamedTuple):
    """The process at the other end, as the kernel knows it. ``member`` is true if it belongs to the group fmd."""

    pid: int
    uid: int
    member: bool

    @property
    def name(self) -> str:
        """Name and number of the user."""
        try:
            return f"{pwd.getpwuid(self.uid).pw_name} (uid {self.uid})"
        except KeyError:
            return f"uid {self.uid}"


Answer = Message | Future[Message]
"""A reply, or one that takes longer: what a future raises is treated as what the function raises."""


class Row(NamedTuple):
    """Who may send a request, and the function that answers it. It returns within milliseconds."""

    allows: Callable[[Peer], bool]
    answer: Callable[[Any, Peer], Answer]


Table = Mapping[type[msgspec.Struct], Row]
"""Request -> row."""


class Endpoint(NamedTuple):
    """A socket of fmd: its name in the runtime directory, the group that may use it, and what its clients may do.

    ``permission`` says what to do about a refusal, ``lost`` what does not work without the socket. ``share`` is how
    much of a processor its thread may use in the long run: all threads share Python's lock with the loop.
    """

    name: str
    group: str
    max_request: int
    max_connections: int
    permission: str
    lost: str
    share: float = 1.0


CONTROL = Endpoint(SOCKET, GROUP, MAX_REQUEST, MAX_CONNECTIONS, PERMISSION, "fmd cannot be controlled by commands")


def is_operator(peer: Peer) -> bool:
    """Return whether a process may control fmd: root's, the service's own user's, and those of the group fmd."""
    return peer.member or peer.uid in (0, os.geteuid())


def table(arming: ArmingControl, reload: Callable[[], None]) -> Table:
    """Return the requests of every run. ``reload`` makes fmd read its settings again, or raises ControlError."""

    def state(request: msgspec.Struct, peer: Peer) -> Reply:
        return StateReply(pid=os.getpid(), arming=arming.message, clock_known=arming.board_clock.known)

    def change(request: ArmRequest | DisarmRequest | MuteRequest, peer: Peer) -> Reply:
        arming.request(request, "command", peer.name)
        return state(request, peer)

    def read_settings(request: ReloadRequest, peer: Peer) -> Reply:
        log.info("%s asks to read the settings again", peer.name)
        reload()
        return DoneReply()

    return {
        StateRequest: Row(is_operator, state),
        ArmRequest: Row(is_operator, change),
        DisarmRequest: Row(is_operator, change),
        MuteRequest: Row(is_operator, change),
        ReloadRequest: Row(is_operator, read_settings),
    }


@contextmanager
def claimed(folder: Path | None) -> Iterator[None]:
    """Make this process the only fmd that runs with this runtime directory; None claims nothing.

    Raises ControlError if another one does. Its end, however it comes, releases the folder.
    """
    if folder is None:
        yield
        return
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ControlError(f"{folder}: cannot be used as the runtime directory: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = os.read(handle, 20).decode(errors="replace").strip()
            raise ControlError(
                f"{folder}: another fmd (process {pid or 'unknown'}) runs with this runtime directory; stop it first, "
                "or name another folder with --runtime"
            ) from error
        os.truncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(handle)


@contextmanager
def serving(folder: Path | None, table: Table, group: int | None = None, at: Endpoint = CONTROL) -> Iterator[None]:
    """Serve a socket in ``folder``, which this process has claimed; None serves nothing.

    ``group`` is the number of the group whose members may use it, None for that of the endpoint. A socket that cannot
    be made is logged: the door is watched without it.
    """
    if folder is None:
        yield
        return
    group = _number_of(at.group) if group is None else group
    try:
        listener = _listener(folder, group, at)
    except OSError as error:
        log.error("%s: %s; %s", folder / at.name, error.strerror or error, at.lost)
        yield
        return
    server = ControlServer(listener, table, group, at)
    thread = threading.Thread(target=server.work, name=at.name.partition(".")[0], daemon=True)
    thread.start()
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / at.name).unlink()
        server.stop()
        thread.join(FRAME_S)


def _listener(folder: Path, group: int, at: Endpoint) -> socket.socket:
    """Return a socket that listens in ``folder``, in place of one that a killed process left."""
    unfinished = folder / f"{at.name}.part"
    unfinished.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Under another name until its owner and permissions are set: no other user may connect meanwhile.
        listener.bind(str(unfinished))
        unfinished.chmod(0o600)
        with suppress(OSError):  # a user of their own runs fmd in a terminal, and is not in the group
            os.chown(unfinished, -1, group)
            unfinished.chmod(0o660)
        listener.listen(at.max_connections)
        listener.setblocking(False)
        unfinished.replace(folder / at.name)
    except BaseException:
        listener.close()
        raise
    return listener


class ControlServer:
    """Serves the connections of one listening socket until :meth:`stop`. ``group`` is as in :func:`serving`."""

    def __init__(self, listener: socket.socket, table: Table, group: int, at: Endpoint = CONTROL) -> None:
        self._listener, self._table, self._group, self._at = listener, table, group, at
        self._clock = time.monotonic
        self._decode = msgspec.msgpack.Decoder(Union[tuple(table)]).decode  # noqa: UP007 - its members are known only here
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)  # the thread that completes an answer never waits here
        self._connections: dict[socket.socket, _Connection] = {}
        self._stopped = False
        self._left_s, self._then_s, self._used_s = BURST_S, 0.0, 0.0

    def stop(self) -> None:
        """End :meth:`work`."""
        self._stopped = True
        self._poke()

    def _poke(self, completed: object = None) -> None:
        """Wake the thread, which then serves the clients whose answers have been completed."""
        with suppress(OSError):  # full: it will wake all the same; closed: it has ended
            self._wake.send(b"x")

    def work(self) -> None:
        """Serve until stopped."""
        self._then_s, self._used_s = self._clock(), time.thread_time()
        self._selector.register(self._woken, selectors.EVENT_READ)
        try:
            while not self._stopped:
                self._listen()
                for key, _ in self._selector.select(self._patience_s()):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj is self._woken:
                        self._serve_completed()
                    else:
                        self._serve(key.fileobj)  # type: ignore[arg-type]
                self._drop_late()
                self._rest()
        finally:
            for each in (*self._connections, self._listener, self._wake, self._woken):
                each.close()
            self._selector.close()

    def _rest(self) -> None:
        """Wait if this thread has used more than its share of a processor: a flood must not slow the loop."""
        share, now_s, used_s = self._at.share, self._clock(), time.thread_time()
        self._left_s = min(BURST_S, self._left_s + (now_s - self._then_s) * share) - (used_s - self._used_s)
        self._then_s, self._used_s = now_s, used_s
        if self._left_s < 0 and not self._stopped:
            time.sleep(min(LONGEST_REST_S, -self._left_s / share))

    def _listen(self) -> None:
        """Listen for new clients as long as there is room."""
        room = len(self._connections) < self._at.max_connections
        listens = self._listener in self._selector.get_map()
        if room and not listens:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif listens and not room:
            self._selector.unregister(self._listener)

    def _patience_s(self) -> float | None:
        if not self._connections:
            return None
        first_s = min(connection.until_s for connection in self._connections.values())
        return None if first_s == float("inf") else max(0.0, first_s - self._clock())

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
            client.setblocking(False)
            peer = _peer_of(client, self._group)
        except OSError as error:
            log.debug("a client of the control socket: %s", error)
            time.sleep(ACCEPT_S)
            return
        answer = partial(self._answer, peer)
        self._connections[client] = _Connection(client, peer, answer, self._at.max_request, self._clock() + FRAME_S)
        self._selector.register(client, selectors.EVENT_READ)

    def _serve(self, client: socket.socket) -> None:
        connection = self._connections[client]
        try:
            lasts = connection.serve(self._clock())
        except OSError as error:
            log.debug("%s at the control socket: %s", connection.peer.name, error)
            lasts = False
        if lasts:
            self._listen_to(client, connection)
        else:
            self._drop(client)

    def _serve_completed(self) -> None:
        """Send the answers that have been completed since the last time."""
        with suppress(OSError):
            self._woken.recv(4096)
        done = [client for client, each in self._connections.items() if each.later is not None and each.later.done()]
        for client in done:
            self._serve(client)

    def _listen_to(self, client: socket.socket, connection: _Connection) -> None:
        """Wait for what a connection needs next; one whose answer takes longer needs nothing of the socket."""
        listened = client in self._selector.get_map()
        if connection.later is not None:
            if listened:
                self._selector.unregister(client)
            return
        events = selectors.EVENT_WRITE if connection.writing else selectors.EVENT_READ
        (self._selector.modify if listened else self._selector.register)(client, events)

    def _drop_late(self) -> None:
        now_s = self._clock()
        for client in [client for client, connection in self._connections.items() if now_s >= connection.until_s]:
            self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        if client in self._selector.get_map():
            self._selector.unregister(client)
        del self._connections[client]
        client.close()

    def _answer(self, peer: Peer, content: bytes) -> tuple[Answer, bool]:
        """Return the reply to a request, and whether the connection goes on."""
        try:
            request = self._decode(content)
        except (msgspec.MsgspecError, RecursionError) as error:
            return RefusedReply(reason=f"not a request of this fmd: {error}"), False
        row = self._table[type(request)]
        if not row.allows(peer):
            return RefusedReply(reason=f"{peer.name} may not do this; {self._at.permission}"), False
        found = _reply_of(type(request).__name__, lambda: row.answer(request, peer))
        if isinstance(found, Future):
            found.add_done_callback(self._poke)
        return found, True


def _reply_of(request: str, answer: Callable[[], Answer]) -> Answer:
    """Return what ``answer`` returns, or the reply for what it raises."""
    try:
        return answer()
    except FmdError as error:
        return RefusedReply(reason=str(error))
    except Exception as error:  # a bug in an answer must not end the thread that serves all clients
        log.exception("control socket: %s failed", request)
        return RefusedReply(reason=f"unexpected error, please report it: {type(error).__name__}: {error}")


class _Connection:
    """One client. It sends a frame, gets the reply, and may go on; the next frame is not read before that.

    ``later`` is the answer that it waits for.
    """

    def __init__(
        self,
        client: socket.socket,
        peer: Peer,
        answer: Callable[[bytes], tuple[Answer, bool]],
        max_request: int,
        until_s: float,
    ) -> None:
        self.peer, self.until_s = peer, until_s
        self.later: Future[Message] | None = None
        self._client, self._answer, self._max_request = client, answer, max_request
        self._incoming, self._outgoing = bytearray(), b""
        self._lasts = True

    @property
    def writing(self) -> bool:
        """Whether a reply waits to be taken."""
        return bool(self._outgoing)

    def serve(self, now_s: float) -> bool:
        """Read or write what is possible now; return whether the connection goes on. Raises OSError."""
        if self._outgoing:
            self._write()
        elif self.later is not None:
            self._complete(now_s)
        elif not self._read(now_s):
            return False
        while not self._outgoing and self.later is None and (content := self._next_frame()) is not None:
            answer, self._lasts = self._answer(content)
            if isinstance(answer, Future):
                self.later, self.until_s = answer, float("inf")
            else:
                self._send(answer, now_s)
        return self._lasts or bool(self._outgoing)

    def _read(self, now_s: float) -> bool:
        """Read what has come; return false if the client has closed the connection."""
        piece = self._client.recv(HEADER.size + self._max_request)
        if not self._incoming:
            self.until_s = now_s + FRAME_S
        self._incoming += piece
        return bool(piece)

    def _complete(self, now_s: float) -> None:
        """Send the answer that took longer, if it is there."""
        if self.later is not None and self.later.done():
            answer, self.later = _reply_of("a long answer", self.later.result), None
            assert not isinstance(answer, Future)
            self._send(answer, now_s)

    def _send(self, reply: Message, now_s: float) -> None:
        self._outgoing, self.until_s = encoded(reply), now_s + FRAME_S
        self._write()
        if not self._outgoing and not self._incoming:
            self.until_s = now_s + IDLE_S

    def _next_frame(self) -> bytes | None:
        """Remove and return the first whole frame. Raises OSError for one that is too long."""
        if not self._lasts or len(self._incoming) < HEADER.size:
            return None
        (size,) = HEADER.unpack_from(self._incoming)
        if size > self._max_request:
            raise OSError(f"a request of {size} bytes, expected at most {self._max_request}")
        end = HEADER.size + size
        if len(self._incoming) < end:
            return None
        content = bytes(self._incoming[HEADER.size : end])
        del self._incoming[:end]
        return content

    def _write(self) -> None:
        with suppress(BlockingIOError):
            self._outgoing = self._outgoing[self._client.send(self._outgoing) :]


def _peer_of(client: socket.socket, group: int) -> Peer:
    """Return who is at the other end, and whether it belongs to ``group``. Raises OSError."""
    pid, uid, gid = CREDENTIALS.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
    groups: frozenset[int] = frozenset()
    with suppress(OSError):  # a user of hundreds of groups
        found = client.getsockopt(socket.SOL_SOCKET, PEER_GROUPS, 1024)
        groups = frozenset(number for (number,) in struct.iter_unpack("I", found))
    return Peer(pid, uid, group in groups | {gid})


def _number_of(group: str) -> int:
    """Return the number of a group, or -1, which is the number of no group."""
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return -1
