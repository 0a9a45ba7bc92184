"""Event log: decisions and faults, one line of JSON each, in ``events.jsonl`` in the state directory. Never a picture.

Small writes wear SD cards out. So events wait in memory and are written in batches, and a batch counts as kept only
after a sync. The cost of each batch to the card is counted: at most a day's budget is spent in any 24 hours, however
often fmd restarts. A power cut loses only events that were not kept: the next start cuts off half a line at the end,
and reading skips damaged lines.
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
"""Smallest number of bytes that the card writes."""
SYNC_BLOCKS = 6
"""Most blocks that a file system writes for one sync besides the data: journal, commit record, inode, directory."""
MAX_WAITING = 1000
"""Events that wait in memory; beyond that the oldest are dropped and counted."""
DAY_S = 86400.0
STOP_S = 3.0
"""How long the end waits for the last batch; the unit's TimeoutStopSec is 10."""
MB = 1_000_000
PIECE = 1 << 16
"""Bytes of the log that are in memory at one time; fmd writes no longer line."""
SPENT = "events-budget.json"
"""State file in the runtime directory: the rest of the budget, for the next process."""


class Spent(msgspec.Struct, frozen=True):
    """Rest of the budget: ``left`` bytes at ``at_s``, on the monotonic clock that all processes of a boot share."""

    left: float
    at_s: float


class Budget:
    """Bytes that may be written: ``a_day`` in any 24 hours, and a 24th of it at once."""

    def __init__(self, a_day: float, now_s: float, memory: Path | None = None) -> None:
        """``memory`` is the state file of the rest of the budget; without one the budget is full."""
        self._burst = a_day / 24
        self._rate = (a_day - self._burst) / DAY_S
        self._memory, before = memory, state_file.read_state(memory, Spent) if memory else None
        self._left, self._at_s = (before.left, before.at_s) if before else (self._burst, now_s)

    def left(self, now_s: float) -> float:
        """Return the bytes that may be written now."""
        self._left = min(self._burst, self._left + self._rate * max(0.0, now_s - self._at_s))
        self._at_s = max(now_s, self._at_s)
        return self._left

    @property
    def full(self) -> bool:
        """True if the budget does not grow any more."""
        return self._left >= self._burst

    def spend(self, cost: float) -> None:
        """Take ``cost`` bytes from the budget."""
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
    """Event log of one state directory. Several threads may call it; only :meth:`keep` writes to the card.

    ``wall`` gives seconds since 1970, ``now_s`` is monotonic. ``kept`` is the number of the last event that survives a
    power cut. ``lost`` counts events that were dropped; gaps in the numbers show them as well.
    """

    def __init__(
        self,
        folder: Path,
        settings: EventSettings,
        wall: Callable[[], float],
        now_s: float,
        runtime: Path | None = None,
    ) -> None:
        """``runtime`` is the runtime directory, which survives a restart of the service; None outside systemd.

        Raises OSError if the log cannot be read or repaired.
        """
        self._path, self._older = folder / NAME, folder / OLDER
        self._settings, self._wall = settings, wall
        self._budget = Budget(settings.mb_a_day * MB, now_s, runtime / SPENT if runtime else None)
        self._due_s = now_s
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self.lost = 0
        self._last_warning = ""
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
        """Write waiting events, if it is time (or ``at_once``) and the budget allows; return whether it did."""
        with self._lock:
            if not self._waiting or (now_s < self._due_s and not at_once):
                return False
            # Decided inside the lock, written outside: a card may take seconds, and the loop adds events meanwhile.
            taken = self._affordable(now_s)
            if not taken:
                return False
            for _ in taken:
                self._waiting.popleft()
            last = self._last - len(self._waiting)
        batch = b"".join(taken)
        # Spent before the write: a write that fails half way has cost the card as much.
        self._budget.spend(cost(self._size, len(batch)))
        self._due_s = now_s + self._settings.every_s
        try:
            self._write(batch)
        except OSError as error:
            self._warn(f"{self._path}: {error.strerror}; events wait in memory")
            with self._lock:
                self._waiting.extendleft(reversed(taken))
                self._make_room()
            return False
        self.kept, self._last_warning = last, ""
        log.debug("events kept up to %d", last)
        return True

    def _affordable(self, now_s: float) -> list[bytes]:
        """Return the lines to write now: all that wait, or the oldest if they exceed even a full budget."""
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
        if there < self._size:  # another program truncated it: end a torn line, so that the batch starts on its own
            log.warning("%s: another program has shortened it to %d of %d bytes", self._path, there, self._size)
            self._size, batch = there, b"\n" + batch if there else batch
        if self._size and self._size + len(batch) > self._settings.mb_kept * MB / 2:
            self._path.replace(self._older)
            self._size = 0
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            if os.fstat(handle).st_size > self._size:  # half a batch, from a time when the disk was full
                os.ftruncate(handle, self._size)
            done = 0
            # A write to a disk that is nearly full may take only a part.
            while done < len(batch):
                done += os.write(handle, batch[done:])
            os.fsync(handle)
        finally:
            os.close(handle)
        # A new file's name must survive the power cut as well as its content.
        if not self._size:
            sync_folder(self._path.parent)
        self._size += len(batch)

    def _recover(self) -> None:
        """Cut off a half-written end after a power cut, and continue the numbers of the log."""
        for path in (self._older, self._path):
            self._size, number = _last_whole(path) if path.exists() else (0, None)
            self.kept = self.kept if number is None else number
        torn = path.stat().st_size - self._size if path.exists() else 0
        if torn:
            log.warning("%s: cut off %d bytes of an unfinished event", path, torn)
            os.truncate(path, self._size)

    def _warn(self, warning: str) -> None:
        """Log a warning once, not every minute that the disk is full."""
        if warning != self._last_warning:
            self._last_warning = warning
            log.warning("%s", warning)


def cost(size: int, length: int) -> int:
    """Return the bytes that the card writes when ``length`` bytes are appended to ``size`` and synced."""
    blocks = (size % BLOCK + length + BLOCK - 1) // BLOCK
    return (blocks + SYNC_BLOCKS) * BLOCK


def _last_whole(path: Path) -> tuple[int, int | None]:
    """Return where the last complete line ends and its event's number; 0 and None if there is none.

    Reads from the end: the log may be megabytes, and a Pi's card is slow.
    """
    with path.open("rb") as handle:
        end = os.fstat(handle.fileno()).st_size
        while end:
            start = max(0, end - PIECE)
            handle.seek(start)
            piece = handle.read(end - start)
            begun = start and piece.find(b"\n", 0, -1) + 1  # the rest of a line that began before this piece
            at = end
            for line in reversed(piece[begun:].splitlines(keepends=True)):
                if (number := _number(line)) is not None:
                    return at, number
                at -= len(line)
            end = start + begun
    return 0, None


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, too long ones in pieces; nothing if there is no such file."""
    if path.exists():
        with path.open("rb") as handle:
            while line := handle.readline(PIECE):
                yield line


def _number(line: bytes) -> int | None:
    """Return the event's number, or None if the line is damaged."""
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
    """Open the log and write it in a thread of its own: a card may take seconds for a sync, and the loop must not wait.

    Yields None if the settings keep no events or the log cannot be opened: that must not stop the watch.
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
    """Yield every event, oldest first; damaged lines are skipped."""
    for path in (folder / OLDER, folder / NAME):
        for line in _lines(path):
            if _number(line) is not None:
                yield msgspec.json.decode(line)
