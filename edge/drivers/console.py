"""An output without hardware that writes its changes to the log, and a contact that is never closed.

For demos, tests and fault rehearsals.
"""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


class ConsoleOutput:
    """Output that keeps its present state only: a rehearsal may last for weeks, and a history would fill the memory."""

    def __init__(self, name: str, pin: int | str, active_high: bool) -> None:
        self.name, self.pin, self.active_high = name, pin, active_high
        self.on = self.closed = False

    def set(self, on: bool) -> None:
        """Switch on or off; only changes are logged."""
        if on != self.on:
            self.on = on
            log.debug("%s (%s) %s", self.name, self.pin, "on" if on else "off")

    def close(self) -> None:
        """Switch off. Safe to call twice."""
        self.set(False)
        self.closed = True


class OpenContact:
    """Contact without hardware: always open, so that it never arms or disarms."""

    def __init__(self, pin: int | str, pull: str) -> None:
        self.pin, self.pull = pin, pull

    def closed(self) -> bool:
        """Return false."""
        return False

    def close(self) -> None:
        """Do nothing."""
