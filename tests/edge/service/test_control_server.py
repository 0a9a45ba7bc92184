"""The control socket under attack: garbage, lengths, half frames, floods, slow readers, other users."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from edge import config
from edge.control import (
    HEADER,
    MAX_REPLY,
    MAX_REQUEST,
    SOCKET,
    ArmRequest,
    Client,
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
from edge.errors import ControlError
from edge.service import control_server
from edge.service.arming_control import ArmingControl, BoardClock
from edge.service.control_server import MAX_CONNECTIONS, Peer, Row, claimed, is_operator, serving
from tests.edge.parts import ROOT, wait_for


class LargeRequest(msgspec.Struct, frozen=True, tag_field="kind", tag="large"):
    """A request whose reply does not fit into the socket's buffers, as a picture may not."""


class LongRequest(msgspec.Struct, frozen=True, tag_field="kind", tag="long"):
    """A request whose answer takes long."""


class BrokenRequest(msgspec.Struct, frozen=True, tag_field="kind", tag="broken"):
    """A request whose answer has a bug."""


@pytest.fixture
def arming() -> ArmingControl:
    return ArmingControl(config.load(), BoardClock(None, lambda: True, lambda: True))


@pytest.fixture
def reloads() -> list[str]:
    return []


@pytest.fixture
def later() -> list[Future[Message]]:
    """The answers that are being worked on."""
    return []


@pytest.fixture
def folder(tmp_path: Path, arming: ArmingControl, reloads: list[str], later: list[Future[Message]]) -> Iterator[Path]:
    def large(request: LargeRequest, peer: Peer) -> Reply:
        return RefusedReply(reason="x" * 4_000_000)

    def broken(request: BrokenRequest, peer: Peer) -> Reply:
        raise ZeroDivisionError("of the test")

    def long(request: LongRequest, peer: Peer) -> Future[Message]:
        later.append(Future())
        return later[-1]

    rows: dict[type[msgspec.Struct], Row] = {
        **control_server.table(arming, lambda: reloads.append("reload")),
        LargeRequest: Row(is_operator, large),
        BrokenRequest: Row(is_operator, broken),
        LongRequest: Row(is_operator, long),
    }
    with claimed(tmp_path), serving(tmp_path, rows):
        yield tmp_path


def connected(folder: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    while (error := client.connect_ex(str(folder / SOCKET))) == errno.EAGAIN:
        threading.Event().wait(0.005)
    assert error == 0
    return client


def reply_of(client: socket.socket) -> Reply:
    content = exactly(client, HEADER.unpack(exactly(client, HEADER.size))[0])
    return msgspec.msgpack.decode(content, type=Reply)


def exactly(client: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        piece = client.recv(size - len(content))
        assert piece, "the connection was closed"
        content += piece
    return content


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def works(folder: Path) -> bool:
    with Client(folder) as client:
        return client.ask(StateRequest(), StateReply).pid == os.getpid()


def test_one_connection_serves_many_requests(folder: Path, arming: ArmingControl, reloads: list[str]) -> None:
    with Client(folder) as client:
        assert client.ask(StateRequest(), StateReply).arming.armed
        assert not client.ask(DisarmRequest(for_s=60), StateReply).arming.armed
        assert client.ask(MuteRequest(for_s=60), StateReply).arming.muted_until
        assert client.ask(ReloadRequest(), DoneReply) == DoneReply()
    assert reloads == ["reload"]
    assert arming.message.source == "command"
    assert arming.message.by == Peer(os.getpid(), os.getuid(), member=False).name
    with Client(folder) as client:
        assert client.ask(ArmRequest(), StateReply).arming.armed


def test_the_socket_is_for_its_owner_and_group_only(folder: Path) -> None:
    found = (folder / SOCKET).stat()
    assert stat.S_IMODE(found.st_mode) in (0o600, 0o660)
    assert found.st_uid == os.getuid()
    assert sorted(path.name for path in folder.iterdir()) == [SOCKET, control_server.LOCK]


def test_it_is_removed_at_the_end_and_one_that_a_killed_process_left_is_replaced(
    tmp_path: Path, arming: ArmingControl
) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / SOCKET))
    for _ in range(2):
        with claimed(tmp_path), serving(tmp_path, control_server.table(arming, lambda: None)):
            assert works(tmp_path)
        assert not (tmp_path / SOCKET).exists()


def test_a_second_fmd_in_the_same_folder_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    code = "import sys; from edge.service.control_server import claimed\nwith claimed(sys.path.__class__ and "
    code += f"__import__('pathlib').Path({str(tmp_path)!r})): print('claimed')"
    with claimed(tmp_path):
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
        assert f"another fmd (process {os.getpid()}) runs with this runtime directory; stop it first" in found.stderr
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert found.stdout == "claimed\n", found.stderr


