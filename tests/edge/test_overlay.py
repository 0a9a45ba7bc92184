from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edge import config, overlay, paths
from edge.commands import settings_text
from edge.errors import SettingsError
from edge.migrate import VERSION

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of other users")


class Door:
    """A settings file, and a state directory of this process."""

    def __init__(self, folder: Path) -> None:
        self.base, self.state = folder / "fmd.toml", folder / "state"
        self.base.write_text("[alert]\nled_pin = 5\n")
        self.state.mkdir()
        self.overlay = self.state / overlay.NAME

    def write(self, text: str, mode: int = 0o600) -> None:
        self.overlay.write_text(f'version = {VERSION}\nbase = "{self.base}"\n{text}')
        self.overlay.chmod(mode)

    def problem(self) -> str:
        """Read the settings, which must be those of the file alone, and return why."""
        layers = config.read(self.base)
        assert layers.settings == config.load(self.base, {}) == config.laid(self.base, {}).settings
        assert (layers.over, layers.settings.alert.led_pin) == ({}, 5)
        return layers.problem


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Door:
    made = Door(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(made.state))
    return made


def test_the_overlay_lies_between_the_file_and_the_command_line(door: Door) -> None:
    door.base.write_text("[alert]\nled_pin = 5\nbuzzer_pin = 6\nlease_s = 2.0\n")
    overlay.write(door.base, {"alert": {"buzzer_pin": 7, "lease_s": 3.0, "longest_s": 9.0}})
    layers = config.read(door.base, {"alert.lease_s": 4.0})
    alert = layers.settings.alert
    assert (alert.led_pin, alert.buzzer_pin, alert.lease_s, alert.longest_s) == (5, 7, 4.0, 9.0)
    keys = ("led_pin", "buzzer_pin", "lease_s", "longest_s", "busy_s")
    found = [layers.origin(f"alert.{key}") for key in keys]
    assert found == ["file", "overlay", "command line", "overlay", "default"]
    assert layers.problem == ""
    assert config.load(door.base, {"alert.lease_s": 4.0}) == layers.settings


def test_it_is_written_whole_for_its_owner_alone_and_removed_if_empty(door: Door) -> None:
    overlay.write(door.base, {"alert": {"led_pin": 7}})
    assert stat.S_IMODE(door.overlay.stat().st_mode) == 0o600
    assert f'base = "{door.base}"' in door.overlay.read_text()
    assert [file.name for file in door.state.iterdir()] == [overlay.NAME]
    overlay.write(door.base, {})
    assert list(door.state.iterdir()) == []
    overlay.write(door.base, {})  # once more
    assert config.read(door.base).settings.alert.led_pin == 5


def test_a_full_disk_leaves_the_overlay_as_it_was(door: Door) -> None:
    overlay.write(door.base, {"alert": {"led_pin": 7}})
    code = (
        "import resource, signal, sys; from pathlib import Path; from edge import overlay\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "overlay.write(Path(sys.argv[1]), {'display': {'thanks': 'x' * 80}})"
    )
    ran = subprocess.run([sys.executable, "-c", code, door.base], capture_output=True, text=True, check=False)
    assert "OSError" in ran.stderr
    assert [file.name for file in door.state.iterdir()] == [overlay.NAME]
    assert config.read(door.base).settings.alert.led_pin == 7


def test_another_settings_file_is_read_without_it(door: Door, tmp_path: Path) -> None:
    overlay.write(door.base, {"alert": {"led_pin": 7}})
    other = tmp_path / "mine.toml"
    other.write_text("")
    for base in (other, None):
        layers = config.read(base)
        assert (layers.over, layers.problem, layers.settings) == ({}, "", config.laid(base, {}).settings)
    assert config.read(door.base.parent / "." / door.base.name).settings.alert.led_pin == 7


def test_without_a_state_directory_only_the_services_file_has_one(
    door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY")
    assert overlay.file_of(paths.SETTINGS) == paths.STATE / overlay.NAME
    assert overlay.file_of(door.base) is None
    assert overlay.read(door.base) is None
    for base in (door.base, paths.SETTINGS):
        with pytest.raises(SettingsError, match="has no state directory for changed settings; name one with --state"):
            overlay.write(base, {"alert": {"led_pin": 7}})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[alert", "not valid TOML"),
        ("[alert]\nled_pni = 7\n", "unknown key alert.led_pni; did you mean led_pin?"),
        ("[alert]\nled_pin = 99\n", "alert.led_pin: expected a whole number <= 27; got 99"),
        ("[alert]\nled_pin = 27\n", "alert.buzzer_pin: the same pin as alert.led_pin"),
        ("alert = 5\n", "alert: expected a section"),
        ("[[alert]]\n", "alert: expected a section"),
        ("[model]\nclassifier = '/etc/shadow'\n", "model.classifier: only the settings file can set it"),
        ("[camera]\nsource = 'http://elsewhere/'\n", "camera.source: only the settings file can set it"),
        ("[voice]\ndevice = 'file:/etc/x'\n", "voice.device: only the settings file can set it"),
        ("[mqtt]\ntls = false\n", "mqtt.tls: only the settings file can set it"),
        ("[sensor]\naddress = 80\n", "sensor.address: only the settings file can set it"),
        ("[notify]\nurls = ['json://elsewhere']\n", "notify.urls: only the settings file can set it"),
        ("[alert]\nled_pin = '/etc/passwd'\n", "alert.led_pin: only the settings file can name a file as a pin"),
    ],
)
def test_a_damaged_or_forged_overlay_is_left_out_and_named(door: Door, text: str, why: str) -> None:
    door.write(text)
    assert door.problem().startswith(f"{door.overlay}: {why}")


