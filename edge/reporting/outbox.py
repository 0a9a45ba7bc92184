"""Outbox: a bounded queue and a thread for each publisher, so that one that does not answer cannot hold up the loop.

A message that could not be sent is sent again. If too many wait, the oldest is dropped and counted. A new state and new
metrics replace a waiting message of their kind. After a reload the queue of a publisher whose settings changed goes on
with a new publisher.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Literal

from edge.contracts import ConfiguredPublisher, Message, MessageKind, Publisher
from edge.errors import FmdError

log = logging.getLogger(__name__)

RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
"""How long an outbox waits after a failure; it doubles after each further failure, up to the longest."""
CLOSE_S = 2.0
"""How long the end of the service waits for unsent messages; well within the unit's TimeoutStopSec."""
NEWEST_ONLY = frozenset({MessageKind.STATE, MessageKind.METRICS})
"""Of these kinds only the newest message matters to a subscriber."""

Clock = Callable[[], float]


class Outbox:
    """A bounded queue and a thread for one publisher. ``sent``, ``failed`` and ``dropped`` count messages."""

    def __init__(
        self, name: str, publisher: Publisher, size: int, clock: Clock = time.monotonic, retry_s: float = RETRY_S
    ) -> None:
        self.name = name
        self.sent = self.failed = self.dropped = 0
        self._publisher, self._size, self._clock = publisher, size, clock
        self._retry_s = self._wait_s = retry_s
        self._following: Publisher | None = None
        self._queue: deque[Message] = deque()
        self._changed = threading.Condition()
        self._close_by_s: float | None = None
        self._last_error = ""
        self._thread = threading.Thread(target=self._work, name=f"publish {name}", daemon=True)
        self._thread.start()

    def post(self, message: Message) -> None:
        """Queue a message; waits for nothing but the queue's lock."""
        if message.kind not in self._publisher.kinds:
            return
        with self._changed:
            if self._close_by_s is not None:
                return
            if message.kind in NEWEST_ONLY:
                self._replace(message)
            if len(self._queue) >= self._size:
                self._queue.popleft()
                self.dropped += 1
            if message.picture is not None:
                self._strip()
            self._queue.append(message)
            self._changed.notify()

    def resize(self, size: int) -> None:
        """Limit the queue to ``size`` messages from now on."""
        with self._changed:
            self._size = size
            while len(self._queue) > size:
                self._queue.popleft()
                self.dropped += 1

    def exchange(self, publisher: Publisher) -> None:
        """Go on with another publisher, which gets all waiting messages.

        Does not wait for the present one: a message that it is sending is sent, or fails and waits with the rest.
        """
        with self._changed:
            self._following = publisher
            self._changed.notify()

    def close(self, within_s: float = CLOSE_S) -> None:
        """Send waiting messages while the time allows; a publisher that hangs is abandoned with its thread."""
        with self._changed:
            self._close_by_s = self._clock() + within_s
            self._changed.notify()
        self._thread.join(within_s)
        if self._queue or self.dropped:
            log.info(
                "%s: %d messages sent, %d dropped, %d unsent", self.name, self.sent, self.dropped, len(self._queue)
            )

    @property
    def waiting(self) -> int:
        """Number of waiting messages."""
        return len(self._queue)

    @property
    def failing(self) -> bool:
        """Whether the last attempt to send, or to open the publisher, failed."""
        return bool(self._last_error)

    def _replace(self, message: Message) -> None:
        if (outdated := self._waiting_like(message)) is not None:
            self._queue.remove(outdated)

    def _waiting_like(self, message: Message) -> Message | None:
        """Return the first waiting message of the same kind and camera."""
        like = message.kind, message.camera
        return next((waiting for waiting in self._queue if (waiting.kind, waiting.camera) == like), None)

    def _strip(self) -> None:
        """Drop the pictures of waiting messages: each holds a whole frame in memory, so only the newest keeps its."""
        for i, waiting in enumerate(self._queue):
            if waiting.picture is not None:
                self._queue[i] = replace(waiting, picture=None)

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
        while (message := self._next()) is not None:
            if self._send(message):
                self._wait_s = self._retry_s
            elif not self._pause():
                break

    def _next(self) -> Message | None:
        """Wait for a message and return the oldest; None if this publisher is to send no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ending)
            leave = not self._queue or self._following is not None or self._late()
            return None if leave else self._queue.popleft()

    @property
    def _ending(self) -> bool:
        return self._close_by_s is not None or self._following is not None

    def _late(self) -> bool:
        return self._close_by_s is not None and self._clock() >= self._close_by_s

    def _send(self, message: Message) -> bool:
        """Return whether it was sent; if not, it goes back to the head of the queue unless that is full."""
        try:
            self._publisher.send(message)
        # A publisher depends on libraries and on the network: any failure there ends here, logged.
        except Exception as error:  # noqa: BLE001
            self._failed(message, error)
            return False
        self.sent += 1
        if self._last_error:
            log.info("%s: works again", self.name)
            self._last_error = ""
        return True

    def _report(self, error: Exception) -> None:
        error_text = str(error) if isinstance(error, FmdError) else f"{type(error).__name__}: {error}"
        if error_text != self._last_error:
            log.warning("%s: %s; trying again", self.name, error_text)
            self._last_error = error_text

    def _failed(self, message: Message, error: Exception) -> None:
        self._report(error)
        self.failed += 1
        with self._changed:
            if message.kind in NEWEST_ONLY and self._waiting_like(message) is not None:
                return
            if len(self._queue) >= self._size:
                self.dropped += 1
            else:
                self._queue.appendleft(message)

    def _pause(self) -> bool:
        """Wait before the next try, longer each time; return false if another publisher is to make it, or none."""
        wait_s, self._wait_s = self._wait_s, min(2 * self._wait_s, LONGEST_RETRY_S)
        with self._changed:
            self._changed.wait_for(lambda: self._ending, wait_s)
            return not self._ending


class Outboxes:
    """One outbox for each configured publisher; ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        # Replaced as a whole, so that another thread that iterates over it sees the old or the new tuple.
        self._open: tuple[tuple[ConfiguredPublisher, Outbox], ...] = ()

    def __iter__(self) -> Iterator[Outbox]:
        return iter([box for _, box in self._open])

    def follow(self, publishers: Iterable[ConfiguredPublisher], size: int) -> list[Outbox]:
        """Publish to ``publishers`` from now on, with queues of ``size`` messages; return the new outboxes.

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
                box = Outbox(new.name, publisher, size, self._clock)
            else:
                box.exchange(publisher)
            now[new] = box
        for new, box in now.items():
            box.name = new.name
            box.resize(size)
        self._open = tuple(now.items())
        close_all([box for _, box in pool])
        return [now[new] for new, _ in opened]

    def close(self) -> None:
        """Send what can still be sent: all outboxes at once, in CLOSE_S together."""
        for closing in close_all(list(self)):
            closing.join(CLOSE_S + 0.5)


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
