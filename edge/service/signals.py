"""Unix signals: SIGTERM and SIGINT stop a run, SIGHUP has it read its settings again.

A signal is only noted, and the loop asks for it between two frames. An exception out of a handler could come in the
middle of a lock's code or of switching an output off. Only a second Ctrl-C raises one, while there is still a run.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from edge import process
from edge.config import Settings
from edge.errors import ControlError


@dataclass
class RunControl:
    """What signals have asked for: ``signal`` to stop, or ``following`` settings to restart the run with.

    ``closing`` is true once the run is over: what is left to do must not be interrupted.
    """

    reread: Callable[[], Settings] | None = None
    signal: int | None = None
    hung_up: bool = False
    following: Settings | None = None
    closing: bool = False

    def hang_up(self) -> None:
        """Ask to read the settings again. Raises ControlError for a run in a terminal, which SIGHUP stops."""
        self.check_rereads()
        self.hung_up = True

    def check_rereads(self) -> None:
        """Raise ControlError for a run in a terminal."""
        if self.reread is None:
            raise ControlError("fmd runs in a terminal, where it does not read its settings again; restart it")

    def asked(self) -> bool:
        """Return whether the present run shall end; a signal may come at any moment."""
        return self.signal is not None or self.following is not None


@contextmanager
def stop_on_signals(reread: Callable[[], Settings] | None = None) -> Iterator[RunControl]:
    """Note SIGTERM, SIGINT and SIGHUP instead of dying; a second SIGINT interrupts a run at once.

    SIGHUP asks a service to read its settings again. Without ``reread`` it asks to stop, as a terminal that closes
    does. Only the main thread can handle signals; in another thread nothing changes.
    """
    control = RunControl(reread)

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP and reread is not None:
            # Only noted: the loop reads the settings between two frames, not in the middle of a stage.
            control.hung_up = True
            return
        # A camera may take ten seconds to open, and a user who presses Ctrl-C twice does not want to wait. SIGTERM is
        # sent by programs, some of them twice, and systemd knows SIGKILL.
        if control.signal and number == signal.SIGINT and not control.closing:
            control.closing = True
            raise KeyboardInterrupt
        control.signal = control.signal or number

    if threading.current_thread() is not threading.main_thread():
        yield control
        return
    hung_up = process.take_hangups()
    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    if hung_up or process.take_hangups():  # before this run could handle it
        handle(signal.SIGHUP, None)
    try:
        yield control
    finally:
        # A command that ran a service in this process (fmd replay) gets its own handlers back.
        for number, handler in before.items():
            signal.signal(number, handler)
