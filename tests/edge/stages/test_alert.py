"""The alert with simulated time, on outputs that record every state."""

from __future__ import annotations

from typing import Any

import pytest

from edge import config
from edge.contracts import Signal
from edge.drivers.console import ConsoleOutput
from edge.errors import ControlError, OutputError
from edge.stages.alert import BUZZER_REST_S, RETRY_S, TEST_S, Alert, OptionalOutput, lit
from simulation.outputs import RecordingOutput


class Outputs:
    """An alert and its outputs."""

    def __init__(self, **changed: Any) -> None:
        self.settings = config.load(None, {f"alert.{key}": value for key, value in changed.items()}).alert
        self.led, self.buzzer = RecordingOutput("led", 17, True), RecordingOutput("buzzer", 27, True)
        self.relay, self.heartbeat = RecordingOutput("relay", 22, True), RecordingOutput("heartbeat", 23, True)
        self.voice = RecordingOutput("voice", "", True)
        self.alert = Alert(self.settings, self.led, self.buzzer, self.relay, self.heartbeat, self.voice)

    @property
    def on(self) -> tuple[bool, bool]:
        return self.led.on, self.buzzer.on

    def all(self) -> list[RecordingOutput]:
        return [self.led, self.buzzer, self.relay, self.heartbeat, self.voice]


def test_both_are_off_before_the_first_alarm() -> None:
    outputs = Outputs()
    outputs.alert.tick(0.0)
    assert outputs.on == (False, False)
    assert outputs.led.states == [False]


def test_an_alarm_lights_and_sounds_and_its_end_ends_both() -> None:
    outputs = Outputs()
    outputs.alert.renew(Signal.NO_MASK, 1.0)
    assert outputs.on == (True, True)
    outputs.alert.renew(Signal.RUNNING, 1.1)
    assert outputs.on == (False, False)


def test_a_lease_ends_when_no_frame_renews_it() -> None:
    outputs = Outputs(lease_s=1.0, buzzer_no_mask=[1.0])
    outputs.alert.renew(Signal.NO_MASK, 1.0)
    outputs.alert.tick(1.99)
    assert outputs.on == (True, True)
    outputs.alert.tick(2.0)
    assert outputs.on == (False, False)


def test_the_buzzer_keeps_its_rhythm_while_the_lamp_stays_lit() -> None:
    outputs = Outputs(buzzer_no_mask=[0.3, 0.2])
    heard = []
    outputs.alert.renew(Signal.NO_MASK, 5.0)
    for tenth in range(10):
        outputs.alert.renew(Signal.NO_MASK, 5.05 + tenth / 10)
        heard.append(outputs.buzzer.on)
        assert outputs.led.on
    assert heard == [True, True, True, False, False] * 2


def test_renewing_does_not_restart_the_rhythm() -> None:
    outputs = Outputs(buzzer_no_mask=[0.3, 0.3])
    outputs.alert.renew(Signal.NO_MASK, 0.0)
    outputs.alert.renew(Signal.NO_MASK, 0.4)
    assert outputs.on == (True, False)


def test_the_buzzer_falls_silent_after_its_longest_time_and_the_lamp_stays() -> None:
    outputs = Outputs(longest_s=3.0, buzzer_no_mask=[1.0])
    for tenth in range(29):
        outputs.alert.renew(Signal.NO_MASK, tenth / 10)
    assert outputs.on == (True, True)
    for tenth in range(30, 60):
        outputs.alert.renew(Signal.NO_MASK, tenth / 10)
        assert outputs.on == (True, False)


def test_after_an_end_the_next_alarm_sounds_in_full() -> None:
    outputs = Outputs(longest_s=1.0, buzzer_no_mask=[1.0])
    for tenth in range(20):
        outputs.alert.renew(Signal.NO_MASK, tenth / 10)
    assert not outputs.buzzer.on
    outputs.alert.renew(Signal.RUNNING, 2.0)
    outputs.alert.renew(Signal.NO_MASK, 2.0 + BUZZER_REST_S)
    assert outputs.on == (True, True)


def test_a_flickering_alarm_sounds_no_longer_than_a_steady_one() -> None:
    outputs = Outputs(longest_s=1.0, buzzer_no_mask=[1.0])
    for tenth in range(20):
        outputs.alert.renew(Signal.RUNNING if tenth % 5 == 4 else Signal.NO_MASK, tenth / 10)
    outputs.alert.renew(Signal.NO_MASK, 2.0)
    assert outputs.on == (True, False)


