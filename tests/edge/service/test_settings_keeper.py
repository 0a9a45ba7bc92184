from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from edge import config, overlay
from edge.config import Settings
from edge.errors import CameraError, SettingsError
from edge.service.settings_keeper import SettingsKeeper

NAMES = {overlay.NAME, overlay.PROVEN, overlay.REFUSED, overlay.TRIED}


class Door:
    """A settings file with ``led_pin = 5``, a state directory, and processes that start and end there."""

    def __init__(self, folder: Path) -> None:
        self.base, self.state = folder / "fmd.toml", folder / "state"
        self.base.write_text("[alert]\nled_pin = 5\n")
        self.state.mkdir()
        self.noted: list[str] = []

    def start(self) -> SettingsKeeper:
        keeper = SettingsKeeper(partial(config.read, self.base, None))
        keeper.attach(self.noted.append)
        return keeper

    def change(self, led_pin: int) -> None:
        overlay.write(self.base, {"alert": {"led_pin": led_pin}})

    def damage(self, name: str = overlay.NAME) -> None:
        file = self.state / name
        file.write_text("[alert")
        file.chmod(0o600)

    @property
    def files(self) -> set[str]:
        return {file.name.removeprefix(f"{overlay.NAME}.") for file in self.state.iterdir()}

    @property
    def led_pin(self) -> int | str:
        return config.read(self.base).settings.alert.led_pin


def pin(settings: Settings | None) -> int | str | None:
    return None if settings is None else settings.alert.led_pin


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Door:
    made = Door(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(made.state))
    return made


def test_without_an_overlay_nothing_is_written(door: Door) -> None:
    keeper = door.start()
    assert keeper.fallback() is None
    keeper.proven()
    keeper.refused(CameraError("gone"))
    keeper.close()
    assert (door.files, door.noted) == (set(), [])


def test_a_new_overlay_is_kept_as_proven_after_the_first_frame(door: Door) -> None:
    keeper = door.start()
    door.change(7)
    assert pin(keeper.read()) == 7
    assert pin(keeper.fallback()) == 5
    assert door.files == {overlay.NAME, "tried"}
    keeper.proven()
    keeper.proven()
    assert door.files == {overlay.NAME, "proven"}
    assert keeper.fallback() is None
    assert door.start().layers.settings.alert.led_pin == 7


def test_an_overlay_that_cannot_run_gives_way_to_the_proven_one(door: Door) -> None:
    door.change(7)
    keeper = door.start()
    keeper.proven()
    door.change(8)
    assert pin(keeper.read()) == 8
    assert pin(keeper.fallback()) == 7
    keeper.refused(CameraError("no such pin"))
    assert (door.led_pin, keeper.refusal, door.noted) == (7, "no such pin", ["no such pin"])
    assert door.files == {overlay.NAME, "proven", "refused"}
    keeper.refused(CameraError("the camera is gone"))  # not the overlay's fault: it is proven
    assert (door.led_pin, door.noted) == (7, ["no such pin"])


def test_without_a_proven_one_the_file_is_used_alone(door: Door) -> None:
    door.change(8)
    keeper = door.start()
    assert pin(keeper.fallback()) == 5
    keeper.refused(CameraError("no such pin"))
    assert (door.led_pin, door.files) == (5, {"refused"})


def test_a_reset_that_cannot_run_returns_to_the_proven_overlay(door: Door) -> None:
    door.change(7)
    keeper = door.start()
    keeper.proven()
    overlay.write(door.base, {})
    assert (pin(keeper.read()), pin(keeper.fallback())) == (5, 7)
    keeper.refused(CameraError("no such pin"))
    assert door.led_pin == 7
    overlay.write(door.base, {})
    keeper.read()
    keeper.proven()
    assert door.files == set()


def test_a_damaged_overlay_is_set_aside_for_the_proven_one_and_both_for_the_file(door: Door) -> None:
    door.change(7)
    door.start().proven()
    door.damage()
    assert pin(door.start().layers.settings) == 7
    door.damage()
    door.damage(overlay.PROVEN)
    keeper = door.start()
    assert (pin(keeper.layers.settings), door.files) == (5, {"refused"})
    assert [why.partition(": ")[2] for why in door.noted] == ["not valid TOML: " + door.noted[0].split(": ", 2)[2]] * 2


def test_an_overlay_that_a_changed_file_invalidates_is_set_aside_with_its_copy(door: Door) -> None:
    overlay.write(door.base, {"watch": {"still_s": 1.0}})
    keeper = door.start()
    keeper.proven()
    door.base.write_text("[alert]\nled_pin = 6\n[track]\nlost_s = 0.8\n")
    settings = keeper.read()
    assert (settings.alert.led_pin, settings.watch.still_s, door.files) == (6, 0.5, {"refused"})
    assert "watch.still_s: got 1, expected less than track.lost_s (0.8)" in keeper.refusal


def test_a_wrong_settings_file_refuses_the_reload_and_keeps_the_overlay(door: Door) -> None:
    door.change(7)
    keeper = door.start()
    keeper.proven()
    door.base.write_text("[alert]\nled_pin = 99\n")
    with pytest.raises(SettingsError, match="led_pin"):
        keeper.read()
    keeper.refused(SettingsError("led_pin"))
    assert (door.files, door.noted) == ({overlay.NAME, "proven"}, [])


def test_a_process_that_died_with_a_new_overlay_leaves_it_to_no_other(door: Door) -> None:
    door.change(7)
    door.start().proven()
    door.change(8)
    door.start()  # killed before a frame
    keeper = door.start()
    assert pin(keeper.layers.settings) == 7
    assert door.noted == ["the process that began with them died before a frame had passed all stages"]
    assert door.files == {overlay.NAME, "proven", "refused"}


def test_a_process_that_ends_in_order_before_the_first_frame_has_proven_nothing(door: Door) -> None:
    door.change(7)
    door.start().close()
    assert door.files == {overlay.NAME}
    assert pin(door.start().layers.settings) == 7


def test_an_overlay_of_another_settings_file_is_left_alone(door: Door, tmp_path: Path) -> None:
    overlay.write(tmp_path / "other.toml", {"alert": {"led_pin": 9}})
    keeper = door.start()
    assert keeper.fallback() is None
    keeper.proven()
    keeper.refused(CameraError("gone"))
    keeper.close()
    assert door.files == {overlay.NAME}


def test_a_run_without_a_state_directory_keeps_nothing(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.change(7)
    monkeypatch.delenv("STATE_DIRECTORY")
    keeper = door.start()
    keeper.proven()
    assert (pin(keeper.layers.settings), pin(keeper.fallback()), door.files) == (5, None, {overlay.NAME})


def test_a_read_only_card_does_not_keep_the_door_from_being_watched(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    door.damage()
    (door.state / overlay.REFUSED).mkdir()  # nothing can be renamed to it
    keeper = door.start()
    assert pin(keeper.layers.settings) == 5
    assert len(door.noted) == 1
    assert any("Is a directory" in record.message for record in caplog.records)
