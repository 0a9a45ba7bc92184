"""What a run takes from the world around it: time, and threads that live beside it.

Rehearsals put simulated ones in their place.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from edge.camera.supervisor import Reader, ThreadReader
from edge.contracts import Camera
from edge.errors import FmdError
from edge.stages.alert import Alert

TICK_S = 0.05
"""How often the alert's lease and rhythm are looked at between frames of a live camera."""


@dataclass
class Ticker:
    """What became of the thread that keeps the alert's time."""

    error: FmdError | None = None

    def check(self) -> None:
        """Raise what an output raised there: a loop whose alarm cannot fire must not count as alive."""
        if self.error is not None:
            raise self.error


@contextmanager
def ticking(alert: Alert, clock: Callable[[], float]) -> Iterator[Ticker]:
    """Keep the alert's time while the loop is busy or stuck: the lease must end even then."""
    done = threading.Event()
    ticker = Ticker()

    def tick() -> None:
        while not done.wait(TICK_S):
            try:
                alert.tick(clock())
            except FmdError as error:  # told by the loop; ticking goes on, as the next try may switch off
                ticker.error = ticker.error or error

    thread = threading.Thread(target=tick, name="alert", daemon=True)
    thread.start()
    try:
        yield ticker
    finally:
        done.set()
        thread.join()


class FrameSignal:
    """Rung by whoever has brought a frame; wakes the loop."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def ring(self) -> None:
        """There is something to take."""
        self._event.set()

    def wait(self, timeout_s: float) -> None:
        """Until it is rung, or the time is over. A ring while nobody waits is not lost."""
        self._event.wait(timeout_s)
        self._event.clear()


@dataclass(frozen=True)
class Runtime:
    """What a run takes from the world around it: time, threads that read cameras, and one that keeps the alert's time.

    Rehearsals put simulated ones in their place; nothing else in a run waits or reads a clock.
    """

    clock: Callable[[], float] = time.monotonic
    bell: Callable[[], FrameSignal] = FrameSignal
    reader: Callable[[Callable[[], Camera], Callable[[], None]], Reader] = ThreadReader
    ticking: Callable[[Alert, Callable[[], float]], AbstractContextManager[Ticker]] = ticking
