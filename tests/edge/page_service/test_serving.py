"""The page's socket: who may ask what, what is recorded, and that no client can disturb the door."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from edge import control
from edge.contracts import Signal
from edge.control import HEADER, DoneReply, RefusedReply, ReloadRequest, StateReply, StateRequest, encoded
from edge.errors import ControlError
from edge.page_messages import (
    MAX_REQUEST,
    PIECE,
    SOCKET,
    ArmRequest,
    DisarmRequest,
    LiveReply,
    LiveRequest,
    LogReply,
    LogRequest,
    MuteRequest,
    Reply,
    UploadRequest,
    ViewingRequest,
)
from edge.page_messages import TestOutputRequest as OutputRequest  # pytest would collect a class named Test
from edge.page_service.answers import MAX_CONNECTIONS, MOST_CHANGES, MOST_VISITS
from edge.service.control_server import claimed, serving, table
from tests.edge.page_service.parts import Door, PageClient, served, with_faces
from tests.edge.parts import ROOT, wait_for

OWNER = "owner, 192.0.2.7"


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with served(tmp_path) as door:
        yield door


def works(folder: Path) -> bool:
    with PageClient(folder) as client:
        return client.ask(LiveRequest(), LiveReply).version == "1.2.3"


def test_arming_and_muting_name_who_asked(door: Door, tmp_path: Path) -> None:
    with PageClient(tmp_path) as client:
        disarmed = client.ask(DisarmRequest(for_s=60, who=OWNER), StateReply)
        assert (disarmed.arming.armed, disarmed.arming.source) == (False, "page")
        assert disarmed.arming.by == f"web page ({OWNER})"
        assert client.ask(MuteRequest(for_s=600, who=OWNER), StateReply).arming.muted_until
        assert client.ask(ArmRequest(who=OWNER), StateReply).arming.armed
        # A page that names nobody: then the kernel does.
        assert str(os.getuid()) in client.ask(control.DisarmRequest(), StateReply).arming.by


def test_viewing_is_recorded(door: Door, tmp_path: Path) -> None:
    with PageClient(tmp_path) as client:
        for what in ("signed_in", "began", "ended", "signed_out", "refused"):
            client.ask(ViewingRequest(what=what, who=OWNER), DoneReply)  # type: ignore[arg-type]
    assert [event["what"] for _, event in door.events] == ["signed_in", "began", "ended", "signed_out", "refused"]
    assert {event["who"] for _, event in door.events} == {OWNER}


@pytest.mark.parametrize("output", ["led", "buzzer", "voice", "relay"])
def test_an_output_is_tested_for_a_second_and_recorded(door: Door, tmp_path: Path, output: str) -> None:
    with PageClient(tmp_path) as client:
        client.ask(OutputRequest(output=output, confirmed=output == "relay", who=OWNER), DoneReply)  # type: ignore[arg-type]
        door.tick(0.05)
        assert {name for name, each in door.outputs.items() if each.on} == {output}
        door.tick(1.0)
        assert not any(each.on for each in door.outputs.values())
    assert door.events == [("page", {"what": f"tested {output}", "who": OWNER})]


def test_a_relay_is_not_tested_unconfirmed_and_nothing_is_tested_during_an_alarm(door: Door, tmp_path: Path) -> None:
    with PageClient(tmp_path) as client:
        with pytest.raises(ControlError, match="may open a door"):
            client.ask(OutputRequest(output="relay"), DoneReply)
        door.alert.renew(Signal.NO_MASK, door.clock.now_s, [1])
        with pytest.raises(ControlError, match="an alarm at the door"):
            client.ask(OutputRequest(output="buzzer"), DoneReply)
    assert not door.events


def test_the_log_comes_with_the_events(door: Door, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with PageClient(tmp_path, 60.0) as client:
        client.ask(ViewingRequest(what="began", who=OWNER), DoneReply)
        reply = client.ask(LogRequest(), LogReply)
    assert reply.lines[-1].endswith(f"info: web page: {OWNER} watches")
    assert reply.events == ()


def test_it_is_not_the_control_socket_nor_that_the_page_s(door: Door, tmp_path: Path) -> None:
    with PageClient(tmp_path) as client, pytest.raises(ControlError, match="not a request of this fmd"):
        client.ask(StateRequest(), StateReply)
    rows = table(door.arming, lambda: None)
    with claimed(tmp_path), serving(tmp_path, rows), control.Client(tmp_path) as client:
        assert client.ask(StateRequest(), StateReply).arming.armed
        with pytest.raises(ControlError, match="not a request of this fmd"):
            client.ask(LiveRequest(), LiveReply)


def test_without_a_runtime_directory_nothing_is_served() -> None:
    from edge.page_service.serving import serving_page

    with serving_page(None, None) as listener:  # type: ignore[arg-type]
        listener.on_step(with_faces(), None)  # type: ignore[arg-type]


def test_changes_and_visits_are_limited_and_looking_is_not(door: Door, tmp_path: Path) -> None:
    """A page that was taken over must not wear out the card that has the state of arming and the record."""
    with PageClient(tmp_path) as client:
        for _ in range(MOST_CHANGES):
            client.ask(MuteRequest(for_s=0.0), StateReply)
        with pytest.raises(ControlError, match="more than 20 changes in a minute"):
            client.ask(DisarmRequest(), StateReply)
        for _ in range(MOST_VISITS):
            client.ask(ViewingRequest(what="refused", who=OWNER), DoneReply)
        with pytest.raises(ControlError, match="more than 60 refused visits in a minute"):
            client.ask(ViewingRequest(what="refused", who=OWNER), DoneReply)
        client.ask(ViewingRequest(what="began", who=OWNER), DoneReply)
        assert len(door.events) == MOST_VISITS + 1
        for _ in range(100):
            client.ask(LiveRequest(), LiveReply)
        assert door.arming.message.armed
        door.tick(60.0)
        assert not client.ask(DisarmRequest(), StateReply).arming.armed


# Attacks -------------------------------------------------------------------------------------------------------------


def connected(folder: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(str(folder / SOCKET))
    return client


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "content",
    [
        b"\xc1",
        os.urandom(500),
        msgspec.msgpack.encode({"kind": "state"}),
        msgspec.msgpack.encode({"kind": "picture", "width": 10**9}),
        msgspec.msgpack.encode({"kind": "picture", "camera": "x" * 65}),
        msgspec.msgpack.encode({"kind": "test_output", "output": "heartbeat"}),
        msgspec.msgpack.encode({"kind": "test_output", "output": "relay", "confirmed": "yes"}),
        msgspec.msgpack.encode({"kind": "show_faces", "for_s": 1e9}),
        msgspec.msgpack.encode({"kind": "passages", "limit": 10**6}),
        msgspec.msgpack.encode({"kind": "report", "back": -1}),
        msgspec.msgpack.encode({"kind": "upload", "purpose": "x", "name": "a", "offset": 0, "piece": b""}),
        msgspec.msgpack.encode({"kind": "viewing", "what": "began", "who": "x" * 201}),
    ],
)
def test_what_is_no_request_is_refused_and_changes_nothing(door: Door, tmp_path: Path, content: bytes) -> None:
    with connected(tmp_path) as client:
        client.sendall(HEADER.pack(len(content)) + content)
        size = HEADER.unpack(client.recv(4))[0]
        reply = msgspec.msgpack.decode(client.recv(size), type=Reply)
        assert isinstance(reply, RefusedReply)
        assert is_closed(client)
    assert works(tmp_path)
    assert door.arming.message.armed
    assert not door.events
    assert not any(each.on for each in door.outputs.values())


def test_a_piece_of_a_file_fits_and_a_longer_frame_closes_the_connection(door: Door, tmp_path: Path) -> None:
    piece = UploadRequest(purpose="model", name="n" * 200, offset=2**40, piece=b"x" * PIECE)
    assert len(encoded(piece)) <= MAX_REQUEST
    with connected(tmp_path) as client:
        client.sendall(HEADER.pack(MAX_REQUEST + 1) + b"x")
        assert is_closed(client)
    assert works(tmp_path)


def test_two_hundred_connections_take_nothing_from_operators_and_end(door: Door, tmp_path: Path) -> None:
    """Nor from the door: no thread more, and operators have a socket of their own."""
    threads = threading.active_count()
    with ExitStack() as stack:
        stack.enter_context(serving(tmp_path, table(door.arming, lambda: None)))
        crowd = 0
        for _ in range(200):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            crowd += client.connect_ex(str(tmp_path / SOCKET)) == 0
        assert MAX_CONNECTIONS <= crowd < 200
        assert threading.active_count() == threads + 1, "that of the control socket"
        with control.Client(tmp_path) as operator:
            assert not operator.ask(control.DisarmRequest(), StateReply).arming.armed
    assert works(tmp_path)


def test_a_silent_and_a_slow_client_are_dropped(door: Door, tmp_path: Path) -> None:
    with connected(tmp_path) as silent, connected(tmp_path) as half:
        half.sendall(HEADER.pack(100) + b"\x81")
        assert is_closed(silent)
        assert is_closed(half)
    assert works(tmp_path)


def test_a_client_that_goes_away_during_a_long_answer_disturbs_nobody(door: Door, tmp_path: Path) -> None:
    for _ in range(2):
        client = connected(tmp_path)
        client.sendall(encoded(LogRequest()))
        client.close()
    assert works(tmp_path)


AS_NOBODY = """
import os, sys
from pathlib import Path
from edge.page_messages import *
from edge.control import Client
from edge.errors import ControlError
class PageClient(Client):
    SOCKET, REPLIES, PERMISSION = SOCKET, Reply, "join the group"
