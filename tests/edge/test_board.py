"""Readings of a board, from files as the kernels of a Pi and a Jetson lay them out, and from this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from edge import board
from edge.board import FIRMWARE, THROTTLED


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_a_pi_gives_its_temperature_and_its_throttling(tmp_path: Path) -> None:
    put(tmp_path, "sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "61322\n")
    put(tmp_path, FIRMWARE, "50005\n")  # as vcgencmd get_throttled has it: 0x50005
    put(tmp_path, "proc/self/statm", "30000 20000 5000 1 0 9000 0\n")
    found = board.read(tmp_path)
    assert found.temperature_c == pytest.approx(61.322)
    assert found.memory_bytes == 20000 * os.sysconf("SC_PAGE_SIZE")
    assert found.throttled is not None
    assert {name for name, is_so in found.throttled.items() if is_so} == {
        "under_voltage",
        "throttled",
        "under_voltage_occurred",
        "throttled_occurred",
    }


@pytest.mark.parametrize(("bit", "name"), THROTTLED.items())
def test_each_bit_is_named(tmp_path: Path, bit: int, name: str) -> None:
    put(tmp_path, FIRMWARE, f"{1 << bit:x}\n")
    assert board.read(tmp_path).throttled == {other: other == name for other in THROTTLED.values()}


@pytest.mark.parametrize("alarm", ["0", "1"])
def test_without_the_firmwares_file_the_kernels_monitor_gives_under_voltage(tmp_path: Path, alarm: str) -> None:
    put(tmp_path, "sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
    put(tmp_path, "sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    put(tmp_path, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", f"{alarm}\n")
    assert board.read(tmp_path).throttled == {"under_voltage": alarm == "1"}


def test_a_jetson_gives_the_temperature_of_its_processor_zone(tmp_path: Path) -> None:
    for i, (kind, temp) in enumerate([("gpu-thermal", "70000"), ("cpu-thermal", "48500"), ("cv0-thermal", "")]):
        put(tmp_path, f"sys/class/thermal/thermal_zone{i}/type", kind)
        put(tmp_path, f"sys/class/thermal/thermal_zone{i}/temp", temp)
    assert board.read(tmp_path).temperature_c == 48.5


def test_a_board_without_sensors_is_no_error(tmp_path: Path) -> None:
    assert board.read(tmp_path) == board.Board(None, None, None)
    put(tmp_path, FIRMWARE, "not a number\n")
    put(tmp_path, "proc/self/statm", "")
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "hot\n")
    assert board.read(tmp_path) == board.Board(None, None, None)


def test_this_machine_gives_the_memory_of_this_process() -> None:
    memory = board.read().memory_bytes
    assert memory is not None
    assert 10e6 < memory < 10e9


def test_the_board_gives_its_name_and_the_memory_that_is_left(tmp_path: Path) -> None:
    put(tmp_path, "proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0")
    put(tmp_path, "proc/meminfo", "MemTotal:        4000000 kB\nMemAvailable:    2000000 kB\n")
    assert board.model(tmp_path) == "Raspberry Pi 5 Model B Rev 1.0"
    assert board.available_bytes(tmp_path) == 2_048_000_000
    assert (board.model(tmp_path / "none"), board.available_bytes(tmp_path / "none")) == ("", None)


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ('NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n', "Debian GNU/Linux 12 (bookworm)"),
        ("PRETTY_NAME=Raspbian\n", "Raspbian"),
        ("NAME=x\n", ""),
    ],
)
def test_the_system_is_named_as_it_names_itself(tmp_path: Path, release: str, name: str) -> None:
    assert board.system(tmp_path) == ""
    put(tmp_path, "etc/os-release", release)
    assert board.system(tmp_path) == name


def test_the_disk_is_that_of_the_state_directory(tmp_path: Path) -> None:
    found = board.read(tmp_path, tmp_path)
    assert found.disk_free_bytes is not None
    assert found.disk_bytes is not None
    assert 0 < found.disk_free_bytes < found.disk_bytes == shutil.disk_usage(tmp_path).total
    for state in (None, tmp_path / "missing"):
        assert (board.read(tmp_path, state).disk_free_bytes, board.read(tmp_path, state).disk_bytes) == (None, None)