def test_a_frame_older_than_the_last_tick_does_not_turn_time_back() -> None:
    """A step takes time, so its frame is behind the ticking thread's clock: the rhythm must not stutter."""
    outputs = Outputs(buzzer_no_mask=[0.3, 0.3])
    outputs.alert.renew(Signal.NO_MASK, 10.0)
    outputs.alert.tick(10.35)
    outputs.alert.renew(Signal.NO_MASK, 10.2)
    assert outputs.on == (True, False)


def test_a_lease_renewed_late_is_as_long_as_any() -> None:
    outputs = Outputs(lease_s=1.0)
    outputs.alert.tick(10.0)
    outputs.alert.renew(Signal.NO_MASK, 8.5)
    outputs.alert.tick(10.9)
    assert outputs.led.on
    outputs.alert.tick(11.1)
    assert outputs.on == (False, False)


def test_closed_is_off_for_good() -> None:
    outputs = Outputs()
    outputs.alert.renew(Signal.NO_MASK, 0.0)
    outputs.alert.close()
    outputs.alert.renew(Signal.NO_MASK, 0.1)
    outputs.alert.tick(0.2)
    assert outputs.on == (False, False)
    assert outputs.led.closed
    assert outputs.buzzer.closed


class Broken(ConsoleOutput):
    """An output whose wire came off after it was opened."""

    def set(self, on: bool) -> None:
        raise OSError("wire came off")


@pytest.mark.parametrize("way", ["renew", "close"])
def test_a_lamp_that_fails_does_not_leave_the_buzzer_sounding(way: str) -> None:
    outputs = Outputs(buzzer_no_mask=[1.0])
    buzzer = outputs.buzzer
    buzzer.set(True)
    alert = Alert(outputs.settings, Broken("led", 17, True), buzzer)
    with pytest.raises(OSError, match="wire came off"):
        alert.renew(Signal.RUNNING, 1.0) if way == "renew" else alert.close()
    assert not buzzer.on


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ([], "...................."),
        ([1.0], "####################"),
        ([0.5, 0.5], "#####.....#####....."),
        ([0.1, 0.2, 0.1, 0.6], "#..#......#..#......"),
        ([0.3, 0.1, 0.1], "###.####.####.####.#"),
    ],
)
def test_a_pattern_is_seconds_on_and_off_over_again(pattern: list[float], expected: str) -> None:
    assert "".join("#" if lit(pattern, tenth / 10 + 0.05) else "." for tenth in range(20)) == expected


@pytest.mark.parametrize("signal", [signal for signal in Signal if signal is not Signal.DISARMED])
def test_each_signal_is_its_pattern_on_lamp_and_buzzer(signal: Signal) -> None:
    outputs = Outputs(led_running=[0.2, 0.4], buzzer_running=[0.1, 0.4], buzzer_blind=[0.2, 1.0])
    name = signal.pattern
    for tick in range(60):
        now_s = 10 + tick * 0.05
        outputs.alert.renew(signal, now_s)
        assert outputs.led.on is lit(getattr(outputs.settings, f"led_{name}"), now_s - 10)
        if signal is not Signal.RUNNING:
            assert outputs.buzzer.on is lit(getattr(outputs.settings, f"buzzer_{name}"), now_s - 10)


def test_hold_extends_the_lease_of_a_camera_that_waits_but_does_not_restore_an_ended_one() -> None:
    outputs = Outputs(led_no_mask=[1.0], lease_s=1.0)
    outputs.alert.renew(Signal.RUNNING, 0.0, camera="in")
    outputs.alert.renew(Signal.NO_MASK, 0.0, [1], camera="out")
    outputs.alert.hold(0.4, "out")
    outputs.alert.tick(1.35)
    assert outputs.led.on
    assert not outputs.heartbeat.states[-1]  # the other one was not held
    outputs.alert.tick(1.45)
    assert not outputs.led.on
    outputs.alert.hold(2.0, "out")
    outputs.alert.hold(2.0, "nobody")
    assert not outputs.led.on


def renewed_every(wait_s: float, times: int, signal: Signal = Signal.NO_MASK, **changed: Any) -> tuple[Outputs, float]:
    """Return outputs of a loop that renews ``times`` times, every ``wait_s``, and the time of the last renewal."""
    outputs = Outputs(led_no_mask=[1.0], buzzer_no_mask=[1.0], led_blind=[1.0], **changed)
    now_s = 0.0
    for _ in range(times):
        for tick in range(round(wait_s / 0.05)):
            outputs.alert.tick(now_s + tick * 0.05)
        now_s += wait_s
        outputs.alert.renew(signal, now_s, [1])
    return outputs, now_s


