"""Outputs on a Raspberry Pi's header through gpiozero and lgpio, its only pin factory that works on a Pi 5."""

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
        # Without this, gpiozero may fall back from lgpio to libraries that silently drive nothing on a Pi 5. It takes
        # an empty variable as the name of a factory, hence "or".
        os.environ["GPIOZERO_PIN_FACTORY"] = os.environ.get("GPIOZERO_PIN_FACTORY") or "lgpio"
        self._name, self._pin = name, pin
        self._gpiozero = import_library("gpiozero", f"alert.{name}_pin", pip_extra("pi"), OutputError)
        with self._explaining():
            self._device: Any = self._gpiozero.DigitalOutputDevice(pin, active_high=active_high, initial_value=False)

    def set(self, on: bool) -> None:
        """Switch on or off. Raises OutputError."""
        with self._explaining():
            self._device.on() if on else self._device.off()

    def close(self) -> None:
        """Switch off and release the pin."""
        if self._device.closed:
            return
        with self._explaining():
            try:
                self._device.off()
            finally:
                self._device.close()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Raise the errors of gpiozero and lgpio as OutputError."""
        try:
            yield
        # One each for a wrong pin, no permission, no GPIO chip and a missing library.
        except (self._gpiozero.GPIOZeroError, OSError, RuntimeError, ImportError) as error:
            raise self._explained(error) from error
        # lgpio's own error ("GPIO busy", "can not open gpiochip") inherits Exception only, and cannot be imported here
        # if lgpio is missing.
        except Exception as error:
            if type(error).__module__.split(".")[0] != "lgpio":
                raise
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> OutputError:
        message = str(error) or type(error).__name__
        where = f"alert.{self._name}_pin: GPIO{self._pin}"
        if "busy" in message.lower() or "PinInUse" in type(error).__name__:
            holder = _holder(self._gpiozero, self._pin)
            find = f"({message}); to find the process: gpioinfo | grep GPIO{self._pin}"
            return OutputBusyError(f"{where} is in use {f'by {holder}; stop {holder} first' if holder else find}")
        return OutputError(
            f"{where} cannot be driven ({message}); check that this is a Raspberry Pi, that this user is in the group "
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
