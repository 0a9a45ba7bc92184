"""An output without wires: writes its changes to the log. For demos, tests and rehearsals."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


class ConsoleOutput:
    """Knows the present state and no earlier one: a rehearsal may last for weeks."""

    def __init__(self, name: str, pin: int | str, active_high: bool) -> None:
        self.name, self.pin, self.active_high = name, pin, active_high
        self.on = self.closed = False

    def set(self, on: bool) -> None:
        """Switch; only changes are logged."""
        if on != self.on:
            self.on = on
            log.debug("%s (%s) %s", self.name, self.pin, "on" if on else "off")

    def close(self) -> None:
        """Switch off."""
        self.set(False)
        self.closed = True
