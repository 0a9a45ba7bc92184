"""The service around the pipeline: readiness, watchdog, signals, and outputs that are off on every way out."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge import config, drivers, service
from edge.alert import Alert
from edge.bundle import Model
from edge.config import Settings
from edge.contracts import Decision, Health, Sight, Step
from edge.drivers import fake_picamera2
from edge.errors import BundleError, CameraError, OutputError, SettingsError
from edge.pipeline import Pipeline
from edge.service import Pulse
from tests.edge.parts import MASKED, classifier_of, pipeline_of, stages_of, texture, write_clip

LED, BUZZER = 17, 27


class Systemd:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))

    def heard(self) -> list[str]:
        """What has been said since last asked."""
        said = []
        while True:
            try:
                said.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return said

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    listening = Systemd(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    yield listening
    listening.close()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", frames=8)


def settings_for(clip: Path, **changed: Any) -> Settings:
    more = {key.replace("__", "."): value for key, value in changed.items()}
    return config.load(None, {"camera.source": str(clip), "alert.driver": "gpiozero", **more})


def nothing(_: Step | Decision) -> None:
    """Neither steps nor decisions matter."""


def test_ready_comes_with_the_first_frame_and_the_watchdog_is_fed_by_each_after(
    systemd: Systemd, clip: Path, mock_pins: Any
) -> None:
    heard: list[list[str]] = []
    service.run(settings_for(clip), lambda step: heard.append(systemd.heard()), nothing, build=pipeline_of)
    heard.append(systemd.heard())
    assert heard == [[], ["READY=1\nSTATUS=watching"], *([["WATCHDOG=1"]] * 6), ["WATCHDOG=1", "STOPPING=1"]]


def test_a_frame_that_did_not_go_all_the_way_through_feeds_nothing(
    systemd: Systemd, clip: Path, mock_pins: Any
) -> None:
    def breaking(step: Step) -> None:
        if step.frame.index == 2:
            raise RuntimeError("stuck")

    with pytest.raises(RuntimeError, match="stuck"):
        service.run(settings_for(clip), breaking, nothing, build=pipeline_of)
    assert systemd.heard() == ["READY=1\nSTATUS=watching", "WATCHDOG=1", "STOPPING=1"]


def test_an_abstract_socket_is_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"fmd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        service.notify("READY=1")
        assert listening.recv(100) == b"READY=1"


def test_a_systemd_that_is_too_busy_to_listen_does_not_stop_the_alarm(systemd: Systemd) -> None:
    for _ in range(12):  # its queue is full after some ten
        service.notify("WATCHDOG=1")
    assert 0 < len(systemd.heard()) < 12


def test_nobody_listening_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    service.notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    service.notify("READY=1")


def test_a_system_manager_that_does_not_read_holds_nothing_up(systemd: Systemd) -> None:
    told = [service.notify("WATCHDOG=1") for _ in range(2000)]  # the kernel keeps some ten of them
    assert told[0]
    assert not told[-1]


def test_ready_is_said_again_where_it_was_not_heard(systemd: Systemd) -> None:
    while service.notify("WATCHDOG=1"):
        pass
    pulse = Pulse()
    pulse.beat()
    systemd.heard()
    pulse.beat()
    assert systemd.heard() == ["READY=1\nSTATUS=watching"]


def levels(mock_pins: Any, number: int) -> list[bool]:
    """Every state a pin was in."""
    return [state.state for state in mock_pins.pin(number).states]


def assert_off_and_released(mock_pins: Any) -> None:
    from gpiozero import DigitalOutputDevice

    assert not mock_pins.pin(LED).state
    assert not mock_pins.pin(BUZZER).state
    for number in (LED, BUZZER):
        DigitalOutputDevice(number).close()  # PinInUse where somebody does


def test_the_alarm_reaches_the_pins_and_ends_with_the_source(clip: Path, mock_pins: Any) -> None:
    assert service.run(settings_for(clip), nothing, nothing, build=pipeline_of) is None
    assert True in levels(mock_pins, LED)
    assert True in levels(mock_pins, BUZZER)
    assert_off_and_released(mock_pins)


class Breaking:
    """A stage that works until the alarm is on, then breaks."""

    def __init__(self, stage: Any, mock_pins: Any) -> None:
        self._stage, self._pins = stage, mock_pins

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._stage, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **more: Any) -> Any:
            if self._pins.pin(LED).state:
                raise RuntimeError("stage broke")
            return found(*arguments, **more)

        return call


@pytest.mark.parametrize("stage", ["watch", "detector", "tracker", "classifier", "decider"])
def test_outputs_are_off_after_an_exception_in_each_stage(clip: Path, mock_pins: Any, stage: str) -> None:
    def build(settings: Settings, alert: Alert) -> Pipeline:
        return pipeline_of(settings, alert, **{stage: Breaking(stages_of(settings, alert)[stage], mock_pins)})

    with pytest.raises(RuntimeError, match="stage broke"):
        service.run(settings_for(clip, camera__loop=True), nothing, nothing, build=build)
    assert True in levels(mock_pins, LED)
    assert_off_and_released(mock_pins)


@pytest.mark.parametrize("error", [RuntimeError("full"), KeyboardInterrupt(), SystemExit(1)])
def test_outputs_are_off_after_anything_raised_by_whoever_listens(
    clip: Path, mock_pins: Any, error: BaseException
) -> None:
    def on_step(step: Step) -> None:
        if step.alarm:
            assert mock_pins.pin(LED).state
            raise error

    with pytest.raises(type(error)):
        service.run(settings_for(clip), on_step, nothing, build=pipeline_of)
    assert_off_and_released(mock_pins)


def test_outputs_are_off_where_the_models_do_not_load(clip: Path, mock_pins: Any) -> None:
    with pytest.raises(BundleError):
        service.run(settings_for(clip, model__classifier=str(clip)), nothing, nothing)
    assert_off_and_released(mock_pins)


def test_the_first_pin_is_released_where_the_second_cannot_be_had(clip: Path, mock_pins: Any) -> None:
    from gpiozero import DigitalOutputDevice

    with (
        DigitalOutputDevice(BUZZER),
        pytest.raises(OutputError, match=r"alert\.buzzer_pin: GPIO27 is in use") as caught,
    ):
        service.run(settings_for(clip, alert__busy_s=0.0), nothing, nothing, build=pipeline_of)
    # ``caught`` keeps every frame of the traceback alive, so that nothing is released by garbage collection.
    assert_off_and_released(mock_pins)
    assert caught.tb is not None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_loop_with_the_outputs_off(clip: Path, mock_pins: Any, number: signal.Signals) -> None:
    left: list[Decision] = []

    def on_step(step: Step) -> None:
        if step.alarm:
            signal.raise_signal(number)

    before = signal.getsignal(number)
    assert service.run(settings_for(clip, camera__loop=True), on_step, left.append, build=pipeline_of) == number
    assert [decision.change.value for decision in left] == ["decided", "left"]
    assert signal.getsignal(number) is before
    assert_off_and_released(mock_pins)


def test_a_second_signal_interrupts_at_once(clip: Path, mock_pins: Any) -> None:
    def on_step(step: Step) -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        service.run(settings_for(clip), on_step, nothing, build=pipeline_of)
    assert_off_and_released(mock_pins)


class LiveCamera(fake_picamera2.Picamera2):
    """The stand-in, giving pictures for ever, some twenty a second."""

    pace = threading.Event()

    def capture_request(self, wait: float | None = None) -> fake_picamera2.Request:
        self.pace.wait(0.05)  # never set: a camera has a speed
        return fake_picamera2.Request(texture(240, 320), self.configuration)

    def configure(self, configuration: dict[str, Any]) -> None:
        super().configure(configuration)
        self.configuration = configuration


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
        service.run(settings_for(Path("picamera2")), on_step, nothing, build=pipeline_of)
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
        service.run(settings_for(Path("picamera2"), alert__lease_s=0.3), on_step, nothing, build=pipeline_of)
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
    monkeypatch.setitem(drivers.OUTPUTS, "console", f"{__name__}:BrokenWhileTicking")
    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=LiveCamera))
    with pytest.raises(OutputError, match="no longer answers"):
        service.run(
            settings_for(Path("picamera2"), alert__driver="console"),
            lambda step: None if BrokenWhileTicking.failed.wait(10) else pytest.fail("the thread never ticked"),
            nothing,
            build=pipeline_of,
        )
    assert not any("READY" in said or "WATCHDOG" in said for said in systemd.heard())


SHORT = {"camera__stall_s": 0.3, "camera__frozen_s": 0.3, "camera__dark_s": 0.2, "camera__loop": True}
REHEARSED = "stall@0.4+0.7,unplug@1.6+0.4,freeze@2.6+0.6,cover@3.7+0.5,crash@4.8+0.1,dark@5.5+0.4"


def test_every_fault_of_a_camera_is_named_told_and_overcome_in_real_time(
    systemd: Systemd, clip: Path, mock_pins: Any
) -> None:
    healths: list[Health] = []
    heard: list[str] = []

    def on_step(step: Step) -> None:
        heard.extend(systemd.heard())
        if step.frame.captured_s > healths[0].since_s + 6.3:
            signal.raise_signal(signal.SIGTERM)

    settings = settings_for(clip, camera__simulate=REHEARSED, camera__give_up_s=5.0, **SHORT)
    service.run(settings, on_step, nothing, build=masked_pipeline, on_health=healths.append)
    faults = [health for health in healths if health.blind]
    assert [health.sight.value for health in faults] == ["stalled", "gone", "frozen", "dark", "gone", "dark"]
    assert {health.sight for health in healths[0::2]} == {Sight.SEEING}
    statuses = [said.partition("STATUS=")[2] for said in heard if "STATUS=" in said]
    assert statuses[0::2] == ["watching"] * 7
    assert [status.split(":")[0] for status in statuses[1::2]] == [
        f"blind, camera {health.sight.value}" for health in faults
    ]
    assert_off_and_released(mock_pins)


def test_a_camera_that_stays_away_ends_the_run_in_time_with_the_outputs_off(
    systemd: Systemd, clip: Path, mock_pins: Any
) -> None:
    settings = settings_for(clip, camera__simulate="unplug@0.3+60", camera__give_up_s=1.5, **SHORT)
    started_s = time.monotonic()
    with pytest.raises(CameraError, match="unplugged"):
        service.run(settings, nothing, nothing, build=pipeline_of)
    assert 1.5 <= time.monotonic() - started_s < 4
    assert [said for said in systemd.heard() if "STATUS" in said] == [
        "READY=1\nSTATUS=watching",
        "STATUS=blind, camera gone: the camera is unplugged (simulated)",
    ]
    assert_off_and_released(mock_pins)


def test_a_camera_that_never_opens_ends_the_run_at_once_and_is_never_ready(
    systemd: Systemd, clip: Path, mock_pins: Any
) -> None:
    with pytest.raises(CameraError, match="unplugged"):
        service.run(settings_for(clip, camera__simulate="unplug@0+60"), nothing, nothing, build=pipeline_of)
    assert systemd.heard() == ["STOPPING=1"]


def test_several_cameras_share_one_alarm_and_one_may_be_blind(systemd: Systemd, tmp_path: Path, mock_pins: Any) -> None:
    clips = {name: str(write_clip(tmp_path / f"{name}.avi", frames=30, seed=i)) for i, name in enumerate(["a", "b"])}
    sources = {"camera.sources": {**clips, "c": "/dev/video99"}, "alert.driver": "gpiozero", "camera.loop": True}
    steps: list[Step] = []
    healths: list[Health] = []
    decisions: list[Decision] = []
    heard: list[str] = []

    def on_step(step: Step) -> None:
        steps.append(step)
        heard.extend(systemd.heard())
        if {"a", "b"} <= {decision.camera for decision in decisions}:
            signal.raise_signal(signal.SIGTERM)

    service.run(config.load(None, sources), on_step, decisions.append, pipeline_of, healths.append)
    assert {step.camera for step in steps} == {"a", "b"}
    assert {(health.camera, health.sight) for health in healths} == {
        ("a", Sight.SEEING),
        ("b", Sight.SEEING),
        ("c", Sight.GONE),
    }
    assert heard[0].startswith("READY=1\nSTATUS=")
    assert any("c: blind, camera gone: camera.source: no device at /dev/video99" in said for said in heard)
    assert True in levels(mock_pins, LED)
    assert_off_and_released(mock_pins)


def test_cameras_none_of_which_opens_end_the_run_at_once(mock_pins: Any) -> None:
    sources = {"camera.sources": {"a": "/dev/video98", "b": "/dev/video99"}, "alert.driver": "gpiozero"}
    with pytest.raises(CameraError, match="no device at /dev/video98"):
        service.run(config.load(None, sources), nothing, nothing, build=pipeline_of)
    assert_off_and_released(mock_pins)


def test_a_clip_played_as_if_live_takes_its_own_time_and_ends(tmp_path: Path, mock_pins: Any) -> None:
    clip = write_clip(tmp_path / "clip.avi", frames=20, fps=20)
    times: list[float] = []
    before_s = time.monotonic()
    service.run(
        settings_for(clip, camera__live=True),
        lambda step: times.append(step.frame.captured_s),
        nothing,
        build=pipeline_of,
    )
    assert 0.9 <= times[-1] - before_s < 5
    assert times == sorted(times)


def masked_pipeline(settings: Settings, alert: Alert) -> Pipeline:
    return pipeline_of(settings, alert, classifier=classifier_of(MASKED))


def test_labels_that_the_model_does_not_have_are_refused(tmp_path: Path) -> None:
    settings = config.load(None, {"decide.accept": ["scarf"]})
    with pytest.raises(BundleError, match=r"decide\.accept: \['scarf'\]: no label of this model; it has"):
        service.open_classifier(settings)


def test_the_shipped_models_load_and_prove_themselves(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "fmd"):
        for task in ("detector", "classifier"):
            assert isinstance(service.load_model(config.load().model, task), Model)
    assert caplog.text.count("golden inputs answer as they should") == 2


def test_the_voice_is_heard_while_somebody_is_bare_and_ends_with_the_service(
    tmp_path: Path, clip: Path, mock_pins: Any
) -> None:
    if shutil.which("aplay") is None:
        pytest.skip("aplay is not installed: apt install alsa-utils")
    heard = tmp_path / "heard.wav"
    speaking = settings_for(clip, camera__loop=True, voice__enabled=True, voice__device=f"file:{heard},wav")

    def on_step(step: Step) -> None:
        if step.alarm and heard.exists() and heard.stat().st_size:
            signal.raise_signal(signal.SIGTERM)

    service.run(speaking, on_step, nothing, build=pipeline_of)
    assert heard.stat().st_size > 0
    assert not [thread for thread in threading.enumerate() if thread.name == "voice"]
    assert_off_and_released(mock_pins)


def test_outputs_are_released_where_the_voice_cannot_be_had(clip: Path, mock_pins: Any) -> None:
    wanted = settings_for(clip, voice__enabled=True, voice__file=str(clip))
    with pytest.raises(OutputError, match=r"voice\."):
        service.run(wanted, nothing, nothing, build=pipeline_of)
    assert_off_and_released(mock_pins)


def test_relay_and_heartbeat_are_driven_where_they_are_wired(clip: Path, mock_pins: Any) -> None:
    wired = settings_for(clip, alert__relay_pin=22, alert__heartbeat_pin=23, alert__buzzer_pin="")
    service.run(wired, nothing, nothing, build=pipeline_of)
    assert True in levels(mock_pins, 22)
    assert True in levels(mock_pins, 23)
    assert not any(mock_pins.pin(number).state for number in (LED, 22, 23))


class Reloading:
    """Asks for a reload at the first step, and some steps later to stop; takes down what systemd hears."""

    def __init__(self, reread: Any, systemd: Systemd | None = None) -> None:
        self.reread, self.steps, self.asked = reread, 0, 0
        self.systemd, self.heard = systemd, list[str]()

    def __call__(self) -> Settings:
        self.asked += 1
        found = self.reread()
        assert isinstance(found, Settings)
        return found

    def on_step(self, step: Step) -> None:
        self.steps += 1
        self.heard += self.systemd.heard() if self.systemd else []
        if self.steps == 1:
            signal.raise_signal(signal.SIGHUP)
        if self.steps == 12:
            signal.raise_signal(signal.SIGTERM)


def refused() -> Settings:
    raise SettingsError("fmd.toml: no good")


def test_a_reload_begins_anew_with_the_settings_it_reads(systemd: Systemd, clip: Path, mock_pins: Any) -> None:
    settings = settings_for(clip, camera__loop=True)
    reloading = Reloading(lambda: settings_for(clip, camera__loop=True, alert__led_pin=5), systemd)
    service.run(settings, reloading.on_step, nothing, build=pipeline_of, reread=reloading)
    heard = reloading.heard + systemd.heard()
    assert [said.split("=")[0] for said in heard[:3]] == ["READY", "RELOADING", "READY"]
    assert heard[1].split("\n")[1].startswith("MONOTONIC_USEC=")
    assert [said for said in heard[3:] if said != "WATCHDOG=1"] == ["STOPPING=1"]
    assert True in levels(mock_pins, 5)
    assert_off_and_released(mock_pins)
    assert not mock_pins.pin(5).state


@pytest.mark.parametrize("what", ["settings", "models"])
def test_a_reload_of_what_is_no_good_changes_nothing(
    systemd: Systemd, clip: Path, mock_pins: Any, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(clip, camera__loop=True)
    wrong = settings_for(clip, model__classifier=str(clip))
    reloading = Reloading(refused if what == "settings" else lambda: wrong, systemd)
    assert service.run(settings, reloading.on_step, nothing, build=pipeline_of, reread=reloading) == signal.SIGTERM
    heard = reloading.heard + systemd.heard()
    assert heard[1].startswith("RELOADING=1")
    assert heard[2].startswith("READY=1\nSTATUS=watching; reload refused: ")
    assert "reload refused, going on as before" in caplog.text
    assert (reloading.asked, reloading.steps) == (1, 12)


def test_settings_that_cannot_be_run_are_left_for_those_before(
    clip: Path, mock_pins: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The file is right, the pin it names is somebody else's."""
    from gpiozero import DigitalOutputDevice

    settings = settings_for(clip, camera__loop=True)
    reloading = Reloading(lambda: settings_for(clip, alert__led_pin=5))
    with DigitalOutputDevice(5):
        service.run(settings, reloading.on_step, nothing, build=pipeline_of, reread=reloading)
    assert reloading.steps == 12
    assert "the new settings cannot be run, going on with those before: " in caplog.text
    assert True in levels(mock_pins, LED)
    assert_off_and_released(mock_pins)


def test_a_terminal_that_goes_away_ends_the_loop_with_the_outputs_off(clip: Path, mock_pins: Any) -> None:
    def on_step(step: Step) -> None:
        if step.alarm:
            signal.raise_signal(signal.SIGHUP)

    settings = settings_for(clip, camera__loop=True)
    assert service.run(settings, on_step, nothing, build=pipeline_of) == signal.SIGHUP
    assert_off_and_released(mock_pins)
