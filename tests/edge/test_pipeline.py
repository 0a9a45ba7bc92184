"""One step end to end: real stages around a detector and a classifier whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from edge import config
from edge.config import Settings
from edge.contracts import Box, Change, Face, Frame, Observation, Outcome, Signal, View
from edge.pipeline import Pipeline
from edge.stages.alert import Alert
from edge.stages.regions import Regions
from edge.stages.static import StaticFaces
from simulation.outputs import RecordingOutput
from tests.edge.parts import (
    BARE,
    MASKED,
    classifier_of,
    detector_of,
    face,
    frame_of,
    pipeline_of,
    texture,
)

STILL = texture(128, 128)


class Rig:
    """A pipeline on console outputs, fed at 10 frames a second."""

    def __init__(self, stages: dict[str, Any] | None = None, **changed: Any) -> None:
        self.settings = config.load(None, {key.replace("__", "."): value for key, value in changed.items()})
        self.led, self.buzzer = RecordingOutput("led", 17, True), RecordingOutput("buzzer", 27, True)
        self.alert = Alert(self.settings.alert, self.led, self.buzzer)
        self.pipeline: Pipeline = pipeline_of(self.settings, self.alert, **(stages or {}))
        self.frames = 0

    def step(self) -> Any:
        self.frames += 1
        return self.pipeline.step(frame_of(STILL, self.frames / 10, self.frames))


def test_a_bare_face_goes_all_the_way_from_pixels_to_pins() -> None:
    rig = Rig()
    steps = [rig.step() for _ in range(6)]
    last = [step for step in steps if step.detected][-1]
    assert [t.id for t in last.tracks] == [1]
    assert last.faces[0].box == pytest.approx(Box(40, 40, 88, 88), abs=1e-3)
    assert last.passages[0].outcome is Outcome.VIOLATION
    assert [d.passage.outcome for s in steps for d in s.decisions] == [Outcome.VIOLATION]
    assert last.alarm
    assert rig.led.states == [False, True]
    assert rig.buzzer.states[:2] == [False, True]
    assert list(last.timings_s) == ["watch", "detect", "track", "classify", "decide", "alert"]


def test_a_masked_face_leaves_the_pins_alone() -> None:
    rig = Rig({"classifier": classifier_of(MASKED)})
    steps = [rig.step() for _ in range(20)]
    assert steps[-1].passages[0].outcome is Outcome.COMPLIANT
    assert not any(step.alarm for step in steps)
    assert rig.led.states == rig.buzzer.states == [False]


def test_an_empty_still_view_sleeps_and_costs_one_stage_and_the_alert() -> None:
    rig = Rig({"detector": detector_of([])}, watch__awake_s=0.0, watch__recheck_s=1000.0)
    rig.step()
    step = rig.step()
    assert not step.awake
    assert list(step.timings_s) == ["watch", "alert"]
    assert (step.faces, step.tracks, step.passages, step.decisions, step.alarm) == ((), (), (), (), False)


def test_somebody_tracked_is_never_slept_away() -> None:
    rig = Rig(watch__awake_s=0.0, watch__recheck_s=1000.0)
    assert all(rig.step().awake for _ in range(50))


def test_everybody_leaves_and_the_alarm_ends_when_the_source_does() -> None:
    rig = Rig()
    for _ in range(6):
        rig.step()
    (left,) = rig.pipeline.finish(0.7)
    assert (left.passage.outcome, left.at_s) == (Outcome.VIOLATION, 0.7)
    assert not rig.led.on
    assert not rig.buzzer.on


LOWER_RIGHT = [(0.6, 0.6), (1.0, 0.6), (1.0, 1.0), (0.6, 1.0)]
MIDDLE = [(0.4, 0.4), (0.6, 0.4), (0.6, 0.6), (0.4, 0.6)]


def test_a_face_in_an_ignored_region_is_nobody_and_stays_in_the_step_to_be_blurred() -> None:
    rig = Rig({"regions": Regions(ignore=[MIDDLE])})
    steps = [rig.step() for _ in range(8)]
    assert not any(step.alarm or step.tracks or step.faces for step in steps)
    assert [face.box for face in steps[0].ignored] == [pytest.approx(Box(40, 40, 88, 88), abs=1e-3)]
    assert rig.led.states == [False]
    beside = Rig({"regions": Regions(ignore=[LOWER_RIGHT])})
    assert [beside.step() for _ in range(8)][-1].alarm


def test_a_face_that_never_moves_alarms_until_it_is_a_picture() -> None:
    rig = Rig({"static": StaticFaces(10.0)}, watch__still_s=0.3)
    steps = [rig.step() for _ in range(160)]
    decisions = [(decision.change, decision.at_s) for step in steps for decision in step.decisions]
    assert [change for change, _ in decisions] == [Change.DECIDED, Change.PICTURE]
    assert 10.0 <= decisions[1][1] <= 11.0
    found = next(step for step in steps if step.pictures)
    assert (found.tracks, found.alarm, [track.id for track in found.pictures]) == ((), False, [1])
    assert not any(step.alarm for step in steps[steps.index(found) :])
    assert not rig.led.on
    # The picture alone lets the detector rest as an empty doorway does, and is known again each time.
    assert sum(step.detected for step in steps[steps.index(found) + 15 :]) <= 2
    assert [bool(step.pictures) for step in steps if step.detected][-1]


class Looks:
    """A classifier that takes note of whom it looks at."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.mirrored: list[bool] = []
        self.probabilities = MASKED

    def classify(self, frame: Frame, looks: Sequence[View]) -> list[Observation]:
        self.at += [round(face.box.centre[0]) for face, _ in looks]
        self.mirrored += [mirrored for _, mirrored in looks]
        return [Observation(self.probabilities, 1.0) for _ in looks]


