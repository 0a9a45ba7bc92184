"""An output without wires: writes its changes to the log and remembers them. For demos, tests and rehearsals."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


class ConsoleOutput:
    """Keeps :attr:`states`, every state it was in, first the one it was made in (off)."""

    def __init__(self, name: str, pin: int | str, active_high: bool) -> None:
        self.name, self.pin, self.active_high = name, pin, active_high
        self.states = [False]
        self.closed = False

    @property
    def on(self) -> bool:
        """The present state."""
        return self.states[-1]

    def set(self, on: bool) -> None:
        """Switch; only changes are remembered and logged."""
        if on != self.on:
            self.states.append(on)
            log.debug("%s (%s) %s", self.name, self.pin, "on" if on else "off")

    def close(self) -> None:
        """Switch off."""
        self.set(False)
        self.closed = True
