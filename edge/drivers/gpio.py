"""LED and buzzer on a Raspberry Pi's header through gpiozero (lgpio underneath: the only one that works on a Pi 5)."""

from __future__ import annotations

import importlib
import os
from typing import Any

from edge.errors import OutputError


class GpioOutput:
    """One pin (BCM number); off when made, off when closed."""

    def __init__(self, name: str, pin: int, active_high: bool) -> None:
        if os.environ.get("GPIOZERO_PIN_FACTORY") == "":
            del os.environ["GPIOZERO_PIN_FACTORY"]  # gpiozero takes an empty name for a name
        gpiozero = _library()
        try:
            self._device: Any = gpiozero.DigitalOutputDevice(pin, active_high=active_high, initial_value=False)
        # gpiozero tries four libraries and each fails in its own way: bad pins, no chip, no permission, not a Pi.
        except (gpiozero.GPIOZeroError, OSError, RuntimeError, ImportError) as error:
            raise OutputError(_explained(name, pin, error)) from error
        # lgpio's own exception is a plain Exception subclass ("GPIO busy", "can not open gpiochip").
        except Exception as error:
            if type(error).__module__.split(".")[0] != "lgpio":
                raise
            raise OutputError(_explained(name, pin, error)) from error

    def set(self, on: bool) -> None:
        """Switch."""
        self._device.on() if on else self._device.off()

    def close(self) -> None:
        """Switch off and release the pin."""
        if not self._device.closed:
            self._device.off()
            self._device.close()


def _library() -> Any:
    try:
        return importlib.import_module("gpiozero")
    except ImportError as error:
        raise OutputError(f"gpiozero cannot be imported ({error}); install it: pip install 'fmd-edge[pi]'") from error


def _explained(name: str, pin: int, error: Exception) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    if "busy" in said.lower() or "PinInUse" in type(error).__name__:
        return f"alert.{name}_pin: GPIO{pin} is in use ({said}); see who holds it: gpioinfo | grep GPIO{pin}"
    return (
        f"alert.{name}_pin: GPIO{pin} cannot be driven ({said}); is this a Raspberry Pi, is this user in the group "
        "gpio, is python3-lgpio installed?"
    )
