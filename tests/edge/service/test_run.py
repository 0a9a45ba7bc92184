"""The service around the pipeline: models, signals, reloads, and outputs that are off on every way out."""

from __future__ import annotations

import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from edge import config, process
from edge.config import Settings
from edge.contracts import Decision, Step
from edge.errors import BundleError, FmdError, OutputError, SettingsError
from edge.inference.bundle import Model
from edge.pipeline import Pipeline
from edge.reporting.listener import Callbacks, Listener
from edge.service import models
from edge.service import run as service
from edge.stages.alert import Alert
from edge.stages.regions import Regions
from tests.edge.parts import (
    BUZZER,
    LED,
    Systemd,
    assert_off_and_released,
    levels,
    pipeline_of,
    settings_for,
    stages_of,
    write_clip,
)


def test_the_alarm_reaches_the_pins_and_ends_with_the_source(clip: Path, mock_pins: Any) -> None:
    assert service.run(settings_for(clip), build=pipeline_of) is None
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
    def build(settings: Settings, alert: Alert, camera: str = "") -> Pipeline:
        return pipeline_of(settings, alert, **{stage: Breaking(stages_of(settings, alert)[stage], mock_pins)})

    with pytest.raises(RuntimeError, match="stage broke"):
        service.run(settings_for(clip, camera__loop=True), build=build)
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
        service.run(settings_for(clip), [Callbacks(on_step)], build=pipeline_of)
    assert_off_and_released(mock_pins)


def test_outputs_are_off_where_the_models_do_not_load(clip: Path, mock_pins: Any) -> None:
    with pytest.raises(BundleError):
        service.run(settings_for(clip, model__classifier=str(clip)))
    assert_off_and_released(mock_pins)


def test_the_first_pin_is_released_where_the_second_cannot_be_had(clip: Path, mock_pins: Any) -> None:
    from gpiozero import DigitalOutputDevice

    with (
        DigitalOutputDevice(BUZZER),
        pytest.raises(OutputError, match=r"alert\.buzzer_pin: GPIO27 is in use") as caught,
    ):
        service.run(settings_for(clip, alert__busy_s=0.0), build=pipeline_of)
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
    assert (
        service.run(settings_for(clip, camera__loop=True), [Callbacks(on_step, left.append)], build=pipeline_of)
        == number
    )
    assert [decision.change.value for decision in left] == ["decided", "left"]
    assert signal.getsignal(number) is before
    assert_off_and_released(mock_pins)


def test_a_second_ctrl_c_interrupts_at_once(clip: Path, mock_pins: Any) -> None:
    def on_step(step: Step) -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        service.run(settings_for(clip), [Callbacks(on_step)], build=pipeline_of)
    assert_off_and_released(mock_pins)


class StubbornPin:
    """Stands for the closing of an output: two signals of each kind arrive in the middle of it."""

    def __init__(self) -> None:
        self.closed = False

    def set(self, on: bool) -> None: ...

    def close(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) * 2:
            signal.raise_signal(number)
        self.closed = True


def test_repeated_signals_do_not_interrupt_the_switching_off(clip: Path, mock_pins: Any) -> None:
    pin = StubbornPin()

    def build(settings: Settings, alert: Alert, camera: str = "") -> Pipeline:
        alert._outputs["stubborn"] = pin
        return pipeline_of(settings, Alert(settings.alert, None, None))

    def on_step(step: Step) -> None:
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)

    stopped_by = service.run(settings_for(clip, camera__loop=True), [Callbacks(on_step)], build=build)
    assert stopped_by == signal.SIGTERM
    assert pin.closed
    assert_off_and_released(mock_pins)


def test_a_reload_asked_for_before_the_run_could_handle_it_is_done_at_its_first_frame(
    clip: Path, mock_pins: Any
) -> None:
    before = signal.getsignal(signal.SIGHUP)
    process.note_hangups()
    signal.raise_signal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, before)
    settings = settings_for(clip, camera__loop=True)
    reloading = Reloading(lambda: settings)
    reloading.steps = 1  # it asks for no reload of its own
    service.run(settings, [Callbacks(reloading.on_step)], build=pipeline_of, reread=reloading)
    assert reloading.asked == 1
    assert not process.take_hangups()


