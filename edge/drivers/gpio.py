"""LED and buzzer on a Raspberry Pi's header through gpiozero (lgpio underneath: the only one that works on a Pi 5)."""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from edge.errors import OutputError

log = logging.getLogger(__name__)


class GpioOutput:
    """One pin (BCM number); off when made, off when closed."""

    def __init__(self, name: str, pin: int, active_high: bool) -> None:
        if os.environ.get("GPIOZERO_PIN_FACTORY") == "":
            del os.environ["GPIOZERO_PIN_FACTORY"]  # gpiozero takes an empty name for a name
        self._name, self._pin, self._gpiozero = name, pin, _library()
        with _fallbacks() as reasons, self._explaining(reasons):
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
    def _explaining(self, reasons: Sequence[str] = ()) -> Iterator[None]:
        """Whatever gpiozero and the library under it throw, as an OutputError."""
        try:
            yield
        # gpiozero tries four libraries and each fails in its own way: bad pins, no chip, no permission, not a Pi.
        except (self._gpiozero.GPIOZeroError, OSError, RuntimeError, ImportError) as error:
            raise OutputError(_explained(self._name, self._pin, error, reasons)) from error
        # lgpio's own exception is a plain Exception subclass ("GPIO busy", "can not open gpiochip").
        except Exception as error:
            if type(error).__module__.split(".")[0] != "lgpio":
                raise
            raise OutputError(_explained(self._name, self._pin, error, reasons)) from error


@contextmanager
def _fallbacks() -> Iterator[list[str]]:
    """Why gpiozero passed over one library for the next, which it tells by warnings only; logged, too."""
    reasons: list[str] = []

    def take(message: Warning | str, *where: object) -> None:
        reasons.append(str(message).removeprefix("Falling back from "))
        log.info("gpiozero passed over %s", reasons[-1])

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = take  # type: ignore[assignment]
        yield reasons


def _library() -> Any:
    try:
        return importlib.import_module("gpiozero")
    except ImportError as error:
        raise OutputError(f"gpiozero cannot be imported ({error}); in fmd's folder: pip install '.[pi]'") from error


def _explained(name: str, pin: int, error: Exception, reasons: Sequence[str]) -> str:
    said = " ".join([str(error) or type(error).__name__, *reasons[:1]])
    if "busy" in said.lower() or "PinInUse" in type(error).__name__:
        return f"alert.{name}_pin: GPIO{pin} is in use ({said}); see who holds it: gpioinfo | grep GPIO{pin}"
    return (
        f"alert.{name}_pin: GPIO{pin} cannot be driven ({said}); is this a Raspberry Pi, is this user in the group "
        "gpio, is python3-lgpio installed?"
    )
