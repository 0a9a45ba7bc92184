"""Client of the service's socket for the page: typed requests over a few connections, without threads."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from edge import page_messages
from edge.control import ANSWER_S, HEADER, MAX_REPLY, Expected, Message, RefusedReply, encoded
from edge.errors import ControlError, NotRunningError

CONNECTIONS, LONG_CONNECTIONS = 4, 2
"""Most connections at once, and of those that take seconds: a report must not keep pictures waiting."""
CONNECT_S = 2.0
LONG_S = 2 * page_messages.LONG_S
"""The service carries out one long request at a time, so the second one waits for the first."""
STOPPED = "fmd does not run"
Result = TypeVar("Result")
_decode = msgspec.msgpack.Decoder(page_messages.Reply).decode


class _Connection(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class _ClosedError(OSError):
    """A connection that the service closed without a reply."""


async def _within(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of ``work``. Raises TimeoutError after ``seconds``."""
    task = asyncio.ensure_future(work)
    # Before Python 3.12, asyncio logs an error that comes while the viewer leaves: no one would read it.
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    return await asyncio.wait_for(task, seconds)


class Service:
    """The fmd that runs with a runtime directory."""

    def __init__(self, folder: Path, socket: str = page_messages.SOCKET) -> None:
        self._path = str(folder / socket)
        self._free, self._free_long = asyncio.Semaphore(CONNECTIONS), asyncio.Semaphore(LONG_CONNECTIONS)
        self._idle: list[_Connection] = []

    async def ask(self, request: Message, reply: type[Expected]) -> Expected:
        """Send a request and return its reply.

        Raises NotRunningError if fmd does not run or does not answer in time, ControlError if it refuses.
        """
        long = isinstance(request, page_messages.LONG)
        try:
            async with self._free_long if long else self._free:
                content = await _within(LONG_S if long else ANSWER_S, self._exchange(encoded(request)))
            answer = _decode(content)
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise NotRunningError("fmd does not answer; to find the reason: journalctl -u fmd") from error
        except (OSError, EOFError) as error:
            raise NotRunningError(f"{STOPPED}; start it: sudo systemctl start fmd") from error
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ControlError(f"a reply that this page does not understand ({error}); restart fmd-page") from error
        if isinstance(answer, RefusedReply):
            raise ControlError(answer.reason)
        if not isinstance(answer, reply):
            raise ControlError(f"got the reply {type(answer).__name__}, expected {reply.__name__}; restart fmd-page")
        return answer

    def close(self) -> None:
        """Close all idle connections."""
        while self._idle:
            self._idle.pop().writer.close()

    async def _exchange(self, frame: bytes) -> bytes:
        """Send a frame and return the content of its reply.

        The service may close an idle connection at any moment, before it reads the request: then a new one follows.
        """
        while self._idle:
            connection = self._idle.pop()
            if not connection.reader.at_eof():
                with suppress(_ClosedError):
                    return await self._answered(connection, frame)
            connection.writer.close()
        opened = await _within(CONNECT_S, asyncio.open_unix_connection(self._path))
        return await self._answered(_Connection(*opened), frame)

    async def _answered(self, connection: _Connection, frame: bytes) -> bytes:
        """Send a frame and return the content of its reply. A connection that did not complete this is closed.

        Raises _ClosedError if the service closed it instead of answering, and OSError or EOFError.
        """
        complete = False
        try:
            try:
                connection.writer.write(frame)
                await connection.writer.drain()
                first = await connection.reader.readexactly(1)
            except (OSError, EOFError) as error:
                raise _ClosedError("the service closed the connection") from error
            (size,) = HEADER.unpack(first + await connection.reader.readexactly(HEADER.size - 1))
            if size > MAX_REPLY:
                raise ConnectionError(f"a reply of {size} bytes, expected at most {MAX_REPLY}")
            content = await connection.reader.readexactly(size)
            complete = True
        finally:
            if complete:
                self._idle.append(connection)
            else:
                connection.writer.close()
        return content
