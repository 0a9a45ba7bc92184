"""Servers: keeps every server that the settings enable listening, through reloads and while its address is taken."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from edge import drivers
from edge.config import Settings
from edge.drivers.server import ConfiguredServer, Server
from edge.errors import FmdError, OutputError

log = logging.getLogger(__name__)

RETRY_S = 60.0
"""How often an address that cannot be served is tried again: it may appear late, and a port may become free."""


class Servers:
    """All servers of the drivers' table, each of which follows the settings. ``snapshot`` returns the metrics."""

    def __init__(self, snapshot: Callable[[], Any], retry_s: float = RETRY_S) -> None:
        self._snapshot, self._retry_s = snapshot, retry_s
        self._endpoints: dict[str, ServerEndpoint] = {}

    def begin(self, settings: Settings) -> None:
        """Start the enabled servers. Raises RuntimeMissingError if a server's library is missing."""
        for server in drivers.servers(settings, self._snapshot):
            self._endpoint(server.name).begin(server)

    def follow(self, settings: Settings) -> None:
        """Serve as these settings say, without waiting. If a library is missing, the servers before stay."""
        try:
            configured = {server.name: server for server in drivers.servers(settings, self._snapshot)}
        except FmdError as error:
            log.error("the servers of the settings before stay: %s", error)
            return
        for name in self._endpoints.keys() | configured.keys():
            self._endpoint(name).follow(configured.get(name))

    def close(self) -> None:
        """Stop all servers."""
        for endpoint in self._endpoints.values():
            endpoint.open(None)

    def _endpoint(self, name: str) -> ServerEndpoint:
        return self._endpoints.setdefault(name, ServerEndpoint(self._retry_s))


class ServerEndpoint:
    """Keeps one server listening as configured; with None, nothing listens."""

    def __init__(self, retry_s: float = RETRY_S) -> None:
        self._retry_s, self._lock = retry_s, threading.Lock()
        self._wanted: ConfiguredServer | None = None
        self._served: ConfiguredServer | None = None
        self._server: Server | None = None
        self._superseded, self._last_error = threading.Event(), ""

    def open(self, server: ConfiguredServer | None) -> None:
        """Serve this and nothing else; waits for a request in progress. Raises OutputError if it cannot be served."""
        self._want(server)
        self._serve()

    def begin(self, server: ConfiguredServer) -> None:
        """Do the same at the start; if it cannot be served now, keep trying while the door is watched."""
        try:
            self.open(server)
        except OutputError as error:
            self._report(error)
            self.follow(server)

    def follow(self, server: ConfiguredServer | None) -> threading.Thread:
        """Do the same for a loop that must not wait: in the thread that is returned."""
        # Before the thread begins, so that the latest request counts, whichever thread runs first.
        superseded = self._want(server)

        def work() -> None:
            while not superseded.is_set() and not self._try_to_serve():
                superseded.wait(self._retry_s)

        thread = threading.Thread(target=work, name="server reload", daemon=True)
        thread.start()
        return thread

    def _try_to_serve(self) -> bool:
        try:
            self._serve()
        except FmdError as error:
            self._report(error)
            return False
        return True

    def _want(self, server: ConfiguredServer | None) -> threading.Event:
        """Return the event that is set as soon as another server is wanted."""
        self._wanted = server
        self._superseded.set()
        self._superseded = threading.Event()
        return self._superseded

    def _report(self, error: FmdError) -> None:
        if str(error) != self._last_error:
            self._last_error = str(error)
            log.error("not served: %s; trying again every %g s", error, self._retry_s)

    def _serve(self) -> None:
        with self._lock:
            wanted = self._wanted
            if _settings_of(self._served) == _settings_of(wanted):
                return
            if self._server is not None:
                self._server.close()
            # Until the new address is served nothing is: so a port that is taken is tried again.
            self._server = self._served = None
            if wanted is not None:
                self._server = wanted.open()
            self._served, self._last_error = wanted, ""


def _settings_of(server: ConfiguredServer | None) -> object:
    return None if server is None else server.wanted
