"""Live state: what each camera sees and shows now, for readers in other threads."""

from __future__ import annotations

import threading

import pytest

from edge import config
from edge.contracts import CameraState, Change, Decision, Delivery, Health, Outcome, Passage, Signal, Step
from edge.messages import DriftMessage
from edge.reporting.live_state import OFF, STATES, LiveState
from tests.edge.parts import frame_of, texture

FRAME = frame_of(texture(8, 8))


def step(signal: Signal = Signal.RUNNING, camera: str = "") -> Step:
    return Step(FRAME, True, True, (), (), {}, (), (), signal, {"watch": 0.5}, camera)


def decision(change: Change, outcome: Outcome, violated: bool = False, camera: str = "") -> Decision:
    passage = Passage(1, outcome, "with_mask", 3, violated, 0.0, 0.0, 1.0, Signal.RUNNING)
    return Decision(change, passage, 1.0, camera)


@pytest.fixture
def live() -> LiveState:
    return LiveState(lambda: 7.0)


def test_before_the_first_event_nothing_is_watched(live: LiveState) -> None:
    assert (live.state(""), live.door_state(), live.cameras(), live.healths()) == (OFF, OFF, [], [])
    assert live.latest("") is None


def test_a_step_sets_the_state_of_its_camera(live: LiveState) -> None:
    shown = step(Signal.INCORRECT_MASK)
    live.on_step(shown, Delivery())
    assert (live.state(""), live.latest("")) == ("incorrect_mask", shown)
    live.on_step(step(), Delivery())
    assert live.state("") == "running"


def test_the_door_has_the_most_urgent_state_of_its_cameras(live: LiveState) -> None:
    for camera, signal in (("in", Signal.UNSURE), ("out", Signal.NO_MASK), ("yard", Signal.RUNNING)):
        live.on_step(step(signal, camera), Delivery())
    assert live.door_state() == "no_mask"
    live.close("out")
    assert (live.state("out"), live.door_state()) == (OFF, "unsure")
    live.forget("in")
    assert (live.cameras(), live.door_state()) == (["out", "yard"], "running")
    assert list(live.counters()) == ["out", "yard"]


def test_states_are_ordered_by_urgency() -> None:
    assert STATES == ("off", "running", "unsure", "reminder", "disarmed", "blind", "incorrect_mask", "no_mask")


def test_a_blind_camera_is_blind_until_it_streams_again(live: LiveState) -> None:
    live.on_step(step(), Delivery())
    live.on_health(Health("", CameraState.DARK, 1.0, "covered"))
    assert live.state("") == "blind"
    live.on_step(step(), Delivery())
    assert live.state("") == "blind"
    live.on_health(Health("", CameraState.STREAMING, 2.0))
    live.on_step(step(), Delivery())
    assert live.state("") == "running"
    assert [health.state for health in live.healths()] == [CameraState.STREAMING]


def test_a_covered_lens_does_not_hide_an_alarm(live: LiveState) -> None:
    live.on_health(Health("", CameraState.DARK, 1.0, "covered"))
    live.on_step(step(Signal.NO_MASK), Delivery())
    assert live.state("") == "no_mask"


def test_counters_are_copies(live: LiveState) -> None:
    live.on_step(step(), Delivery(dropped=2, late_s=0.07))
    before = live.counters()[""]
    live.on_step(step(), Delivery(dropped=5, late_s=0.07))
    after = live.counters()[""]
    assert (before.frames, before.dropped, before.stage_s) == (1, 2, {"watch": 0.5})
    assert (after.frames, after.dropped, after.stage_s, after.frame_s) == (2, 5, {"watch": 1.0}, 7.0)
    assert after.late[0.1] == 2


def test_a_passage_counts_once_by_how_it_ended(live: LiveState) -> None:
    live.on_decision(decision(Change.DECIDED, Outcome.COMPLIANT))
    live.on_decision(decision(Change.LEFT, Outcome.COMPLIANT))
    live.on_decision(decision(Change.LEFT, Outcome.COMPLIANT, violated=True))
    counters = live.counters()[""]
    assert (counters.decisions, counters.passages) == ({"compliant": 1}, {"compliant": 1, "violated": 1})


def test_a_reader_in_another_thread_never_sees_half_an_event(live: LiveState) -> None:
    """Frames and stage times grow together."""
    done, wrong = threading.Event(), list[tuple[int, float]]()

    def read() -> None:
        while not done.is_set():
            for counters in live.counters().values():
                if counters.frames * 0.5 != counters.stage_s.get("watch", 0.0):
                    wrong.append((counters.frames, counters.stage_s["watch"]))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(3000):
        live.on_step(step(), Delivery())
    done.set()
    reader.join()
    assert wrong == []


def test_a_reload_starts_the_cameras_again_and_keeps_the_counters(live: LiveState) -> None:
    live.on_health(Health("", CameraState.STREAMING, 1.0))
    live.on_step(step(Signal.NO_MASK), Delivery())
    live.on_settings(config.load())
    assert (live.healths(), live.latest("")) == ([], None)
    assert (live.state(""), live.counters()[""].frames) == ("no_mask", 1)


def test_what_is_reported_about_a_camera_goes_with_it(live: LiveState) -> None:
    live.on_health(Health("yard", CameraState.FROZEN, 1.0))
    live.on_hint("yard", "turn", "upside down")
    live.on_hint("yard", "size", "")
    live.on_drift("yard", DriftMessage(changed=True))
    assert live.counters()["yard"].state is CameraState.FROZEN
    assert live.hinted() == {("yard", "turn"): True, ("yard", "size"): False}
    assert live.drifts() == {"yard": DriftMessage(changed=True)}
    live.on_settings(config.load())
    live.forget("yard")
    assert (live.hinted(), live.drifts(), live.counters()) == ({}, {}, {})