def test_a_face_is_looked_at_no_more_often_than_the_settings_say() -> None:
    looks = Looks()
    rig = Rig({"classifier": looks}, classify__every_s=0.3, classify__settled_s=0.0, watch__gate=False)
    for _ in range(10):  # frames 1, 4, 7 and 10
        rig.step()
    assert len(looks.at) == 4


def test_somebody_decided_is_looked_at_more_rarely_and_so_is_a_view_that_stays_as_it_is() -> None:
    looks = Looks()
    rig = Rig({"classifier": looks}, classify__settled_s=0.5, watch__gate=False)
    steps = [rig.step() for _ in range(33)]  # decided at the third look
    assert len(looks.at) == 3 + 6
    assert all(step.detected for step in steps)
    rig = Rig({"classifier": looks}, watch__still_s=1.0)
    steps = [rig.step() for _ in range(33)]
    assert [step.detected for step in steps] == [True] * 3 + ([False] * 9 + [True]) * 3
    assert all(len(step.tracks) == 1 and not step.tracks[0].missed and step.passages for step in steps)


def test_every_other_look_at_a_person_is_at_the_mirror_image() -> None:
    looks = Looks()
    two = detector_of([face(16, 32, 13), face(48, 32, 13)])
    rig = Rig({"classifier": looks, "detector": two}, classify__settled_s=0.0, watch__gate=False)
    for _ in range(4):
        rig.step()
    by_person = [[m for at, m in zip(looks.at, looks.mirrored, strict=True) if at == x] for x in sorted(set(looks.at))]
    assert by_person == [[False, True, False, True]] * 2


def test_somebody_in_doubt_is_looked_at_often_again() -> None:
    looks = Looks()
    rig = Rig({"classifier": looks}, classify__settled_s=0.5, watch__gate=False)
    for _ in range(10):
        rig.step()
    looks.probabilities = BARE
    steps = [rig.step() for _ in range(15)]
    assert steps[-1].passages[0].outcome is Outcome.VIOLATION


def test_who_waited_longest_is_looked_at_first() -> None:
    """Three people, one look a frame: they take turns."""
    looks = Looks()
    three = detector_of([face(12, 32, 13), face(32, 32, 13), face(52, 32, 13)])
    rig = Rig({"classifier": looks, "detector": three}, classify__at_once=1, classify__every_s=0.0)
    for _ in range(6):
        rig.step()
    assert sorted(looks.at[:3]) == [24, 64, 104]
    assert looks.at[3:] == looks.at[:3]


class Blinking:
    """A detector that sees a face in every other frame."""

    def detect(self, frame: Frame) -> tuple[Face, ...]:
        return (face(64, 64),) if frame.index % 2 else ()


