"""Outputs off after a kill: a real process, killed outright with its alarm on, and pins that are files."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge import config, paths
from edge.config import Settings
from edge.errors import OutputError, SettingsError
from edge.service import outputs_off
from tests.edge.parts import command, environment, fmd

PATIENCE_S = 60.0


class Board:
    """Lamps that the kernel drives, and the settings that name them."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.paths = {name: folder / name for name in names}
        for path in self.paths.values():
            path.write_text("0\n")
        self.settings = folder / "fmd.toml"
        self.write_settings(*names)

    def write_settings(self, *names: str) -> None:
        pins = [f'{name}_pin = "{self.paths[name]}"' if name in names else f'{name}_pin = ""' for name in self.paths]
        self.settings.write_text("\n".join(["[alert]", "led_no_mask = [1.0]", *pins, ""]))

    def on(self, name: str) -> bool:
        return self.paths[name].read_text() == "1\n"


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path, "led", "buzzer")


def wait_for(seen: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Until it is so; fails where the process ends first."""
    until_s = time.monotonic() + PATIENCE_S
    while not seen() and time.monotonic() < until_s and process.poll() is None:
        threading.Event().wait(0.02)
    assert seen()


def test_a_lamp_that_a_kill_left_on_is_switched_off_by_fmd_off(board: Board, tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="the built-in scene needs scikit-image")
    runtime = tmp_path / "run"
    runtime.mkdir()
    arguments = ("run", "--config", board.settings, "--source", "doorway", "--set", "camera.loop=true")
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.DEVNULL, env=environment(RUNTIME_DIRECTORY=str(runtime))
    )
    try:
        wait_for(lambda: board.on("led"), process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert board.on("led"), "a kill leaves everything as it was"
    # Between start and kill somebody has mistyped something.
    board.settings.write_text("[alert\n")
    found = fmd("off", "--config", board.settings, RUNTIME_DIRECTORY=str(runtime))
    assert found.returncode == 0, found.stderr
    assert not any(board.on(name) for name in board.paths)


@pytest.mark.parametrize("now_wired", [("led", "buzzer"), ("led",), ("buzzer",)])
def test_what_was_driven_is_switched_off_whatever_the_settings_say_now(
    board: Board, tmp_path: Path, now_wired: tuple[str, ...]
) -> None:
    outputs_off.remember(config.load(board.settings).alert, tmp_path)
    board.write_settings(*now_wired)
    for path in board.paths.values():
        path.write_text("1\n")
    outputs_off.switch_off(loads(board), tmp_path)
    assert not any(board.on(name) for name in board.paths)


def loads(board: Board) -> Callable[[], Settings]:
    return lambda: config.load(board.settings)


def test_one_output_that_fails_does_not_keep_the_others_on(board: Board) -> None:
    board.paths["buzzer"].write_text("1\n")
    board.paths["led"].unlink()
    with pytest.raises(OutputError, match=r"^alert\.led_pin: no such file"):
        outputs_off.switch_off(loads(board), None)
    assert not board.on("buzzer")


def test_without_a_record_broken_settings_are_told(board: Board, tmp_path: Path) -> None:
    board.settings.write_text("[alert\n")
    with pytest.raises(SettingsError, match="not valid TOML"):
        outputs_off.switch_off(loads(board), tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\x00", b'{"driver": 5}', b"[" * 100_000])
def test_a_damaged_record_counts_as_none(board: Board, tmp_path: Path, content: bytes) -> None:
    (tmp_path / outputs_off.RECORD).write_bytes(content)
    assert outputs_off.recall(tmp_path) is None
    board.paths["led"].write_text("1\n")
    outputs_off.switch_off(loads(board), tmp_path)
    assert not board.on("led")


def test_a_pc_has_nothing_to_switch_off_but_files(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    assert outputs_off.switch_off(config.load, None, tmp_path) == []
    wired = {"alert.led_pin": str(board.paths["led"]), "alert.buzzer_pin": 27}
    board.paths["led"].write_text("1\n")
    assert outputs_off.switch_off(lambda: config.load(None, wired), None, tmp_path) == ["led"]
    assert not board.on("led")
    # Who names a driver means it.
    with pytest.raises(OutputError, match=r"alert\.led_pin"):
        outputs_off.switch_off(lambda: config.load(None, {"alert.driver": "gpiozero"}), None, tmp_path)


def test_fmd_off_says_that_there_is_nothing_to_switch_off() -> None:
    found = fmd("off", "--set", "alert.led_pin=", "--set", "alert.buzzer_pin=")
    assert (found.returncode, found.stdout.startswith("nothing to switch off: ")) == (0, True), found


def test_what_is_remembered_is_recalled(tmp_path: Path) -> None:
    settings = config.load(None, {"alert.relay_pin": "gpiochip1:3", "alert.led_no_mask": [0.5, 0.5]}).alert
    outputs_off.remember(settings, tmp_path)
    assert outputs_off.recall(tmp_path) == settings


def test_a_folder_that_cannot_be_written_keeps_nobody_from_watching(tmp_path: Path, caplog: Any) -> None:
    outputs_off.remember(config.load().alert, tmp_path / "nowhere")
    assert "only the settings show what to switch off" in caplog.text
    outputs_off.remember(config.load().alert, None)
    assert outputs_off.recall(None) is None


def test_the_runtime_folder_is_systemds_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/fmd:/run/other")
    assert paths.runtime_folder() == Path("/run/fmd")
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    assert paths.runtime_folder() is None


def test_a_heartbeat_that_is_gone_is_no_trouble_but_any_other_lamp_is(tmp_path: Path) -> None:
    board = Board(tmp_path, "led", "heartbeat")
    board.paths["led"].write_text("1\n")
    board.paths["heartbeat"].unlink()
    found = fmd("off", "--config", board.settings)
    assert (found.returncode, board.on("led")) == (0, False)
    assert "alert.heartbeat_pin: no such file" in found.stderr
    board.paths["led"].unlink()
    found = fmd("off", "--config", board.settings)
    assert found.returncode == 1
    assert "error: alert.led_pin: no such file" in found.stderr


def test_the_record_of_the_version_before_is_recalled(tmp_path: Path) -> None:
    settings = config.load(None, {"alert.led_pin": 22, "alert.led_no_mask": [0.5, 0.5]}).alert
    earlier = msgspec.to_builtins(settings)
    for old, new in {"led_bare": "led_no_mask", "buzzer_bare": "buzzer_no_mask"}.items():
        earlier[old] = earlier.pop(new)
    (tmp_path / "outputs.json").write_bytes(msgspec.json.encode(earlier))
    assert outputs_off.recall(tmp_path) == settings


@pytest.mark.parametrize("content", [b"", b"[]", b'{"led_pin": 17}', b'{"alert": 1}', b"\xff"])
def test_a_record_that_is_none_is_not_recalled(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "outputs.json").write_bytes(content)
    assert outputs_off.recall(tmp_path) is None
