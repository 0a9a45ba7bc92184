"""``fmd config``: settings, their origins, and no secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edge import overlay, redaction, toml
from edge.commands.main import main
from edge.errors import EXIT_KNOWN, EXIT_OK
from tests.edge.parts import fmd

TEXT = """
[camera]
source = "rtsp://me:s3cret99@cam/1"
[watch]
still_s = 0.4
[notify]
urls = ["json://u:hidden77@h"]
[mqtt]
password_file = "pw"
"""
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``fmd config`` on settings of three layers and return what it printed."""
    base, state = tmp_path / "fmd.toml", tmp_path / "state"
    base.write_text(TEXT)
    state.mkdir()
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    overlay.write(base, {"watch": {"still_s": 0.6}, "alert": {"led_pin": 22}})

    def ran(*words: str, code: int = EXIT_OK) -> str:
        assert main(["config", *words, "--config", str(base), "--state", str(state)]) == code
        printed = capsys.readouterr()
        redaction.forget()
        assert not {"s3cret99", "hidden77"} & set(printed.out.replace("@", ":").replace("/", ":").split(":"))
        return printed.out + printed.err

    return ran


def test_all_settings_are_printed_with_their_origin(run: Run) -> None:
    lines = [line.split("  #") for line in run().splitlines()]
    origins = {words[0].rstrip(): words[1].strip() for words in lines if len(words) == 2}
    assert origins == {
        'source = "rtsp://***@cam/1"': "file",
        "still_s = 0.6": "overlay",
        "led_pin = 22": "overlay",
        "urls = (set, not shown)": "file",
        "password_file = (set, not shown)": "file",
    }
    shown = [line for line in run().splitlines() if "not shown" not in line]
    assert toml.parsed("\n".join(shown), "printed")["watch"]["still_s"] == 0.6


def test_one_section_or_one_setting(run: Run) -> None:
    assert run("watch").splitlines()[0] == "[watch]"
    printed = run("watch.still_s", "--set", "watch.still_s=0.3").splitlines()
    assert [line.split() for line in printed[:5]] == [
        ["watch.still_s", "=", "0.3"],
        ["from:", "command", "line"],
        ["overlay:", "0.6"],
        ["file:", "0.4"],
        ["default:", "0.5"],
    ]
    assert printed[-1].startswith("meaning:  Interval of detection while everyone")
    assert "in the settings file only; its value is never shown" in run("notify.urls")
    assert "choices:  alarm, signal, admit" in run("decide.on_unsure")


def test_what_differs_from_the_defaults(run: Run) -> None:
    assert run("diff").splitlines() == [
        'camera.source = "rtsp://***@cam/1"  # file; default "auto"',
        "watch.still_s = 0.6  # overlay; file 0.4, default 0.5",
        "alert.led_pin = 22  # overlay; default 17",
        "mqtt.password_file = (set, not shown)  # file",
        "notify.urls = (set, not shown)  # file",
    ]


def test_settings_without_a_difference_are_one_line_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fmd.toml").touch()
    words = ["--config", str(tmp_path / "fmd.toml"), "--state", str(tmp_path)]
    assert main(["config", "diff", *words]) == EXIT_OK
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "no setting differs from the defaults\n")


def test_the_same_as_json(run: Run) -> None:
    found = {setting["key"]: setting for setting in json.loads(run("--json"))}
    assert (found["watch.still_s"]["value"], found["watch.still_s"]["origin"]) == (0.6, "overlay")
    assert found["notify.urls"]["value"] == "set"
    assert [setting["key"] for setting in json.loads(run("watch.gate", "--json"))] == ["watch.gate"]


def test_words_that_name_nothing_are_refused(run: Run) -> None:
    assert "unknown key watch.stil_s; did you mean still_s?" in run("watch.stil_s", code=EXIT_KNOWN)
    assert "wach: no such section; expected diff, section.key or one of camera, " in run("wach", code=EXIT_KNOWN)


def test_a_damaged_overlay_is_named_and_the_file_is_printed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "state" / overlay.NAME).write_text("[")
    ran = fmd("config", "watch.still_s", "--config", tmp_path / "fmd.toml", "--state", tmp_path / "state")
    assert (ran.returncode, "changed settings are not used: " in ran.stderr) == (EXIT_OK, True)
    assert ran.stdout.startswith("watch.still_s = 0.4\nfrom:     file")
