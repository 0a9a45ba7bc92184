"""Listeners: every event reaches every listener, in order, and the defaults do nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge import config
from edge.config import Settings
from edge.contracts import CameraState, Change, Decision, Delivery, Health, Outcome, Passage, Signal, Step
from edge.reporting.listener import Callbacks, Listener, Listeners, report_step
from tests.edge.parts import frame_of, texture

HEALTH = Health("", CameraState.LOST, 1.0, "unplugged")
PASSAGE = Passage(1, Outcome.VIOLATION, "without_mask", 5, True, 1.0, 2.0, 3.0, Signal.NO_MASK)
DECISIONS = (Decision(Change.DECIDED, PASSAGE, 2.0), Decision(Change.LEFT, PASSAGE, 2.0))
STEP = Step(frame_of(texture(8, 8)), True, True, (), (), {}, (), (), Signal.NO_MASK, {})


class Recording(Listener):
    """Writes what it hears, under its name, into a list that several share."""

    def __init__(self, name: str, heard: list[tuple[str, object]]) -> None:
        self._name, self._heard = name, heard

    def on_step(self, step: Step, delivery: Delivery) -> None:
        self._heard.append((self._name, (step, delivery)))

    def on_decision(self, decision: Decision) -> None:
        self._heard.append((self._name, decision))

    def on_health(self, health: Health) -> None:
        self._heard.append((self._name, health))

    def on_settings(self, settings: Settings) -> None:
        self._heard.append((self._name, settings))


def test_every_listener_hears_everything_in_order() -> None:
    heard: list[tuple[str, object]] = []
    both = Listeners([Recording("first", heard), Recording("second", heard)])
    settings, delivery = config.load(), Delivery(3, 0.1)
    both.on_settings(settings)
    both.on_health(HEALTH)
    both.on_step(STEP, delivery)
    both.on_decision(DECISIONS[0])
    expected = [settings, HEALTH, (STEP, delivery), DECISIONS[0]]
    assert heard == [(name, event) for event in expected for name in ("first", "second")]


def test_a_steps_decisions_are_reported_before_it() -> None:
    heard: list[tuple[str, object]] = []
    step, delivery = replace(STEP, decisions=DECISIONS), Delivery()
    report_step(Listeners([Recording("one", heard)]), step, delivery)
    assert [event for _, event in heard] == [*DECISIONS, (step, delivery)]


def test_listeners_inside_listeners_hear_each_decision_once() -> None:
    heard: list[tuple[str, object]] = []
    step, delivery = replace(STEP, decisions=DECISIONS), Delivery()
    report_step(Listeners([Listeners([Recording("inner", heard)]), Recording("outer", heard)]), step, delivery)
    for name in ("inner", "outer"):
        assert [event for who, event in heard if who == name] == [*DECISIONS, (step, delivery)]


def test_a_listener_may_override_nothing() -> None:
    class Deaf(Listener):
        pass

    deaf = Deaf()
    deaf.on_step(STEP, Delivery())
    deaf.on_decision(DECISIONS[0])
    deaf.on_health(HEALTH)
    deaf.on_settings(config.load())


def test_what_a_listener_raises_is_raised() -> None:
    def on_step(step: Step) -> None:
        raise RuntimeError("full")

    with pytest.raises(RuntimeError, match="full"):
        Listeners([Callbacks(on_step)]).on_step(STEP, Delivery())


def test_functions_become_a_listener() -> None:
    heard: list[object] = []
    listener = Callbacks(heard.append, heard.append, heard.append)
    listener.on_step(STEP, Delivery())
    listener.on_decision(DECISIONS[0])
    listener.on_health(HEALTH)
    assert heard == [STEP, DECISIONS[0], HEALTH]
    nothing = Callbacks()
    nothing.on_step(STEP, Delivery())
    nothing.on_decision(DECISIONS[0])
    nothing.on_health(HEALTH)
