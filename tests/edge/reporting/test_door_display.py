"""What the display at the door shows, and that a screen never holds up the loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from edge import config
from edge.contracts import CameraState, Change, Decision, Delivery, Health, Outcome, Passage, Signal, Step, Track
from edge.errors import OutputError
from edge.reporting.door_display import DARK, STALE_S, DoorDisplay, SignState
from tests.edge.parts import face, frame_of, texture, wait_for

FRAME = frame_of(texture(8, 8))
SETTINGS = config.load(None, {"display.device": "/dev/fb9"})
PLEASE, REMIND, THANKS, WAITING = (
    ("please", "Please wear your mask"),
    ("remind", "Please wear your mask"),
    ("thanks", "Thank you"),
    ("waiting", ""),
)


def step(signal: Signal = Signal.RUNNING, outcome: Outcome | None = None, people: int = 1, camera: str = "") -> Step:
    """A step with some people, in which one may have been decided."""
    tracks = tuple(Track(i, face(10.0 * i).box, 0.9, 0.0, 0.0, 0) for i in range(people))
    passage = Passage(1, outcome or Outcome.UNDECIDED, "", 3, False, 0, 0, 0, signal)
    decisions = (Decision(Change.DECIDED, passage, 1.0, camera),) if outcome else ()
    return Step(FRAME, True, True, (), tracks, {}, (), decisions, signal, {}, camera)


def state(**changed: Any) -> SignState:
    return SignState(config.load(None, {f"display.{key}": value for key, value in changed.items()}).display)


def test_red_during_an_alarm_green_after_a_mask_dark_when_no_one_is_there() -> None:
    signs = state(blank_s=20.0, show_s=3.0)
    assert signs.sign(0.0) == DARK
    signs.add(step(people=0), 1.0)
    assert signs.sign(1.0) == DARK
    signs.add(step(), 2.0)
    assert signs.sign(2.0) == WAITING
    signs.add(step(outcome=Outcome.COMPLIANT), 3.0)
    assert [signs.sign(at_s) for at_s in (3.0, 5.9, 6.0)] == [THANKS, THANKS, WAITING]
    signs.add(step(Signal.NO_MASK, Outcome.VIOLATION), 7.0)
    assert signs.sign(7.0) == PLEASE
    for at_s in range(8, 30):
        signs.add(step(people=0), float(at_s))
        assert signs.sign(float(at_s)) == (WAITING if at_s <= 27 else DARK)


def test_an_alarm_at_one_camera_wins_over_a_mask_at_another() -> None:
    signs = state()
    signs.add(step(Signal.INCORRECT_MASK, camera="in"), 1.0)
    signs.add(step(outcome=Outcome.COMPLIANT, camera="out"), 1.1)
    assert signs.sign(1.1) == PLEASE
    signs.lose("in")  # it has become blind, and says nothing about anyone
    assert signs.sign(1.2) == THANKS


def test_a_badly_worn_mask_that_only_reminds_is_amber_and_one_that_is_unsure_is_neutral() -> None:
    signs = state()
    signs.add(step(Signal.REMINDER, Outcome.VIOLATION), 1.0)
    assert signs.sign(1.0) == REMIND
    signs.add(step(Signal.UNSURE, Outcome.UNSURE), 2.0)
    assert signs.sign(2.0) == WAITING


def test_a_loop_that_hangs_leaves_no_sign() -> None:
    signs = state(blank_s=0.0)
    signs.add(step(Signal.NO_MASK), 1.0)
    assert signs.sign(1.0 + STALE_S) == PLEASE
    assert signs.sign(1.1 + STALE_S) == DARK


def test_without_blanking_the_neutral_sign_stays() -> None:
    signs = state(blank_s=0.0, waiting="Welcome")
    for at_s in range(1000):
        signs.add(step(people=0), float(at_s))
    assert signs.sign(1000.0) == ("waiting", "Welcome")


@dataclass
class FakeScreen:
    """Notes what it is asked to show. ``hang`` makes it wait until ``free``."""

    shown: list[tuple[str, str]] = field(default_factory=list)
    closed: bool = False
    fail: bool = False
    hang: bool = False
    free: threading.Event = field(default_factory=threading.Event)

    def show(self, kind: str, text: str) -> None:
        if self.hang:
            self.free.wait(20)
        if self.fail:
            raise OutputError("display.device: /dev/fb9: gone")
        self.shown.append((kind, text))

    def close(self) -> None:
        self.closed = True


def running(screens: list[FakeScreen], clock: Callable[[], float] = time.monotonic) -> DoorDisplay:
    display = DoorDisplay(clock, lambda settings: screens.pop(0))
    display.on_settings(SETTINGS)
    return display


def test_what_happens_is_shown_once_and_the_end_is_dark() -> None:
    screen = FakeScreen()
    with running([screen]) as display:
        for _ in range(5):
            display.on_step(step(Signal.NO_MASK), Delivery())
        wait_for(lambda: PLEASE in screen.shown)
        display.on_step(step(outcome=Outcome.COMPLIANT), Delivery())
        wait_for(lambda: THANKS in screen.shown)
        display.on_health(Health("", CameraState.LOST, 1.0, "unplugged"))
    assert [sign for sign in screen.shown if sign not in (DARK, WAITING)] == [PLEASE, THANKS]
    assert screen.closed


def test_a_screen_that_hangs_holds_up_neither_the_loop_nor_the_end() -> None:
    screen = FakeScreen(hang=True)
    with running([screen]) as display:
        began_s = time.monotonic()
        for _ in range(200):
            display.on_step(step(Signal.NO_MASK), Delivery())
        assert time.monotonic() - began_s < 2.0
    screen.free.set()


def test_a_screen_that_fails_is_reported_once_and_opened_again(caplog: pytest.LogCaptureFixture) -> None:
    broken, again, now_s = FakeScreen(fail=True), FakeScreen(), [0.0]
    with running([broken, again], lambda: now_s[0]) as display:
        display.on_step(step(Signal.NO_MASK), Delivery())
        wait_for(lambda: broken.closed)
        now_s[0] = 61.0
        display.on_step(step(Signal.NO_MASK), Delivery())
        wait_for(lambda: PLEASE in again.shown)
    assert [record.message for record in caplog.records] == [
        "display.device: /dev/fb9: gone; the door is watched without the display"
    ]


def test_a_reload_moves_to_another_screen_or_to_none() -> None:
    first, second = FakeScreen(), FakeScreen()
    with running([first, second]) as display:
        display.on_step(step(), Delivery())
        wait_for(lambda: first.shown)
        display.on_settings(config.load(None, {"display.device": "/dev/fb8"}))
        wait_for(lambda: first.closed and second.shown)
        display.on_settings(config.load())
        wait_for(lambda: second.closed)


def test_without_a_screen_there_is_no_thread() -> None:
    before = threading.active_count()
    with DoorDisplay(time.monotonic) as display:
        display.on_settings(config.load())
        display.on_step(step(), Delivery())
        assert threading.active_count() == before