@pytest.mark.parametrize("signal", [Signal.NO_MASK, Signal.BLIND])
def test_an_alarm_lasts_however_long_each_frame_takes(signal: Signal) -> None:
    outputs, _ = renewed_every(2.4, 10, signal, lease_s=1.0)
    assert outputs.led.states == [False, True, False, True]  # only the first wait is not known yet


def test_the_heartbeat_of_a_slow_loop_beats() -> None:
    outputs, now_s = renewed_every(2.0, 10, Signal.RUNNING, lease_s=1.0)
    beats = []
    for tick in range(30):
        outputs.alert.tick(now_s + tick * 0.05)
        beats.append(outputs.heartbeat.on)
    assert {True, False} == set(beats)


@pytest.mark.parametrize(("wait_s", "ends_s"), [(0.1, 1.0), (0.4, 1.0), (1.2, 2.4), (3.0, 5.0), (60.0, 5.0)])
def test_the_lease_of_a_loop_that_hangs_ends_on_every_board(wait_s: float, ends_s: float) -> None:
    outputs, now_s = renewed_every(wait_s, 4, lease_s=1.0)
    outputs.alert.tick(now_s + ends_s - 0.05)
    assert outputs.on == (True, True)
    outputs.alert.tick(now_s + ends_s + 0.01)
    assert outputs.on == (False, False)


def test_one_slow_frame_is_forgotten_after_some_minutes() -> None:
    outputs, now_s = renewed_every(4.0, 2, lease_s=1.0)
    for _ in range(1000):
        now_s += 0.1
        outputs.alert.renew(Signal.NO_MASK, now_s)
    outputs.alert.tick(now_s + 1.0)
    assert outputs.on == (False, False)


def test_a_blind_camera_that_waits_stays_blind_without_a_heartbeat() -> None:
    outputs = Outputs(led_blind=[1.0], led_running=[], lease_s=1.0)
    outputs.alert.renew(Signal.BLIND, 0.0, camera="in")
    outputs.alert.renew(Signal.RUNNING, 0.5, camera="in")
    outputs.alert.hold(0.9, "in")
    outputs.alert.tick(1.8)
    assert outputs.led.on
    assert not any(outputs.heartbeat.states)


def test_every_signal_has_its_own_pattern() -> None:
    settings = Outputs().settings
    names = {signal.pattern for signal in Signal}
    # A reminder shares the pattern of the alarm for the same thing.
    assert names == {"running", "unsure", "incorrect", "disarmed", "blind", "no_mask"}
    assert len({getattr(settings, f"led_{name}") for name in names}) == len(names)


@pytest.mark.parametrize(("signal", "alarm"), [(Signal.INCORRECT_MASK, True), (Signal.REMINDER, False)])
def test_a_reminder_has_neither_voice_nor_siren(signal: Signal, alarm: bool) -> None:
    outputs = Outputs(relay="siren")
    outputs.alert.renew(signal, 1.0, [1])
    assert outputs.led.on
    assert outputs.buzzer.on
    assert (outputs.relay.on, outputs.voice.on) == (alarm, alarm)


def test_the_buzzer_sounds_again_for_a_new_person_after_it_fell_silent() -> None:
    outputs = Outputs(longest_s=1.0, buzzer_no_mask=[1.0])
    for tenth in range(20):
        outputs.alert.renew(Signal.NO_MASK, tenth / 10, [1])
    assert outputs.on == (True, False)
    outputs.alert.renew(Signal.NO_MASK, 2.0, [1, 2])
    assert outputs.on == (True, True)
    outputs.alert.renew(Signal.NO_MASK, 3.1, [1, 2])
    assert outputs.on == (True, False)


def test_a_person_who_comes_and_goes_during_one_alarm_gets_no_more_than_the_longest_time() -> None:
    outputs = Outputs(longest_s=1.0, buzzer_no_mask=[1.0])
    for tenth in range(40):
        outputs.alert.renew(Signal.NO_MASK, tenth / 10, [1] if tenth % 3 else [])
    assert outputs.on == (True, False)


def test_a_buzzer_that_fell_silent_for_a_blind_camera_sounds_for_the_next_person_without_a_mask() -> None:
    outputs = Outputs(longest_s=1.0, buzzer_no_mask=[1.0], buzzer_blind=[1.0])
    for tenth in range(20):
        outputs.alert.renew(Signal.BLIND, tenth / 10)
    assert not outputs.buzzer.on
    outputs.alert.renew(Signal.NO_MASK, 2.0, [1])
    assert outputs.on == (True, True)


