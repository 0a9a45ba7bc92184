"""The client of the service's socket, against a peer that answers badly."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from edge.control import HEADER, MAX_REPLY, DoneReply, RefusedReply, encoded
from edge.errors import ControlError, NotRunningError
from edge.page.service import Service
from edge.page_messages import SOCKET, LiveReply, LiveRequest, ReloadRequest


@contextmanager
def answering(folder: Path, *answers: bytes) -> Iterator[list[bytes]]:
    """Serve one connection after another; each gets one answer and is then closed."""
    asked: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / SOCKET))
        listener.listen()

        def work() -> None:
            for answer in answers:
                client, _ = listener.accept()
                with client:
                    asked.append(client.recv(65536))
                    client.sendall(answer)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield asked


def ask(folder: Path, times: int = 1) -> list[DoneReply]:
    async def run() -> list[DoneReply]:
        service = Service(folder)
        try:
            return [await service.ask(ReloadRequest(), DoneReply) for _ in range(times)]
        finally:
            service.close()

    return asyncio.run(run())


def test_a_connection_that_the_service_has_closed_is_replaced(tmp_path: Path) -> None:
    with answering(tmp_path, encoded(DoneReply()), encoded(DoneReply())) as asked:
        assert ask(tmp_path, times=2) == [DoneReply(), DoneReply()]
    assert asked == [encoded(ReloadRequest())] * 2


def test_a_refusal_is_an_error_with_its_reason(tmp_path: Path) -> None:
    with answering(tmp_path, encoded(RefusedReply(reason="no"))), pytest.raises(ControlError, match=r"^no$"):
        ask(tmp_path)


@pytest.mark.parametrize(
    "answer",
    [
        HEADER.pack(4) + b"\xc1\xc1\xc1\xc1",
        HEADER.pack(1) + msgspec.msgpack.encode(1),
        HEADER.pack(10) + msgspec.msgpack.encode({"kind": "odd"}),
    ],
)
def test_a_reply_that_makes_no_sense_is_an_error(tmp_path: Path, answer: bytes) -> None:
    with answering(tmp_path, answer), pytest.raises(ControlError, match="restart fmd-page"):
        ask(tmp_path)


@pytest.mark.parametrize("answer", [b"", b"\x00", HEADER.pack(9) + b"x", HEADER.pack(MAX_REPLY + 1)])
def test_a_service_that_ends_in_the_middle_does_not_run(tmp_path: Path, answer: bytes) -> None:
    with answering(tmp_path, answer), pytest.raises(NotRunningError, match="does not run"):
        ask(tmp_path)


def test_without_a_socket_fmd_does_not_run(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError, match="systemctl start fmd"):
        ask(tmp_path)


def test_a_viewer_who_leaves_at_any_moment_is_no_error_to_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def leave(turns: int) -> None:
        asked = asyncio.create_task(Service(tmp_path).ask(LiveRequest(), LiveReply))
        for _ in range(turns):
            await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises((asyncio.CancelledError, NotRunningError)):
            await asked

    for turns in range(1, 12):
        asyncio.run(leave(turns))
    gc.collect()  # when asyncio reports what no one has read
    assert caplog.records == []


def test_another_reply_than_expected_is_an_error(tmp_path: Path) -> None:
    async def run() -> None:
        await Service(tmp_path).ask(LiveRequest(), LiveReply)

    with answering(tmp_path, encoded(DoneReply())), pytest.raises(ControlError, match="expected LiveReply"):
        asyncio.run(run())
