"""Outputs and contacts on a Raspberry Pi's header through gpiozero.

Of its pin factories, only lgpio works on a Pi 5.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edge.drivers.library import import_library, pip_extra
from edge.errors import OutputBusyError, OutputError


class GpioOutput:
    """Output on one pin (BCM number): off when made, off when closed."""

    def __init__(self, name: str, pin: int, active_high: bool) -> None:
        self._pin = _Pin(f"alert.{name}_pin", pin)
        device = self._pin.gpiozero.DigitalOutputDevice
        with self._pin.explaining("driven"):
            self._device: Any = device(pin, active_high=active_high, initial_value=False)

    def set(self, on: bool) -> None:
        """Switch on or off. Raises OutputError."""
        with self._pin.explaining("driven"):
            self._device.on() if on else self._device.off()

    def close(self) -> None:
        """Switch off and release the pin."""
        if self._device.closed:
            return
        with self._pin.explaining("driven"):
            try:
                self._device.off()
            finally:
                self._device.close()


class GpioInput:
    """Contact on one pin (BCM number)."""

    def __init__(self, pin: int, pull: str) -> None:
        self._pin = _Pin("arm.pin", pin)
        # With a resistor of the user's, gpiozero must be given the level of the closed contact.
        pulls: dict[str, dict[str, bool | None]] = {
            "up": {"pull_up": True},
            "down": {"pull_up": False},
            "none": {"pull_up": None, "active_state": False},
        }
        with self._pin.explaining("read"):
            self._device: Any = self._pin.gpiozero.DigitalInputDevice(pin, **pulls[pull])

    def closed(self) -> bool:
        """Return whether the contact is closed. Raises OutputError."""
        with self._pin.explaining("read"):
            return bool(self._device.is_active)

    def close(self) -> None:
        """Release the pin."""
        with self._pin.explaining("read"):
            self._device.close()


class _Pin:
    """A pin of gpiozero, and what its errors mean. ``setting`` names the pin."""

    def __init__(self, setting: str, pin: int) -> None:
        # Without this, gpiozero may fall back from lgpio to libraries that silently drive nothing on a Pi 5. It takes
        # an empty variable as the name of a factory, hence "or".
        os.environ["GPIOZERO_PIN_FACTORY"] = os.environ.get("GPIOZERO_PIN_FACTORY") or "lgpio"
        self._setting, self._number = setting, pin
        self.gpiozero = import_library("gpiozero", setting, pip_extra("pi"), OutputError)

    @contextmanager
    def explaining(self, done: str) -> Iterator[None]:
        """Raise the errors of gpiozero and lgpio as OutputError; ``done`` is "driven" or "read"."""
        try:
            yield
        # One each for a wrong pin, no permission, no GPIO chip and a missing library.
        except (self.gpiozero.GPIOZeroError, OSError, RuntimeError, ImportError) as error:
            raise self._explained(error, done) from error
        # lgpio's own error ("GPIO busy", "can not open gpiochip") inherits Exception only, and cannot be imported here
        # if lgpio is missing.
        except Exception as error:
            if type(error).__module__.split(".")[0] != "lgpio":
                raise
            raise self._explained(error, done) from error

    def _explained(self, error: Exception, done: str) -> OutputError:
        message = str(error) or type(error).__name__
        where = f"{self._setting}: GPIO{self._number}"
        if "busy" in message.lower() or "PinInUse" in type(error).__name__:
            holder = _holder(self.gpiozero, self._number)
            find = f"({message}); to find the process: gpioinfo | grep GPIO{self._number}"
            return OutputBusyError(f"{where} is in use {f'by {holder}; stop {holder} first' if holder else find}")
        return OutputError(
            f"{where} cannot be {done} ({message}); check that this is a Raspberry Pi, that this user is in the group "
            "gpio, and that python3-lgpio is installed"
        )


def _holder(gpiozero: Any, pin: int) -> str:
    """Return the consumer of the pin as the kernel names it, or an empty string."""
    try:
        lgpio = importlib.import_module("lgpio")
        # gpiozero knows the chip: with the first kernels of the Pi 5, the header was gpiochip4.
        chip = lgpio.gpiochip_open(getattr(gpiozero.Device.pin_factory, "chip", 0))
        try:
            return str(lgpio.gpio_get_line_info(chip, pin)[4])
        finally:
            lgpio.gpiochip_close(chip)
    # It only improves an error message: no failure here may replace the error that is being reported.
    except Exception:  # noqa: BLE001
        return ""
