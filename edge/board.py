"""What the board says of itself: memory, temperature, and the Raspberry Pi's throttling and under-voltage bits.

Files under /proc and /sys only: the unit's sandbox leaves them readable, where vcgencmd's device it does not.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

THROTTLED = {
    0: "under_voltage",
    1: "frequency_capped",
    2: "throttled",
    3: "soft_temperature_limit",
    16: "under_voltage_occurred",
    17: "frequency_capped_occurred",
    18: "throttled_occurred",
    19: "soft_temperature_limit_occurred",
}
"""Bits of the firmware's get_throttled (raspberrypi.com/documentation, vcgencmd)."""
FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"


@dataclass(frozen=True, slots=True)
class Board:
    """One reading. None where the board does not tell."""

    memory_bytes: int | None
    """Resident memory of this process."""
    temperature_c: float | None
    """Of the processor."""
    throttled: dict[str, bool] | None
    """By name of THROTTLED, or ``under_voltage`` alone where only the kernel's monitor tells."""


def read(root: Path = Path("/")) -> Board:
    """The board as it is now; ``root`` holds proc and sys."""
    return Board(_memory_bytes(root), _temperature_c(root), _throttled(root))


def _text(path: Path) -> str | None:
    """None where there is no such file, or a sensor that is switched off (Jetson's answer EAGAIN)."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _memory_bytes(root: Path) -> int | None:
    pages = (_text(root / "proc/self/statm") or "").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 and pages[1].isdigit() else None


def _temperature_c(root: Path) -> float | None:
    """The hottest zone that is the processor's, or the hottest of all where none says so."""
    zones = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        said = _text(zone / "temp")
        if said and said.lstrip("-").isdigit():
            zones[zone] = int(said) / 1000
    cpu = [celsius for zone, celsius in zones.items() if "cpu" in (_text(zone / "type") or "").lower()]
    return max(cpu or zones.values(), default=None)


def _throttled(root: Path) -> dict[str, bool] | None:
    said = _text(root / FIRMWARE)
    if said is not None:
        try:
            bits = int(said, 16)
        except ValueError:
            return None
        return {name: bool(bits >> bit & 1) for bit, name in THROTTLED.items()}
    for monitor in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if _text(monitor / "name") == "rpi_volt":
            return {"under_voltage": _text(monitor / "in0_lcrit_alarm") == "1"}
    return None