def test_without_a_folder_nothing_is_claimed_or_served(arming: ArmingControl) -> None:
    with claimed(None), serving(None, control_server.table(arming, lambda: None)):
        pass


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        pytest.raises(ControlError, match="cannot be used as the runtime directory: No such file"),
        claimed(tmp_path / "missing"),
    ):
        pass
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    with serving(deep, {StateRequest: Row(is_operator, lambda request, peer: DoneReply())}):
        assert "fmd cannot be controlled by commands" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xc1",
        b"\x00" * 100,
        os.urandom(200),
        b"GET / HTTP/1.1\r\n\r\n",
        msgspec.msgpack.encode({"kind": "explode"}),
        msgspec.msgpack.encode({"kind": "disarm", "for_s": "1h"}),
        msgspec.msgpack.encode({"kind": "disarm", "for_s": -1}),
        msgspec.msgpack.encode({"kind": "disarm", "for_s": float("nan")}),
        msgspec.msgpack.encode({"kind": "disarm", "for_s": 1e300}),
        msgspec.msgpack.encode({"kind": "disarm", "until": "25:00"}),
        msgspec.msgpack.encode({"kind": "arm", "more": 1}),
        msgspec.msgpack.encode({"kind": "mute"}),
        b"\x91" * 3000 + b"\x01",  # deeply nested
        b"\x81\xa4kind\xdb\xff\xff\xff\xff",  # a string of four gigabytes
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(
    folder: Path, arming: ArmingControl, content: bytes
) -> None:
    with connected(folder) as client:
        client.sendall(HEADER.pack(len(content)) + content)
        reply = reply_of(client)
        assert isinstance(reply, RefusedReply)
        assert reply.reason.startswith("not a request of this fmd: ")
        assert is_closed(client)
    assert arming.message.armed
    assert works(folder)


