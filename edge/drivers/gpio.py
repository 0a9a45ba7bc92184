"""Outputs on a Raspberry Pi's header through gpiozero with lgpio underneath: the only one that works on a Pi 5."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edge.drivers.library import import_library, pip_extra
from edge.errors import OutputBusyError, OutputError


class GpioOutput:
    """One pin (BCM number); off when made, off when closed."""

    def __init__(self, name: str, pin: int, active_high: bool) -> None:
        # Left to itself gpiozero passes over lgpio for libraries that drive nothing on a Pi 5 and say so nowhere. An
        # empty name it takes for a name.
        os.environ["GPIOZERO_PIN_FACTORY"] = os.environ.get("GPIOZERO_PIN_FACTORY") or "lgpio"
        self._name, self._pin = name, pin
        self._gpiozero = import_library("gpiozero", f"alert.{name}_pin", pip_extra("pi"), OutputError)
        with self._explaining():
            self._device: Any = self._gpiozero.DigitalOutputDevice(pin, active_high=active_high, initial_value=False)

    def set(self, on: bool) -> None:
        """Switch."""
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
        """Whatever gpiozero and lgpio throw, as an OutputError."""
        try:
            yield
        # Each fails in its own way: bad pins, no chip, no permission, not a Pi.
        except (self._gpiozero.GPIOZeroError, OSError, RuntimeError, ImportError) as error:
            raise self._explained(error) from error
        # lgpio's own exception is a plain Exception subclass ("GPIO busy", "can not open gpiochip").
        except Exception as error:
            if type(error).__module__.split(".")[0] != "lgpio":
                raise
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> OutputError:
        said = str(error) or type(error).__name__
        where = f"alert.{self._name}_pin: GPIO{self._pin}"
        if "busy" in said.lower() or "PinInUse" in type(error).__name__:
            holder = _holder(self._gpiozero, self._pin)
            by = f"by {holder}; stop that first" if holder else f"({said}); see who: gpioinfo | grep GPIO{self._pin}"
            return OutputBusyError(f"{where} is in use {by}")
        return OutputError(
            f"{where} cannot be driven ({said}); is this a Raspberry Pi, is this user in the group gpio, is "
            "python3-lgpio installed?"
        )


def _holder(gpiozero: Any, pin: int) -> str:
    """Who the kernel says has the pin; empty where it does not say."""
    try:
        lgpio = importlib.import_module("lgpio")
        # 4 on a Pi 5 of the first kernels, where the header was gpiochip4; gpiozero has found that out.
        chip = lgpio.gpiochip_open(getattr(gpiozero.Device.pin_factory, "chip", 0))
        try:
            return str(lgpio.gpio_get_line_info(chip, pin)[4])
        finally:
            lgpio.gpiochip_close(chip)
    # A courtesy inside an error message: whatever breaks here must not hide what broke there.
    except Exception:  # noqa: BLE001
        return ""
