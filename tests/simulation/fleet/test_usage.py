"""Load of processes, and ports."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from simulation.fleet.usage import TICKS, Load, Ports, Reading, loads, read


def test_a_reading_names_the_time_and_memory_of_a_process_whose_name_has_spaces(tmp_path: Path) -> None:
    folder = tmp_path / "7"
    folder.mkdir()
    fields = " ".join(["S", *map(str, range(1, 11)), str(3 * TICKS), str(TICKS), "0 0"])
    (folder / "stat").write_text(f"7 (a (b) c) {fields}\n")
    (folder / "status").write_text("Name:\tx\nVmRSS:\t  2048 kB\n")
    reading = read(7, tmp_path)
    assert (reading.cpu_s, reading.memory_bytes) == (4.0, 2 << 20)


def test_this_process_has_used_some_time_and_memory() -> None:
    reading = read(os.getpid())
    assert reading.cpu_s > 0
    assert reading.memory_bytes > 1 << 20


def test_a_process_that_ended_has_no_reading(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        read(7, tmp_path)


def test_load_is_the_share_of_a_core_between_two_readings() -> None:
    before, after = {"broker": Reading(10.0, 2.0, 100)}, {"broker": Reading(30.0, 7.0, 300)}
    assert loads(before, after) == {"broker": Load(0.25, 300)}


def test_a_port_is_given_once_also_to_several_who_search_and_a_server_can_listen_there() -> None:
    ours, theirs = Ports(31_500), Ports(31_500)
    taken = [ports.take() for ports in (ours, theirs, ours, theirs)]
    assert len(set(taken)) == 4
    with socket.create_server(("127.0.0.1", taken[0])), socket.create_connection(("127.0.0.1", taken[0])):
        assert Ports(taken[0]).take() > taken[0]
    ours.close()
    theirs.close()
    assert Ports(taken[1]).take() == taken[1]