def test_a_person_whose_face_is_not_in_the_frame_is_kept_but_not_looked_at() -> None:
    looks = Looks()
    rig = Rig({"classifier": looks, "detector": Blinking()}, classify__every_s=0.0)
    assert [len(rig.step().tracks) for _ in range(4)] == [1, 1, 1, 1]
    assert len(looks.at) == 2


class Failing:
    """Any stage: whatever is called on it raises."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def fail(*arguments: Any, **more: Any) -> Any:
            raise RuntimeError("stage broke")

        return fail


@pytest.mark.parametrize("stage", ["watch", "detector", "tracker", "classifier", "decider"])
def test_a_stage_that_breaks_is_not_hidden(stage: str) -> None:
    rig = Rig({stage: Failing()})
    with pytest.raises(RuntimeError, match="stage broke"):
        rig.step()


def test_timings_are_what_the_stopwatch_says(settings: Settings) -> None:
    ticks = iter(range(100))
    rig = Rig()
    pipeline = pipeline_of(settings, rig.alert, stopwatch=lambda: float(next(ticks)))
    assert set(pipeline.step(frame_of(STILL)).timings_s.values()) == {1.0}


SLOPPY = {"with_mask": 0.02, "without_mask": 0.03, "with_incorrect_mask": 0.95}
UNCLEAR = {"with_mask": 0.5, "without_mask": 0.5, "with_incorrect_mask": 0.0}


@pytest.mark.parametrize(
    ("probabilities", "changed", "signal"),
    [
        (MASKED, {}, Signal.RUNNING),
        (BARE, {}, Signal.NO_MASK),
        (SLOPPY, {}, Signal.INCORRECT_MASK),
        (SLOPPY, {"decide__on_incorrect": "signal"}, Signal.REMINDER),
        (SLOPPY, {"decide__on_incorrect": "admit"}, Signal.RUNNING),
        (UNCLEAR, {}, Signal.UNSURE),
        (UNCLEAR, {"decide__on_unsure": "alarm"}, Signal.NO_MASK),
        (UNCLEAR, {"decide__on_unsure": "admit"}, Signal.RUNNING),
    ],
)
def test_each_outcome_reaches_the_lamp_as_its_own_signal(
    probabilities: dict[str, float], changed: dict[str, str], signal: Signal
) -> None:
    rig = Rig({"classifier": classifier_of(probabilities)}, **changed)
    step = [rig.step() for _ in range(45)][-1]
    assert step.signal is signal
    assert step.alarm is signal.alarming
    assert (True in rig.led.states) is (signal is not Signal.RUNNING)


@pytest.mark.parametrize(
    ("probabilities", "changed", "opened"),
    [
        (MASKED, {}, True),
        (SLOPPY, {"decide__on_incorrect": "signal"}, False),
        (SLOPPY, {"decide__on_incorrect": "admit"}, True),
        (UNCLEAR, {}, False),
        (UNCLEAR, {"decide__on_unsure": "admit"}, True),
    ],
)
def test_being_let_in_opens_the_strike_once(
    probabilities: dict[str, float], changed: dict[str, str], opened: bool
) -> None:
    rig = Rig(alert__relay="strike", alert__strike_s=1.0, **changed)
    relay = RecordingOutput("relay", 22, True)
    alert = Alert(rig.settings.alert, None, None, relay)
    rig.pipeline = pipeline_of(rig.settings, alert, classifier=classifier_of(probabilities))
    for _ in range(60):
        rig.step()
    assert relay.states == ([False, True, False] if opened else [False])


def test_disarmed_a_person_without_a_mask_leads_to_nothing_until_it_is_armed() -> None:
    rig = Rig(alert__led_disarmed=[0.1, 60.0])
    rig.alert.switch(armed=False, muted=False)
    steps = [rig.step() for _ in range(30)]
    assert {step.signal for step in steps} == {Signal.DISARMED}
    assert not any(step.decisions or step.alarm for step in steps)
    assert rig.buzzer.states == [False]
    assert not rig.led.on
    rig.alert.switch(armed=True, muted=False)
    step = rig.step()
    assert step.alarm
    assert [decision.change for decision in step.decisions] == [Change.DECIDED]
    assert (rig.led.on, rig.buzzer.on) == (True, True)


def test_disarmed_an_empty_view_shows_it_too() -> None:
    rig = Rig({"detector": detector_of([])}, watch__awake_s=0.0, watch__recheck_s=1000.0)
    rig.alert.switch(armed=False, muted=False)
    assert [rig.step().signal for _ in range(3)] == [Signal.DISARMED] * 3


class ByPlace:
    """A classifier that knows two people by their place."""

    def __init__(self, left: dict[str, float] | None = None, right: dict[str, float] | None = None) -> None:
        self.left, self.right = left or dict(BARE), right or SLOPPY

    def classify(self, frame: Frame, views: Sequence[View]) -> list[Observation]:
        return [Observation(self.left if view.face.box.centre[0] < 64 else self.right, 1.0) for view in views]


class Growing:
    """A detector that finds the left person in every frame, and the right one from the 21st on."""

    def detect(self, frame: Frame) -> tuple[Face, ...]:
        return (face(32, 64), face(96, 64))[: 1 + (frame.index > 20)]


@pytest.mark.parametrize(("on_incorrect", "sounds"), [("alarm", True), ("signal", False)])
def test_only_people_whose_signal_is_as_alarming_as_the_shown_one_are_offenders(
    on_incorrect: str, sounds: bool
) -> None:
    """A buzzer that fell silent sounds again for a new offender: a second alarm is one, a reminder is none."""
    changed = {"alert__longest_s": 1.0, "alert__buzzer_no_mask": [1.0], "decide__on_incorrect": on_incorrect}
    rig = Rig({"detector": Growing(), "classifier": ByPlace()}, **changed)
    for _ in range(20):
        rig.step()
    assert rig.buzzer.states == [False, True, False]
    steps = [rig.step() for _ in range(25)]
    signals = {passage.signal for passage in steps[-1].passages}
    assert signals == {Signal.NO_MASK, Signal.INCORRECT_MASK if sounds else Signal.REMINDER}
    assert rig.buzzer.states == [False, True, False, *([True, False] if sounds else [])]


@pytest.mark.parametrize(("right", "sounds"), [("badly worn", True), ("masked", False)])
def test_people_with_a_reminder_are_offenders_while_no_alarm_is_shown(right: str, sounds: bool) -> None:
    """The buzzer of a reminder falls silent too, and sounds again only for the next person who gets one."""
    changed = {"alert__longest_s": 1.0, "alert__buzzer_incorrect": [1.0], "decide__on_incorrect": "signal"}
    classifier = ByPlace(SLOPPY, SLOPPY if sounds else dict(MASKED))
    rig = Rig({"detector": Growing(), "classifier": classifier}, **changed)
    for _ in range(20):
        rig.step()
    assert rig.buzzer.states == [False, True, False]
    for _ in range(25):
        rig.step()
    assert rig.buzzer.states == [False, True, False, *([True, False] if sounds else [])]


class Leaving:
    """A detector that finds a person in the first 40 frames."""

    def detect(self, frame: Frame) -> tuple[Face, ...]:
        return (face(64, 64),) if frame.index <= 40 else ()


def test_a_cleared_person_who_leaves_does_not_open_the_strike_again() -> None:
    rig = Rig(alert__relay="strike", alert__strike_s=1.0, watch__gate=False)
    relay = RecordingOutput("relay", 22, True)
    alert = Alert(rig.settings.alert, None, None, relay)
    rig.pipeline = pipeline_of(rig.settings, alert, detector=Leaving(), classifier=classifier_of(MASKED))
    changes = [d.change for _ in range(100) for d in rig.step().decisions]
    assert changes == [Change.DECIDED, Change.LEFT]
    assert relay.states == [False, True, False]


@pytest.mark.parametrize(("width", "alarms"), [(18, False), (23, False), (25, True)])
def test_a_face_below_the_minimum_raises_no_alarm_and_is_reported_all_the_same(width: float, alarms: bool) -> None:
    """The detector of the rig works on half the size of the frame."""
    rig = Rig({"detector": detector_of([face(32, 32, width / 2)])})
    steps = [rig.step() for _ in range(20)]
    assert any(step.alarm for step in steps) is alarms
    assert bool(steps[-1].tracks) is alarms
    # Recordings blur every face that was found, so the step must keep the small ones.
    assert len(steps[0].faces) == 1
