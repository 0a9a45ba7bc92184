from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge import config, overlay, paths, redaction, settings
from edge.config import Layers
from edge.drivers.selection import secret_settings
from edge.errors import BundleError, SettingsError
from edge.settings import changed, exported, imported, listed, one

ALL = listed(config.read())
KEYS = [setting.key for setting in ALL]
FREE_TEXT = {"arm.time_zone", "display.thanks", "display.please", "display.waiting", "mqtt.suggested_area"}
"""Editable settings that take any text: none of them is a path, an address or a secret."""


def layers_of(folder: Path, text: str = "", over: dict[str, Any] | None = None, **overrides: Any) -> Layers:
    base = folder / "fmd.toml"
    base.write_text(text)
    return config.laid(base, over or {}, overrides, folder / overlay.NAME)


def test_every_setting_is_listed_once_with_its_comment() -> None:
    sections = msgspec.to_builtins(config.load())
    assert sorted(KEYS) == sorted(f"{section}.{name}" for section, names in sections.items() for name in names)
    assert all(len(setting.comment) > 5 for setting in ALL)
    assert one(config.read(), "alert.strike_s").comment.startswith("When the relay is on. siren: ")
    assert one(config.read(), "voice.enabled").comment.startswith('Say "please wear a face mask"')


def test_the_form_of_a_value_is_that_of_its_type() -> None:
    kinds: dict[str, list[type]] = {
        "bool": [bool],
        "int": [int],
        "float": [float],
        "text": [str],
        "choice": [str, int],
        "list": [list],
        "table": [dict],
        "pin": [str, int],
        "regions": [list],
    }
    defaults = config.below(None)
    for setting in ALL:
        assert type(defaults[setting.section][setting.name]) in kinds[setting.kind], setting.key
        assert setting.kind != "choice" or setting.default in setting.choices


def test_numbers_state_their_limits() -> None:
    fps, share = one(config.read(), "camera.fps"), one(config.read(), "detect.min_score")
    assert (fps.least, fps.most, share.least, share.most) == (0, 240, 0, 1)
    assert (one(config.read(), "alert.led_pin").most, one(config.read(), "camera.rotate").choices) == (
        None,
        (0, 90, 180, 270),
    )


def test_no_path_address_or_secret_can_be_changed_here() -> None:
    assert not any(config.is_writable(key) for key in secret_settings())
    files = {f"{section}.{key}" for section, keys in paths.FILE_SETTINGS.items() for key in keys}
    assert not any(config.is_writable(key) for key in files)
    writable = {s.key for s in ALL if s.kind == "text" and s.access != "read_only" and s.access != "secret"}
    patterned = {"publish.name", "mqtt.topic", "mqtt.discovery_topic", "report.weekly", "camera.simulate"}
    assert writable == FREE_TEXT | patterned
    assert {s.key for s in ALL if s.access == "secret"} == {"mqtt.password_file", "notify.urls", "notify.urls_file"}
    assert {s.key for s in ALL if s.access == "needs_confirmation"} == settings.NEEDS_CONFIRMATION


def test_secrets_are_set_or_not_and_addresses_have_no_password(tmp_path: Path) -> None:
    text = (
        "[camera]\nsource = 'rtsp://me:s3cret99@cam/1?token=abc'\n[notify]\nurls = ['json://me:hidden7@host']\n"
        "[mqtt]\nhost = 'broker'\npassword_file = 'pw'\n"
    )
    layers = layers_of(tmp_path, text)
    shown = {setting.key: setting.value for setting in listed(layers)}
    assert shown["camera.source"] == "rtsp://***@cam/1"
    assert (shown["notify.urls"], shown["mqtt.password_file"], shown["notify.urls_file"]) == ("set", "set", "not set")
    everything = msgspec.json.encode(listed(layers)).decode() + exported(layers)
    assert not any(word in everything for word in ("s3cret99", "hidden7", "token=abc"))
    redaction.forget()


def test_a_change_is_checked_and_laid_over(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, "[watch]\nstill_s = 0.4\n", {"track.reach": 2.0})
    found = changed(layers, {"watch.still_s": 0.6, "decide.accept": ["scarf"], "track.reach": None})
    assert found.is_accepted
    assert found.over == {"watch.still_s": 0.6, "decide.accept": ["scarf"]}
    after = config.laid(layers.base, found.over, {}, layers.overlay)
    assert after.settings.track.reach == config.load().track.reach
    assert (after.origin("watch.still_s"), one(after, "decide.accept").value) == ("overlay", ["scarf"])


def test_the_value_of_the_layer_below_leaves_the_overlay(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, "[watch]\nstill_s = 0.4\n", {"watch.still_s": 0.6})
    assert changed(layers, {"watch.still_s": 0.4}).over == {}
    assert changed(layers, {"voice.enabled": 0}).errors.keys() == {"voice.enabled"}  # 0 is not false


def test_each_wrong_key_has_its_own_message(tmp_path: Path) -> None:
    found = changed(
        layers_of(tmp_path),
        {
            "watch.still_s": 5.0,
            "camera.width": "wide",
            "camera.widht": 640,
            "camera": 1,
            "model.classifier": "x",
            "display.thanks": "\ud800",
            "track.reach": 2.0,
        },
    )
    assert not found.is_accepted
    assert found.over == {}
    assert found.errors == {
        "watch.still_s": "got 5, expected less than track.lost_s (1.5): the tracker would lose a person who stands "
        "still between two detections",
        "camera.width": "expected a whole number, got text; got 'wide'",
        "camera.widht": "unknown key; did you mean width?",
        "camera": "expected section.key, as in alert.led_pin",
        "model.classifier": "only the settings file can set it: it is a path, an address or a secret",
        "display.thanks": "not valid text",
    }


