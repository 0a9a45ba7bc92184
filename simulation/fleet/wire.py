"""The network of a simulated door: a forwarder for its connections, which can be cut like a cable.

up       bytes pass
cut      no byte passes and nothing is closed, as behind a switch that lost its power
refused  connections are reset and new ones refused, as by a machine whose fmd was killed
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

STATES = ("up", "cut", "refused")
CHUNK = 1 << 16
WAIT_S = 10.0
"""Longest time for which another thread waits for the forwarders' thread."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of a socket that is reset when it is closed."""

Result = TypeVar("Result")


class Wires:
    """The thread that forwards the connections of all doors of a process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wires", daemon=True)
        self._thread.start()

    def wire(self, port: int, to_port: int) -> Wire:
        """Return a wire that forwards connections to 127.0.0.1:``port`` to 127.0.0.1:``to_port``; it is up."""
        return self.call(self._new(port, to_port))

    def call(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run ``work`` in the forwarders' thread and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    def close(self) -> None:
        """End the thread, with all connections."""
        self.call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _new(self, port: int, to_port: int) -> Wire:
        wire = Wire(self, port, to_port)
        await wire.listen()
        return wire


class Wire:
    """One way between a door and the hub."""

    def __init__(self, wires: Wires, port: int, to_port: int) -> None:
        self._wires, self._port, self._to_port, self.state = wires, port, to_port, "up"
        self._up = asyncio.Event()
        self._up.set()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    def set(self, state: str) -> None:
        """Change to one of :data:`STATES`."""
        self._wires.call(self._set(state))

    async def listen(self) -> None:
        """Take connections; the forwarders' thread calls it."""
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self._port)

    async def _set(self, state: str) -> None:
        self.state = state
        self._up.set() if state == "up" else self._up.clear()
        # It goes on listening: a port that is closed for a while may be taken by another process.
        for writer in self._open if state == "refused" else ():
            _reset(writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.state == "refused":
            _reset(writer)
            return
        self._open.add(writer)
        try:
            # The kernel has accepted it; behind a cut cable nobody would have.
            if self.state != "up":
                await self._up.wait()
                return
            there, here = await asyncio.open_connection("127.0.0.1", self._to_port)
            self._open.add(here)
            try:
                await self._pump(reader, here, there, writer)
            finally:
                self._open.discard(here)
                here.close()
        except (OSError, asyncio.CancelledError):
            pass  # the other end has closed it, or is not there; or the command ends
        finally:
            self._open.discard(writer)
            writer.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        here: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Pass bytes in both directions until either end closes."""
        ways = [asyncio.ensure_future(self._pass(reader, here)), asyncio.ensure_future(self._pass(there, writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await way

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._up.wait()
            writer.write(data)
            await writer.drain()
        await self._up.wait()  # the other end does not learn of it either


def _reset(writer: asyncio.StreamWriter) -> None:
    found: socket.socket | None = writer.get_extra_info("socket")
    if found is not None:
        with suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
