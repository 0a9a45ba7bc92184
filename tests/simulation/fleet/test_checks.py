"""Simulated doors on a real hub: they appear, follow events, lose no decision, and cannot write others' topics."""

from __future__ import annotations

from simulation.fleet import checks
from simulation.fleet.serve import carry_out
from tests.edge.parts import wait_for
from tests.simulation.fleet.conftest import Fleet

PATIENCE_S = 20.0


def doors_with(fleet: Fleet, expression: str) -> list[str]:
    return sorted(labels["door"] for labels, _ in fleet.hub.query(expression))


def test_each_door_is_soon_known_to_prometheus_and_at_the_broker(fleet: Fleet) -> None:
    found = checks.visible(fleet.hub, fleet.doors, fleet.reader)
    assert "missed" in found.text
    wait_for(lambda: len(doors_with(fleet, "up{job='fmd'} == 1")) == 3)
    assert all(fleet.reader.seen_s(door) for door in fleet.doors.plans)


def test_a_door_cut_from_the_network_delivers_its_decisions_afterwards(fleet: Fleet) -> None:
    wait_for(lambda: all(fleet.reader.decided().get(door) for door in ("door-0000", "door-0001")))
    found = checks.cut(fleet.doors, fleet.reader, ["door-0000", "door-0001"], 3.0)
    assert found.passed, found.text


def test_events_change_one_door_until_they_end(fleet: Fleet) -> None:
    assert carry_out(fleet.doors, "blind door-0000\n") == ""
    assert carry_out(fleet.doors, "silent door-0001\n") == ""
    wait_for(lambda: doors_with(fleet, "fmd_blind == 1") == ["door-0000"])
    wait_for(lambda: doors_with(fleet, "up{job='fmd'} == 0") == ["door-0001"])
    assert carry_out(fleet.doors, "end blind door-0000\n") == ""
    assert carry_out(fleet.doors, "end silent door-0001\n") == ""
    wait_for(lambda: doors_with(fleet, "fmd_blind == 1") + doors_with(fleet, "up{job='fmd'} == 0") == [])


def test_lines_that_are_no_event_of_a_door_change_nothing(fleet: Fleet) -> None:
    assert "events: silent, cut" in carry_out(fleet.doors, "explode door-0000")
    assert "expected one of door-0000, door-0001" in carry_out(fleet.doors, "blind door-0002")
    assert carry_out(fleet.doors, "\n") == ""


def test_the_credential_of_one_door_writes_and_reads_no_other(fleet: Fleet) -> None:
    found = checks.stolen(fleet.hub, fleet.doors, fleet.reader, "door-0001")
    assert found.passed, found.text