def test_labels_that_the_model_does_not_have_are_refused(tmp_path: Path) -> None:
    settings = config.load(None, {"decide.accept": ["scarf"]})
    with pytest.raises(BundleError, match=r"decide\.accept: \['scarf'\]: no label of this model; it has"):
        models.open_classifier(settings)


def test_the_shipped_models_load_and_prove_themselves(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "edge"):
        for task in ("detector", "classifier"):
            assert isinstance(models.load_model(config.load().model, task), Model)
    assert caplog.text.count("golden inputs give the recorded answers") == 2


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

    service.run(speaking, [Callbacks(on_step)], build=pipeline_of)
    assert heard.stat().st_size > 0
    assert not [thread for thread in threading.enumerate() if thread.name == "voice"]
    assert_off_and_released(mock_pins)


def test_outputs_are_released_where_the_voice_cannot_be_had(clip: Path, mock_pins: Any) -> None:
    """Where nothing else gives an alarm, a voice must."""
    alone = {"alert__led_pin": "", "alert__buzzer_pin": "", "alert__relay_pin": 22, "alert__relay": "strike"}
    with pytest.raises(OutputError, match=r"voice\."):
        service.run(settings_for(clip, voice__enabled=True, voice__file=str(clip), **alone), build=pipeline_of)
    assert not mock_pins.pin(22).state


def test_a_voice_and_a_heartbeat_that_cannot_be_had_leave_the_door_watched(
    clip: Path, tmp_path: Path, mock_pins: Any, caplog: pytest.LogCaptureFixture
) -> None:
    broken = {"voice__enabled": True, "voice__file": str(clip), "alert__heartbeat_pin": str(tmp_path / "lost")}
    service.run(settings_for(clip, **broken), build=pipeline_of)
    assert True in levels(mock_pins, LED)
    for output in ("alert.heartbeat_pin: no such file: ", "voice."):
        assert len([r for r in caplog.records if r.message.startswith(output) and "continues" in r.message]) == 1
    assert_off_and_released(mock_pins)


def test_a_heartbeat_that_goes_while_the_door_is_watched_does_not_end_it(
    tmp_path: Path, mock_pins: Any, caplog: pytest.LogCaptureFixture
) -> None:
    clip = write_clip(tmp_path / "clip.avi", frames=12)
    lamp, steps = tmp_path / "brightness", list[Step]()
    lamp.write_text("0\n")

    def on_step(step: Step) -> None:
        steps.append(step)
        lamp.unlink(missing_ok=True)

    service.run(settings_for(clip, alert__heartbeat_pin=str(lamp)), [Callbacks(on_step)], build=pipeline_of)
    assert len(steps) == 12
    assert "alert.heartbeat_pin" in caplog.text
    assert not lamp.exists()
    assert_off_and_released(mock_pins)


def test_relay_and_heartbeat_are_driven_where_they_are_wired(clip: Path, mock_pins: Any) -> None:
    wired = settings_for(clip, alert__relay_pin=22, alert__heartbeat_pin=23, alert__buzzer_pin="")
    service.run(wired, build=pipeline_of)
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
        self.heard += self.systemd.received() if self.systemd else []
        if self.steps == 1:
            signal.raise_signal(signal.SIGHUP)
        if self.steps == 12:
            signal.raise_signal(signal.SIGTERM)


def refused() -> Settings:
    raise SettingsError("fmd.toml: no good")


def test_a_reload_begins_anew_with_the_settings_it_reads(systemd: Systemd, clip: Path, mock_pins: Any) -> None:
    settings = settings_for(clip, camera__loop=True)
    reloading = Reloading(lambda: settings_for(clip, camera__loop=True, alert__led_pin=5), systemd)
    service.run(settings, [Callbacks(reloading.on_step)], build=pipeline_of, reread=reloading)
    heard = reloading.heard + systemd.received()
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
    assert service.run(settings, [Callbacks(reloading.on_step)], build=pipeline_of, reread=reloading) == signal.SIGTERM
    heard = reloading.heard + systemd.received()
    assert heard[1].startswith("RELOADING=1")
    assert heard[2].startswith("READY=1\nSTATUS=watching; reload refused: ")
    assert "reload refused, going on as before" in caplog.text
    assert (reloading.asked, reloading.steps) == (1, 12)


