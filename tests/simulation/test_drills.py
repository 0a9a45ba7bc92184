"""Random camera faults, each reported, overcome and survived; and drills that fail if a fault is not reported."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from edge.control import DisarmRequest, MuteRequest
from simulation.drills import (
    EXPECTED_STATES,
    Drill,
    DrillRecord,
    DrillTable,
    Intervention,
    failures_of,
    run_drill,
    simulated_outputs_and_systemd,
)


@pytest.fixture
def systemd() -> Iterator[socket.socket]:
    with simulated_outputs_and_systemd() as listening:
        yield listening


def table_of(drills: int, systemd: socket.socket) -> DrillTable:
    table = DrillTable()
    for seed in range(drills):
        table.add(*run_drill(seed, systemd))
    return table


def test_hundreds_of_drills_pass(systemd: socket.socket) -> None:
    table = table_of(150, systemd)
    assert set(table.kinds) == set(EXPECTED_STATES)
    assert set(table.interventions) == {"ArmRequest", "DisarmRequest", "MuteRequest", "clock jump"}
    assert set(table.endings) == {"signal", "exception", "gone"}
    assert table.failed == {}


def test_a_drill_with_faults_of_three_kinds_in_a_row_passes(systemd: socket.socket) -> None:
    """Frozen, damaged, unplugged: each begins seconds after the camera has come back from the one before."""
    drill, _, failures = run_drill(1593, systemd)
    assert [fault.kind for fault in drill.faults] == ["freeze", "damage", "unplug"]
    assert failures == []


@pytest.mark.slow
def test_ten_thousand_drills_pass(systemd: socket.socket) -> None:
    table = table_of(10_000, systemd)
    print(table)
    assert table.failed == {}


def test_a_seed_gives_the_same_drill_every_time(systemd: socket.socket) -> None:
    assert Drill.of(4711) == Drill.of(4711) != Drill.of(4712)
    (_, one, _), (_, other, _) = run_drill(4711, systemd), run_drill(4711, systemd)
    assert (one.healths, one.notified, one.steps) == (other.healths, other.notified, other.steps)


@pytest.mark.parametrize(
    ("changed", "kind", "expected"),
    [
        ({"stall_s": 5.0}, "stall", "not reported in time"),
        ({"frozen_s": 0.0}, "freeze", "still reported as watching"),
        ({"dark_level": 0, "flat_level": 0}, "cover", "not reported in time"),
        ({"give_up_s": 60.0}, "unplug", "fed the watchdog"),
    ],
)
def test_settings_that_hide_a_fault_fail_their_drills(
    changed: dict[str, float], kind: str, expected: str, systemd: socket.socket
) -> None:
    seeds = [seed for seed in range(300) if any(fault.kind == kind for fault in Drill.of(seed).faults)]
    failures = [failure for seed in seeds[:8] for failure in run_drill(seed, systemd, **changed)[2]]
    assert any(expected in failure for failure in failures)


@pytest.mark.parametrize(
    ("people", "wanted"),
    [
        ([(1.0, 1), (1.1, 1), (5.0, 1), (20.0, 2)], []),
        ([(1.0, 1), (5.0, 2)], ["person 1 at 1.00 is 2 at 5.00"]),
        ([(1.0, 1), (9.0, 1)], ["person 1 at 1.00 is 1 at 9.00"]),
    ],
)
def test_a_person_mistaken_after_an_outage_fails_the_drill(people: list[tuple[float, int]], wanted: list[str]) -> None:
    drill, record = Drill.of(1), DrillRecord(people=people)
    assert [failure for failure in failures_of(drill, record) if failure.startswith("person")] == wanted


@pytest.mark.parametrize(
    ("at_s", "on", "alarm", "wanted"),
    [
        (1.0, {"led", "buzzer", "relay"}, True, []),
        (1.0, set(), True, ["no LED for a person without a mask at 1.00, armed"]),
        (3.0, {"led", "relay"}, True, ["relay on at 3.00, disarmed or muted"]),
        (3.0, {"led"}, False, []),
        (5.0, {"led", "relay"}, True, []),  # the time is over
        (7.0, {"led", "buzzer"}, True, ["buzzer on at 7.00, disarmed or muted"]),
        (9.0, {"led", "buzzer"}, True, []),
    ],
)
def test_an_output_that_does_not_obey_fails_the_drill(
    at_s: float, on: set[str], alarm: bool, wanted: list[str]
) -> None:
    given = (Intervention(2.0, DisarmRequest(for_s=2.0)), Intervention(6.0, MuteRequest(for_s=2.0)))
    drill = replace(Drill.of(1), faults=(), interventions=given)
    record = DrillRecord(shown=[(at_s, frozenset(on), alarm)])
    failures = failures_of(drill, record)
    assert [failure for failure in failures if f"at {at_s:.2f}" in failure] == wanted