def test_an_error_of_two_keys_is_at_the_one_that_was_changed(tmp_path: Path) -> None:
    found = changed(layers_of(tmp_path), {"track.lost_s": 0.3, "watch.gate": False})
    assert list(found.errors) == ["track.lost_s"]
    found = changed(layers_of(tmp_path), {"detect.min_score": 0.9, "detect.start_score": 0.95})
    assert found.is_accepted


def test_pins_and_drivers_need_a_confirmation_of_their_own(tmp_path: Path) -> None:
    layers = layers_of(tmp_path)
    changes = {"alert.led_pin": 22, "alert.driver": "gpiozero", "watch.gate": False}
    found = changed(layers, changes, confirmed=["alert.led_pin"])
    assert (found.over, found.unconfirmed) == ({}, ("alert.driver",))
    assert changed(layers, changes, confirmed=["alert.led_pin", "alert.driver"]).over == changes
    assert changed(layers, {"alert.led_pin": 17}).is_accepted  # as it is
    back = layers_of(tmp_path, "", {"alert.led_pin": 22})
    assert changed(back, {"alert.led_pin": None}).unconfirmed == ("alert.led_pin",)


def test_what_the_command_line_sets_cannot_be_changed(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, "", None, **{"watch.gate": False})
    assert "command line of this fmd sets it" in changed(layers, {"watch.gate": True}).errors["watch.gate"]


def test_the_callers_own_check_takes_part(tmp_path: Path) -> None:
    def check(settings: config.Settings) -> None:
        if settings.model.threads == 3:
            raise BundleError("no such label")
        if settings.model.threads == 4:
            raise SettingsError("mine").about("not four", "model.threads")

    layers = layers_of(tmp_path)
    assert changed(layers, {"model.threads": 3}, check=check).errors == {"": "no such label"}
    assert changed(layers, {"model.threads": 4}, check=check).errors == {"model.threads": "not four"}
    assert changed(layers, {"model.threads": 1}, check=check).is_accepted


def test_an_export_can_be_imported_on_another_board(tmp_path: Path) -> None:
    text = "[camera]\nsource = 'rtsp://cam/1'\nwidth = 800\n[watch]\nignore = [[[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]]]\n"
    layers = layers_of(tmp_path, text, {"track.reach": 2.0, "display.thanks": 'Danke "sehr"\n'})
    written = exported(layers)
    assert "# Not exported, because only the settings file can set them: camera.source" in written
    other = layers_of(tmp_path, "[track]\nlost_s = 2.0\n", {"voice.enabled": True})
    found = imported(other, written)
    assert found.is_accepted
    after = config.laid(other.base, found.over, {}, other.overlay).settings
    assert (after.camera.width, after.track.reach, after.track.lost_s, after.voice.enabled) == (800, 2.0, 2.0, False)
    assert (after.watch.ignore, after.display.thanks) == (layers.settings.watch.ignore, 'Danke "sehr"\n')


def test_an_import_names_every_wrong_key_and_changes_nothing(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, "[mqtt]\nhost = 'broker'\n", {"track.reach": 2.0})
    text = "version = 5\n[mqtt]\nhost = '{}'\n[watch]\ngate = 1\n[other]\nkey = 1\n[alert]\nled_pin = 4\n"
    found = imported(layers, text.format("elsewhere"))
    assert found.over == {"track.reach": 2.0}
    assert found.errors.keys() == {"mqtt.host", "watch.gate", "other.key"}
    assert found.unconfirmed == ("alert.led_pin",)
    assert imported(layers, text.format("broker")).errors.keys() == {"watch.gate", "other.key"}


@pytest.mark.parametrize("text", ["[", "version = 99\n", "version = 'x'\n", "alert = 1\n", "x" * 70000, "a = 1"])
def test_an_import_of_another_file_is_one_message(tmp_path: Path, text: str) -> None:
    found = imported(layers_of(tmp_path), text)
    assert list(found.errors) == [""]
    assert "\n" not in found.errors[""]


def test_an_import_of_an_earlier_version_is_converted(tmp_path: Path) -> None:
    found = imported(layers_of(tmp_path), "\ufeffversion = 3\n[decide]\nlook_s = 0.5\n")
    assert found.over == {"decide.observation_s": 0.5}


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("display.thanks", "Danke", "Danke"),
        ("display.thanks", '"Danke"', "Danke"),
        ("display.thanks", "5", "5"),
        ("report.weekly", "mon 07:00", "mon 07:00"),
        ("arm.time_zone", "07:00", "07:00"),
        ("alert.led_pin", "22", 22),
        ("alert.led_pin", "PQ.05", "PQ.05"),
        ("camera.rotate", "90", 90),
        ("decide.on_unsure", "admit", "admit"),
        ("watch.gate", "false", False),
        ("decide.accept", '["scarf"]', ["scarf"]),
        ("camera.rotations", "{ hall = 90 }", {"hall": 90}),
        ("no.such", "5", 5),
    ],
)
def test_text_of_a_form_becomes_a_value(key: str, text: str, value: object) -> None:
    assert settings.value_of(key, text) == value


@pytest.mark.parametrize("setting", [s for s in ALL if s.access != "secret"], ids=lambda setting: setting.key)
def test_every_value_can_be_shown_as_text_and_typed_again(setting: settings.Setting) -> None:
    assert settings.value_of(setting.key, settings.text_of(setting.value)) == setting.value
