"""A bounded queue and a thread before each receiver of messages: nobody who does not answer can hold up the loop.

What could not be sent is tried again; where too much waits the oldest is dropped, and counted. A new state, and new
figures, replace what still waits of their kind. After a reload the queue of a receiver whose settings changed goes on,
before another messenger.
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
"""How long an outbox waits after a failure; twice as long after each further one, up to the longest."""
CLOSE_S = 2.0
"""How long the end of the service waits for what is still to be sent; well within the unit's TimeoutStopSec."""
NEWEST_ONLY = frozenset({MessageKind.STATE, MessageKind.METRICS})

Clock = Callable[[], float]


class Outbox:
    """A bounded queue and a thread before one messenger. ``sent``, ``failed`` and ``dropped`` count messages."""

    def __init__(
        self, name: str, messenger: Publisher, size: int, clock: Clock = time.monotonic, retry_s: float = RETRY_S
    ) -> None:
        self.name = name
        self.sent = self.failed = self.dropped = 0
        self._messenger, self._size, self._clock = messenger, size, clock
        self._retry_s = self._wait_s = retry_s
        self._following: Publisher | None = None
        self._queue: deque[Message] = deque()
        self._changed = threading.Condition()
        self._close_by_s: float | None = None
        self._trouble = ""
        self._thread = threading.Thread(target=self._work, name=f"publish {name}", daemon=True)
        self._thread.start()

    def post(self, message: Message) -> None:
        """Take a message; never waits for anything but the queue itself."""
        if message.kind not in self._messenger.kinds:
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
        """Have no more than ``size`` messages wait from the next one on."""
        with self._changed:
            self._size = size
            while len(self._queue) > size:
                self._queue.popleft()
                self.dropped += 1

    def exchange(self, messenger: Publisher) -> None:
        """Go on with another messenger, which gets all that waits. Never waits for the present one: what that is about
        to send is sent, or fails and waits with the rest."""
        with self._changed:
            self._following = messenger
            self._changed.notify()

    def close(self, within_s: float = CLOSE_S) -> None:
        """Send what waits, as far as the time allows; a messenger that hangs is left behind with its thread."""
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
        """How many messages wait."""
        return len(self._queue)

    def _replace(self, message: Message) -> None:
        if (outdated := self._waiting_like(message)) is not None:
            self._queue.remove(outdated)

    def _waiting_like(self, message: Message) -> Message | None:
        """The first that waits of the same kind, of the same camera."""
        like = message.kind, message.camera
        return next((waiting for waiting in self._queue if (waiting.kind, waiting.camera) == like), None)

    def _strip(self) -> None:
        """A picture holds a whole frame in memory: of those that wait only the newest message keeps its."""
        for i, waiting in enumerate(self._queue):
            if waiting.picture is not None:
                self._queue[i] = replace(waiting, picture=None)

    def _work(self) -> None:
        messenger: Publisher | None = self._messenger
        while messenger is not None:
            self._messenger = messenger
            if self._begin():
                self._deliver()
            try:
                self._messenger.close()
            except Exception as error:  # noqa: BLE001 - see _send
                log.debug("%s: %s", self.name, error)
            with self._changed:
                messenger, self._following = self._following, None

    def _begin(self) -> bool:
        """Open the messenger, again and again if need be; false where it is another's turn before that, or nobody's."""
        self._wait_s = self._retry_s
        while True:
            try:
                self._messenger.open()
            except Exception as error:  # noqa: BLE001 - see _send
                self._tell(error)
            else:
                self._wait_s = self._retry_s
                return True
            if not self._rest():
                return False

    def _deliver(self) -> None:
        """Send what comes until the end, or until another messenger is to go on."""
        while (message := self._next()) is not None:
            if self._send(message):
                self._wait_s = self._retry_s
            elif not self._rest():
                break

    def _next(self) -> Message | None:
        """The oldest message, as soon as there is one; None where this messenger is to send no more."""
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
        """Whether it went; what did not goes back to the head of the queue, unless that has filled up meanwhile."""
        try:
            self._messenger.send(message)
        # A messenger stands on other people's libraries and on the network: whatever breaks there ends here, told.
        except Exception as error:  # noqa: BLE001
            self._failed(message, error)
            return False
        self.sent += 1
        if self._trouble:
            log.info("%s: works again", self.name)
            self._trouble = ""
        return True

    def _tell(self, error: Exception) -> None:
        trouble = str(error) if isinstance(error, FmdError) else f"{type(error).__name__}: {error}"
        if trouble != self._trouble:
            log.warning("%s: %s; trying again", self.name, trouble)
            self._trouble = trouble

    def _failed(self, message: Message, error: Exception) -> None:
        self._tell(error)
        self.failed += 1
        with self._changed:
            if message.kind in NEWEST_ONLY and self._waiting_like(message) is not None:
                return
            if len(self._queue) >= self._size:
                self.dropped += 1
            else:
                self._queue.appendleft(message)

    def _rest(self) -> bool:
        """Wait before the next try, longer each time; false where that is another's, or nobody's."""
        wait_s, self._wait_s = self._wait_s, min(2 * self._wait_s, LONGEST_RETRY_S)
        with self._changed:
            self._changed.wait_for(lambda: self._ending, wait_s)
            return not self._ending


class Outboxes:
    """An outbox for each of those who are told, at any time; ``clock`` gives seconds."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        # Replaced as a whole, so that whoever goes through it in another thread sees it as it was or as it is.
        self._open: tuple[tuple[ConfiguredPublisher, Outbox], ...] = ()

    def __iter__(self) -> Iterator[Outbox]:
        return iter([box for _, box in self._open])

    def follow(self, publishers: Iterable[ConfiguredPublisher], size: int) -> list[Outbox]:
        """Have ``publishers`` told from now on, with room for ``size`` messages each; who of them knows nothing yet.

        One that is as before keeps its connection, one that has changed its queue alone; who is no more is sent what
        waits as far as CLOSE_S allows. Nobody is waited for. Raises what opening a messenger does, and changes nothing
        then.
        """
        pool = list(self._open)
        kept = [(new, _taken(pool, "wanted", new)) for new in publishers]
        opened = [(new, new.open()) for new, box in kept if box is None]
        now = {new: box for new, box in kept if box is not None}
        for new, messenger in opened:
            box = _taken(pool, "name", new)
            if box is None:
                box = Outbox(new.name, messenger, size, self._clock)
            else:
                box.exchange(messenger)
            now[new] = box
        for new, box in now.items():
            box.name = new.name
            box.resize(size)
        self._open = tuple(now.items())
        close_all([box for _, box in pool])
        return [now[new] for new, _ in opened]

    def close(self) -> None:
        """Send what still can be sent: all at once, in CLOSE_S together."""
        for closing in close_all(list(self)):
            closing.join(CLOSE_S + 0.5)


def _taken(
    pool: list[tuple[ConfiguredPublisher, Outbox]], key: Literal["wanted", "name"], like: ConfiguredPublisher
) -> Outbox | None:
    """The first outbox whose receiver is ``like`` another one in that, out of the pool."""
    for found in pool:
        if getattr(found[0], key) == getattr(like, key):
            pool.remove(found)
            return found[1]
    return None


def close_all(outboxes: Iterable[Outbox]) -> list[threading.Thread]:
    """Begin to close them, each in a thread of its own."""
    closing = [threading.Thread(target=box.close, daemon=True) for box in outboxes]
    for thread in closing:
        thread.start()
    return closing
