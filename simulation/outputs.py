"""Outputs for simulated doors and tests."""

from __future__ import annotations

from edge.drivers.console import ConsoleOutput


class RecordingOutput(ConsoleOutput):
    """An output that records :attr:`states`: every state so far, the first one off."""

    def __init__(self, name: str, pin: int | str, active_high: bool) -> None:
        super().__init__(name, pin, active_high)
        self.states = [self.on]

    def set(self, on: bool) -> None:
        """Switch the output and record a change."""
        super().set(on)
        if self.on is not self.states[-1]:
            self.states.append(self.on)
