"""Settings of earlier versions go on working, and say what became of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge import config, migrate
from edge.errors import SettingsError
from tests.edge.parts import ROOT


def written(folder: Path, text: str) -> Path:
    path = folder / "fmd.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("[alert]\nbeep_on_s = 0.2\nbeep_off_s = 0.5\n", (0.2, 0.5)),
        ("version = 1\n[alert]\nbeep_on_s = 0.2\n", (0.2, 0.3)),
        ("[alert]\nbeep_off_s = 0\n", (0.3,)),
    ],
)
def test_the_beep_of_version_1_becomes_a_pattern(
    tmp_path: Path, text: str, pattern: tuple[float, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "edge"):
        assert config.load(written(tmp_path, text)).alert.buzzer_no_mask == pattern
    assert "settings of version 1: alert.beep_on_s and alert.beep_off_s are now alert.buzzer_bare = " in caplog.text


def test_a_removed_key_is_logged_and_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "edge"):
        assert config.load(written(tmp_path, "[watch]\nshare = 0.01\n")) == config.load()
    assert "watch.share is gone" in caplog.text


@pytest.mark.parametrize(
    ("text", "on_incorrect", "on_unsure", "accept"),
    [
        ('on_unsure = "pass"', "alarm", "signal", ()),
        ('on_unsure = "alarm"', "alarm", "alarm", ()),
        ('accept = ["with_incorrect_mask"]', "admit", "signal", ()),
        ('accept = ["scarf", "with_incorrect_mask"]', "admit", "signal", ("scarf",)),
        ('accept = ["scarf"]', "alarm", "signal", ("scarf",)),
    ],
)
@pytest.mark.parametrize("version", ["", "version = 2\n"])
def test_the_choices_of_version_2_keep_their_effect(
    tmp_path: Path, version: str, text: str, on_incorrect: str, on_unsure: str, accept: tuple[str, ...]
) -> None:
    decide = config.load(written(tmp_path, f"{version}[decide]\n{text}\n")).decide
    assert (decide.on_incorrect, decide.on_unsure, decide.accept) == (on_incorrect, on_unsure, accept)


def test_on_incorrect_stays_as_it_was_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = '[decide]\naccept = ["with_incorrect_mask"]\non_incorrect = "signal"\n'
    with caplog.at_level("INFO", "edge"):
        assert config.load(written(tmp_path, text)).decide.on_incorrect == "signal"
    assert 'with_incorrect_mask in decide.accept is now decide.on_incorrect = "signal"' in caplog.text


def test_the_present_version_refuses_old_keys(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"unknown key alert\.beep_on_s"):
        config.load(written(tmp_path, f"version = {migrate.VERSION}\n[alert]\nbeep_on_s = 0.2\n"))


@pytest.mark.parametrize(
    ("version", "said"),
    [("99", "written for a later fmd"), ("0", "expected 1 to"), ('"two"', "expected 1 to"), ("true", "expected 1 to")],
)
def test_impossible_versions_are_refused(tmp_path: Path, version: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        config.load(written(tmp_path, f"version = {version}\n"))


def test_the_installed_file_has_the_present_version(caplog: pytest.LogCaptureFixture) -> None:
    path = ROOT / "systemd/fmd.toml"
    with caplog.at_level("INFO", "edge"):
        assert config.load(path) == config.load()
    assert f"\nversion = {migrate.VERSION}\n" in path.read_text()
    assert not caplog.text


def test_steps_follow_each_other_without_a_gap() -> None:
    assert list(migrate.STEPS) == list(range(1, migrate.VERSION))
    plain: dict[str, Any] = {"camera": {"source": "auto"}}
    assert migrate.migrated({**plain, "version": 1}, "file") == plain


def test_the_names_of_version_3_still_work(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = (
        "version = 3\n[alert]\nled_bare = [0.5, 0.5]\nbuzzer_bare = [0.2]\n[decide]\nlook_s = 0.25\n"
        '[notify]\non = ["violation", "seeing"]\n'
    )
    with caplog.at_level("INFO", "edge"):
        settings = config.load(written(tmp_path, text))
    assert (settings.alert.led_no_mask, settings.alert.buzzer_no_mask) == ((0.5, 0.5), (0.2,))
    assert settings.decide.observation_s == 0.25
    assert settings.notify.on == ("violation", "recovered")
    assert "settings of version 3: alert.led_bare is now alert.led_no_mask" in caplog.text


def test_a_new_name_wins_over_its_old_one(tmp_path: Path) -> None:
    text = "version = 3\n[decide]\nlook_s = 0.25\nobservation_s = 0.5\n"
    assert config.load(written(tmp_path, text)).decide.observation_s == 0.5


def test_options_may_use_the_names_of_version_3(caplog: pytest.LogCaptureFixture) -> None:
    over = {"alert.led_bare": [0.5, 0.5], "decide.look_s": 0.25, "notify.on": ["seeing"], "alert.buzzer_no_mask": [0.2]}
    with caplog.at_level("INFO", "edge"):
        settings = config.load(None, over)
    assert (settings.alert.led_no_mask, settings.alert.buzzer_no_mask) == ((0.5, 0.5), (0.2,))
    assert (settings.decide.observation_s, settings.notify.on) == (0.25, ("recovered",))
    assert "command line: settings of version 3: alert.led_bare is now alert.led_no_mask" in caplog.text


def test_an_old_name_in_a_file_of_the_present_version_gets_the_new_one_as_a_hint(tmp_path: Path) -> None:
    text = f"version = {migrate.VERSION}\n[alert]\nled_bare = [1.0]\n"
    with pytest.raises(SettingsError, match=r"unknown key alert\.led_bare; it is now led_no_mask"):
        config.load(written(tmp_path, text))


def test_the_events_of_version_4_become_the_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    settings = config.load(written(tmp_path, "version = 4\n[events]\nevery_s = 20.0\nmb_kept = 4.0\nkeep = false\n"))
    assert (settings.record.every_s, settings.record.keep) == (20.0, False)
    assert settings.record.mb_kept == config.load().record.mb_kept
    assert "settings of version 4: events.every_s is now record.every_s" in caplog.text
    assert "record.mb_kept and record.passages_days limit the record" in caplog.text
    assert not config.load(None, {"events.keep": False}).record.keep
