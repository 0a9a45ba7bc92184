"""The alert as a clock, on outputs that remember every state."""

from __future__ import annotations

from typing import Any

import pytest

from edge import config
from edge.alert import REST_S, Alert
from edge.drivers.console import ConsoleOutput


class Outputs:
    """An alert and its two outputs."""

    def __init__(self, **changed: Any) -> None:
        self.settings = config.load(None, {f"alert.{key}": value for key, value in changed.items()}).alert
        self.led, self.buzzer = ConsoleOutput("led", 17, True), ConsoleOutput("buzzer", 27, True)
        self.alert = Alert(self.settings, self.led, self.buzzer)

    @property
    def on(self) -> tuple[bool, bool]:
        return self.led.on, self.buzzer.on


def test_both_are_off_before_the_first_alarm() -> None:
    outputs = Outputs()
    outputs.alert.tick(0.0)
    assert outputs.on == (False, False)
    assert outputs.led.states == [False]


def test_an_alarm_lights_and_sounds_and_its_end_ends_both() -> None:
    outputs = Outputs()
    outputs.alert.renew(True, 1.0)
    assert outputs.on == (True, True)
    outputs.alert.renew(False, 1.1)
    assert outputs.on == (False, False)


def test_a_lease_that_nobody_renews_runs_out() -> None:
    outputs = Outputs(lease_s=1.0, beep_off_s=0.0)
    outputs.alert.renew(True, 1.0)
    outputs.alert.tick(1.99)
    assert outputs.on == (True, True)
    outputs.alert.tick(2.0)
    assert outputs.on == (False, False)


def test_the_buzzer_keeps_its_rhythm_while_the_lamp_stays_lit() -> None:
    outputs = Outputs(beep_on_s=0.3, beep_off_s=0.2)
    heard = []
    outputs.alert.renew(True, 5.0)
    for tenth in range(10):
        outputs.alert.renew(True, 5.05 + tenth / 10)
        heard.append(outputs.buzzer.on)
        assert outputs.led.on
    assert heard == [True, True, True, False, False] * 2


def test_renewing_does_not_begin_the_rhythm_anew() -> None:
    outputs = Outputs(beep_on_s=0.3, beep_off_s=0.3)
    outputs.alert.renew(True, 0.0)
    outputs.alert.renew(True, 0.4)
    assert outputs.on == (True, False)


def test_the_buzzer_falls_silent_after_its_longest_time_and_the_lamp_stays() -> None:
    outputs = Outputs(longest_s=3.0, beep_off_s=0.0)
    for tenth in range(29):
        outputs.alert.renew(True, tenth / 10)
    assert outputs.on == (True, True)
    for tenth in range(30, 60):
        outputs.alert.renew(True, tenth / 10)
        assert outputs.on == (True, False)


def test_after_an_end_the_next_alarm_sounds_in_full() -> None:
    outputs = Outputs(longest_s=1.0, beep_off_s=0.0)
    for tenth in range(20):
        outputs.alert.renew(True, tenth / 10)
    assert not outputs.buzzer.on
    outputs.alert.renew(False, 2.0)
    outputs.alert.renew(True, 2.0 + REST_S)
    assert outputs.on == (True, True)


def test_a_flickering_alarm_sounds_no_longer_than_a_steady_one() -> None:
    outputs = Outputs(longest_s=1.0, beep_off_s=0.0)
    for tenth in range(20):
        outputs.alert.renew(tenth % 5 != 4, tenth / 10)
    outputs.alert.renew(True, 2.0)
    assert outputs.on == (True, False)


def test_a_frame_older_than_the_last_tick_does_not_turn_time_back() -> None:
    """A step takes time, so its frame lies behind the ticking thread's clock: the rhythm must not stutter."""
    outputs = Outputs(beep_on_s=0.3, beep_off_s=0.3)
    outputs.alert.renew(True, 10.0)
    outputs.alert.tick(10.35)
    outputs.alert.renew(True, 10.2)
    assert outputs.on == (True, False)


def test_a_lease_renewed_late_is_as_long_as_any() -> None:
    outputs = Outputs(lease_s=1.0)
    outputs.alert.tick(10.0)
    outputs.alert.renew(True, 8.5)
    outputs.alert.tick(10.9)
    assert outputs.led.on
    outputs.alert.tick(11.1)
    assert outputs.on == (False, False)


def test_closed_is_off_for_good() -> None:
    outputs = Outputs()
    outputs.alert.renew(True, 0.0)
    outputs.alert.close()
    outputs.alert.renew(True, 0.1)
    outputs.alert.tick(0.2)
    assert outputs.on == (False, False)
    assert outputs.led.closed
    assert outputs.buzzer.closed


class Broken(ConsoleOutput):
    """An output whose wire has come off after it was made."""

    def set(self, on: bool) -> None:
        raise OSError("wire came off")


@pytest.mark.parametrize("way", ["renew", "close"])
def test_a_lamp_that_fails_does_not_leave_the_buzzer_sounding(way: str) -> None:
    outputs = Outputs(beep_off_s=0.0)
    buzzer = outputs.buzzer
    buzzer.set(True)
    alert = Alert(outputs.settings, Broken("led", 17, True), buzzer)
    with pytest.raises(OSError, match="wire came off"):
        alert.renew(False, 1.0) if way == "renew" else alert.close()
    assert not buzzer.on