def test_the_heartbeat_beats_only_while_frames_pass_the_pipeline() -> None:
    outputs = Outputs()
    outputs.alert.tick(9.0)
    assert outputs.heartbeat.states == [False], "no frame has passed yet"
    for tick in range(120):
        outputs.alert.renew(Signal.RUNNING, 9.0 + tick * 0.05)
    assert outputs.heartbeat.states == [False, True] * 4 + [False]
    for tick in range(120, 200):
        outputs.alert.tick(9.0 + tick * 0.05)
    # The last lease ends 1 s after the last frame, so that at most one more beat starts and ends.
    assert len(outputs.heartbeat.states) <= 11
    assert not outputs.heartbeat.on


def test_a_blind_camera_shows_and_its_heartbeat_stops() -> None:
    outputs = Outputs()
    for tick in range(100):
        outputs.alert.renew(Signal.BLIND, tick * 0.05)
    assert outputs.heartbeat.states == [False]
    assert True in outputs.led.states


def test_the_heartbeat_needs_every_camera() -> None:
    outputs = Outputs()
    for tick in range(60):
        outputs.alert.renew(Signal.BLIND, tick * 0.05, camera="yard")
        outputs.alert.renew(Signal.RUNNING, tick * 0.05, camera="door")
    assert outputs.heartbeat.states == [False]
    for tick in range(60, 120):
        outputs.alert.renew(Signal.RUNNING, tick * 0.05, camera="yard")
        outputs.alert.renew(Signal.RUNNING, tick * 0.05, camera="door")
    assert True in outputs.heartbeat.states


def test_of_several_cameras_the_worst_is_shown() -> None:
    outputs = Outputs(buzzer_no_mask=[1.0])
    outputs.alert.renew(Signal.NO_MASK, 1.0, camera="door")
    outputs.alert.renew(Signal.RUNNING, 1.1, camera="yard")
    assert outputs.on == (True, True)
    outputs.alert.renew(Signal.RUNNING, 1.2, camera="door")
    assert outputs.on == (False, False)


def test_a_siren_relay_falls_silent_and_a_holding_one_does_not() -> None:
    for relay, at_last in (("siren", False), ("hold", True)):
        outputs = Outputs(longest_s=1.0, relay=relay)
        outputs.alert.renew(Signal.RUNNING, 0.0)
        assert not outputs.relay.on
        for tenth in range(20):
            outputs.alert.renew(Signal.INCORRECT_MASK, tenth / 10)
            assert outputs.relay.on is (at_last or tenth < 10)
        outputs.alert.tick(9.0)
        assert not outputs.relay.on


def test_a_strike_opens_for_its_time_when_a_person_is_cleared() -> None:
    outputs = Outputs(relay="strike", strike_s=2.0, lease_s=5.0)
    outputs.alert.renew(Signal.RUNNING, 0.0)
    assert not outputs.relay.on
    outputs.alert.renew(Signal.RUNNING, 1.0, cleared=True)
    assert outputs.relay.on
    outputs.alert.tick(2.9)
    assert outputs.relay.on
    outputs.alert.tick(3.0)
    assert not outputs.relay.on


def test_a_strike_stays_shut_while_a_person_without_a_mask_is_there() -> None:
    outputs = Outputs(relay="strike")
    outputs.alert.renew(Signal.NO_MASK, 1.0, [1], cleared=True)
    assert not outputs.relay.on
    outputs.alert.renew(Signal.RUNNING, 1.1, cleared=True)
    assert outputs.relay.on
    outputs.alert.renew(Signal.NO_MASK, 1.2, [2])
    assert not outputs.relay.on


def test_a_strike_shuts_when_the_loop_that_opened_it_hangs() -> None:
    outputs = Outputs(relay="strike", strike_s=60.0, lease_s=1.0)
    outputs.alert.renew(Signal.RUNNING, 1.0, cleared=True)
    outputs.alert.tick(2.1)
    assert not outputs.relay.on


def test_the_voice_speaks_during_the_alarm_and_no_longer_than_the_buzzer() -> None:
    outputs = Outputs(longest_s=1.0)
    outputs.alert.renew(Signal.UNSURE, 0.0)
    assert not outputs.voice.on
    outputs.alert.renew(Signal.INCORRECT_MASK, 0.1, [1])
    assert outputs.voice.on
    outputs.alert.renew(Signal.INCORRECT_MASK, 1.2, [1])
    assert not outputs.voice.on


