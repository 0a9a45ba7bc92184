"""The log of events: what was decided at the door and what went wrong, for whoever asks the next morning.

One line of JSON an event, appended to ``events.jsonl`` in the state directory, never a picture. SD cards die from small
writes, so events wait in memory and are written together, each batch synced before it counts as kept; what a batch
costs the card is counted, and no more than a day's budget is spent in any 24 hours, however often fmd is started anew.
A power cut loses what was not kept yet, and nothing else: half a line at the end is cut off at the next start, and what
is damaged elsewhere is passed over.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from edge import state_file
from edge.config import EventSettings
from edge.files import sync_folder

log = logging.getLogger(__name__)

NAME, OLDER = "events.jsonl", "events.1.jsonl"
BLOCK = 4096
"""Bytes the card is written in at least."""
SYNC_BLOCKS = 6
"""Blocks that a file system writes for one sync beside the data, at most: journal, commit record, inode, directory."""
MAX_WAITING = 1000
"""Events in memory; the oldest make room, and are counted."""
DAY_S = 86400.0
STOP_S = 3.0
"""How long the end waits for the last batch; the unit's TimeoutStopSec is 10."""
MB = 1_000_000
PIECE = 1 << 16
"""Bytes of the log in memory at one time; a longer line is none of ours."""
SPENT = "events-budget.json"
"""In the runtime directory, which is memory: what is left of the budget, for the process after this one."""


class Spent(msgspec.Struct, frozen=True):
    """Of the budget ``left`` bytes at ``at_s``, on the clock that all processes of one boot share."""

    left: float
    at_s: float


class Budget:
    """Bytes that may be written: at most ``a_day`` in any 24 hours, a 24th of it at once."""

    def __init__(self, a_day: float, now_s: float, memory: Path | None = None) -> None:
        """``memory`` is the file in which a process leaves word of what it spent; full where there is none."""
        self._burst = a_day / 24
        self._rate = (a_day - self._burst) / DAY_S
        self._memory, before = memory, state_file.read_state(memory, Spent) if memory else None
        self._left, self._at_s = (before.left, before.at_s) if before else (self._burst, now_s)

    def left(self, now_s: float) -> float:
        """Bytes that may be written now."""
        self._left = min(self._burst, self._left + self._rate * max(0.0, now_s - self._at_s))
        self._at_s = max(now_s, self._at_s)
        return self._left

    @property
    def full(self) -> bool:
        """Whether waiting brings no more."""
        return self._left >= self._burst

    def spend(self, cost: float) -> None:
        """Take ``cost`` of what is left."""
        self._left -= cost
        if self._memory is None:
            return
        try:
            state_file.write_state(self._memory, Spent(self._left, self._at_s))
        except OSError as error:
            log.warning("%s: %s; a restart will have the whole budget again", self._memory, error.strerror)


class Failure(msgspec.Struct, frozen=True):
    """Content of the event that a run ended with an error."""

    error: str


