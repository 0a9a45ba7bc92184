"""An I2C bus in memory, with sensors that answer as their data sheets say: the real libraries talk to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from edge.config import SensorSettings
from edge.contracts import Floats
from edge.drivers.i2c import Bus


class Device:
    """A device with registers: the first bytes of a message name one."""

    def write(self, data: bytes) -> None:
        raise NotImplementedError

    def read(self, count: int) -> bytes:
        raise NotImplementedError


class Amg8833Device(Device):
    """Cells of 0.25 degrees from register 0x80 on, 12 bits in two bytes, the lower one first."""

    def __init__(self, celsius: Floats) -> None:
        self.celsius, self._register = celsius, 0
        self.registers = bytearray(256)

    def write(self, data: bytes) -> None:
        self._register = data[0] if data else 0
        for offset, value in enumerate(data[1:]):
            self.registers[self._register + offset] = value

    def read(self, count: int) -> bytes:
        steps = np.rint(self.celsius.ravel() * 4).astype(np.int16) & 0xFFF
        self.registers[0x80:0x100] = steps.astype("<u2").tobytes()
        return bytes(self.registers[self._register : self._register + count])


@dataclass
class Mlx90640Device(Device):
    """Words by address. ``raw`` (24, 32) int16 are what the cells give, before the library's calibration."""

    raw: np.ndarray[Any, np.dtype[np.int16]]
    broken: Sequence[int] = ()
    busy: int = 0
    """Questions whether a picture is ready that are answered with no, for each."""
    asked: int = 0
    half: int = 0
    _address: int = 0
    words: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        calibration = {16: 0x4210, 17: 0xFFCE, 32: 0x6000, 33: 0x2363, 48: 0x18EF, 49: 0x2FF1, 50: 0x5952, 51: 0x9D68}
        calibration |= {52: 0x5454, 54: 0x5653, 55: 0x5653, 56: 0x2363, 58: 0xFFCE, 60: 0xF000, 61: 0x9797, 62: 0x9797}
        calibration |= {63: 0x2889}
        calibration |= {64 + cell: 0 if cell in self.broken else 2 for cell in range(768)}
        self.words |= {0x2400 + index: word for index, word in calibration.items()}
        others = {768: 0x4BF2, 800: 0x06AF, 778: 0x1881, 810: 0xCCC5}
        self.words |= {0x0400 + index: word for index, word in others.items()}
        self.words[0x800D] = 0x1901

    def write(self, data: bytes) -> None:
        self._address = int.from_bytes(data[:2], "big")
        if len(data) == 4 and self._address == 0x8000:  # the library has seen the picture: the other half follows
            self.asked, self.half = 0, 1 - self.half
        elif len(data) == 4:
            self.words[self._address] = int.from_bytes(data[2:], "big")

    def read(self, count: int) -> bytes:
        return b"".join(self._word(self._address + index).to_bytes(2, "big") for index in range(count // 2))

    def _word(self, address: int) -> int:
        if address == 0x8000:
            self.asked += 1
            return self.half | (0x0008 if self.asked == self.busy + 1 else 0)
        if 0x0400 <= address < 0x0400 + 768:
            return int(self.raw.ravel()[address - 0x0400]) & 0xFFFF
        return self.words.get(address, 0)


class Message:
    """An ``i2c_msg``: a write with its bytes, or a read to be filled."""

    def __init__(self, address: int, data: bytes = b"", count: int = 0) -> None:
        self.address, self.data, self.count = address, data, count

    def __iter__(self) -> Iterator[int]:
        return iter(self.data)


class BusInMemory:
    """An ``SMBus``. ``devices`` are by address; ``unplugged`` answers nothing."""

    def __init__(self, devices: dict[int, Device]) -> None:
        self.devices, self.unplugged, self.closed = devices, False, False

    def i2c_rdwr(self, *messages: Message) -> None:
        for message in messages:
            device = self.devices.get(message.address)
            if device is None or self.unplugged:
                raise OSError(121, "Remote I/O error")
            if message.count:
                message.data = device.read(message.count)
            else:
                device.write(message.data)

    def close(self) -> None:
        self.closed = True


def bus_with(devices: dict[int, Device], pauses: list[float] | None = None) -> tuple[Bus, BusInMemory]:
    """Return fmd's bus on one in memory; ``pauses`` gets every pause."""
    memory = BusInMemory(devices)
    messages = SimpleNamespace(
        write=lambda address, data: Message(address, bytes(data)),
        read=lambda address, count: Message(address, count=count),
    )
    library = SimpleNamespace(SMBus=lambda number: memory, i2c_msg=messages)
    return Bus(1, library, (pauses if pauses is not None else []).append), memory


def sensor_settings(**changed: Any) -> SensorSettings:
    """Return settings of [sensor] at their defaults, with changes."""
    import msgspec

    from edge import config

    return msgspec.structs.replace(config.load().sensor, **changed)
