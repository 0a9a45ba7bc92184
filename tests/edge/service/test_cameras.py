"""Live cameras: what fails is named and overcome, several share one alarm, and outputs go off before anybody waits."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge import config
from edge.config import Settings
from edge.contracts import Camera, CameraState, Decision, Delivery, Face, Frame, Health, Step
from edge.drivers.table import OUTPUTS, OutputDriver
from edge.errors import CameraError, OutputError
from edge.pipeline import Pipeline
from edge.reporting.listener import Callbacks, Listener
from edge.service import run as service
from edge.service.runtime import FrameSignal, Runtime, ThreadFrameSignal, Ticker
from edge.stages.alert import Alert
from tests.edge.parts import (
    LED,
    MASKED,
    LiveCamera,
    Systemd,
    assert_off_and_released,
    classifier_of,
    face,
    frame_of,
    levels,
    pipeline_of,
    settings_for,
    texture,
    write_clip,
)


def test_outputs_are_off_before_the_camera_is_closed_which_may_hang(
    mock_pins: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lit: list[bool] = []

    class Camera(LiveCamera):
        def stop(self) -> None:
            lit.append(mock_pins.pin(LED).state)

    def on_step(step: Step) -> None:
        if step.alarm:
            lit.append(mock_pins.pin(LED).state)
            raise RuntimeError("enough")

    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=Camera))
    with pytest.raises(RuntimeError, match="enough"):
        service.run(settings_for(Path("picamera2")), [Callbacks(on_step)], build=pipeline_of)
    assert lit == [True, False]


def test_a_loop_that_is_stuck_loses_its_lease(mock_pins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lamp goes off though nothing but the ticking thread is alive to put it out."""
    went_off = threading.Event()

    def on_step(step: Step) -> None:
        if step.alarm:
            pin = mock_pins.pin(LED)
            assert pin.state
            give_up = threading.Event()
            for _ in range(200):
                give_up.wait(0.02)
                if not pin.state:
                    went_off.set()
                    raise RuntimeError("enough")

    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=LiveCamera))
    with pytest.raises(RuntimeError, match="enough"):
        service.run(settings_for(Path("picamera2"), alert__lease_s=0.3), [Callbacks(on_step)], build=pipeline_of)
    assert went_off.is_set()


class BrokenWhileTicking:
    """An output that fails whenever the ticking thread drives it."""

    failed = threading.Event()

    def __init__(self, name: str, pin: int, active_high: bool) -> None:
        self.failed.clear()

    def set(self, on: bool) -> None:
        if threading.current_thread().name == "alert":
            self.failed.set()
            raise OutputError("led: GPIO17 no longer answers")

    def close(self) -> None:
        """Nothing to release."""


def test_a_loop_whose_alarm_cannot_fire_ends_and_is_not_called_alive(
    monkeypatch: pytest.MonkeyPatch, systemd: Systemd
) -> None:
    monkeypatch.setitem(OUTPUTS, "console", OutputDriver(f"{__name__}:BrokenWhileTicking"))
    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=LiveCamera))
    with pytest.raises(OutputError, match="no longer answers"):
        service.run(
            settings_for(Path("picamera2"), alert__driver="console"),
            [
                Callbacks(
                    lambda step: None if BrokenWhileTicking.failed.wait(10) else pytest.fail("the thread never ticked")
                )
            ],
            build=pipeline_of,
        )
    assert not any("READY" in said or "WATCHDOG" in said for said in systemd.received())


SHORT = {"camera__stall_s": 0.6, "camera__frozen_s": 0.6, "camera__dark_s": 0.3, "camera__loop": True}


REHEARSED = "stall@0.4+1.1,unplug@2.1+0.5,freeze@3.4+1.0,cover@4.9+0.8,crash@6.3+0.4,dark@7.0+0.8"


def test_every_fault_of_a_camera_is_named_told_and_overcome_in_real_time(
    systemd: Systemd, clip: Path, mock_pins: Any
) -> None:
    healths: list[Health] = []
    heard: list[str] = []

    def on_step(step: Step) -> None:
        heard.extend(systemd.received())
        if step.frame.captured_s > healths[0].since_s + 8.3:
            signal.raise_signal(signal.SIGTERM)

    settings = settings_for(clip, camera__simulate=REHEARSED, camera__give_up_s=5.0, **SHORT)
    service.run(settings, [Callbacks(on_step, on_health=healths.append)], build=masked_pipeline)
    faults = [health for health in healths if health.blind]
    assert [health.state.value for health in faults] == ["stalled", "lost", "frozen", "dark", "lost", "dark"]
    assert {health.state for health in healths[0::2]} == {CameraState.STREAMING}
    statuses = [said.partition("STATUS=")[2] for said in heard if "STATUS=" in said]
    assert statuses[0::2] == ["watching"] * 7
    assert [status.split(":")[0] for status in statuses[1::2]] == [
        f"blind, camera {health.state.value}" for health in faults
    ]
    assert_off_and_released(mock_pins)


