"""status.json: what other processes learn of the cameras of a running service."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge import config, state_file
from edge.contracts import CameraState, Delivery, Health, ModelFallback, Signal, Step
from edge.messages import ArmingMessage, ModelMessage
from edge.reporting.listener import Listeners
from edge.reporting.live_state import LiveState
from edge.reporting.status_file import NAME, CameraStatus, ServiceStatus, StatusFile, read_status
from tests.edge.parts import frame_of, texture

TWO = config.load(None, {"camera.sources": {"in": "picamera2", "out": "/dev/video0"}})


def kept(folder: Path | None) -> Listeners:
    """Return a live state and the file that follows it, in the order of a run."""
    live = LiveState(lambda: 0.0)
    return Listeners([live, StatusFile(folder, live)])


def step(camera: str = "") -> Step:
    return Step(frame_of(texture(8, 8)), True, True, (), (), {}, (), (), Signal.RUNNING, {}, camera)


def watching(folder: Path) -> bool:
    status = read_status(folder)
    assert status is not None
    return status.watching


def test_a_run_is_watching_after_the_first_step_of_every_camera(tmp_path: Path) -> None:
    file = kept(tmp_path)
    file.on_settings(TWO)
    assert read_status(tmp_path) == ServiceStatus(
        os.getpid(),
        False,
        (CameraStatus("in", "starting"), CameraStatus("out", "starting")),
        ArmingMessage(armed=True, source="default"),
    )
    for camera in ("in", "out"):
        assert not watching(tmp_path)
        file.on_health(Health(camera, CameraState.STREAMING, 1.0))
        file.on_step(step(camera), Delivery())
    assert watching(tmp_path)


def test_a_recording_is_watched_without_a_health(tmp_path: Path) -> None:
    file = kept(tmp_path)
    file.on_settings(config.load())
    file.on_step(step(), Delivery())
    assert watching(tmp_path)


@pytest.mark.parametrize("state", [CameraState.STALLED, CameraState.FROZEN, CameraState.DARK, CameraState.LOST])
def test_a_blind_camera_is_not_watching_and_says_why(tmp_path: Path, state: CameraState) -> None:
    file = kept(tmp_path)
    file.on_settings(config.load())
    file.on_step(step(), Delivery())
    file.on_health(Health("", state, 5.0, "unplugged", ""))
    found = read_status(tmp_path)
    assert found is not None
    assert (found.watching, found.cameras) == (False, (CameraStatus("", state.value, "unplugged", "", 5.0),))
    file.on_health(Health("", CameraState.STREAMING, 6.0))
    assert watching(tmp_path)


def test_a_reload_begins_again_with_its_cameras(tmp_path: Path) -> None:
    file = kept(tmp_path)
    file.on_settings(TWO)
    file.on_step(step("in"), Delivery())
    file.on_step(step("out"), Delivery())
    assert watching(tmp_path)
    file.on_settings(config.load())
    found = read_status(tmp_path)
    assert found is not None
    assert (found.watching, [camera.camera for camera in found.cameras]) == (False, [""])


def test_after_a_reload_the_cameras_of_before_need_a_step_again(tmp_path: Path) -> None:
    file = kept(tmp_path)
    file.on_settings(config.load())
    file.on_step(step(), Delivery())
    file.on_settings(config.load())
    assert not watching(tmp_path)


def test_later_steps_write_nothing(tmp_path: Path) -> None:
    file = kept(tmp_path)
    file.on_settings(config.load())
    file.on_step(step(), Delivery())
    (tmp_path / NAME).unlink()
    for _ in range(3):
        file.on_step(step(), Delivery())
    assert not (tmp_path / NAME).exists()


def test_every_user_may_read_it(tmp_path: Path) -> None:
    kept(tmp_path).on_settings(config.load())
    assert (tmp_path / NAME).stat().st_mode & 0o444 == 0o444


def test_without_a_runtime_directory_nothing_is_written_and_without_permission_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept(None).on_settings(config.load())
    kept(tmp_path / "missing").on_settings(config.load())
    assert "fmd doctor will not know the state of the cameras" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_a_process_that_has_ended_counts_for_nothing(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    state_file.write_state(tmp_path / NAME, ServiceStatus(child, True, ()))
    assert read_status(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"pid": "one"}', b"[]"])
def test_a_damaged_or_missing_file_counts_for_nothing(tmp_path: Path, content: bytes) -> None:
    assert read_status(tmp_path) is None
    (tmp_path / NAME).write_bytes(content)
    assert read_status(tmp_path) is None


def test_a_hint_stays_while_the_health_changes_and_can_be_removed(tmp_path: Path) -> None:
    live = LiveState(lambda: 0.0)
    file = StatusFile(tmp_path, live)
    listeners = Listeners([live, file])
    listeners.on_settings(config.load())
    listeners.on_hint("", "size", "faces too small")
    listeners.on_health(Health("", CameraState.STREAMING, 1.0))
    status = read_status(tmp_path)
    assert status is not None
    assert (status.cameras[0].state, status.cameras[0].hint) == ("streaming", "faces too small")
    listeners.on_hint("", "size", "")
    status = read_status(tmp_path)
    assert status is not None
    assert status.cameras[0].hint == ""


def test_disarming_is_written_at_once(tmp_path: Path) -> None:
    live = LiveState(lambda: 0.0)
    listeners = Listeners([live, StatusFile(tmp_path, live)])
    listeners.on_settings(config.load())
    disarmed = ArmingMessage(armed=False, source="command", by="pi", until="2026-11-30T18:00:00+00:00")
    listeners.on_arming(disarmed)
    found = read_status(tmp_path)
    assert found is not None
    assert found.arming == disarmed


def test_a_model_that_replaces_the_installed_one_is_reported(tmp_path: Path) -> None:
    file = kept(tmp_path)
    file.on_settings(config.load())
    file.on_models([ModelFallback("classifier", "mine.tflite", "shipped.tflite", "damaged")])
    status = read_status(tmp_path)
    assert status is not None
    assert status.fallbacks == (ModelMessage("classifier", "shipped.tflite", "mine.tflite", "damaged"),)
    file.on_models([])
    status = read_status(tmp_path)
    assert status is not None
    assert status.fallbacks == ()