os.setgroups([int(group) for group in sys.argv[2:]])
os.setgid(65534)
os.setuid(65534)
try:
    with PageClient(Path(sys.argv[1])) as client:
        print(client.ask(DisarmRequest(), StateReply).arming.by)
except ControlError as error:
    print("refused:", error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("groups", "mode", "said"),
    [
        ((), 0o660, "this user may not control fmd; join the group"),
        ((), 0o666, "nobody (uid 65534) may not do this; only root and the group fmd-page"),
        ((7, 54320), 0o666, "nobody (uid 65534) may not do this"),
        ((7, 54321), 0o660, "web page (nobody (uid 65534))"),
    ],
)
def test_only_the_page_s_group_may_ask(groups: tuple[int, ...], mode: int, said: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with served(folder, group=54321):
            (folder / SOCKET).chmod(mode)
            command = [sys.executable, "-c", AS_NOBODY, name, *map(str, groups)]
            found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert said in found.stdout, found.stderr


def test_the_socket_is_gone_at_the_end(tmp_path: Path) -> None:
    with served(tmp_path):
        assert (tmp_path / SOCKET).exists()
    wait_for(lambda: not (tmp_path / SOCKET).exists())
    with pytest.raises(ControlError, match="fmd does not run"), PageClient(tmp_path):
        pass


def test_a_run_in_a_terminal_refuses_a_reload(door: Door, tmp_path: Path) -> None:
    with PageClient(tmp_path) as client, pytest.raises(ControlError, match="fmd runs in a terminal"):
        client.ask(ReloadRequest(), DoneReply)
