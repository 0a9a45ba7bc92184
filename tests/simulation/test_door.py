"""The whole line on people composed from labelled faces: everybody bare alarms, nobody well-masked does."""

from __future__ import annotations

import pytest

from converter.tables import read_boxes
from edge import config
from edge.contracts import Decision, Outcome
from edge.service import run as service
from edge.stages.alert import Alert
from simulation.clips import ComposedCamera, Person, choose
from tests.data_sets import DATA
from tests.edge.parts import RecordingOutput

BOXES = DATA / "boxes" / "boxes.csv"
PEOPLE = 6

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not BOXES.is_file(), reason=f"needs {BOXES}; set FMD_DATA to the folder of the data sets"),
]


def walk(people: list[Person]) -> tuple[list[Decision], list[bool]]:
    """Send people through the door; every decision, and every state the LED was in."""
    settings = config.load(None, {"alert.driver": "console"})
    led, buzzer = RecordingOutput("led", 17, True), RecordingOutput("buzzer", 27, True)
    pipeline = service.build_pipeline(settings, Alert(settings.alert, led, buzzer))
    camera = ComposedCamera(people)
    decisions: list[Decision] = []
    while (frame := camera.read()) is not None:
        decisions += pipeline.step(frame).decisions
    return decisions, led.states


def test_nobody_well_masked_raises_the_alarm() -> None:
    decisions, lamp = walk(choose(read_boxes(BOXES), "with_mask", PEOPLE, "test"))
    cleared = {d.passage.id for d in decisions if d.passage.outcome is Outcome.COMPLIANT}
    assert len(cleared) >= PEOPLE
    assert lamp == [False]


def test_everybody_bare_raises_it_once() -> None:
    decisions, lamp = walk(choose(read_boxes(BOXES), "without_mask", PEOPLE, "test"))
    held = [d.passage.id for d in decisions if d.passage.outcome is Outcome.VIOLATION and d.change.value == "decided"]
    assert len(set(held)) == len(held) == PEOPLE
    assert lamp == [False, *[True, False] * PEOPLE]


def test_clips_are_the_same_every_time() -> None:
    people = choose(read_boxes(BOXES), "with_mask", 1, "test")
    first, second = ComposedCamera(people), ComposedCamera(people)
    for _ in range(60):
        one, other = first.read(), second.read()
        assert one is not None
        assert other is not None
        assert (one.image == other.image).all()
