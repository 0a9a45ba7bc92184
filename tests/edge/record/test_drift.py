"""Changes of the camera and of behaviour, on simulated doors. ``python -m simulation.drift`` measures delays."""

from __future__ import annotations

import math
import random
from pathlib import Path

import msgspec
import pytest

from edge.record import drift, events
from edge.record.drift import Drift
from edge.record.notes import Finding
from edge.record.rows import RunRow
from simulation.drift import BEGAN_MS, CHANGES, DAY_MS, SIGNALS, Door, days, least_delay
from tests.edge.record.parts import Clock

LEARNED = 9
"""Days after which the detector knows what is usual."""


def findings(*doors: tuple[Door, int], passages: float = 200, seed: int = 1) -> list[Finding]:
    """Return the findings after some days of each door, one after the other."""
    detector, chance, first = Drift(), random.Random(seed), 0
    for door, count in doors:
        for row in days(door, count, passages, chance, first):
            detector.add(row)
        first += count
    return detector.findings()


def test_a_door_that_stays_as_it_is_has_no_findings() -> None:
    assert findings((Door(), 25)) == []


def test_smaller_and_blurred_faces_are_one_finding_of_the_camera_with_time_and_cause() -> None:
    [found] = findings((Door(), LEARNED), (Door(width=56, sharpness=35), 3))
    assert found.of_camera
    assert found.message.startswith("faces are 3")
    assert "% smaller and 4" in found.message
    assert "% less sharp since " in found.message
    assert found.message.endswith(": lens dirty, or camera moved")
    assert abs(found.since - (BEGAN_MS + LEARNED * DAY_MS + 7 * 3_600_000)) < 6 * 3_600_000


def test_fewer_masks_are_behaviour_and_not_the_camera() -> None:
    [found] = findings((Door(), LEARNED), (Door(violated=0.4), 3))
    assert not found.of_camera
    assert found.message.startswith("fewer people wear masks since ")


def test_a_turned_camera_is_named() -> None:
    [found] = findings((Door(), LEARNED), (Door(place_x=0.75), 2))
    assert found.message.startswith("faces are further right since")
    assert found.message.endswith("the camera was moved or turned")


def test_a_change_back_withdraws_the_finding() -> None:
    assert findings((Door(), LEARNED), (Door(score=0.6), 3), (Door(), 4)) == []


def test_after_two_weeks_a_change_is_the_new_usual() -> None:
    assert findings((Door(), LEARNED), (Door(place_y=0.6), 3))
    assert findings((Door(), LEARNED), (Door(place_y=0.6), 18)) == []


def test_what_was_learned_survives_a_restart() -> None:
    chance, first = random.Random(1), Drift()
    for row in days(Door(), LEARNED, 200, chance):
        first.add(row)
    stored = msgspec.json.encode(first.saved())
    again = Drift(msgspec.json.decode(stored, type=dict[str, drift.CameraState]))
    for row in days(Door(width=50), 2, 200, chance, LEARNED):
        again.add(row)
    assert [each.signal for each in again.findings()] == ["width"]
    assert len(stored) < 60_000


@pytest.mark.parametrize("model", ["same", "other"])
def test_the_record_reports_drift_as_an_event_and_learns_again_for_another_model(tmp_path: Path, model: str) -> None:
    chance = random.Random(1)
    for number, (door, count, first) in enumerate(((Door(), LEARNED, 0), (Door(width=50), 2, LEARNED))):
        clock = Clock(wall_s=(BEGAN_MS + first * DAY_MS) / 1000)
        record = clock.record(tmp_path, mb_a_day=1000)
        record.begin_run(RunRow(classifier="first" if model == "same" else f"model {number}"))
        for row in days(door, count, 200, chance, first):
            seconds = row.entered / 1000 - clock.wall_s
            if seconds > 1800:
                clock.forward(seconds)
                record.keep()
            record.add_passage(msgspec.structs.replace(row, id=row.id + record._events))
        record.close()
    found = [event["message"] for event in events.read(tmp_path) if event["event"] == "drift"]
    assert len(found) == (model == "same")
    assert len(record.findings) == (model == "same")


def test_no_detector_finds_small_changes_soon() -> None:
    """A normal signal whose mean moves by d deviations gives d squared over two nats with each passage."""
    assert least_delay("place_x", 0.12, 1000) == pytest.approx(math.log(len(SIGNALS) * 365_000) / 0.5)
    for signal in SIGNALS:
        slow, medium, quick = (least_delay(signal, change, 1000) for change in CHANGES)
        assert slow > medium > quick > 1
