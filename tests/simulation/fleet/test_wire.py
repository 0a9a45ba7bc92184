"""The network of a simulated door: up, cut like a cable, refused like a killed process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from simulation.fleet.usage import Ports
from simulation.fleet.wire import Wire, Wires

PATIENCE_S = 10.0


class Echo:
    """A server that sends back what it gets."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(ConnectionResetError):
            while data := connection.recv(100):
                connection.sendall(data)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def wired() -> Iterator[tuple[Wire, int]]:
    echo, wires, port = Echo(), Wires(), Ports(31_000).take()
    yield wires.wire(port, echo.port), port
    wires.close()
    echo.close()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE_S)


def received(here: socket.socket) -> bytes:
    """Return what comes; nothing if the connection ends, also by a reset."""
    try:
        return here.recv(100)
    except ConnectionResetError:
        return b""


def test_what_is_sent_into_a_cut_wire_arrives_when_it_is_up_again(wired: tuple[Wire, int]) -> None:
    wire, port = wired
    with connected(port) as here:
        here.sendall(b"one")
        assert here.recv(100) == b"one"
        wire.set("cut")
        here.sendall(b"two")
        here.settimeout(0.2)
        with pytest.raises(TimeoutError):
            here.recv(100)
        wire.set("up")
        here.settimeout(PATIENCE_S)
        assert here.recv(100) == b"two"


def test_a_connection_that_begins_behind_a_cut_wire_gets_nothing_and_ends_when_it_is_up(
    wired: tuple[Wire, int],
) -> None:
    wire, port = wired
    wire.set("cut")
    with connected(port) as here:
        here.sendall(b"lost")
        here.settimeout(0.2)
        with pytest.raises(TimeoutError):
            here.recv(100)
        wire.set("up")
        here.settimeout(PATIENCE_S)
        assert received(here) == b""


def test_a_refused_wire_resets_connections_and_new_ones_and_comes_back(wired: tuple[Wire, int]) -> None:
    wire, port = wired
    with connected(port) as here:
        here.sendall(b"one")
        assert here.recv(100) == b"one"
        wire.set("refused")
        here.settimeout(PATIENCE_S)
        with pytest.raises(ConnectionResetError):
            here.recv(100)
    with pytest.raises(ConnectionResetError), connected(port) as here:
        here.recv(100)
    wire.set("up")
    with connected(port) as here:
        here.sendall(b"again")
        assert here.recv(100) == b"again"
