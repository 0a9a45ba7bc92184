"""Messages that wait for one publisher, in order.

Kinds that must not be lost wait apart, in a longer queue, so that messages of other kinds cannot displace them. While
the publisher cannot send, a file holds them too: they survive a restart and, but for the last minute, a power cut.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from edge.contracts import Message, MessageKind
from edge.files import read_regular, write_atomically
from edge.messages import DecisionMessage

log = logging.getLogger(__name__)

MAX_AGE_S = 7 * 86400.0
"""Older decisions are not sent any more: nobody waits for those of a publisher that was off for so long."""
MAX_FILE = 64 << 20
"""Bytes of the largest file that is read; 100,000 decisions take about 30 MB."""
SPARE_LINES = 100
"""Lines of sent decisions that the file may hold before it is written again as a whole."""


class Waiting(NamedTuple):
    """A message that waits; ``number`` rises with the order in which messages came."""

    number: int
    message: Message


class Queues:
    """A queue of ``size`` messages, and one of ``kept_size`` for messages of the kinds ``kept``. Not locked.

    Both hold at least one message.
    """

    def __init__(self, size: int, kept: Collection[MessageKind] = (), kept_size: int = 0) -> None:
        self._kinds, self._sizes = kept, (size, kept_size)
        self._queues: tuple[deque[Waiting], deque[Waiting]] = (deque(), deque())
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return sum(map(len, self._queues))

    def __iter__(self) -> Iterator[Waiting]:
        return itertools.chain(*self._queues)

    @property
    def kept(self) -> list[Waiting]:
        """The messages that must not be lost, the oldest first."""
        return list(self._queues[1])

    def is_kept(self, message: Message) -> bool:
        """Return whether this message must not be lost."""
        return message.kind in self._kinds

    def add(self, message: Message) -> int:
        """Append a message; return how many of its queue were dropped for it."""
        at = int(self.is_kept(message))
        dropped = self._shorten(at, max(0, self._sizes[at] - 1))
        if message.picture is not None:
            self._strip(self._queues[at])
        self._queues[at].append(Waiting(next(self._numbers), message))
        return dropped

    def take(self) -> Waiting:
        """Remove and return the oldest message. Raises IndexError if none waits."""
        return min((queue for queue in self._queues if queue), key=lambda queue: queue[0].number).popleft()

    def put_back(self, waiting: Waiting) -> bool:
        """Return a message that was taken to the head of its queue; false if that is full."""
        at = int(self.is_kept(waiting.message))
        if has_room := len(self._queues[at]) < self._sizes[at]:
            self._queues[at].appendleft(waiting)
        return has_room

    def like(self, message: Message) -> Waiting | None:
        """Return the first waiting message of the same kind and camera."""
        queue = self._queues[self.is_kept(message)]
        like = message.kind, message.camera
        return next((waiting for waiting in queue if (waiting.message.kind, waiting.message.camera) == like), None)

    def remove(self, waiting: Waiting) -> None:
        """Remove a message that waits."""
        self._queues[self.is_kept(waiting.message)].remove(waiting)

    def resize(self, size: int, kept_size: int) -> int:
        """Limit both queues from now on; return how many messages were dropped for that."""
        self._sizes = (size, kept_size)
        return sum(self._shorten(at, self._sizes[at]) for at in (0, 1))

    def _shorten(self, at: int, size: int) -> int:
        dropped = max(0, len(self._queues[at]) - size)
        for _ in range(dropped):
            self._queues[at].popleft()
        return dropped

    @staticmethod
    def _strip(queue: deque[Waiting]) -> None:
        """Drop the picture of a waiting message: each holds a whole frame in memory, so only the newest keeps its."""
        # At most one has a picture, and it is near the end.
        for at in range(len(queue) - 1, -1, -1):
            if queue[at].message.picture is not None:
                queue[at] = queue[at]._replace(message=replace(queue[at].message, picture=None))
                return


class _Line(msgspec.Struct, frozen=True):
    """A line of the file: a decision with its time and camera. Pictures are not kept."""

    at: float
    camera: str
    decision: DecisionMessage


class Backlog:
    """File with the decisions that wait for a publisher; None keeps none. ``wall`` gives seconds since 1970.

    It grows while the publisher cannot send, and is removed when all were sent. After a power cut it may hold decisions
    that were sent already: the same person, change and time then arrive a second time.
    """

    def __init__(self, file: Path | None, wall: Callable[[], float] = time.time) -> None:
        self._file, self._wall = file, wall
        self._lines, self._last, self._failed = 0, -1, False
        self._lock = threading.Lock()

    def load(self) -> list[Message]:
        """Return the decisions of the file, the oldest first; damaged lines are skipped."""
        if self._file is None:
            return []
        try:
            lines = read_regular(self._file, MAX_FILE).splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            self._complain(error)
            return []
        found = [line for line in map(_parsed, lines) if line is not None and self._wall() - line.at < MAX_AGE_S]
        self._lines, self._last = len(lines), len(found) - 1
        if found:
            log.info("%d decisions of an earlier run are still to be published", len(found))
        return [Message(MessageKind.DECISION, line.at, line.camera, line.decision) for line in found]

    def move(self, file: Path | None) -> None:
        """Use another file from now on, None for none; the one before is removed."""
        with self._lock:
            if file != self._file:
                self._replace(())
                self._file, self._lines, self._last = file, 0, -1

    def keep(self, waiting: Sequence[Waiting]) -> None:
        """Add what the file does not hold yet; without any waiting decision, remove the file."""
        with self._lock:
            new = [each for each in waiting if each.number > self._last]
            if not waiting or self._lines + len(new) > 2 * len(waiting) + SPARE_LINES:
                self._replace(waiting)
            elif new:
                self._try(lambda file: _append(file, _encoded(new)), self._lines + len(new), new[-1].number)

    def settle(self, waiting: Sequence[Waiting]) -> None:
        """Make the file hold these decisions and no other."""
        with self._lock:
            self._replace(waiting)

    def _replace(self, waiting: Sequence[Waiting]) -> None:
        if waiting:
            data = _encoded(waiting)
            self._try(lambda file: write_atomically(file, data, 0o600, durable=True), len(waiting), waiting[-1].number)
        elif self._lines:
            self._try(lambda file: file.unlink(missing_ok=True), 0, self._last)

    def _try(self, change: Callable[[Path], None], lines: int, last: int) -> None:
        """Change the file; a full card costs the protection against a restart, and not the message."""
        if self._file is None:
            return
        try:
            change(self._file)
        except OSError as error:
            self._complain(error)
        else:
            self._lines, self._last, self._failed = lines, last, False

    def _complain(self, error: OSError) -> None:
        if not self._failed:
            log.warning("decisions that wait for the network would not survive a restart: %s", error)
        self._failed = True


def _append(file: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(file, flags, 0o600), "ab") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def _encoded(waiting: Sequence[Waiting]) -> bytes:
    messages = [each.message for each in waiting]
    lines = [_Line(one.at, one.camera, one.content) for one in messages if isinstance(one.content, DecisionMessage)]
    # A line end first as well: it closes a line that a power cut has left unfinished.
    return b"\n" + msgspec.json.Encoder().encode_lines(lines)


def _parsed(line: bytes) -> _Line | None:
    try:
        return msgspec.json.decode(line, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