def test_an_overlay_of_a_later_fmd_is_left_out(door: Door) -> None:
    door.overlay.write_text(f'version = {VERSION + 1}\nbase = "{door.base}"\n')
    door.overlay.chmod(0o600)
    assert "written for a later fmd" in door.problem()


def test_an_overlay_of_an_earlier_fmd_is_converted(door: Door) -> None:
    door.overlay.write_text(f'version = 3\nbase = "{door.base}"\n[decide]\nlook_s = 0.5\n')
    door.overlay.chmod(0o600)
    assert config.read(door.base).over == {"decide.observation_s": 0.5}


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x00" * 100, b"x" * (overlay.LIMIT + 1), b""])
def test_other_bytes_are_left_out(door: Door, content: bytes) -> None:
    door.overlay.write_bytes(content)
    door.overlay.chmod(0o600)
    assert door.problem().startswith(f"{door.overlay}: ")


@pytest.mark.parametrize("make", ["link", "pipe", "folder"])
def test_only_a_regular_file_is_read(door: Door, make: str) -> None:
    if make == "link":
        (door.state / "elsewhere").write_text("[alert]\nled_pin = 7\n")
        door.overlay.symlink_to("elsewhere")
    elif make == "pipe":
        os.mkfifo(door.overlay)
    else:
        door.overlay.mkdir()
    assert door.problem().startswith(f"{door.overlay}: ")


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_left_out(door: Door, mode: int) -> None:
    door.write("[alert]\nled_pin = 7\n", mode)
    assert f"expected user {os.geteuid()} and mode 0600, got user {os.geteuid()} and mode {mode:04o}" in door.problem()


@ROOT_ONLY
def test_a_file_of_another_user_is_left_out(door: Door) -> None:
    door.write("[alert]\nled_pin = 7\n")
    os.chown(door.overlay, 65534, -1)
    assert "got user 65534" in door.problem()


@ROOT_ONLY
def test_root_reads_the_overlay_of_the_directorys_owner_and_does_not_write_it(door: Door) -> None:
    door.write("[alert]\nled_pin = 7\n")
    for path in (door.state, door.overlay):
        os.chown(path, 65534, -1)
    assert config.read(door.base).settings.alert.led_pin == 7
    with pytest.raises(SettingsError, match="belongs to another user, who alone may change settings in it"):
        overlay.write(door.base, {})


def test_an_overlay_that_no_longer_fits_a_changed_file_is_left_out(door: Door) -> None:
    overlay.write(door.base, {"watch": {"still_s": 1.0}})
    assert config.read(door.base).settings.watch.still_s == 1.0
    door.base.write_text("[alert]\nled_pin = 5\n[track]\nlost_s = 0.8\n")
    assert "watch.still_s: got 1, expected less than track.lost_s (0.8)" in door.problem()


def test_a_wrong_settings_file_is_an_error_with_and_without_overlay(door: Door) -> None:
    overlay.write(door.base, {"alert": {"led_pin": 7}})
    door.base.write_text("[alert]\nled_pin = 99\n")  # the overlay hides it
    with pytest.raises(SettingsError, match=r"fmd\.toml: alert\.led_pin: expected a whole number"):
        config.read(door.base)


def test_an_overlay_that_is_set_aside_is_not_read_again_and_goes_with_the_next_change(door: Door) -> None:
    door.write("[alert")
    overlay.revert(door.overlay)
    assert door.problem() == ""
    assert [file.name for file in door.state.iterdir()] == [overlay.REFUSED]
    overlay.write(door.base, {"alert": {"led_pin": 7}})
    assert [file.name for file in door.state.iterdir()] == [overlay.NAME]


def test_a_command_logs_once_that_it_is_not_used(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    door.write("[alert")
    for _ in range(3):
        config.load(door.base)
    assert [record.message.partition(": ")[0] for record in caplog.records] == ["changed settings are not used"]


def test_a_command_that_writes_the_file_notices_that_the_overlay_wins(door: Door) -> None:
    overlay.write(door.base, {"decide": {"error_rate": 0.01}})
    layers = config.read(door.base)
    settings_text.check_effect(layers, ["decide.temperature"])
    with pytest.raises(SettingsError, match=r"decide\.error_rate: changed through the running fmd, which wins over"):
        settings_text.check_effect(layers, ["decide.temperature", "decide.error_rate"])
