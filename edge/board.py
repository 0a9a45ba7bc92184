"""Readings of the board: its name, memory, temperature, and the Raspberry Pi's throttling and under-voltage bits.

Read from files under /proc and /sys only. The unit's sandbox leaves these readable, but not the device of vcgencmd.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import uuid
from collections.abc import Callable
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


TIME_SYNCHRONIZED = "run/systemd/timesync/synchronized"
"""systemd-timesyncd makes this file when it has set the clock; /run is empty after every boot."""
TIME_ERROR = 5
"""Result of adjtimex(2) while no program has set the clock from the network (STA_UNSYNC)."""


@dataclass(frozen=True, slots=True)
class Board:
    """One set of readings; None for a reading that this board does not provide."""

    memory_bytes: int | None
    """Resident memory of this process."""
    temperature_c: float | None
    """Temperature of the processor, degrees Celsius."""
    throttled: dict[str, bool] | None
    """By name of THROTTLED; ``under_voltage`` alone if only the kernel's voltage monitor is there."""
    disk_free_bytes: int | None = None
    """Room for new files on the file system of the state directory."""
    disk_bytes: int | None = None
    """Size of that file system."""


def read(root: Path = Path("/"), state: Path | None = None) -> Board:
    """Return the readings of this moment.

    ``root`` is the folder that holds proc and sys, ``state`` the state directory, None if there is none.
    """
    return Board(_memory_bytes(root), _temperature_c(root), _throttled(root), *(_disk(state) if state else ()))


def model(root: Path = Path("/")) -> str:
    """Return the name of the board in its device tree, such as "Raspberry Pi 5 Model B Rev 1.0"; empty on a PC."""
    return text(root / "proc/device-tree/model") or ""


def system(root: Path = Path("/")) -> str:
    """Return the name of the operating system, such as "Debian GNU/Linux 12 (bookworm)"; empty if it has none."""
    for line in (text(root / "etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.removeprefix("PRETTY_NAME=").strip("\"'")
    return ""


def is_pc(root: Path = Path("/")) -> bool:
    """Return whether this machine is a PC: every board with pins for fmd names itself in a device tree or /etc."""
    return not model(root) and not (root / "etc/nv_tegra_release").exists()


def boot_id(root: Path = Path("/")) -> str:
    """Return what identifies this boot; a new id at every call if the kernel has none."""
    return text(root / "proc/sys/kernel/random/boot_id") or uuid.uuid4().hex


def clock_state() -> int:
    """Return the result of adjtimex(2); -1 if the unit's sandbox forbids the call, which could also set the clock."""
    try:
        # Modes 0, the first field of struct timex, only reads. The buffer is larger than the struct on any machine.
        return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(1024)))
    except (OSError, AttributeError):  # another C library
        return -1


def asked_timedated() -> bool:
    """Return what systemd-timedated says, which reads the same state outside the sandbox."""
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10.0, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == b"yes"


def is_clock_synchronized(
    root: Path = Path("/"), state: Callable[[], int] = clock_state, ask: Callable[[], bool] | None = asked_timedated
) -> bool:
    """Return whether a program has set the clock from the network since boot. ``ask`` may take seconds; None does not.

    A Raspberry Pi has no battery clock: before that, its time is the one of the last shutdown.
    """
    if (root / TIME_SYNCHRONIZED).exists():
        return True
    found = state()
    if found >= 0:
        return found != TIME_ERROR
    return ask is not None and ask()


def available_bytes(root: Path = Path("/")) -> int | None:
    """Return the memory that a new program could use without swapping (MemAvailable of proc(5)), or None."""
    for line in (text(root / "proc/meminfo") or "").splitlines():
        words = line.split()
        if words[:1] == ["MemAvailable:"] and len(words) > 1 and words[1].isdigit():
            return int(words[1]) * 1024
    return None


def text(path: Path) -> str | None:
    """Return the text of a file under /proc or /sys without the blanks around it, or None if it cannot be read."""
    try:
        # Sensors that are switched off answer EAGAIN (Jetson). Device-tree strings end with a null byte.
        return path.read_bytes().decode(errors="replace").strip(" \n\0")
    except OSError:
        return None


def _memory_bytes(root: Path) -> int | None:
    # The second field is the number of resident pages (proc(5)).
    pages = (text(root / "proc/self/statm") or "").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 and pages[1].isdigit() else None


def _temperature_c(root: Path) -> float | None:
    """Return the temperature of the hottest zone of the processor, or of all zones if none is named after it."""
    zones = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        millidegrees = text(zone / "temp")
        if millidegrees and millidegrees.lstrip("-").isdigit():
            # The kernel gives millidegrees.
            zones[zone] = int(millidegrees) / 1000
    cpu = [celsius for zone, celsius in zones.items() if "cpu" in (text(zone / "type") or "").lower()]
    return max(cpu or zones.values(), default=None)


def _disk(folder: Path) -> tuple[int | None, int | None]:
    """Return how many bytes are free for a user who is not root, and how many there are."""
    try:
        found = os.statvfs(folder)
    except OSError:  # the card is gone
        return None, None
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def _throttled(root: Path) -> dict[str, bool] | None:
    mask = text(root / FIRMWARE)
    if mask is not None:
        try:
            bits = int(mask, 16)
        except ValueError:
            return None
        return {name: bool(bits >> bit & 1) for bit, name in THROTTLED.items()}
    # Kernels without the firmware's file still have its voltage monitor.
    for monitor in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if text(monitor / "name") == "rpi_volt":
            return {"under_voltage": text(monitor / "in0_lcrit_alarm") == "1"}
    return None
