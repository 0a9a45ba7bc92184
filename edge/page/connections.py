"""Limits of connections: how many, per address too, and how long a client may take for each part of a request.

A browser is quick. A client that is slow, silent, or does not take what it asked for is disconnected, so that it
cannot keep others away.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections import Counter
from contextlib import suppress
from typing import Any, NamedTuple

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.page.limits import network_of

CONNECTIONS, EACH = 64, 16
"""Open connections in all and of one address; a browser uses six, and two more for pictures and state."""
SEND_BYTES = 128 << 10
"""Buffer of the kernel for each connection. With more, a slow viewer would see pictures that are seconds old."""
BODY_PER_S = 20_000
"""Slowest rate of a body in bytes a second: a model file of 3 MB over a bad network takes two minutes."""
TICK_S = 0.5
NOTSENT_LOWAT = 25
"""TCP_NOTSENT_LOWAT of Linux' tcp.h, which Python's module does not name."""


class Times(NamedTuple):
    """Longest times in seconds: TLS handshake, header, body, between two requests, and to take what was sent.

    A body may take longer by the time of its bytes at :data:`BODY_PER_S`.
    """

    handshake_s: float = 5.0
    header_s: float = 5.0
    body_s: float = 5.0
    idle_s: int = 5
    take_s: float = 10.0


class Listener(socket.socket):
    """A listening socket that refuses connections over the limits before anything reads from them.

    Counting happens here and not in a protocol, because a TLS handshake comes before any protocol.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._open: dict[socket.socket, str] = {}

    @property
    def connections(self) -> int:
        """Connections that are open, in whatever state."""
        self._open = {each: whose for each, whose in self._open.items() if each.fileno() >= 0}
        return len(self._open)

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection within the limits. Raises OSError, as the original does."""
        client, address = super().accept()
        whose = network_of(str(address[0]))
        if not self._has_room(whose):
            client.close()
            raise ConnectionAbortedError
        self._open[client] = whose
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        with suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT, SEND_BYTES)
        return client, address

    def _has_room(self, whose: str) -> bool:
        """Return whether a network may have one more; the one with most makes room for those with fewer."""
        full = self.connections >= CONNECTIONS
        counts = Counter(self._open.values())
        if counts[whose] >= EACH:
            return False
        if not full:
            return True
        [(greediest, most)] = counts.most_common(1)
        if counts[whose] + 1 >= most:
            return False
        oldest = next(each for each, owner in self._open.items() if owner == greediest)
        del self._open[oldest]
        with suppress(OSError):
            oldest.shutdown(socket.SHUT_RDWR)  # its protocol closes it
        return True


class TimedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with deadlines, which it checks every ``tick_s``."""

    times = Times()
    tick_s = TICK_S

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock of the first request."""
        super().connection_made(transport)
        self._owes, self._since_s, self._taken_s, self._body = "", self.loop.time(), self.loop.time(), 0
        self._timer = self.loop.call_later(self.tick_s, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what arrives, then have it parsed."""
        self._body += len(data)
        super().data_received(data)

    def resume_writing(self) -> None:
        """Note that the client has taken most of what waited for it."""
        self._taken_s = self.loop.time()
        super().resume_writing()

    def _check(self) -> None:
        """Disconnect a client whose time is over."""
        now_s, owes = self.loop.time(), self._owed()
        if owes != self._owes:
            self._owes, self._since_s, self._body = owes, now_s, 0
        if not self.transport.get_write_buffer_size():
            self._taken_s = now_s
        if now_s - self._since_s >= self._limit_s(owes) or now_s - self._taken_s >= self.times.take_s:
            self.transport.abort()
        else:
            self._timer = self.loop.call_later(self.tick_s, self._check)

    def _owed(self) -> str:
        """Return what the client owes: the "header" or "body" of a request, the "end", or "" for nothing."""
        if self.transport.is_closing():
            return "end"
        if self.conn.their_state is h11.SEND_BODY:
            return "body"
        waits = self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None
        return "header" if waits else ""

    def _limit_s(self, owes: str) -> float:
        body_s = self.times.body_s + self._body / BODY_PER_S
        return {"header": self.times.header_s, "body": body_s, "end": self.times.take_s}.get(owes, math.inf)