def test_a_camera_that_stays_away_ends_the_run_in_time_with_the_outputs_off(
    systemd: Systemd, clip: Path, mock_pins: Any
) -> None:
    settings = settings_for(clip, camera__simulate="unplug@0.3+60", camera__give_up_s=1.5, **SHORT)
    started_s = time.monotonic()
    with pytest.raises(CameraError, match="unplugged"):
        service.run(settings, build=pipeline_of)
    assert 1.5 <= time.monotonic() - started_s < 4
    assert [said for said in systemd.received() if "STATUS" in said] == [
        "READY=1\nSTATUS=watching",
        "STATUS=blind, camera lost: the camera is unplugged (simulated)",
    ]
    assert_off_and_released(mock_pins)


def test_a_camera_that_never_opens_ends_the_run_at_once_and_is_never_ready(
    systemd: Systemd, clip: Path, mock_pins: Any
) -> None:
    with pytest.raises(CameraError, match="unplugged"):
        service.run(settings_for(clip, camera__simulate="unplug@0+60"), build=pipeline_of)
    assert systemd.received() == ["STOPPING=1"]


def test_a_camera_that_is_away_is_waited_for_by_whoever_systemd_starts_next(
    systemd: Systemd, clip: Path, mock_pins: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody at a terminal has an answer at once; the LED says blind for as long as the camera is away."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    with pytest.raises(CameraError, match="unplugged"):
        service.run(settings_for(clip, camera__simulate="unplug@0+60"), build=pipeline_of)
    assert systemd.received() == ["STOPPING=1"]

    lit: list[bool] = []

    def on_step(step: Step) -> None:
        lit.extend(levels(mock_pins, LED))
        signal.raise_signal(signal.SIGTERM)

    settings = settings_for(clip, camera__simulate="unplug@0+1.6", camera__give_up_s=1.0, **SHORT)
    mock_pins.reset()
    assert service.run(settings, [Callbacks(on_step)], build=masked_pipeline) == signal.SIGTERM
    blind = "EXTEND_TIMEOUT_USEC=15000000\nSTATUS=blind, camera lost: the camera is unplugged (simulated)"
    assert systemd.received() == [blind, blind, "READY=1\nSTATUS=watching", "STOPPING=1"]
    assert lit.count(True) >= 2
    assert_off_and_released(mock_pins)
    with pytest.raises(CameraError, match="unplugged"):
        service.run(settings_for(clip, camera__simulate="unplug@0+60"), build=pipeline_of)
    assert "EXTEND" not in "".join(systemd.received())


def test_several_cameras_share_one_alarm_and_one_may_be_blind(systemd: Systemd, tmp_path: Path, mock_pins: Any) -> None:
    clips = {name: str(write_clip(tmp_path / f"{name}.avi", frames=30, seed=i)) for i, name in enumerate(["a", "b"])}
    sources = {"camera.sources": {**clips, "c": "/dev/video99"}, "alert.driver": "gpiozero", "camera.loop": True}
    steps: list[Step] = []
    healths: list[Health] = []
    decisions: list[Decision] = []
    heard: list[str] = []

    def on_step(step: Step) -> None:
        steps.append(step)
        heard.extend(systemd.received())
        if {"a", "b"} <= {decision.camera for decision in decisions}:
            signal.raise_signal(signal.SIGTERM)

    service.run(config.load(None, sources), [Callbacks(on_step, decisions.append, healths.append)], pipeline_of)
    assert {step.camera for step in steps} == {"a", "b"}
    assert {(health.camera, health.state) for health in healths} == {
        ("a", CameraState.STREAMING),
        ("b", CameraState.STREAMING),
        ("c", CameraState.LOST),
    }
    assert heard[0].startswith("READY=1\nSTATUS=")
    assert any("c: blind, camera lost: camera.source: no device at /dev/video99" in said for said in heard)
    assert True in levels(mock_pins, LED)
    assert_off_and_released(mock_pins)


def test_the_error_of_an_only_camera_is_not_logged_as_well(mock_pins: Any, caplog: pytest.LogCaptureFixture) -> None:
    one = config.load(None, {"camera.source": "/dev/video98", "alert.driver": "gpiozero"})
    with pytest.raises(CameraError, match="no device at /dev/video98"):
        service.run(one, build=pipeline_of)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    with pytest.raises(CameraError, match="no device at /dev/video98"):
        service.run(
            config.load(None, {"camera.sources": {"a": "/dev/video98", "b": "/dev/video99"}}), build=pipeline_of
        )
    assert [record.getMessage()[:14] for record in caplog.records if record.levelname == "WARNING"] == [
        "camera a lost:",
        "camera b lost:",
    ]


def test_cameras_none_of_which_opens_end_the_run_at_once(mock_pins: Any) -> None:
    sources = {"camera.sources": {"a": "/dev/video98", "b": "/dev/video99"}, "alert.driver": "gpiozero"}
    with pytest.raises(CameraError, match="no device at /dev/video98"):
        service.run(config.load(None, sources), build=pipeline_of)
    assert_off_and_released(mock_pins)


def test_a_clip_played_as_if_live_takes_its_own_time_and_ends(tmp_path: Path, mock_pins: Any) -> None:
    clip = write_clip(tmp_path / "clip.avi", frames=20, fps=20)
    times: list[float] = []
    before_s = time.monotonic()
    service.run(
        settings_for(clip, camera__live=True),
        [Callbacks(lambda step: times.append(step.frame.captured_s))],
        build=pipeline_of,
    )
    assert 0.9 <= times[-1] - before_s < 5
    assert times == sorted(times)


def test_a_pause_in_a_recording_is_no_stall_that_begins_it_again(tmp_path: Path, mock_pins: Any) -> None:
    clip = write_clip(tmp_path / "clip.avi", frames=4, fps=2)
    steps: list[Step] = []

    def on_step(step: Step) -> None:
        steps.append(step)
        assert len(steps) <= 4

    service.run(settings_for(clip, camera__live=True, camera__stall_s=0.2), [Callbacks(on_step)], build=pipeline_of)
    # The end may overtake the last frame.
    assert [step.frame.index for step in steps] in ([0, 1, 2], [0, 1, 2, 3])


class Clock:
    """Simulated seconds, and the alert that ticks with them."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.alert: Alert | None = None

    def __call__(self) -> float:
        return self.now_s

    def work(self, for_s: float) -> None:
        """Somebody works for so long; the alert's time is kept meanwhile."""
        for _ in range(round(for_s / 0.01)):
            self.now_s += 0.01
            if self.alert is not None:
                self.alert.tick(self.now_s)


class Fresh:
    """A reader that always has a new picture (of 15 a second), and takes all the time it is given to end."""

    running = True

    def __init__(self, clock: Clock) -> None:
        self._clock, self.stopped, self.taken = clock, False, 0
        self.others: list[Fresh] = []

    @property
    def dropped(self) -> int:
        return max(0, int(self._clock() * 15) - self.taken)

    def take(self) -> Frame | None:
        self.taken += 1
        return frame_of(texture(96, 96, self.taken), self._clock(), self.taken)

    def stop(self) -> None:
        self.stopped = True

    def join(self, timeout_s: float) -> None:
        assert all(other.stopped for other in self.others)
        self._clock.now_s += timeout_s


class Slow:
    """A detector that takes ``takes_s`` of simulated time for a picture, and finds the same ``faces`` in each.

    Of several times each picture takes the next, and all later ones take the last.
    """

    def __init__(self, clock: Clock, takes_s: float | Sequence[float], faces: tuple[Face, ...]) -> None:
        self._clock, self._faces = clock, faces
        self._takes_s = [takes_s] if isinstance(takes_s, float) else list(takes_s)

    def detect(self, frame: Frame) -> tuple[Face, ...]:
        self._clock.work(self._takes_s.pop(0) if len(self._takes_s) > 1 else self._takes_s[0])
        return self._faces


class Turns(Listener):
    """Cameras in a simulated world, a step of whose pipelines takes each its time; the first sees somebody bare.

    Ends after some steps.
    """

    def __init__(self, takes_s: Mapping[str, float | Sequence[float]], steps: int) -> None:
        self.clock, self.steps, self.healths = Clock(), list[Step](), list[Health]()
        self.deliveries: list[Delivery] = []
        self.readers: list[Fresh] = []
        self._left = list(takes_s.values())
        self._stop_after = steps
        runtime = Runtime(self.clock, self._bell, self._read, self._ticking)
        sources = dict.fromkeys(takes_s, "doorway")
        # The lamp is for the alarm alone: noise makes poor looks, and people unsure for a while.
        changed = {"detect.every_s": 0.0, "classify.every_s": 0.0, "watch.gate": False, "alert.led_unsure": []}
        settings = config.load(None, {"camera.sources": sources, "alert.driver": "gpiozero", **changed})
        service.run(settings, [self], self._build, runtime)

    def _bell(self) -> FrameSignal:
        return ThreadFrameSignal()

    def _read(self, open_camera: Callable[[], Camera], ring: Callable[[], None]) -> Fresh:
        self.readers.append(Fresh(self.clock))
        for reader in self.readers:
            reader.others = self.readers
        return self.readers[-1]

    @contextmanager
    def _ticking(self, alert: Alert, clock: Callable[[], float]) -> Iterator[Ticker]:
        self.clock.alert = alert
        yield Ticker()

    def _build(self, settings: Settings, alert: Alert, camera: str) -> Pipeline:
        first = len(self._left) == len(settings.camera.sources)
        detector = Slow(self.clock, self._left.pop(0), (face(48, 48, 60),) if first else ())
        return pipeline_of(settings, alert, camera, detector=detector)

    def on_health(self, health: Health) -> None:
        self.healths.append(health)

    def on_step(self, step: Step, delivery: Delivery) -> None:
        self.steps.append(step)
        self.deliveries.append(delivery)
        if len(self.steps) == self._stop_after:
            self.end_s = self.clock()
            signal.raise_signal(signal.SIGTERM)


def test_a_slow_camera_takes_no_more_turns_than_others_and_none_from_them(mock_pins: Any) -> None:
    turns = Turns({"quick": 0.01, "slow": 0.9, "other": 0.01}, 60)
    assert [step.camera for step in turns.steps] == ["quick", "slow", "other"] * 20
    times = [step.frame.captured_s for step in turns.steps if step.camera == "quick"]
    assert max(after - before for before, after in pairwise(times)) == pytest.approx(0.92)


def test_an_alarm_does_not_flicker_while_its_camera_waits_for_its_turn(mock_pins: Any) -> None:
    """A round takes 1.2 s, the lease is 1 s."""
    turns = Turns({"a": 0.4, "b": 0.4, "c": 0.4}, 60)
    assert turns.end_s > 20
    lit = levels(mock_pins, LED)
    assert lit[lit.index(True) :] == [True, False]
    assert_off_and_released(mock_pins)


def test_an_alarm_does_not_flicker_when_the_steps_of_other_cameras_become_slow(mock_pins: Any) -> None:
    """Up to that moment the lease, 1 s, has had no reason to be longer; then two steps take 1.2 s together."""
    quick_then_slow = [0.05] * 20 + [0.6]
    turns = Turns({"a": 0.05, "b": quick_then_slow, "c": quick_then_slow}, 90)
    assert any(step.alarm for step in turns.steps[:57]), "the alarm is on before"
    lit = levels(mock_pins, LED)
    assert lit[lit.index(True) :] == [True, False]


def test_an_alarm_does_not_flicker_where_every_step_takes_longer_than_the_lease(mock_pins: Any) -> None:
    Turns({"a": 1.3}, 20)
    lit = levels(mock_pins, LED)
    assert lit[lit.index(True) :] == [True, False]


def test_a_machine_too_slow_for_its_cameras_says_so_once_of_each_and_a_quicker_one_does_not(
    mock_pins: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The settings request a detection in every one of 15 frames a second."""
    turns = Turns({"a": 0.1, "b": 0.1, "c": 0.1}, 120)
    slow = [health for health in turns.healths if health.slow]
    assert [(health.camera, health.state) for health in slow] == [(name, CameraState.STREAMING) for name in "abc"]
    assert [record.message for record in caplog.records if "too slow" in record.message] == [
        f"camera {name} streaming, but too slow: 3.3 detections a second, 15.0 requested; check temperature, power and "
        "other programs, or use fewer cameras or a faster board"
        for name in "abc"
    ]
    assert Turns({"a": 0.1}, 120).healths == [Health("a", CameraState.STREAMING, 0.0)]


def test_how_late_a_step_ended_is_told_with_it(mock_pins: Any) -> None:
    turns = Turns({"a": 0.1, "b": 0.3}, 8)
    assert [delivery.late_s for delivery in turns.deliveries] == pytest.approx([0.1, 0.3] * 4)


def test_cameras_that_hang_take_no_longer_to_end_than_one(mock_pins: Any) -> None:
    turns = Turns({"a": 0.1, "b": 0.1, "c": 0.1}, 6)
    assert turns.clock() - turns.end_s <= 0.1 + config.load().camera.stall_s + 1e-6


def masked_pipeline(settings: Settings, alert: Alert, camera: str = "") -> Pipeline:
    return pipeline_of(settings, alert, classifier=classifier_of(MASKED))