class EventLog:
    """Events of one state directory. Calls may come from several threads; only :meth:`keep` touches the card.

    ``wall`` gives seconds since the epoch, ``now_s`` is monotonic. ``kept`` is the number of the last event that a
    power cut cannot take any more, ``lost`` counts those that had to make room; gaps in the numbers tell of them, too.
    """

    def __init__(
        self,
        folder: Path,
        settings: EventSettings,
        wall: Callable[[], float],
        now_s: float,
        runtime: Path | None = None,
    ) -> None:
        """``runtime`` outlasts a restart of the service and costs the card nothing; None where there is no such folder.

        Raises OSError where the log cannot be read or mended.
        """
        self._path, self._older = folder / NAME, folder / OLDER
        self._settings, self._wall = settings, wall
        self._budget = Budget(settings.mb_a_day * MB, now_s, runtime / SPENT if runtime else None)
        self._due_s = now_s
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self.lost = 0
        self._said = ""
        self.kept = self._size = 0
        self._recover()
        self._last = self.kept

    def add(self, kind: str, content: msgspec.Struct | None = None, camera: str = "") -> None:
        """Record an event, in memory only until :meth:`keep` writes it. ``content`` holds its fields."""
        at = datetime.fromtimestamp(self._wall(), timezone.utc).isoformat(timespec="milliseconds")
        fields = {} if content is None else msgspec.to_builtins(content)
        with self._lock:
            self._last += 1
            event = {"n": self._last, "at": at, "event": kind, **({"camera": camera} if camera else {}), **fields}
            self._waiting.append(msgspec.json.encode(event) + b"\n")
            self._make_room()

    def keep(self, now_s: float, at_once: bool = False) -> bool:
        """Write what waits, if it is time (or ``at_once``) and the budget allows; whether it did."""
        with self._lock:
            if not self._waiting or (now_s < self._due_s and not at_once):
                return False
            taken = self._affordable(now_s)
            if not taken:
                return False
            for _ in taken:
                self._waiting.popleft()
            last = self._last - len(self._waiting)
        batch = b"".join(taken)
        self._budget.spend(cost(self._size, len(batch)))
        self._due_s = now_s + self._settings.every_s
        try:
            self._write(batch)
        except OSError as error:
            self._say(f"{self._path}: {error.strerror}; events wait in memory")
            with self._lock:
                self._waiting.extendleft(reversed(taken))
                self._make_room()
            return False
        self.kept, self._said = last, ""
        log.debug("events kept up to %d", last)
        return True

    def _affordable(self, now_s: float) -> list[bytes]:
        """What to write now: all that waits; of more than the budget ever allows at once, the oldest."""
        taken: list[bytes] = []
        left, total = self._budget.left(now_s), 0
        for line in self._waiting:
            total += len(line)
            if cost(self._size, total) > left:
                return taken if self._budget.full else []
            taken.append(line)
        return taken

    def _make_room(self) -> None:
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self.lost += 1

    def _write(self, batch: bytes) -> None:
        there = self._path.stat().st_size if self._path.exists() else 0
        if there < self._size:  # somebody made room; where that tore a line, it ends here
            log.warning("%s: shorter than it was left, %d bytes of %d", self._path, there, self._size)
            self._size, batch = there, b"\n" + batch if there else batch
        if self._size and self._size + len(batch) > self._settings.mb_kept * MB / 2:
            self._path.replace(self._older)
            self._size = 0
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            if os.fstat(handle).st_size > self._size:  # half a batch, of a disk that was full
                os.ftruncate(handle, self._size)
            done = 0
            while done < len(batch):
                done += os.write(handle, batch[done:])
            os.fsync(handle)
        finally:
            os.close(handle)
        if not self._size:
            sync_folder(self._path.parent)
        self._size += len(batch)

    def _recover(self) -> None:
        """Cut off what a power cut left half written, and go on counting where the log ends."""
        for path in (self._older, self._path):
            self._size, number = _last_whole(path) if path.exists() else (0, None)
            self.kept = self.kept if number is None else number
        torn = path.stat().st_size - self._size if path.exists() else 0
        if torn:
            log.warning("%s: cut off %d bytes that were not whole", path, torn)
            os.truncate(path, self._size)

    def _say(self, trouble: str) -> None:
        """Once, not every minute of a full disk."""
        if trouble != self._said:
            self._said = trouble
            log.warning("%s", trouble)


def cost(size: int, length: int) -> int:
    """Bytes the card is written with where ``length`` bytes are appended to ``size`` and synced."""
    blocks = (size % BLOCK + length + BLOCK - 1) // BLOCK
    return (blocks + SYNC_BLOCKS) * BLOCK


def _last_whole(path: Path) -> tuple[int, int | None]:
    """Where the last whole line ends, and its event's number; 0 and None where none is whole. Reads from the end."""
    with path.open("rb") as handle:
        end = os.fstat(handle.fileno()).st_size
        while end:
            start = max(0, end - PIECE)
            handle.seek(start)
            piece = handle.read(end - start)
            begun = start and piece.find(b"\n", 0, -1) + 1  # of a line that began before, the rest says nothing
            at = end
            for line in reversed(piece[begun:].splitlines(keepends=True)):
                if (number := _number(line)) is not None:
                    return at, number
                at -= len(line)
            end = start + begun
    return 0, None


def _lines(path: Path) -> Iterator[bytes]:
    """Line after line, pieces of those that are too long; nothing where there is no such file."""
    if path.exists():
        with path.open("rb") as handle:
            while line := handle.readline(PIECE):
                yield line


def _number(line: bytes) -> int | None:
    """The event's number; None where the line is not whole."""
    try:
        number = msgspec.json.decode(line)["n"] if line.endswith(b"\n") else None
    except (msgspec.MsgspecError, KeyError, TypeError, IndexError):
        return None
    return number if isinstance(number, int) else None


@contextmanager
def keeping(
    folder: Path | None,
    settings: EventSettings,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
    runtime: Path | None = None,
) -> Iterator[EventLog | None]:
    """An open log, written in a thread of its own: a card that takes seconds for a sync does not hold up the loop.

    None where nothing is to be kept, or where it cannot be: no reason to leave the door unwatched.
    """
    if folder is None or not settings.keep:
        yield None
        return
    try:
        events = EventLog(folder, settings, wall, clock(), runtime)
    except OSError as error:
        log.warning("%s: %s; no events are kept", error.filename or folder, error.strerror)
        yield None
        return
    done = threading.Event()

    def work() -> None:
        while not done.wait(1.0):
            events.keep(clock())
        events.keep(clock(), at_once=True)

    thread = threading.Thread(target=work, name="events", daemon=True)
    thread.start()
    try:
        yield events
    finally:
        done.set()
        thread.join(STOP_S)


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """Every event kept, oldest first; what is damaged is passed over."""
    for path in (folder / OLDER, folder / NAME):
        for line in _lines(path):
            if _number(line) is not None:
                yield msgspec.json.decode(line)
