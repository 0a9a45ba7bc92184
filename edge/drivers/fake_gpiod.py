"""A stand-in for gpiod 2 that keeps the contract :mod:`edge.drivers.gpio_line` relies on and records line levels.

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
    """Of a line."""

    INPUT = "input"
    OUTPUT = "output"


class Value(Enum):
    """Logical state of a line."""

    INACTIVE = 0
    ACTIVE = 1


line = SimpleNamespace(Direction=Direction, Value=Value)

NAMES = {"PQ.05": 8, "PQ.06": 9}
"""Lines that have a name, and their offset."""
consumers: dict[int, str] = {}
"""Who holds which line."""
levels: dict[int, list[int]] = {}
"""Every electrical level a line has had."""

broken: set[int] = set()
"""Lines that fail when switched."""
elsewhere: set[int] = set()
"""Lines whose pin does something else, as before jetson-io: switching them changes no level."""


def reset() -> None:
    """Forget everything, as after a reboot."""
    broken.clear()
    elsewhere.clear()
    consumers.clear()
    levels.clear()


@dataclass(frozen=True)
class LineSettings:
    """How a line is asked for."""

    direction: Direction = Direction.INPUT
    active_low: bool = False
    output_value: Value = Value.INACTIVE


class Chip:
    """A chip's device, as a context."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> Chip:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to close."""

    def line_offset_from_id(self, id: str) -> int:
        """Offset of a named line; OSError where there is none."""
        if id not in NAMES:
            raise OSError(errno.ENOENT, "No such file or directory")
        return NAMES[id]

    def get_line_info(self, offset: int) -> SimpleNamespace:
        """What is known of a line."""
        return SimpleNamespace(consumer=consumers.get(offset, ""))


class LineRequest:
    """Lines held."""

    def __init__(self, config: Mapping[int, LineSettings]) -> None:
        self._config = config
        for offset, settings in config.items():
            self.set_value(offset, settings.output_value)

    def set_value(self, offset: int, value: Value) -> None:
        """Switch a line; OSError(EIO) where it is broken."""
        if offset in broken:
            raise OSError(errno.EIO, "Input/output error")
        if offset in elsewhere and offset in levels:
            return
        levels.setdefault(offset, []).append(value.value ^ int(self._config[offset].active_low))

    def get_value(self, offset: int) -> Value:
        """The line's state as it is."""
        return Value(levels[offset][-1] ^ int(self._config[offset].active_low))

    def release(self) -> None:
        """Let go."""
        for offset in self._config:
            del consumers[offset]


def request_lines(path: str, config: Mapping[int, LineSettings], consumer: str) -> LineRequest:
    """Take lines; OSError(EBUSY) where somebody has one."""
    if any(offset in consumers for offset in config):
        raise OSError(errno.EBUSY, "Device or resource busy")
    consumers.update(dict.fromkeys(config, consumer))
    return LineRequest(config)
