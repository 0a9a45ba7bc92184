"""A presence sensor whose values another program writes into a file: the stand-in, and any sensor that fmd lacks.

    warmth 60 60
    21.0 21.5 21.0
    21.0 33.0 21.5

The first line is what is measured (warmth in degrees Celsius, or distance in metres) and the field of view, width and
height in degrees. The others are the cells, row by row from above, "-" where nothing was measured.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge.config import SensorSettings
from edge.contracts import Floats, Sensed
from edge.errors import SensorError

EVERY_S = 0.1
"""Interval of reading."""
OLD_S = 2.0
"""A file that was not written for this long is that of a program which no longer runs."""
MOST_BYTES = 65_536
MOST_CELLS = 4096


class SensorFile:
    """Sensor in a file. ``pause`` waits, and ``wall`` gives seconds since 1970."""

    def __init__(
        self,
        settings: SensorSettings,
        name: str,
        pause: Callable[[float], None] = time.sleep,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Raise SensorError if there is no such file, or none with values."""
        self._path, self._pause, self._wall = Path(name), pause, wall
        self.sensed, self.field_deg, _ = self._parsed()

    def read(self) -> Floats:
        """See :class:`edge.contracts.Sensor`."""
        self._pause(EVERY_S)
        self.sensed, self.field_deg, values = self._parsed()
        return values

    def close(self) -> None:
        """Do nothing: the file is not kept open."""

    def _parsed(self) -> tuple[Sensed, tuple[float, float], Floats]:
        where = f"sensor.driver: {self._path}"
        try:
            # Not blocking: a pipe without a writer must not hold up the thread.
            with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                age_s = self._wall() - os.fstat(file.fileno()).st_mtime
                text = file.read(MOST_BYTES).decode("utf-8-sig", "replace")
        except OSError as error:
            raise SensorError(f"{where}: {error.strerror}") from error
        if age_s > OLD_S:
            raise SensorError(f"{where}: not written for {age_s:.0f} s; start the program that writes it")
        try:
            return _parsed(text)
        except ValueError as error:
            raise SensorError(f"{where}: {error}") from error


def _parsed(text: str) -> tuple[Sensed, tuple[float, float], Floats]:
    """Return what is measured, the field of view and the values. Raises ValueError, which says what is wrong."""
    first, *rows = text.splitlines() or [""]
    words = first.split()
    if len(words) != 3 or words[0] not in {kind.value for kind in Sensed}:
        raise ValueError(f'expected a first line such as "warmth 60 60", got {first[:40]!r}')
    width, height = (float(word) for word in words[1:])
    if not (1 <= width <= 150 and 1 <= height <= 150):
        raise ValueError(f"expected a field of view of 1 to 150 degrees, got {width:g} x {height:g}")
    cells = [[float("nan") if word == "-" else float(word) for word in row.split()] for row in rows if row.strip()]
    if not cells or len({len(row) for row in cells}) != 1 or len(cells) * len(cells[0]) > MOST_CELLS:
        raise ValueError(
            f"expected rows of equal length, at most {MOST_CELLS} cells, got {[len(row) for row in cells[:8]]}"
        )
    values = np.asarray(cells, np.float32)
    return Sensed(words[0]), (width, height), np.where(np.isfinite(values), values, np.float32("nan"))