def test_all_outputs_are_closed_even_if_some_fail() -> None:
    outputs = Outputs()
    alert = Alert(outputs.settings, Broken("led", 17, True), outputs.buzzer, Broken("relay", 22, True), outputs.voice)
    with pytest.raises(OSError, match="wire came off"):
        alert.close()
    assert outputs.buzzer.closed
    assert outputs.voice.closed


def test_an_alert_without_outputs_drives_nothing() -> None:
    alert = Alert(Outputs().settings, None, None)
    alert.renew(Signal.NO_MASK, 1.0)
    alert.tick(9.0)
    alert.close()


def test_all_are_off_before_the_first_signal_and_after_the_last_lease() -> None:
    outputs = Outputs(relay="hold")
    outputs.alert.tick(1.0)
    assert [output.states for output in outputs.all()] == [[False]] * 5
    outputs.alert.renew(Signal.NO_MASK, 2.0, [1])
    outputs.alert.tick(3.1)
    assert not any(output.on for output in outputs.all())


def test_frames_of_a_covered_lens_neither_restart_the_blind_pattern_nor_start_the_heartbeat() -> None:
    """The pipeline finds no faces in them, and only then does the camera worker report the camera as blind."""
    outputs = Outputs(led_blind=[0.2, 0.8])
    outputs.alert.renew(Signal.BLIND, 10.0)
    seen = []
    for tick in range(20):
        now_s = 10.05 + tick * 0.1
        outputs.alert.renew(Signal.RUNNING, now_s)
        outputs.alert.renew(Signal.BLIND, now_s)
        seen.append("#" if outputs.led.on else ".")
    assert "".join(seen) == "##........##........"
    assert outputs.heartbeat.states == [False]


def test_an_alarm_is_shown_before_blindness_and_ends_with_its_own_lease() -> None:
    outputs = Outputs(buzzer_no_mask=[1.0], lease_s=1.0)
    outputs.alert.renew(Signal.NO_MASK, 1.0, [1])
    outputs.alert.renew(Signal.BLIND, 1.5)
    assert outputs.on == (True, True)
    outputs.alert.renew(Signal.BLIND, 2.1)
    assert not outputs.buzzer.on


class Counting(ConsoleOutput):
    """An output that counts how often it is driven."""

    sets = 0

    def set(self, on: bool) -> None:
        self.sets += 1
        super().set(on)


def test_outputs_are_driven_on_every_change_and_once_a_second_otherwise() -> None:
    led = Counting("led", 17, True)
    alert = Alert(Outputs(lease_s=60.0).settings, led, None)
    for tick in range(200):
        alert.renew(Signal.RUNNING, tick * 0.05)
    assert 10 <= led.sets <= 11
    alert.renew(Signal.NO_MASK, 10.01)
    assert led.on


def test_an_output_that_failed_is_driven_again_at_the_next_tick() -> None:
    class Shaky(ConsoleOutput):
        fails = False

        def set(self, on: bool) -> None:
            if self.fails:
                raise OSError("wire came off")
            super().set(on)

    led = Shaky("led", 17, True)
    alert = Alert(Outputs().settings, led, None)
    alert.renew(Signal.NO_MASK, 1.0)
    led.fails = True
    with pytest.raises(OSError, match="wire came off"):
        alert.renew(Signal.RUNNING, 1.1)
    assert led.on
    led.fails = False
    alert.tick(1.15)
    assert not led.on


class Loose(RecordingOutput):
    """An output whose wire comes off and makes contact again."""

    loose = False

    def set(self, on: bool) -> None:
        if self.loose:
            raise OutputError(f"alert.{self.name}_pin: wire came off")
        super().set(on)


