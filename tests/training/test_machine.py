"""Readings off a drawn-up /proc and /sys, and off this very machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.machine import Machine


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="ascii")


def test_a_jetson(tmp_path: Path) -> None:
    put(tmp_path, "proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 1 1 1\n")
    put(tmp_path, "proc/meminfo", "MemTotal:  4096000 kB\nMemFree: 1 kB\nMemAvailable:  1024000 kB\n")
    put(tmp_path, "proc/self/status", "Name:\tpython\nVmRSS:\t  204800 kB\n")
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "41500\n")
    put(tmp_path, "sys/class/thermal/thermal_zone1/temp", "-256000\n")  # a zone that is switched off
    put(tmp_path, "sys/devices/gpu.0/load", "730\n")
    machine = Machine(tmp_path)
    put(tmp_path, "proc/stat", "cpu  160 0 140 900 0 0 0 0 0 0\n")
    assert machine.read() == {
        "machine/cpu_percent": pytest.approx(50.0),
        "machine/memory_mb": 3000.0,
        "machine/process_mb": 200.0,
        "machine/temperature_c": 41.5,
        "machine/gpu_percent": 73.0,
    }


def test_nothing_can_be_read(tmp_path: Path) -> None:
    assert Machine(tmp_path, nvidia_smi=str(tmp_path / "no-such-program")).read() == {}


def test_an_nvidia_card(tmp_path: Path) -> None:
    program = tmp_path / "smi"
    program.write_text("#!/bin/sh\necho '61, 2048, 70'\n", encoding="ascii")
    program.chmod(0o755)
    found = Machine(tmp_path, nvidia_smi=str(program)).read()
    assert found == {"machine/gpu_percent": 61, "machine/gpu_memory_mb": 2048, "machine/gpu_temperature_c": 70}


@pytest.mark.parametrize("told", ["echo '[N/A], 1, 2'", "exit 9"])
def test_a_card_that_tells_nothing(tmp_path: Path, told: str) -> None:
    program = tmp_path / "smi"
    program.write_text(f"#!/bin/sh\n{told}\n", encoding="ascii")
    program.chmod(0o755)
    assert Machine(tmp_path, nvidia_smi=str(program)).read() == {}


@pytest.mark.skipif(not Path("/proc/meminfo").is_file(), reason="no /proc here")
def test_this_machine() -> None:
    found = Machine().read()
    assert found["machine/memory_mb"] > 0
    assert found["machine/process_mb"] > 0
