"""The depth sensor VL53L5CX (8 x 8 distances), by SparkFun's library."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from edge.config import SensorSettings
from edge.contracts import Floats, Sensed
from edge.drivers.i2c import Bus
from edge.drivers.library import import_library, pip_extra
from edge.errors import SensorError

VALID = (5, 9)
"""Status of a cell whose distance is valid, and of one that is valid with less confidence."""
RATE_HZ = 8
WAIT_S, TRIES = 0.02, 50
"""Pause between two questions whether distances are ready, and how many there are: a second in all."""
FAULTS = (OSError, ValueError, TypeError, IndexError, AttributeError)
"""What the library raises: no answer from the bus, and nonsense from it."""


class Vl53l5cx:
    """ST VL53L5CX. ``library`` is qwiic_vl53l5cx and ``bus`` an I2C driver of qwiic_i2c; both may be replaced."""

    sensed = Sensed.DISTANCE
    field_deg = (45.0, 45.0)

    def __init__(
        self,
        settings: SensorSettings,
        name: str = "",
        library: Any = None,
        bus: Any = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Load the sensor's program into it, which takes seconds. Raise SensorError if anything is missing."""
        extra = pip_extra("sensor")
        library = library or import_library("qwiic_vl53l5cx.qwiic_vl53l5cx", "sensor.driver", extra, SensorError)
        self._pause = pause
        if bus is None:
            linux = import_library("qwiic_i2c.linux_i2c", "sensor.driver", extra, SensorError)
            Bus(settings.bus).close()  # it says why there is no bus; the library only prints that
            bus = linux.LinuxI2C(iBus=settings.bus)
        self._bus = bus
        where = f"sensor.driver: vl53l5cx on /dev/i2c-{settings.bus}"
        try:
            self._device = library.QwiicVL53L5CX(settings.address or None, bus)
            if not self._device.begin():
                raise SensorError(f"{where}: no sensor; check its wires, and i2cdetect -y {settings.bus}")
            self._device.set_resolution(self._device.kResolution8x8)
            self._device.set_ranging_frequency_hz(RATE_HZ)
            self._device.start_ranging()
        except FAULTS as error:
            self._release()
            if isinstance(error, SensorError):
                raise
            raise SensorError(f"{where}: {error}; check its wires (docs/sensor.md)") from error

    def read(self) -> Floats:
        """See :class:`edge.contracts.Sensor`."""
        try:
            for _ in range(TRIES):
                if self._device.check_data_ready():
                    break
                self._pause(WAIT_S)
            else:
                raise SensorError(f"vl53l5cx gives no distances for {WAIT_S * TRIES:.0f} s; check its wires")
            data = self._device.get_ranging_data()
        except FAULTS as error:
            if isinstance(error, SensorError):
                raise
            raise SensorError(f"vl53l5cx does not answer: {error}; check its wires (docs/sensor.md)") from error
        metres = np.asarray(data.distance_mm[:64], np.float32).reshape(8, 8) / 1000
        sure = np.isin(np.asarray(data.target_status[:64]).reshape(8, 8), VALID)
        return np.where(sure, metres, np.float32("nan"))

    def close(self) -> None:
        """See :class:`edge.contracts.Sensor`."""
        # A sensor that is unplugged cannot be stopped, and is closed because of that.
        with suppress(*FAULTS):
            self._device.stop_ranging()
        self._release()

    def _release(self) -> None:
        """Close the bus: it is opened again every few seconds while the sensor is missing."""
        if (opened := getattr(self._bus, "i2cbus", None)) is not None:
            opened.close()
