"""Outbox: a bounded queue and a thread for each publisher, so that one that does not answer cannot hold up the loop.

A message that could not be sent is sent again. If too many wait, the oldest is dropped and counted. A new state and new
metrics replace a waiting message of their kind. Kinds that a publisher must not lose have a longer queue of their own,
and a file (:mod:`edge.reporting.waiting`).

After a reload the queue of a publisher whose settings changed goes on with a new publisher.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Literal

from edge.contracts import ConfiguredPublisher, Message, MessageKind, Publisher
from edge.errors import FmdError
from edge.reporting.waiting import Backlog, Queues, Waiting

log = logging.getLogger(__name__)

RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
"""How long an outbox waits after a failure; it doubles after each further failure, up to the longest."""
CLOSE_S = 2.0
"""How long the end of the service waits for unsent messages; well within the unit's TimeoutStopSec."""
SAVE_AFTER_S = 5.0
"""A publisher that fails for longer may do so for hours; a short failure costs the card no write."""
NEWEST_ONLY = frozenset({MessageKind.STATE, MessageKind.METRICS})
"""Of these kinds only the newest message matters to a subscriber."""

Clock = Callable[[], float]


class Outbox:
    """A bounded queue and a thread for one publisher. ``sent``, ``failed`` and ``dropped`` count messages.

    At most ``size`` messages wait, and besides them ``kept_size`` of the kinds ``kept``, which ``backlog`` holds for a
    restart: it begins with those of an earlier run.
    """

    def __init__(
        self,
        name: str,
        publisher: Publisher,
        size: int,
        clock: Clock = time.monotonic,
        retry_s: float = RETRY_S,
        kept: Collection[MessageKind] = (),
        kept_size: int = 0,
        backlog: Backlog | None = None,
    ) -> None:
        self.name = name
        self.sent = self.failed = self.dropped = 0
        self._publisher, self._clock = publisher, clock
        self._backlog = backlog or Backlog(None)
        self._queues = Queues(size, kept, kept_size)
        self._sending: Waiting | None = None
        self._retry_s = self._wait_s = retry_s
        self._following: Publisher | None = None
        for message in self._backlog.load():
            self.dropped += self._queues.add(message)
        self._changed = threading.Condition()
        self._close_by_s: float | None = None
        self._last_error = ""
        self._failing_s: float | None = None
        self._thread = threading.Thread(target=self._work, name=f"publish {name}", daemon=True)
        self._thread.start()

    def post(self, message: Message) -> None:
        """Queue a message; waits for nothing but the queue's lock."""
        if message.kind not in self._publisher.kinds:
            return
        with self._changed:
            if self._close_by_s is not None:
                return
            if message.kind in NEWEST_ONLY and (outdated := self._queues.like(message)) is not None:
                self._queues.remove(outdated)
            self.dropped += self._queues.add(message)
            self._changed.notify()

    def resize(self, size: int, kept_size: int = 0) -> None:
        """Limit the queues to this number of messages from now on."""
        with self._changed:
            self.dropped += self._queues.resize(size, kept_size)

    def keep_in(self, file: Path | None) -> None:
        """Hold what must not be lost in this file from now on, None for none."""
        self._backlog.move(file)

    def exchange(self, publisher: Publisher) -> None:
        """Go on with another publisher, which gets all waiting messages.

        Does not wait for the present one: a message that it is sending is sent, or fails and waits with the rest.
        """
        with self._changed:
            self._following = publisher
            self._changed.notify()

    def close(self, within_s: float = CLOSE_S) -> None:
        """Send waiting messages while the time allows; a publisher that hangs is abandoned with its thread.

        What must not be lost then waits in the file for the next start.
        """
        with self._changed:
            self._close_by_s = self._clock() + within_s
            self._changed.notify()
        self._thread.join(within_s)
        with self._changed:
            on_its_way = [self._sending] if self._sending and self._queues.is_kept(self._sending.message) else []
            left = on_its_way + self._queues.kept
        self._backlog.settle(left)
        if self.waiting or self.dropped:
            log.info("%s: %d messages sent, %d dropped, %d unsent", self.name, self.sent, self.dropped, self.waiting)

    @property
    def waiting(self) -> int:
        """Number of waiting messages."""
        return len(self._queues)

    @property
    def failing(self) -> bool:
        """Whether the last attempt to send, or to open the publisher, failed."""
        return bool(self._last_error)

    def _work(self) -> None:
        publisher: Publisher | None = self._publisher
        while publisher is not None:
            self._publisher = publisher
            if self._begin():
                self._deliver()
            try:
                self._publisher.close()
            except Exception as error:  # noqa: BLE001 - see _send
                log.debug("%s: %s", self.name, error)
            with self._changed:
                publisher, self._following = self._following, None

    def _begin(self) -> bool:
        """Open the publisher, with retries; return false if another is to take over before that, or none."""
        self._wait_s = self._retry_s
        while True:
            try:
                self._publisher.open()
            except Exception as error:  # noqa: BLE001 - see _send
                self._report(error)
            else:
                self._wait_s = self._retry_s
                return True
            if not self._pause():
                return False

    def _deliver(self) -> None:
        """Send messages until the end, or until another publisher is to take over."""
        while (waiting := self._next()) is not None:
            if self._send(waiting):
                self._wait_s = self._retry_s
            elif not self._pause():
                break

    def _next(self) -> Waiting | None:
        """Wait for a message and return the oldest; None if this publisher is to send no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._queues or self._ending)
            leave = not self._queues or self._following is not None or self._late()
            self._sending = None if leave else self._queues.take()
            return self._sending

    @property
    def _ending(self) -> bool:
        return self._close_by_s is not None or self._following is not None

    def _late(self) -> bool:
        return self._close_by_s is not None and self._clock() >= self._close_by_s

    def _send(self, waiting: Waiting) -> bool:
        """Return whether it was sent; if not, it goes back to the head of the queue unless that is full."""
        try:
            self._publisher.send(waiting.message)
        # A publisher depends on libraries and on the network: any failure there ends here, logged.
        except Exception as error:  # noqa: BLE001
            self._failed(waiting, error)
            return False
        self.sent += 1
        self._sending = self._failing_s = None
        if self._queues.is_kept(waiting.message) and not self._queues.kept:
            self._backlog.keep(())
        if self._last_error:
            log.info("%s: works again", self.name)
            self._last_error = ""
        return True

    def _report(self, error: Exception) -> None:
        error_text = str(error) if isinstance(error, FmdError) else f"{type(error).__name__}: {error}"
        if error_text != self._last_error:
            log.warning("%s: %s; trying again", self.name, error_text)
            self._last_error = error_text

    def _failed(self, waiting: Waiting, error: Exception) -> None:
        self._report(error)
        self.failed += 1
        with self._changed:
            self._sending = None
            if waiting.message.kind in NEWEST_ONLY and self._queues.like(waiting.message) is not None:
                return
            self.dropped += not self._queues.put_back(waiting)

    def _pause(self) -> bool:
        """Wait before the next try, longer each time; return false if another publisher is to make it, or none."""
        wait_s, self._wait_s = self._wait_s, min(2 * self._wait_s, LONGEST_RETRY_S)
        now_s = self._clock()
        self._failing_s = now_s if self._failing_s is None else self._failing_s
        if now_s - self._failing_s >= SAVE_AFTER_S:
            self._save()
        with self._changed:
            self._changed.wait_for(lambda: self._ending, wait_s)
            return not self._ending

    def _save(self) -> None:
        with self._changed:
            kept = self._queues.kept
        if kept:
            self._backlog.keep(kept)


class Outboxes:
    """One outbox for each configured publisher; ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        # Replaced as a whole, so that another thread that iterates over it sees the old or the new tuple.
        self._open: tuple[tuple[ConfiguredPublisher, Outbox], ...] = ()

    def __iter__(self) -> Iterator[Outbox]:
        return iter([box for _, box in self._open])

    def follow(
        self, publishers: Iterable[ConfiguredPublisher], size: int, kept_size: int = 0, state: Path | None = None
    ) -> list[Outbox]:
        """Publish to ``publishers`` from now on, with queues of these sizes; return the new outboxes.

        ``state`` is the folder for messages that must survive a restart, None for none.
        An unchanged publisher keeps its connection, a changed one only its queue. A removed one sends what waits as far
        as CLOSE_S allows. Waits for no publisher. If making one raises, nothing changes.
        """
        pool = list(self._open)
        kept = [(new, _taken(pool, "wanted", new)) for new in publishers]
        opened = [(new, new.open()) for new, box in kept if box is None]
        now = {new: box for new, box in kept if box is not None}
        for new, publisher in opened:
            box = _taken(pool, "name", new)
            if box is None:
                box = self._outbox(new, publisher, size, kept_size, _file(new, state))
            else:
                box.exchange(publisher)
            now[new] = box
        for new, box in now.items():
            box.name = new.name
            box.resize(size, kept_size)
            box.keep_in(_file(new, state))
        self._open = tuple(now.items())
        close_all([box for _, box in pool])
        return [now[new] for new, _ in opened]

    def _outbox(
        self, of: ConfiguredPublisher, publisher: Publisher, size: int, kept_size: int, file: Path | None
    ) -> Outbox:
        return Outbox(of.name, publisher, size, self._clock, kept=of.kept, kept_size=kept_size, backlog=Backlog(file))

    def close(self) -> None:
        """Send what can still be sent: all outboxes at once, in CLOSE_S together."""
        for closing in close_all(list(self)):
            closing.join(CLOSE_S + 0.5)


def _file(publisher: ConfiguredPublisher, state: Path | None) -> Path | None:
    """Return where messages wait that this publisher must not lose; None without a state directory or such messages."""
    return state / f"waiting-{publisher.name}.jsonl" if state and publisher.kept else None


def _taken(
    pool: list[tuple[ConfiguredPublisher, Outbox]], key: Literal["wanted", "name"], like: ConfiguredPublisher
) -> Outbox | None:
    """Remove and return the first outbox whose publisher equals ``like`` in ``key``; None if there is none."""
    for found in pool:
        if getattr(found[0], key) == getattr(like, key):
            pool.remove(found)
            return found[1]
    return None


def close_all(outboxes: Iterable[Outbox]) -> list[threading.Thread]:
    """Begin to close outboxes, each in a thread of its own; return the threads."""
    closing = [threading.Thread(target=box.close, daemon=True) for box in outboxes]
    for thread in closing:
        thread.start()
    return closing
