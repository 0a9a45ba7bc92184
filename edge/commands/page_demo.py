"""``fmd page --demo``: the page of a real fmd that watches a built-in scene in a loop, for this machine alone."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edge import confine, migrate, toml
from edge.commands import common
from edge.errors import ControlError, NotRunningError, RuntimeMissingError, SettingsError
from edge.page_messages import LiveReply, LiveRequest

if TYPE_CHECKING:
    from edge.page.service import Service
    from edge.page.settings import ServerSettings

PORT = 8080
SETTINGS = {
    "version": migrate.VERSION,
    "alert": {"driver": "console"},
    "camera": {"source": "doorway", "loop": True, "live": True},
    "page": {"show_faces": True},
}
"""A file of their own, over which the page can lay changes: the demo runs the same on every machine, and drives no pin.
The faces are a portrait in the public domain."""
END_S = 5.0
POLL_S = 0.1
"""Time between two questions whether fmd answers."""


def run(port: int | None) -> int:
    """Run both processes until Ctrl-C.

    Raises SettingsError, ControlError if fmd does not start, and RuntimeMissingError without the scene's library.
    """
    from edge.page import server
    from edge.page.settings import ServerSettings

    if find_spec("skimage") is None:  # the other process loads it
        raise RuntimeMissingError("the demo needs its scene: pip install 'fmd-edge[page,demo]'")
    settings = ServerSettings(address="127.0.0.1", port=port or PORT)
    with ExitStack() as stack:
        try:
            sockets = server.listen(settings)
        except SettingsError:
            if port is not None:
                raise
            sockets = server.listen(settings, port=0)  # another program has the usual one
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fmd-page-")))
        process = stack.enter_context(_service(folder))
        return _serve(settings, sockets, folder, process)


def _serve(
    settings: ServerSettings, sockets: Sequence[socket.socket], folder: Path, fmd: subprocess.Popen[bytes]
) -> int:
    from edge.page import process
    from edge.page.app import make_app
    from edge.page.server import Server
    from edge.page.service import Service
    from edge.page.site import Site

    async def announce(service: Service, server: Server) -> None:
        print("starting the demo ...", flush=True)
        try:
            await answering(service, fmd)
        except ControlError:
            server.should_exit = True
            raise
        print(
            f"Open {process.shown(settings, sockets)} in a browser on this machine. Ctrl-C ends the demo.", flush=True
        )

    async def serve() -> int | None:
        site = Site(settings, Service(folder / "run"), folder / "none", time.monotonic, demo=True)
        server = Server(make_app(site), ending=site.live.stop)
        # The server runs meanwhile, as it handles the signals.
        announcing = asyncio.create_task(announce(site.service, server))
        try:
            await server.serve(list(sockets))
        finally:  # also if Ctrl-C comes before the server handles it
            announcing.cancel()
            with suppress(asyncio.CancelledError):
                await announcing
            await site.close()
        return server.stopped_by

    return common.exit_code(asyncio.run(serve()))


async def answering(service: Service, fmd: subprocess.Popen[bytes]) -> None:
    """Wait until fmd answers. Raises ControlError if its process ends before, whose own message is printed by then."""
    while fmd.poll() is None:
        with suppress(NotRunningError):
            await service.ask(LiveRequest(), LiveReply)
            return
        await asyncio.sleep(POLL_S)
    raise ControlError(f"the demo's fmd ended with exit code {fmd.returncode} before it answered; its message is above")


@contextmanager
def _service(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run fmd in a process of its own, with runtime and state directories in ``folder``."""
    for name in ("run", "state"):
        (folder / name).mkdir()
    (folder / "demo.toml").write_text(toml.written(SETTINGS), encoding="utf-8")
    command = [sys.executable, "-m", "edge.commands.main", "run", "--config", str(folder / "demo.toml")]
    command += ["--runtime", str(folder / "run"), "--state", str(folder / "state")]
    # What fmd prints about each decision is on the page.
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # Ctrl-C goes to every process of the terminal's group. This one ends it, also while Python starts.
        start_new_session=True,
        preexec_fn=partial(confine.die_with_parent, os.getpid()),
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