@pytest.mark.parametrize("size", [MAX_REQUEST + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_huge_length_closes_the_connection_at_once(folder: Path, size: int) -> None:
    with connected(folder) as client:
        client.sendall(HEADER.pack(size) + b"x" * 100)
        assert is_closed(client)
    assert works(folder)


def test_half_a_frame_is_dropped_after_a_while_and_byte_by_byte_is_no_way_to_stay(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connected(folder) as half, connected(folder) as silent, connected(folder) as slow:
        half.sendall(HEADER.pack(100) + b"\x81")
        began_s = time.monotonic()
        slow.settimeout(0.0)
        frame = HEADER.pack(200) + b"x" * 200
        for byte in frame:
            threading.Event().wait(0.05)
            if is_gone(slow, bytes([byte])):
                break
        assert is_gone(slow)
        assert is_closed(half)
        assert is_closed(silent)
        assert 1.0 < time.monotonic() - began_s < 6.0
    assert works(folder)


def test_a_frame_in_pieces_and_two_frames_at_once_are_served(folder: Path) -> None:
    frame = encoded(StateRequest())
    with connected(folder) as client:
        for byte in frame:
            client.sendall(bytes([byte]))
        assert isinstance(reply_of(client), StateReply)
        client.sendall(frame * 3)
        for _ in range(3):
            assert isinstance(reply_of(client), StateReply)


def test_a_client_that_takes_no_reply_is_dropped_and_one_that_takes_it_gets_all(folder: Path) -> None:
    with connected(folder) as lazy, connected(folder) as eager:
        for client in (lazy, eager):
            client.sendall(encoded(LargeRequest()))  # type: ignore[arg-type]
        reply = reply_of(eager)
        assert isinstance(reply, RefusedReply)
        assert len(reply.reason) == 4_000_000 < MAX_REPLY
        assert works(folder), "while the other one does not read"
        wait_for(lambda: is_gone(lazy))


def is_gone(client: socket.socket, sent: bytes = b"x") -> bool:
    """Return whether the server has closed this connection, without reading what it sent."""
    try:
        client.send(sent)
    except OSError:
        return True
    return False


def test_two_hundred_connections_hold_up_nothing_for_long(folder: Path) -> None:
    before = threading.active_count()
    with ExitStack() as stack:
        crowd = []
        for _ in range(200):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            # Beyond those that are served and those that wait, the kernel refuses.
            if client.connect_ex(str(folder / SOCKET)) == 0:
                crowd.append(client)
        assert MAX_CONNECTIONS <= len(crowd) < 200
        assert threading.active_count() == before
    assert works(folder), "they are gone"


def test_a_flood_of_requests_gets_no_more_than_the_share_of_a_processor(tmp_path: Path) -> None:
    def busy(request: StateRequest, peer: Peer) -> Reply:
        until_s = time.thread_time() + 0.02
        while time.thread_time() < until_s:
            pass
        return DoneReply()

    answered = 0
    at = control_server.CONTROL._replace(share=0.1)
    with serving(tmp_path, {StateRequest: Row(is_operator, busy)}, at=at), Client(tmp_path) as client:
        until_s = time.monotonic() + 1.5
        while time.monotonic() < until_s:
            client.ask(StateRequest(), DoneReply)
            answered += 1
    # Half a second saved for a burst, then a tenth of the time: 25 and 8 requests, of 75 that a whole processor does.
    assert answered < 45


def test_a_client_that_goes_away_disturbs_nobody(folder: Path) -> None:
    for sent in (b"", b"\x00", HEADER.pack(5), encoded(LargeRequest()), encoded(StateRequest())):  # type: ignore[arg-type]
        for _ in range(5):
            client = connected(folder)
            client.sendall(sent)
            # Linger 0: closes with a reset, which the server notices as an error.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
    assert works(folder)


def test_a_bug_in_an_answer_is_reported_and_ends_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with connected(folder) as client:
        client.sendall(encoded(BrokenRequest()))  # type: ignore[arg-type]
        reply = reply_of(client)
        assert isinstance(reply, RefusedReply)
        assert reply.reason == "unexpected error, please report it: ZeroDivisionError: of the test"
        client.sendall(encoded(StateRequest()))
        assert isinstance(reply_of(client), StateReply)
    assert "BrokenRequest failed" in caplog.text


def test_who_waits_for_a_long_answer_waits_alone(folder: Path, later: list[Future[Message]]) -> None:
    with connected(folder) as patient, connected(folder) as other, connected(folder) as gone:
        for client in (patient, other, gone):
            client.sendall(encoded(LongRequest()))  # type: ignore[arg-type]
        wait_for(lambda: len(later) == 3)
        assert works(folder), "while three wait"
        patient.sendall(encoded(StateRequest()))
        gone.close()
        later[1].set_exception(ControlError("it cannot be done"))
        assert reply_of(other) == RefusedReply(reason="it cannot be done")
        later[2].set_result(DoneReply())
        later[0].set_result(RefusedReply(reason="y" * 3_000_000))
        reply = reply_of(patient)
        assert isinstance(reply, RefusedReply)
        assert len(reply.reason) == 3_000_000
        assert isinstance(reply_of(patient), StateReply), "the request that came meanwhile"
    assert works(folder)


def test_an_answer_that_is_completed_after_the_end_disturbs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    later: Future[Message] = Future()
    with serving(tmp_path, {LongRequest: Row(is_operator, lambda request, peer: later)}):
        client = connected(tmp_path)
        client.sendall(encoded(LongRequest()))  # type: ignore[arg-type]
    later.set_result(DoneReply())
    with client:
        assert is_closed(client)
    assert not caplog.records


AS_NOBODY = """
import os, sys
from pathlib import Path
from edge.control import *
os.setgroups([int(group) for group in sys.argv[2:]])
os.setgid(65534)
os.setuid(65534)
try:
    with Client(Path(sys.argv[1])) as client:
        print(client.ask(DisarmRequest(), StateReply).arming.by)
except ControlError as error:
    print("refused:", error)
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may enter, as /run/fmd; those of pytest are closed to other users."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def asked_as_nobody(folder: Path, *groups: int) -> str:
    """Return what another user, in these groups, hears when it asks to disarm."""
    found = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(folder), *map(str, groups)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    return found.stdout + found.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("mode", "said"), [(0o660, "this user may not control fmd"), (0o666, "nobody (uid 65534) may not do this")]
)
def test_another_user_is_refused_by_the_socket_and_by_the_server(
    public: Path, arming: ArmingControl, mode: int, said: str
) -> None:
    """Also if the permissions of the socket were changed: the kernel says who it is."""
    with claimed(public), serving(public, control_server.table(arming, lambda: None)):
        (public / SOCKET).chmod(mode)
        heard = asked_as_nobody(public)
    assert heard.startswith("refused: ")
    assert said in heard
    assert "sudo adduser $USER fmd" in heard
    assert arming.message.armed


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_member_of_the_group_may_and_is_named(public: Path, arming: ArmingControl) -> None:
    """Membership beside the primary group counts, as adduser grants it."""
    with claimed(public), serving(public, control_server.table(arming, lambda: None), group=54321):
        assert asked_as_nobody(public, 7, 54321) == "nobody (uid 65534)\n"
    assert not arming.message.armed


@pytest.mark.parametrize(
    ("serve", "said"),
    [
        (None, r"fmd does not run \(.* is not served\); start fmd run"),
        (b"", "closed the connection"),
        (b"\xff\xff\xff\xff", "a reply of 4294967295 bytes"),
        (HEADER.pack(1) + b"\xc1", "control.sock: "),
        (encoded(DoneReply()), "got the reply DoneReply, expected StateReply"),
    ],
)
def test_a_client_explains_a_server_that_is_not_there_or_not_fmd(
    tmp_path: Path, serve: bytes | None, said: str
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        if serve is not None:
            listener.bind(str(tmp_path / SOCKET))
            listener.listen()

            def answer() -> None:
                client, _ = listener.accept()
                with client:
                    client.recv(1000)
                    client.sendall(serve)

            threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(ControlError, match=said), Client(tmp_path) as client:
            client.ask(StateRequest(), StateReply)


def test_a_client_gives_up_on_an_fmd_that_hangs(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / SOCKET))
        listener.listen()
        with pytest.raises(ControlError, match="fmd does not answer"), Client(tmp_path, timeout_s=0.05) as client:
            client.ask(StateRequest(), StateReply)
