"""A fake of gpiod 2 with the contract that :mod:`edge.drivers.gpio_line` relies on. It records the levels of lines.

For tests and rehearsals on machines without lines: ``GpioLineOutput(..., library=fake_gpiod, devices=folder)`` with a
file ``gpiochip0`` in the folder. Levels are electrical: an active-low line that is off is high.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import SimpleNamespace


class Direction(Enum):
    """Direction of a line."""

    INPUT = "input"
    OUTPUT = "output"


class Value(Enum):
    """Logical state of a line."""

    INACTIVE = 0
    ACTIVE = 1


class Bias(Enum):
    """Resistor of a line."""

    AS_IS = "as is"
    PULL_UP = "up"
    PULL_DOWN = "down"


line = SimpleNamespace(Direction=Direction, Value=Value, Bias=Bias)

NAMES = {"PQ.05": 8, "PQ.06": 9}
"""Name of a line -> its offset."""
consumers: dict[int, str] = {}
"""Offset of a line -> the consumer that holds it."""
levels: dict[int, list[int]] = {}
"""Offset of a line -> every electrical level that it has had."""

applied: dict[int, int] = {}
"""Offset of an input line -> the level that a contact applies to it; the line's bias gives the level of the others."""
broken: set[int] = set()
"""Lines that fail when switched or read."""
elsewhere: set[int] = set()
"""Lines whose pin has another function, as before jetson-io: switching them changes no level."""


def reset() -> None:
    """Clear everything, as a reboot does."""
    applied.clear()
    broken.clear()
    elsewhere.clear()
    consumers.clear()
    levels.clear()


@dataclass(frozen=True)
class LineSettings:
    """Settings of a line request."""

    direction: Direction = Direction.INPUT
    active_low: bool = False
    output_value: Value = Value.INACTIVE
    bias: Bias = Bias.AS_IS


class Chip:
    """Device of a chip, as a context manager."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> Chip:
        return self

    def __exit__(self, *error: object) -> None:
        """Do nothing: no device is open."""

    def line_offset_from_id(self, id: str) -> int:
        """Return the offset of a named line. Raises OSError if there is none."""
        if id not in NAMES:
            raise OSError(errno.ENOENT, "No such file or directory")
        return NAMES[id]

    def get_line_info(self, offset: int) -> SimpleNamespace:
        """Return the consumer of a line, as the real library's info object does."""
        return SimpleNamespace(consumer=consumers.get(offset, ""))


class LineRequest:
    """Request that holds lines until it is released."""

    def __init__(self, config: Mapping[int, LineSettings]) -> None:
        self._config = config
        for offset, settings in config.items():
            if settings.direction is Direction.OUTPUT:
                self.set_value(offset, settings.output_value)

    def set_value(self, offset: int, value: Value) -> None:
        """Switch a line. Raises OSError(EIO) if it is broken."""
        if offset in broken:
            raise OSError(errno.EIO, "Input/output error")
        if offset in elsewhere and offset in levels:
            return
        levels.setdefault(offset, []).append(value.value ^ int(self._config[offset].active_low))

    def get_value(self, offset: int) -> Value:
        """Return the present state of a line. Raises OSError(EIO) if it is broken."""
        settings = self._config[offset]
        if settings.direction is Direction.INPUT:
            if offset in broken:
                raise OSError(errno.EIO, "Input/output error")
            level = applied.get(offset, int(settings.bias is Bias.PULL_UP))
            return Value(level ^ int(settings.active_low))
        return Value(levels[offset][-1] ^ int(self._config[offset].active_low))

    def release(self) -> None:
        """Release the lines."""
        for offset in self._config:
            del consumers[offset]


def request_lines(path: str, config: Mapping[int, LineSettings], consumer: str) -> LineRequest:
    """Request lines. Raises OSError(EBUSY) if one of them is held."""
    if any(offset in consumers for offset in config):
        raise OSError(errno.EBUSY, "Device or resource busy")
    consumers.update(dict.fromkeys(config, consumer))
    return LineRequest(config)
