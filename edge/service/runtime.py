"""Runtime of a run: its clock and its threads. Drills and tests replace them with simulated ones.

Nothing else in a run waits or reads a clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from edge.camera.supervisor import Reader, ThreadReader
from edge.contracts import Camera
from edge.errors import FmdError
from edge.stages.alert import Alert

TICK_S = 0.05
"""How often the alert's leases and patterns are updated between frames; the shortest pattern has spans of 0.05 s."""


@dataclass
class Ticker:
    """Result of the thread that ticks the alert."""

    error: FmdError | None = None

    def check(self) -> None:
        """Raise what an output raised in the thread: a loop whose alarm cannot fire must not count as alive."""
        if self.error is not None:
            raise self.error


@contextmanager
def ticking(alert: Alert, clock: Callable[[], float]) -> Iterator[Ticker]:
    """Tick the alert in a thread of its own: its lease must end even if the loop is busy or hangs."""
    done = threading.Event()
    ticker = Ticker()

    def tick() -> None:
        while not done.wait(TICK_S):
            try:
                alert.tick(clock())
            except FmdError as error:  # the loop raises it; ticking goes on, because the next try may switch off
                ticker.error = ticker.error or error

    thread = threading.Thread(target=tick, name="alert", daemon=True)
    thread.start()
    try:
        yield ticker
    finally:
        done.set()
        thread.join()


class FrameSignal(Protocol):
    """Set by a camera's thread when it has a frame; wakes the loop."""

    def set(self) -> None:
        """Signal that there is something to take."""

    def wait(self, timeout_s: float) -> None:
        """Wait until it is set, at most ``timeout_s``. A signal that comes while nothing waits is not lost."""


class ThreadFrameSignal:
    """A :class:`FrameSignal` between threads."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """See :class:`FrameSignal`."""
        self._event.set()

    def wait(self, timeout_s: float) -> None:
        """See :class:`FrameSignal`."""
        self._event.wait(timeout_s)
        self._event.clear()


@dataclass(frozen=True)
class Runtime:
    """Clock, frame signal, threads that read cameras, and the thread that ticks the alert."""

    clock: Callable[[], float] = time.monotonic
    frame_signal: Callable[[], FrameSignal] = ThreadFrameSignal
    reader: Callable[[Callable[[], Camera], Callable[[], None]], Reader] = ThreadReader
    ticking: Callable[[Alert, Callable[[], float]], AbstractContextManager[Ticker]] = ticking
