"""The server: uvicorn on listening sockets with limits, with TLS if the page has a certificate."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import HANDLED_SIGNALS

from edge import process
from edge.errors import SettingsError
from edge.page.connections import Listener, TimedProtocol
from edge.page.gate import HEADER_BYTES
from edge.page.settings import ServerSettings

# It logs its own start and end as well.
logging.getLogger("uvicorn").setLevel(logging.WARNING)

BACKLOG = 256
"""Connections that wait to be accepted, or refused: a full queue would make good clients wait for seconds."""
END_S = 2
"""How long replies may go on when the page stops. Pictures would go on for ever."""


def listen(settings: ServerSettings, port: int | None = None) -> list[Listener]:
    """Return sockets that listen at the address of the settings, IPv4 and IPv6. Raises SettingsError.

    ``port`` replaces that of the settings; 0 is any free one.
    """
    port = settings.port if port is None else port
    found: list[Listener] = []
    where = f"{settings.address or '*'} port {port}"
    try:
        places = socket.getaddrinfo(settings.address or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise SettingsError(f"address: {where}: {error.strerror or error}") from error
    problem: OSError | None = None
    for family, kind, protocol, _, place in places:
        try:
            found.append(_listening(family, kind, protocol, place))
        except OSError as error:  # a board without IPv6, for one
            problem = error
    if not found:
        raise SettingsError(
            f"{where}: the page cannot listen there: {problem and problem.strerror}; use --port PORT"
        ) from problem
    return found


def _listening(family: int, kind: int, protocol: int, place: object) -> Listener:
    listener = Listener(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(place)  # type: ignore[arg-type]
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def context_of(settings: ServerSettings, folder: Path) -> ssl.SSLContext | None:
    """Return the TLS context of the settings, or None without a certificate. Raises SettingsError."""
    if not settings.certificate and not settings.key:
        return None
    certificate, key = folder / settings.certificate, folder / (settings.key or settings.certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror or error
        raise SettingsError(
            f"certificate and key: {certificate}, {key}: {why}; make them: fmd page certificate"
        ) from error
    return context


class Server(uvicorn.Server):
    """uvicorn with a limit on TLS handshakes; ``ready`` is called when it answers, ``ending`` before it ends."""

    def __init__(
        self,
        app: ASGIApp,
        context: ssl.SSLContext | None = None,
        ready: Callable[[], None] = lambda: None,
        ending: Callable[[], None] = lambda: None,
        protocol: type[TimedProtocol] = TimedProtocol,
    ) -> None:
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=protocol.times.idle_s,
            timeout_graceful_shutdown=END_S,
            h11_max_incomplete_event_size=HEADER_BYTES,
        )
        super().__init__(config)
        self._context, self._ready, self._ending, self._protocol = context, ready, ending, protocol
        self.stopped_by: int | None = None
        """The signal that stopped the server."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal, and return then: uvicorn would raise it again, before its caller can clean up."""
        kinds = [*HANDLED_SIGNALS, *process.hangup_signal()] if _in_main_thread() else []
        before = {kind: signal.signal(kind, self.handle_exit) for kind in kinds}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal; the second one ends open connections at once."""
        self.force_exit = self.should_exit
        self.should_exit, self.stopped_by = True, sig

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer on the listening sockets."""
        loop, times = asyncio.get_running_loop(), self._protocol.times
        await self.lifespan.startup()
        make = partial(self._protocol, self.config, self.server_state, self.lifespan.state)
        handshake_s = times.handshake_s if self._context else None
        self.servers = [
            await loop.create_server(
                make, sock=each, ssl=self._context, ssl_handshake_timeout=handshake_s, backlog=BACKLOG
            )
            for each in sockets or []
        ]
        self.started = True
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End open replies, then those that are left after END_S."""
        self._ending()
        await super().shutdown(sockets)


def _in_main_thread() -> bool:
    """Only there can signals be handled."""
    return threading.current_thread() is threading.main_thread()
