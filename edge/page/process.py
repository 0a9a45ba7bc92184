"""The page's process: reads its settings, listens, and serves until a signal asks to stop."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from edge import paths
from edge.page import server
from edge.page.app import make_app
from edge.page.service import Service
from edge.page.settings import ServerSettings, load
from edge.page.site import Site

log = logging.getLogger(__name__)


def serve(settings_file: Path, runtime: Path, port: int | None = None) -> int | None:
    """Serve the page of the fmd that runs with ``runtime``; return the signal that ended it. Raises SettingsError."""
    settings = load(settings_file)
    sockets = server.listen(settings, port)
    passwords = settings_file.with_name(paths.PAGE_PASSWORDS)
    context = server.context_of(settings, settings_file.parent)

    async def run() -> int | None:
        site = Site(settings, Service(runtime), passwords, time.monotonic)
        if not site.hashes():
            log.warning("no password is set, so no one can sign in; to set one: sudo fmd page password")
        ready = partial(log.info, "the page answers at %s", shown(settings, sockets))
        serving = server.Server(make_app(site), context, ready, site.live.stop)
        await serving.serve(list[socket.socket](sockets))
        await site.close()
        return serving.stopped_by

    return asyncio.run(run())


def shown(settings: ServerSettings, sockets: Sequence[socket.socket]) -> str:
    """Return the page's address for people."""
    host = settings.address or f"{socket.gethostname()}.local"
    scheme = "https" if settings.certificate else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{sockets[0].getsockname()[1]}/"
