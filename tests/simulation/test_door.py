"""The whole pipeline on composed clips: every person without a mask raises the alarm, no person with a mask does."""

from __future__ import annotations

import pytest

from converter.tables import read_boxes
from edge import config
from edge.contracts import Decision, Outcome
from edge.service import run as service
from edge.stages.alert import Alert
from simulation.clips import ClipPerson, ComposedCamera, choose
from simulation.outputs import RecordingOutput
from tests.data_sets import DATA

BOXES = DATA / "boxes" / "boxes.csv"
PEOPLE = 6

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not BOXES.is_file(), reason=f"needs {BOXES}; set FMD_DATA to the folder of the data sets"),
]


def walk(people: list[ClipPerson]) -> tuple[list[Decision], list[bool]]:
    """Send people through the door; return every decision, and every state of the LED."""
    settings = config.load(None, {"alert.driver": "console"})
    led, buzzer = RecordingOutput("led", 17, True), RecordingOutput("buzzer", 27, True)
    pipeline = service.build_pipeline(settings, Alert(settings.alert, led, buzzer))
    camera = ComposedCamera(people)
    decisions: list[Decision] = []
    while (frame := camera.read()) is not None:
        decisions += pipeline.step(frame).decisions
    return decisions, led.states


def test_no_person_with_a_mask_raises_the_alarm() -> None:
    decisions, led = walk(choose(read_boxes(BOXES), "with_mask", PEOPLE, "test"))
    cleared = {d.passage.id for d in decisions if d.passage.outcome is Outcome.COMPLIANT}
    assert len(cleared) >= PEOPLE
    assert led == [False]


def test_every_person_without_a_mask_raises_the_alarm_once() -> None:
    decisions, led = walk(choose(read_boxes(BOXES), "without_mask", PEOPLE, "test"))
    violations = [
        d.passage.id for d in decisions if d.passage.outcome is Outcome.VIOLATION and d.change.value == "decided"
    ]
    assert len(set(violations)) == len(violations) == PEOPLE
    assert led == [False, *[True, False] * PEOPLE]


def test_clips_are_the_same_every_time() -> None:
    people = choose(read_boxes(BOXES), "with_mask", 1, "test")
    first, second = ComposedCamera(people), ComposedCamera(people)
    for _ in range(60):
        one, other = first.read(), second.read()
        assert one is not None
        assert other is not None
        assert (one.image == other.image).all()
