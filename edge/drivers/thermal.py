"""Thermal sensors: the arrays MLX90640 (32 x 24) and AMG8833 (8 x 8), by Adafruit's libraries.

The libraries need an I2C bus, and get fmd's own (:mod:`edge.drivers.i2c`): Adafruit's would look for a known board.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge.config import SensorSettings
from edge.contracts import Floats, Sensed
from edge.drivers.i2c import Bus
from edge.drivers.library import import_library, pip_extra
from edge.errors import SensorError

LEAST_C, MOST_C = -40.0, 300.0
"""What the sensors can measure; the library gives -273.15 for a broken cell."""
FAULTS = (OSError, ValueError, RuntimeError, ZeroDivisionError, TypeError)
"""What the libraries raise: no answer, no device at the address, "Too many retries", roots of nonsense from the bus."""


CALIBRATION, LEAST_DISTINCT = (0x2410, 48), 8
"""Address and number of the words that describe all cells together, and how many of their bytes differ at least."""


class Mlx90640:
    """Melexis MLX90640 with the lens of 55 x 35 degrees. ``library`` and ``bus`` replace the real ones."""

    sensed = Sensed.WARMTH
    field_deg = (55.0, 35.0)

    def __init__(self, settings: SensorSettings, name: str = "", library: Any = None, bus: Bus | None = None) -> None:
        """Raise SensorError if the library, the bus or the sensor is missing."""
        library = library or import_library("adafruit_mlx90640", "sensor.driver", pip_extra("sensor"), SensorError)
        self._bus = bus or Bus(settings.bus)
        address = settings.address or 0x33
        # The library keeps both in the class, and would find each broken cell twice when it is opened again.
        library.MLX90640.brokenPixels, library.MLX90640.outlierPixels = [], []
        try:
            _check_calibration(self._bus, address)
            self._device = library.MLX90640(self._bus, address)
            # Two half pictures, 8 a second: a whole one takes a quarter of a second.
            self._device.refresh_rate = library.RefreshRate.REFRESH_8_HZ
        except FAULTS as error:
            self._bus.close()
            raise _absent("mlx90640", settings, address, error) from error

    def read(self) -> Floats:
        """See :class:`edge.contracts.Sensor`."""
        cells = [0.0] * (24 * 32)
        try:
            self._device.getFrame(cells)
        except FAULTS as error:
            raise SensorError(f"mlx90640 does not answer: {error}; check its wires (docs/sensor.md)") from error
        return _plausible(cells, (24, 32))

    def close(self) -> None:
        """See :class:`edge.contracts.Sensor`."""
        self._bus.close()


class Mlx90640Wide(Mlx90640):
    """The same with the lens of 110 x 75 degrees."""

    field_deg = (110.0, 75.0)


class Amg8833:
    """Panasonic AMG8833. ``library`` and ``bus`` replace the real ones."""

    sensed = Sensed.WARMTH
    field_deg = (60.0, 60.0)

    def __init__(self, settings: SensorSettings, name: str = "", library: Any = None, bus: Bus | None = None) -> None:
        """Raise SensorError if the library, the bus or the sensor is missing."""
        library = library or import_library("adafruit_amg88xx", "sensor.driver", pip_extra("sensor"), SensorError)
        self._bus = bus or Bus(settings.bus)
        address = settings.address or 0x69
        try:
            self._device = library.AMG88XX(self._bus, address)
        except FAULTS as error:
            self._bus.close()
            raise _absent("amg8833", settings, address, error) from error

    def read(self) -> Floats:
        """See :class:`edge.contracts.Sensor`."""
        try:
            cells = [cell for row in self._device.pixels for cell in row]
        except FAULTS as error:
            raise SensorError(f"amg8833 does not answer: {error}; check its wires (docs/sensor.md)") from error
        return _plausible(cells, (8, 8))

    def close(self) -> None:
        """See :class:`edge.contracts.Sensor`."""
        self._bus.close()


def _check_calibration(bus: Bus, address: int) -> None:
    """Raise OSError for what cannot be a calibration, as from a bus in short circuit: the library would never end."""
    words = bytearray(2 * CALIBRATION[1])
    bus.writeto_then_readfrom(address, CALIBRATION[0].to_bytes(2, "big"), words)
    if len(set(words)) < LEAST_DISTINCT:
        raise OSError("its calibration is empty")


def _plausible(cells: Sequence[float], shape: tuple[int, int]) -> Floats:
    values = np.asarray(cells, np.float32).reshape(shape)
    return np.where((values > LEAST_C) & (values < MOST_C), values, np.float32("nan"))


def _absent(name: str, settings: SensorSettings, address: int, error: Exception) -> SensorError:
    return SensorError(
        f"sensor.driver: no {name} at address {address:#x} of /dev/i2c-{settings.bus} ({error}); check its wires, and "
        f"list what is there: i2cdetect -y {settings.bus}"
    )
