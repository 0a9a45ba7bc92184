"""An LED or relay that the kernel drives through a file, such as /sys/class/leds/ACT/brightness.

The on-board LED of a Pi can be the heartbeat, without wiring. A udev rule must set its trigger
(``echo none > .../trigger``) and the permission to write.
"""

from __future__ import annotations

import os
from pathlib import Path

from edge.errors import OutputError


class LedFileOutput:
    """Output on a file that takes ``1`` and ``0``: off when made, off when closed. Active low inverts the values."""

    def __init__(self, name: str, pin: str, active_high: bool) -> None:
        self._name, self._path, self._active_high = name, Path(pin), active_high
        if not self._path.is_file():
            raise OutputError(f"alert.{name}_pin: no such file: {pin}; to list the LEDs: ls /sys/class/leds")
        # The kernel or a previous program may have left it on.
        self.set(False)

    def set(self, on: bool) -> None:
        """Switch on or off. Raises OutputError if the file cannot be written."""
        try:
            # Without O_CREAT: if the LED has disappeared, a plain file in its place would hide that.
            lamp = os.open(self._path, os.O_WRONLY | os.O_TRUNC)
            try:
                os.write(lamp, f"{int(on is self._active_high)}\n".encode())
            finally:
                os.close(lamp)
        except OSError as error:
            raise OutputError(
                f"alert.{self._name}_pin: {self._path}: {error.strerror}; let the user fmd write it with a udev rule"
            ) from error

    def close(self) -> None:
        """Switch off."""
        self.set(False)
