"""Two hundred clients at once, with the real times: the page answers its owner, and asks the service nothing more."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edge import page_messages
from edge.page import connections
from edge.page.connections import TimedProtocol
from tests.edge.page.conftest import running
from tests.edge.parts import wait_for

CLIENTS, NETWORKS = 200, 20
BYTES = (b"", b"GET / HTTP/1.1\r\nX-", b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\na")
"""What they send and then stop: nothing, a part of a header, a part of a body."""


@contextmanager
def fleet(port: int, networks: int = NETWORKS) -> Iterator[list[socket.socket]]:
    """Connect from this number of addresses of this machine; clients that are dropped stay so."""
    with ExitStack() as stack:
        clients = []
        for number in range(CLIENTS):
            client = stack.enter_context(socket.socket())
            client.bind((f"127.0.1.{1 + number % networks}", 0))
            client.connect(("127.0.0.1", port))
            try:
                client.sendall(BYTES[number % len(BYTES)])
            except OSError:
                continue
            clients.append(client)
        yield clients


def test_a_fleet_that_sends_nothing_whole_keeps_the_owner_out_of_nothing(tmp_path: Path) -> None:
    with running(tmp_path, protocol=TimedProtocol) as page:
        owner = page.signed_in()
        client = page.client()
        client.cookies = owner.cookies
        with fleet(page.port):
            began_s = time.monotonic()
            assert client.get("/").status_code == 200
            assert time.monotonic() - began_s < 2.0
            assert page.server.connections <= connections.CONNECTIONS
        wait_for(lambda: page.server.connections <= 2)
        with fleet(page.port, networks=1):
            assert client.get("/").status_code == 200
            assert page.server.connections <= connections.EACH + 2
        assert {type(each) for each in page.requests()} == {page_messages.LiveRequest}