@pytest.mark.parametrize("broken", ["led", "buzzer"])
def test_an_output_that_fails_ends_the_run_only_after_the_alarm_that_another_gives(
    broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    led, buzzer = Loose("led", 17, True), Loose("buzzer", 27, True)
    alert = Alert(Outputs(buzzer_no_mask=[0.5, 0.5], led_no_mask=[0.5, 0.5]).settings, led, buzzer)
    failing, working = (led, buzzer) if broken == "led" else (buzzer, led)
    alert.renew(Signal.NO_MASK, 1.0, [1])
    failing.loose = True
    for tenth in range(1, 30):
        alert.renew(Signal.NO_MASK, 1.0 + tenth / 10, [1])
    assert working.states == [False, True, False, True, False, True, False]
    assert [record.message for record in caplog.records] == [
        f"alert.{broken}_pin: wire came off; the other outputs continue the alarm, then fmd exits"
    ]
    with pytest.raises(OutputError, match="wire came off"):
        alert.renew(Signal.RUNNING, 4.0)
    assert not working.on


def test_an_endless_alarm_hides_a_failed_output_no_longer_than_the_longest_time() -> None:
    led, buzzer = Loose("led", 17, True), Loose("buzzer", 27, True)
    alert = Alert(Outputs(longest_s=2.0).settings, led, buzzer)
    alert.renew(Signal.NO_MASK, 1.0, [1])
    led.loose = True
    alert.renew(Signal.NO_MASK, 2.9, [1])
    with pytest.raises(OutputError, match="wire came off"):
        alert.renew(Signal.NO_MASK, 3.1, [1])


def test_a_failed_output_ends_the_run_at_once_if_no_other_gives_the_alarm() -> None:
    led, relay = Loose("led", 17, True), RecordingOutput("relay", 22, True)
    alert = Alert(Outputs(relay="strike").settings, led, None, relay)
    led.loose = True
    with pytest.raises(OutputError, match="wire came off"):
        alert.renew(Signal.NO_MASK, 1.0, [1])


def test_a_failed_optional_output_is_logged_once_and_retried(caplog: pytest.LogCaptureFixture) -> None:
    now_s, lamp, tries = [0.0], Loose("heartbeat", 23, True), list[float]()

    def opened() -> Loose:
        tries.append(now_s[0])
        lamp.set(False)
        return lamp

    lamp.loose = True
    output = OptionalOutput("heartbeat", opened, lambda: now_s[0])
    for second in range(100):
        now_s[0] = float(second)
        lamp.loose = second < 50
        output.set(second % 2 == 1)
    assert tries == [0.0, RETRY_S, 2 * RETRY_S]
    assert lamp.on
    lamp.loose = True
    output.set(False)
    output.close()
    now_s[0] += 10 * RETRY_S
    output.set(True)
    assert len(tries) == 3
    warned = "alert.heartbeat_pin: wire came off; fmd continues without it and tries again every 30 s"
    assert [r.message for r in caplog.records if r.levelname == "WARNING"] == [warned, warned]


def test_closing_an_optional_output_switches_it_off() -> None:
    lamp = RecordingOutput("heartbeat", 23, True)
    output = OptionalOutput("heartbeat", lambda: lamp, lambda: 0.0)
    output.set(True)
    output.close()
    assert lamp.closed
    assert not lamp.on


def test_an_optional_output_is_opened_and_switched_off_at_once() -> None:
    """A wrong pin is reported when the service starts, not when the first person comes."""
    lamp = RecordingOutput("heartbeat", 23, True)
    lamp.set(True)
    OptionalOutput("heartbeat", lambda: lamp, lambda: 0.0)
    assert not lamp.on


def test_an_optional_output_that_fails_is_closed_and_left_alone_until_the_next_attempt() -> None:
    class Closable(Loose):
        def close(self) -> None:
            self.closed = True  # as a driver does, whatever the wire does

    now_s, lamps = [0.0], list[Closable]()

    def open_lamp() -> Closable:
        lamps.append(Closable("heartbeat", 23, True))
        return lamps[-1]

    output = OptionalOutput("heartbeat", open_lamp, lambda: now_s[0])
    lamps[0].loose = True
    output.set(True)
    lamps[0].loose = False
    assert lamps[0].closed
    now_s[0] = RETRY_S - 0.1
    output.set(True)
    assert len(lamps) == 1
    now_s[0] = RETRY_S
    output.set(True)
    assert [lamp.on for lamp in lamps] == [False, True]


def test_an_output_that_could_not_be_switched_off_is_driven_again_even_if_it_should_be_on() -> None:
    """What it does after a failed write is unknown."""
    led = Loose("led", 17, True)
    alert = Alert(Outputs().settings, led, None)
    alert.renew(Signal.NO_MASK, 1.0)
    led.loose = True
    with pytest.raises(OutputError, match="wire came off"):
        alert.renew(Signal.RUNNING, 1.1)
    led.loose = False
    ConsoleOutput.set(led, False)
    alert.renew(Signal.NO_MASK, 1.2)
    assert led.on


def test_hold_ends_the_leases_of_other_cameras_in_time() -> None:
    outputs = Outputs(lease_s=1.0, led_no_mask=[1.0])
    outputs.alert.renew(Signal.NO_MASK, 0.0, [1], camera="out")
    outputs.alert.renew(Signal.RUNNING, 0.9, camera="in")
    assert outputs.led.on
    outputs.alert.hold(1.1, "in")
    assert not outputs.led.on


def test_disarming_ends_the_alarm_at_the_next_tick_and_shows_its_own_pattern() -> None:
    outputs = Outputs(relay="hold", led_disarmed=[0.1, 2.9])
    outputs.alert.renew(Signal.NO_MASK, 1.0, [1])
    assert all(output.on for output in (outputs.led, outputs.buzzer, outputs.relay, outputs.voice))
    outputs.alert.switch(armed=False, muted=False)
    outputs.alert.tick(1.05)
    assert outputs.on == (True, False)
    assert not outputs.relay.on
    assert not outputs.voice.on
    shown = []
    for tick in range(120):
        outputs.alert.renew(Signal.NO_MASK, 1.05 + tick * 0.05, [1])
        shown.append(outputs.led.on)
        assert not any(output.on for output in (outputs.buzzer, outputs.relay, outputs.voice))
    assert sum(shown) == 4, "0.1 s, twice in six seconds"
    assert True in outputs.heartbeat.states


@pytest.mark.parametrize("signal", [Signal.UNSURE, Signal.REMINDER, Signal.INCORRECT_MASK, Signal.NO_MASK])
def test_arming_finds_who_stands_there_and_the_noise_begins_then(signal: Signal) -> None:
    """Also after the person has stood there for longer than the buzzer would have sounded."""
    outputs = Outputs(longest_s=5.0, buzzer_unsure=[1.0])
    outputs.alert.switch(armed=False, muted=False)
    for tenth in range(100):
        outputs.alert.renew(signal, tenth / 10, [1])
    outputs.alert.switch(armed=True, muted=False)
    outputs.alert.renew(signal, 10.0, [1])
    assert outputs.on == (True, True)
    assert outputs.voice.on is signal.alarming


def test_disarmed_a_blind_camera_is_shown_also_behind_an_alarm() -> None:
    outputs = Outputs(led_blind=[1.0], buzzer_blind=[1.0])
    outputs.alert.switch(armed=False, muted=False)
    outputs.alert.renew(Signal.NO_MASK, 1.0, [1])
    outputs.alert.renew(Signal.BLIND, 1.0)
    assert outputs.on == (True, True)


def test_disarmed_a_hung_loop_still_ends_the_pattern() -> None:
    outputs = Outputs(led_disarmed=[1.0])
    outputs.alert.switch(armed=False, muted=False)
    outputs.alert.renew(Signal.RUNNING, 1.0)
    assert outputs.led.on
    outputs.alert.tick(3.0)
    assert not outputs.led.on


@pytest.mark.parametrize("armed", [True, False])
def test_a_strike_opens_for_the_cleared_and_never_beside_a_person_without_a_mask(armed: bool) -> None:
    outputs = Outputs(relay="strike", strike_s=3.0)
    outputs.alert.switch(armed=armed, muted=False)
    outputs.alert.renew(Signal.NO_MASK, 1.0, [1], cleared=True)
    assert not outputs.relay.on
    outputs.alert.renew(Signal.RUNNING, 1.5, cleared=True)
    assert outputs.relay.on


def test_a_mute_silences_buzzer_and_voice_only() -> None:
    outputs = Outputs(relay="siren", buzzer_no_mask=[1.0], buzzer_blind=[1.0])
    outputs.alert.switch(armed=True, muted=True)
    outputs.alert.renew(Signal.NO_MASK, 1.0, [1])
    assert outputs.on == (True, False)
    assert outputs.relay.on
    assert not outputs.voice.on
    outputs.alert.switch(armed=True, muted=False)
    outputs.alert.tick(1.1)
    assert outputs.buzzer.on
    assert outputs.voice.on


def test_a_model_that_replaces_the_installed_one_shows_while_nothing_else_does() -> None:
    outputs = Outputs(led_no_mask=[1.0])
    outputs.alert.set_fallback(True)
    shown = set()
    for tick in range(120):
        now_s = 10 + tick * 0.05
        outputs.alert.renew(Signal.RUNNING, now_s)
        assert outputs.led.on is lit(outputs.settings.led_fallback, now_s - 10)
        shown.add(outputs.led.on)
    assert shown == {True, False}
    outputs.alert.renew(Signal.NO_MASK, 17.0, [1])
    assert outputs.led.on
    outputs.alert.set_fallback(False)
    outputs.alert.renew(Signal.RUNNING, 20.0)
    assert not outputs.led.on


def test_kept_pictures_show_while_there_is_no_other_signal() -> None:
    outputs = Outputs(led_no_mask=[1.0])
    outputs.alert.set_fallback(True)
    outputs.alert.set_examples(True)
    for tick in range(240):
        now_s = 10 + tick * 0.05
        outputs.alert.renew(Signal.RUNNING, now_s)
        assert outputs.led.on is lit(outputs.settings.led_examples, now_s - 10)
    outputs.alert.renew(Signal.NO_MASK, 22.0, [1])
    assert outputs.led.on


@pytest.mark.parametrize("name", ["led", "buzzer", "relay", "voice", "heartbeat"])
@pytest.mark.parametrize("armed", [True, False])
def test_a_test_switches_one_output_on_for_a_second(name: str, armed: bool) -> None:
    outputs = Outputs(led_disarmed=[])
    outputs.alert.switch(armed, muted=True)
    outputs.alert.tick(10.0)
    outputs.alert.test(name)
    outputs.alert.tick(10.01)
    tested = {output.name for output in outputs.all() if output.on}
    assert tested == {name}
    outputs.alert.tick(10.0 + TEST_S)
    assert not any(output.on for output in outputs.all())


def test_an_alarm_ends_a_test_and_refuses_another() -> None:
    outputs = Outputs(buzzer_no_mask=[], relay="strike")
    outputs.alert.tick(10.0)
    outputs.alert.test("relay")
    outputs.alert.tick(10.1)
    assert outputs.relay.on
    outputs.alert.renew(Signal.NO_MASK, 10.2, [1])
    assert not outputs.relay.on
    with pytest.raises(ControlError, match="an alarm at the door"):
        outputs.alert.test("buzzer")
    outputs.alert.renew(Signal.RUNNING, 10.3)
    assert not outputs.relay.on, "the test does not come back"


def test_tests_in_a_row_do_not_add_up_to_an_alarm() -> None:
    outputs = Outputs()
    outputs.alert.tick(10.0)
    outputs.alert.test("buzzer")
    for tick in range(1, 40):
        outputs.alert.tick(10.0 + tick / 20)
        with pytest.raises(ControlError, match="try again in two seconds"):
            outputs.alert.test("buzzer")
    outputs.alert.tick(10.0 + 2 * TEST_S)
    outputs.alert.test("buzzer")


def test_an_output_that_is_not_wired_cannot_be_tested() -> None:
    alert = Alert(config.load().alert, RecordingOutput("led", 17, True), None)
    for name in ("buzzer", "siren", ""):
        with pytest.raises(ControlError, match=r"no such output is wired at this door"):
            alert.test(name)


def test_a_test_before_the_first_frame_and_after_the_end_switches_nothing() -> None:
    outputs = Outputs()
    outputs.alert.test("buzzer")
    outputs.alert.tick(10.0)
    assert not outputs.buzzer.on
    outputs.alert.test("buzzer")
    outputs.alert.close()
    outputs.alert.tick(10.1)
    assert not outputs.buzzer.on


@pytest.mark.parametrize("armed", [True, False])
def test_faces_that_the_page_shows_are_shown_at_the_door_and_never_hide_an_alarm(armed: bool) -> None:
    outputs = Outputs(led_no_mask=[1.0], led_disarmed=[], led_examples=[])
    outputs.alert.set_examples(True)
    outputs.alert.switch(armed, muted=False)
    outputs.alert.renew(Signal.RUNNING, 10.0)
    outputs.alert.show_faces(5.0)
    for tick in range(100):
        outputs.alert.renew(Signal.RUNNING, 10.02 + tick * 0.05)
        assert outputs.led.on is lit(outputs.settings.led_faces, 0.02 + tick * 0.05)
    outputs.alert.renew(Signal.RUNNING, 15.02)
    assert not outputs.led.on, "the time is over"
    outputs.alert.show_faces(600.0)
    if armed:
        outputs.alert.renew(Signal.NO_MASK, 15.1, [1])
        assert outputs.led.on
    outputs.alert.show_faces(0.0)
    for tick in range(40):
        outputs.alert.renew(Signal.RUNNING, 15.2 + tick * 0.05)
        assert not outputs.led.on


@pytest.mark.parametrize("led", [RecordingOutput("led", 17, True), None])
def test_faces_are_not_shown_where_no_led_shows_it(led: RecordingOutput | None) -> None:
    settings = config.load(None, {"alert.led_faces": [] if led else [1.0]}).alert
    alert = Alert(settings, led, None)
    alert.show_faces(0.0)
    with pytest.raises(ControlError, match="faces stay blurred"):
        alert.show_faces(1.0)