class Beginnings(Listener):
    """Collects the settings that runs begin with."""

    def __init__(self, begun: list[Settings]) -> None:
        self._begun = begun

    def on_settings(self, settings: Settings) -> None:
        self._begun.append(settings)


def test_settings_that_cannot_be_run_are_left_for_those_before(
    clip: Path, mock_pins: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The file is right, the pin it names is somebody else's."""
    from gpiozero import DigitalOutputDevice

    settings = settings_for(clip, camera__loop=True)
    reloading = Reloading(lambda: settings_for(clip, alert__led_pin=5))
    begun: list[Settings] = []
    with DigitalOutputDevice(5):
        service.run(settings, [Callbacks(reloading.on_step), Beginnings(begun)], build=pipeline_of, reread=reloading)
    assert begun == [settings, settings]
    assert reloading.steps == 12
    assert "the new settings cannot run, going on with the previous ones: " in caplog.text
    assert True in levels(mock_pins, LED)
    assert_off_and_released(mock_pins)


def test_a_terminal_that_goes_away_ends_the_loop_with_the_outputs_off(clip: Path, mock_pins: Any) -> None:
    def on_step(step: Step) -> None:
        if step.alarm:
            signal.raise_signal(signal.SIGHUP)

    settings = settings_for(clip, camera__loop=True)
    assert service.run(settings, [Callbacks(on_step)], build=pipeline_of) == signal.SIGHUP
    assert_off_and_released(mock_pins)


WHOLE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]


def test_regions_that_leave_nothing_of_one_camera_are_refused_by_the_check(clip: Path) -> None:
    sources = {"camera.sources": {"door": str(clip), "hall": str(clip)}, "alert.driver": "console"}
    with pytest.raises(SettingsError, match="no part of the picture is left"):
        service.check(config.load(None, {**sources, "watch.ignore": {"hall": [WHOLE]}}))


def test_each_camera_has_regions_of_its_own() -> None:
    settings = config.load(
        None, {"camera.sources": {"door": "auto", "hall": "auto"}, "watch.ignore": {"hall": [WHOLE[:3]]}}
    )
    shares = {name: Regions(*config.regions(settings, name)).share for name in ("door", "hall")}
    assert shares == {"door": 1.0, "hall": pytest.approx(0.5, abs=0.01)}


class Calls:
    """A Keeper that notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def proven(self) -> None:
        self.heard.append("proven")

    def refused(self, error: FmdError) -> None:
        self.heard.append(f"refused: {error}")


def test_a_start_that_fails_goes_on_with_the_fallback(clip: Path, mock_pins: Any) -> None:
    from gpiozero import DigitalOutputDevice

    good, bad = settings_for(clip), settings_for(clip, alert__led_pin=5, alert__busy_s=0.0)
    begun: list[Settings] = []
    keeper = Calls()
    with DigitalOutputDevice(5):
        service.run(bad, [Beginnings(begun)], build=pipeline_of, fallback=good, keeper=keeper)
        assert begun == [good]
        assert [heard.partition(":")[0] for heard in keeper.heard] == ["refused"]
        # Without one that works, the fault is not that of the newest settings.
        with pytest.raises(OutputError):
            service.run(bad, build=pipeline_of, fallback=bad, keeper=keeper)
    assert len(keeper.heard) == 1
    service.run(good, build=pipeline_of, fallback=bad, keeper=keeper)
    assert keeper.heard[1:] == ["proven"]


def test_a_reload_that_is_refused_is_reported_to_the_keeper(clip: Path, mock_pins: Any) -> None:
    def reread() -> Settings:
        raise SettingsError("fmd.toml: no good")

    keeper = Calls()
    reloading = Reloading(reread)
    settings = settings_for(clip, camera__loop=True)
    service.run(settings, [Callbacks(reloading.on_step)], build=pipeline_of, reread=reloading, keeper=keeper)
    assert keeper.heard == ["proven", "refused: fmd.toml: no good"]
