"""Arming in use: contacts with fake pins, the state file, the alert, events, several threads."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from edge import board, config
from edge.contracts import Input, Signal
from edge.control import ArmRequest, DisarmRequest, MuteRequest
from edge.drivers import fake_gpiod
from edge.drivers.gpio_line import GpioLineInput
from edge.errors import OutputError
from edge.messages import ArmingMessage
from edge.service.arming_control import NAME, ArmingControl, BoardClock, Contact
from edge.stages.alert import Alert
from simulation.outputs import RecordingOutput
from tests.edge.parts import wait_for

PIN = 22


class Control:
    """An arming control with clocks that a test moves, and what it recorded."""

    def __init__(self, folder: Path | None = None, known: bool = True, **changed: Any) -> None:
        self.now_s, self.wall = 1000.0, 1_796_000_000.0
        self.events: list[tuple[str, Any]] = []
        values = {key.replace("__", "."): value for key, value in changed.items()}
        self.settings = config.load(None, {"alert.driver": "gpiozero", "arm.time_zone": "UTC", **values})
        self.clock = BoardClock(None, lambda: False, lambda: known)
        self.control = ArmingControl(
            self.settings,
            self.clock,
            folder and folder / NAME,
            lambda kind, content: self.events.append((kind, content)),
            lambda: self.now_s,
            lambda: self.wall,
            "this boot",
        )

    def passes(self, seconds: float) -> None:
        """Let the time pass in steps of a tick."""
        for _ in range(round(seconds / 0.02)):
            self.now_s, self.wall = self.now_s + 0.02, self.wall + 0.02
            self.control.tick()

    @property
    def armed(self) -> bool:
        return self.control.message.armed

    def recorded(self) -> list[tuple[str, bool, str, str]]:
        return [(kind, content.armed, content.source, content.by) for kind, content in self.events]


class Wire:
    """A contact on a mock pin of gpiozero, wired as ``pull`` says."""

    def __init__(self, pins: Any, pull: str = "up") -> None:
        self._pin = pins.pin(PIN)
        self._open, self._closed = {
            "up": (self._pin.drive_high, self._pin.drive_low),
            "none": (self._pin.drive_high, self._pin.drive_low),
            "down": (self._pin.drive_low, self._pin.drive_high),
        }[pull]

    def close(self) -> None:
        self._closed()

    def open(self) -> None:
        self._open()


@pytest.mark.parametrize("pull", ["up", "down", "none"])
def test_each_press_of_a_button_toggles_and_is_recorded(mock_pins: Any, pull: str) -> None:
    wire = Wire(mock_pins, pull)
    door = Control(arm__pin=PIN, arm__pull=pull)
    wire.open()
    door.passes(0.2)
    for armed in (False, True, False):
        wire.close()
        door.passes(0.1)
        assert door.armed is armed
        door.passes(5)
        wire.open()
        door.passes(0.1)
        assert door.armed is armed
    assert door.recorded() == [("arming", armed, "pin", "button") for armed in (False, True, False)]


def test_a_bouncing_button_toggles_once_and_a_spike_never(mock_pins: Any) -> None:
    wire = Wire(mock_pins)
    door = Control(arm__pin=PIN)
    wire.open()
    door.passes(0.2)
    for _ in range(5):
        wire.close()
        door.passes(0.02)
        wire.open()
        door.passes(0.02)
    assert door.armed
    wire.close()
    door.passes(0.08)
    assert not door.armed
    for _ in range(5):
        wire.open()
        door.passes(0.02)
        wire.close()
        door.passes(0.02)
    door.passes(1)
    assert len(door.events) == 1


def test_a_button_that_is_held_at_the_start_was_not_pressed(mock_pins: Any) -> None:
    wire = Wire(mock_pins)
    wire.close()
    door = Control(arm__pin=PIN)
    wire.close()
    door.passes(1)
    assert door.armed
    wire.open()
    door.passes(0.1)
    wire.close()
    door.passes(0.1)
    assert not door.armed


def test_a_closed_key_switch_disarms_and_a_cut_wire_arms(mock_pins: Any) -> None:
    wire = Wire(mock_pins)
    door = Control(arm__pin=PIN, arm__contact="key")
    wire.open()
    door.passes(0.1)
    assert door.events == []
    wire.close()
    door.passes(0.1)
    assert not door.armed
    wire.open()
    door.passes(0.1)
    assert door.armed
    assert door.recorded() == [("arming", False, "pin", "key"), ("arming", True, "pin", "key")]


def test_a_key_switch_that_is_found_closed_disarms(mock_pins: Any) -> None:
    door = Control(arm__pin=PIN, arm__contact="key")
    door.passes(0.02)
    Wire(mock_pins).close()
    door.passes(0.1)
    assert not door.armed


def test_a_key_turned_while_fmd_was_off_counts_and_one_left_alone_does_not(mock_pins: Any, tmp_path: Path) -> None:
    wire = Wire(mock_pins)
    door = Control(tmp_path, arm__pin=PIN, arm__contact="key")
    wire.open()
    door.passes(0.1)
    wire.close()
    door.passes(0.1)
    door.control.request(ArmRequest(), "command", "pi")
    mock_pins.reset()
    again = Control(tmp_path, arm__pin=PIN, arm__contact="key")
    again.passes(0.02)
    wire = Wire(mock_pins)
    wire.close()
    again.passes(1)
    assert again.armed, "the command came after the key, which nobody has turned since"
    mock_pins.reset()
    later = Control(tmp_path, arm__pin=PIN, arm__contact="key")
    later.passes(0.02)
    Wire(mock_pins).open()
    later.passes(1)
    assert later.recorded() == [("arming", True, "command", "pi"), ("arming", True, "pin", "key")]


class FailingInput:
    """A contact whose line disappears and comes back."""

    def __init__(self) -> None:
        self.level, self.broken, self.opened = False, False, 0

    def open(self) -> Input:
        self.opened += 1
        self.closed()
        return self

    def closed(self) -> bool:
        if self.broken:
            raise OutputError("arm.pin: gone")
        return self.level

    def close(self) -> None:
        self.level = False
        if self.broken:
            raise OutputError("arm.pin: gone")


def test_a_contact_that_fails_is_reported_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    line = FailingInput()
    contact = Contact(line.open)
    positions = {contact.position(tenth / 10) for tenth in range(10)}
    assert positions == {None, False}
    line.broken = True
    for second in range(1, 3600):
        assert contact.position(float(second)) is False, "the last position"
    assert len(caplog.records) == 1
    assert "fmd continues without it and tries again every 30 s" in caplog.text
    assert line.opened < 130
    line.broken, line.level = False, True
    assert not contact.position(3700.0)
    assert contact.position(3700.1)


@pytest.mark.parametrize(("pull", "closed"), [("up", 0), ("down", 1), ("none", 0)])
def test_a_line_of_gpiod_keeps_the_same_contract(tmp_path: Path, pull: str, closed: int) -> None:
    fake_gpiod.reset()
    (tmp_path / "gpiochip0").touch()
    fake_gpiod.applied[8] = 1 - closed
    line = GpioLineInput("PQ.05", pull, fake_gpiod, tmp_path)
    assert fake_gpiod.consumers == {8: "fmd"}
    assert not line.closed()
    fake_gpiod.applied[8] = closed
    assert line.closed()
    if pull == "up":
        fake_gpiod.applied.clear()
        assert not line.closed(), "the resistor of the board"
    with pytest.raises(OutputError, match=r"arm\.pin: PQ\.05 on .*gpiochip0 is in use by fmd; stop fmd first"):
        GpioLineInput("PQ.05", pull, fake_gpiod, tmp_path)
    fake_gpiod.broken.add(8)
    with pytest.raises(OutputError, match=r"arm\.pin: PQ\.05 no longer answers: Input/output error"):
        line.closed()
    line.close()
    line.close()
    assert fake_gpiod.consumers == {}
    with pytest.raises(OutputError, match=r"arm\.pin: no line PQ\.99"):
        GpioLineInput("PQ.99", pull, fake_gpiod, tmp_path)


def test_a_file_reports_a_contact(tmp_path: Path) -> None:
    file = tmp_path / "contact"
    door = Control(arm__pin=str(file), arm__contact="key", alert__driver="auto")
    door.passes(0.02)
    door.now_s += 30  # until it is tried again
    for content, armed in (("0", True), ("1\n", False), ("0\n", True)):
        file.write_text(content)
        door.passes(0.2)
        assert door.armed is armed


def test_the_alert_follows_at_once_and_a_new_one_after_a_reload_as_well() -> None:
    door = Control()
    for _ in range(2):
        led, buzzer = RecordingOutput("led", 17, True), RecordingOutput("buzzer", 27, True)
        alert = Alert(door.settings.alert, led, buzzer)
        door.control.attach(alert)
        alert.renew(Signal.NO_MASK, door.now_s, [1])
        assert buzzer.on is door.armed
        door.control.request(DisarmRequest(), "command", "pi")
        alert.tick(door.now_s)
        assert not buzzer.on
    door.control.request(ArmRequest(), "command", "pi")
    alert.renew(Signal.NO_MASK, door.now_s, [1])
    assert (led.on, buzzer.on) == (True, True)
    door.control.request(MuteRequest(for_s=60), "command", "pi")
    alert.tick(door.now_s)
    assert (led.on, buzzer.on) == (True, False)


def test_every_change_is_recorded_once_with_its_source(tmp_path: Path) -> None:
    door = Control(tmp_path, arm__schedule=["daily 00:00-24:00"], arm__trust_clock=True)
    door.control.request(DisarmRequest(for_s=10), "command", "pi (uid 1000)")
    door.control.request(MuteRequest(for_s=20), "mqtt")
    door.passes(30)
    assert door.recorded() == [
        ("arming", True, "schedule", ""),
        ("arming", False, "command", "pi (uid 1000)"),
        ("mute", False, "command", "pi (uid 1000)"),
        ("arming", True, "end", ""),
        ("mute", True, "end", ""),
    ]


def test_listeners_get_the_newest_state_once() -> None:
    door = Control()
    assert door.control.take() == ArmingMessage(armed=True, source="default")
    assert door.control.take() is None
    door.control.request(DisarmRequest(), "mqtt")
    door.control.request(ArmRequest(), "pin", "button")
    assert door.control.take() == ArmingMessage(armed=True, source="pin", by="button")
    assert door.control.take() is None


def test_the_state_survives_a_restart_and_a_damaged_file_means_armed(tmp_path: Path) -> None:
    Control(tmp_path).control.request(DisarmRequest(), "command", "pi")
    again = Control(tmp_path)
    assert not again.armed
    assert again.recorded() == [("arming", False, "command", "pi")], "so that the log after a restart says it"
    for content in (b"", b"{", b'{"command": 5}', os.urandom(100)):
        (tmp_path / NAME).write_bytes(content)
        assert Control(tmp_path).armed


def test_a_state_that_cannot_be_saved_is_reported_and_holds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    door = Control(tmp_path / "missing")
    door.control.request(DisarmRequest(), "command", "pi")
    assert not door.armed
    assert "No such file or directory; a restart will not know this: disarmed by pi" in caplog.text


def test_nothing_is_written_while_nothing_changes(tmp_path: Path) -> None:
    door = Control(tmp_path, arm__schedule=["daily 00:00-24:00"], arm__trust_clock=True)
    door.passes(10)
    assert not (tmp_path / NAME).exists()
    door.control.request(DisarmRequest(for_s=3600), "command", "pi")
    written = (tmp_path / NAME).stat().st_mtime_ns
    door.passes(10)
    assert (tmp_path / NAME).stat().st_mtime_ns == written


def test_a_reload_brings_another_schedule_and_another_pin(mock_pins: Any) -> None:
    door = Control(arm__trust_clock=True)
    assert door.armed
    never = config.load(None, {"arm.schedule": ["mon 00:00-00:01"], "arm.time_zone": "UTC", "arm.trust_clock": True})
    door.control.follow(never)
    assert not door.armed
    door.control.follow(config.load(None, {"arm.pin": PIN, "alert.driver": "gpiozero"}))
    assert door.armed
    door.passes(0.02)
    wire = Wire(mock_pins)
    wire.open()
    door.passes(0.2)
    wire.close()
    door.passes(0.1)
    assert not door.armed


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"DISARM", ""),
        (b" disarm\n", ""),
        (b'{"kind": "disarm", "for_s": 60}', ""),
        (b"", "expected ARM, DISARM or a request in JSON"),
        (b"OFF", "expected ARM, DISARM or a request in JSON"),
        (b'{"kind": "reload"}', "expected ARM, DISARM or a request in JSON"),
        (b'{"kind": "disarm", "for_s": -5}', "expected ARM, DISARM or a request in JSON"),
        (b"[" * 100_000, "expected ARM, DISARM or a request in JSON"),
        (b"\xff\xfe", "expected ARM, DISARM or a request in JSON"),
    ],
)
def test_messages_are_commands_or_are_refused(content: bytes, why: str) -> None:
    door = Control()
    assert door.control.command(content, "mqtt").startswith(why)
    assert door.armed is bool(why)


def test_a_flood_of_messages_is_limited_and_commands_of_users_are_not(tmp_path: Path) -> None:
    door = Control(tmp_path)
    refused = [door.control.command((b"ARM", b"DISARM")[i % 2], "mqtt") for i in range(1000)]
    assert refused.count("") == len(door.events) == 20
    assert set(refused[20:]) == {"more than 20 commands in 60 s"}
    assert not door.control.request(DisarmRequest(), "command", "pi").armed
    door.now_s += 61
    assert door.control.command(b"ARM", "mqtt") == ""
    assert door.armed


def test_a_message_with_a_time_of_day_needs_a_known_clock() -> None:
    door = Control(known=False)
    assert "use --for instead" in door.control.command(b'{"kind": "disarm", "until": "18:00"}', "mqtt")
    assert door.armed


def test_its_own_thread_follows_the_contact_and_ends(tmp_path: Path) -> None:
    file = tmp_path / "contact"
    file.write_text("0")
    settings = config.load(None, {"arm.pin": str(file)})
    control = ArmingControl(settings, BoardClock(None, lambda: True, lambda: True))
    with control.working():
        threading.Event().wait(0.2)
        file.write_text("1")
        wait_for(lambda: not control.message.armed)
    assert "arming" not in {thread.name for thread in threading.enumerate()}


def test_its_thread_goes_on_after_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    failing = iter([ZeroDivisionError("of the test")])

    def wall() -> float:
        for error in failing if threading.current_thread().name == "arming" else ():
            raise error
        return 1_796_000_000.0

    control = ArmingControl(config.load(), BoardClock(None, lambda: True, lambda: True), wall=wall)
    with control.working():
        wait_for(lambda: "of the test" in caplog.text)
        control.request(DisarmRequest(for_s=0.1), "command", "pi")
        wait_for(lambda: control.message.armed)
    assert control.message.source == "end"


# The clock.


def test_the_clock_is_known_for_the_rest_of_the_boot_once_it_was_synchronised(tmp_path: Path) -> None:
    answers = [False, False, True]
    clock = BoardClock(tmp_path, lambda: answers.pop(0), lambda: False)
    assert [clock.check() for _ in range(4)] == [False, False, True, True]
    assert answers == []
    assert BoardClock(tmp_path, lambda: False, lambda: False).known, "a restart of the service"
    assert not BoardClock(None, lambda: False, lambda: False).known
    assert BoardClock(None, lambda: False, lambda: False, trusted=True).known


def test_the_clock_is_checked_in_a_thread_until_it_is_known() -> None:
    clock = BoardClock(None, lambda: True, lambda: False)
    assert not clock.known
    with clock.checking():
        wait_for(lambda: clock.known)


@pytest.mark.parametrize(
    ("timesyncd", "state", "asked", "known"),
    [
        (True, 5, False, True),
        (False, 0, False, True),
        (False, 5, True, False),  # the kernel says that it is not, so nobody is asked
        (False, -1, True, True),  # the sandbox forbids the call
        (False, -1, False, False),
    ],
)
def test_what_says_that_the_clock_is_synchronised(
    tmp_path: Path, timesyncd: bool, state: int, asked: bool, known: bool
) -> None:
    if timesyncd:
        (tmp_path / board.TIME_SYNCHRONIZED).parent.mkdir(parents=True)
        (tmp_path / board.TIME_SYNCHRONIZED).touch()
    assert board.is_clock_synchronized(tmp_path, lambda: state, lambda: asked) is known
    quick = board.is_clock_synchronized(tmp_path, lambda: state, None)
    assert quick is (known and (timesyncd or state == 0))


def test_the_kernel_and_timedated_are_asked_without_an_error() -> None:
    assert board.clock_state() in range(-1, 6)
    assert board.asked_timedated() in (True, False)
    assert board.boot_id() == board.boot_id()
    assert board.boot_id(Path("/nowhere")) != board.boot_id(Path("/nowhere"))
