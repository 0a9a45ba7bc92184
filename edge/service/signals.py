"""Unix signals: SIGTERM and SIGINT stop a run, SIGHUP has it read its settings again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from edge.config import Settings


@dataclass
class RunControl:
    """What signals have asked for: ``signal`` to stop, or ``following`` settings to restart the run with."""

    reread: Callable[[], Settings] | None = None
    signal: int | None = None
    hung_up: bool = False
    following: Settings | None = None

    def asked(self) -> bool:
        """Return whether the present run shall end; a signal may come at any moment."""
        return self.signal is not None or self.following is not None


@contextmanager
def stop_on_signals(reread: Callable[[], Settings] | None = None) -> Iterator[RunControl]:
    """Note SIGTERM, SIGINT and SIGHUP instead of dying; a second signal interrupts at once.

    SIGHUP asks a service to read its settings again. Without ``reread`` it asks to stop, as a terminal that closes
    does. Only the main thread can handle signals; in another thread nothing changes.
    """
    control = RunControl(reread)

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP and reread is not None:
            # Only noted: the loop reads the settings between two frames, not in the middle of a stage.
            control.hung_up = True
            return
        if control.signal:
            raise KeyboardInterrupt
        control.signal = number

    if threading.current_thread() is not threading.main_thread():
        yield control
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield control
    finally:
        # A command that ran a service in this process (fmd replay) gets its own handlers back.
        for number, handler in before.items():
            signal.signal(number, handler)
