"""An I2C bus for the libraries of sensors: Adafruit's expect an object with the methods of :class:`Bus`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from edge.drivers.library import import_library, pip_extra
from edge.errors import SensorError

POLL_S = 0.004
"""Pause before a register is read twice in a row: a library asks so, without a pause, whether its sensor is ready."""


class Bus:
    """The bus ``/dev/i2c-N``. ``library`` is smbus2, or a module with its contract (:mod:`edge.drivers.fake_i2c`)."""

    def __init__(self, number: int, library: Any = None, pause: Callable[[float], None] = time.sleep) -> None:
        """Raise SensorError if there is no such bus, or if this user may not open it."""
        self._library = library or import_library("smbus2", "sensor.driver", pip_extra("sensor"), SensorError)
        self._pause, self._last = pause, b""
        try:
            self.smbus = self._library.SMBus(number)
        except PermissionError as error:
            raise SensorError(
                f"sensor.bus: this user may not open /dev/i2c-{number}; sudo adduser $USER i2c, or for the service "
                "install fmd-sensor.conf (docs/sensor.md)"
            ) from error
        except OSError as error:
            raise SensorError(
                f"sensor.bus: no bus /dev/i2c-{number} ({error.strerror}); on a Raspberry Pi: sudo raspi-config nonint "
                "do_i2c 0"
            ) from error

    def try_lock(self) -> bool:
        """Return True: this object has the bus for itself, and the kernel keeps processes apart."""
        return True

    def unlock(self) -> None:
        """Do nothing; see :meth:`try_lock`."""

    def writeto(self, address: int, buffer: Any, *, start: int = 0, end: int | None = None) -> None:
        """Write a part of a buffer. Raises OSError, which the drivers report."""
        self.smbus.i2c_rdwr(self._library.i2c_msg.write(address, bytes(buffer[start:end])))

    def readfrom_into(self, address: int, buffer: Any, *, start: int = 0, end: int | None = None) -> None:
        """Fill a part of a buffer."""
        count = len(buffer[start:end])
        message = self._library.i2c_msg.read(address, count)
        self.smbus.i2c_rdwr(message)
        buffer[start : start + count] = bytes(message)

    def writeto_then_readfrom(
        self,
        address: int,
        out: Any,
        into: Any,
        *,
        out_start: int = 0,
        out_end: int | None = None,
        in_start: int = 0,
        in_end: int | None = None,
    ) -> None:
        """Write one buffer and fill another without a stop in between."""
        count, register = len(into[in_start:in_end]), bytes(out[out_start:out_end])
        if register == self._last:
            self._pause(POLL_S)
        self._last = register
        write = self._library.i2c_msg.write(address, register)
        read = self._library.i2c_msg.read(address, count)
        self.smbus.i2c_rdwr(write, read)
        into[in_start : in_start + count] = bytes(read)

    def close(self) -> None:
        """Release the bus. Safe to call twice."""
        self.smbus.close()
