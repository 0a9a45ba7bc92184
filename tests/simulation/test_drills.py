"""Random faults, each named, overcome and survived; and drills that notice where one is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from simulation.drills import NAMES, Drill, Table, rehearse, simulated_outputs_and_systemd


@pytest.fixture
def systemd() -> Iterator[socket.socket]:
    with simulated_outputs_and_systemd() as listening:
        yield listening


def rehearsed(drills: int, systemd: socket.socket) -> Table:
    table = Table()
    for seed in range(drills):
        table.add(*rehearse(seed, systemd))
    return table


def test_hundreds_of_drills_are_passed(systemd: socket.socket) -> None:
    table = rehearsed(150, systemd)
    assert set(table.kinds) == set(NAMES)
    assert set(table.endings) == {"signal", "exception", "gone"}
    assert table.failed == {}


@pytest.mark.slow
def test_ten_thousand_drills_are_passed(systemd: socket.socket) -> None:
    table = rehearsed(10_000, systemd)
    print(table)
    assert table.failed == {}


def test_a_seed_is_the_same_drill_every_time(systemd: socket.socket) -> None:
    assert Drill.of(4711) == Drill.of(4711) != Drill.of(4712)
    (_, one, _), (_, other, _) = rehearse(4711, systemd), rehearse(4711, systemd)
    assert (one.healths, one.heard, one.steps) == (other.healths, other.heard, other.steps)


@pytest.mark.parametrize(
    ("changed", "kind", "said"),
    [
        ({"stall_s": 5.0}, "stall", "not named in time"),
        ({"frozen_s": 0.0}, "freeze", "still called watching"),
        ({"dark_level": 0, "flat_level": 0}, "cover", "not named in time"),
        ({"give_up_s": 60.0}, "unplug", "fed the watchdog"),
    ],
)
def test_a_door_that_notices_less_fails_its_drills(
    changed: dict[str, float], kind: str, said: str, systemd: socket.socket
) -> None:
    fitting = [seed for seed in range(300) if any(fault.kind == kind for fault in Drill.of(seed).faults)]
    wrong = [rehearse(seed, systemd, **changed)[2] for seed in fitting[:8]]
    assert any(said in trouble for troubles in wrong for trouble in troubles)
