"""The server: uvicorn on listening sockets with limits, with TLS if the page has a certificate."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from edge.errors import SettingsError
from edge.page.connections import HEADER_BYTES, Listener, TimedProtocol
from edge.page.settings import ServerSettings

log = logging.getLogger(__name__)

BACKLOG = 64
END_S = 2
"""How long replies may go on when the page stops. Pictures would go on for ever."""


def listen(settings: ServerSettings, port: int | None = None) -> list[socket.socket]:
    """Return sockets that listen at the address of the settings, IPv4 and IPv6. Raises SettingsError.

    ``port`` replaces that of the settings; 0 is any free one.
    """
    port = settings.port if port is None else port
    found: list[socket.socket] = []
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
        raise SettingsError(f"{where}: the page cannot listen there: {problem and problem.strerror}") from problem
    return found


def _listening(family: int, kind: int, protocol: int, place: object) -> socket.socket:
    listener = Listener(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(place)  # type: ignore[arg-type]
        listener.listen(BACKLOG)
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
    """uvicorn's server with a limit on TLS handshakes; ``ready`` is called when it answers."""

    def __init__(
        self,
        app: ASGIApp,
        context: ssl.SSLContext | None = None,
        ready: Callable[[], None] = lambda: None,
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
        self._context, self._ready, self._protocol = context, ready, protocol

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer on the listening sockets."""
        loop, times = asyncio.get_running_loop(), self._protocol.times
        await self.lifespan.startup()
        make = partial(self._protocol, self.config, self.server_state, self.lifespan.state)
        handshake_s = times.handshake_s if self._context else None
        self.servers = [
            await loop.create_server(make, sock=each, ssl=self._context, ssl_handshake_timeout=handshake_s)
            for each in sockets or []
        ]
        self.started = True
        self._ready()
