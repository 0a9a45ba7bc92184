"""A lamp or relay that the kernel drives, as a file: /sys/class/leds/ACT/brightness and its like.

The on-board LED of a Pi makes a heartbeat without a wire. Its trigger (``echo none > .../trigger``) and a right to
write are for a udev rule to set.
"""

from __future__ import annotations

import os
from pathlib import Path

from edge.errors import OutputError


class LedFileOutput:
    """One file that takes ``1`` and ``0``; off when made, off when closed. Active low inverts it."""

    def __init__(self, name: str, pin: str, active_high: bool) -> None:
        self._name, self._path, self._active_high = name, Path(pin), active_high
        if not self._path.is_file():
            raise OutputError(f"alert.{name}_pin: no such file: {pin}; lamps of this board: ls /sys/class/leds")
        self.set(False)

    def set(self, on: bool) -> None:
        """Switch. Raises OutputError where the file cannot be written."""
        try:
            # Never made anew: a plain file in place of a lamp that is gone would be no lamp.
            lamp = os.open(self._path, os.O_WRONLY | os.O_TRUNC)
            try:
                os.write(lamp, f"{int(on is self._active_high)}\n".encode())
            finally:
                os.close(lamp)
        except OSError as error:
            raise OutputError(
                f"alert.{self._name}_pin: {self._path}: {error.strerror}; let fmd's user write it by a udev rule"
            ) from error

    def close(self) -> None:
        """Switch off."""
        self.set(False)
