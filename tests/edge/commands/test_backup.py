"""``fmd backup`` and ``fmd restore`` as an operator types them, with a real model and a real check."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from edge import paths, redaction, state_file
from edge.backup import settings as backup_settings
from edge.backup import swap
from edge.commands import restore_unit
from edge.commands.main import main
from edge.errors import EXIT_KNOWN, EXIT_OK
from edge.service import control_server, models
from edge.service.arming_control import ArmingControl, BoardClock
from edge.service.model_store import ModelStore
from tests.edge.backup.parts import LOGIN, Door

Out = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Door:
    """A door whose installed classifier is the shipped one."""
    made = Door(tmp_path_factory.mktemp("door") / "door").fill()
    data = models.shipped_model("classifier").read_bytes()
    path = made.places.store.add(data, "classifier", hashlib.sha256(data).hexdigest())
    made.places.store.switch("classifier", path.name)
    for file in made.places.store.folder.glob("detector*"):
        file.unlink()
    return made


@pytest.fixture
def board(tmp_path: Path) -> Door:
    return Door(tmp_path / "board")


def options(door: Door) -> list[str]:
    return ["--config", str(door.base), "--state", str(door.state)]


def restored(door: Door, file: Path, *words: str, runtime: Path | None = None) -> int:
    code = main(["restore", str(file), *options(door), "--runtime", str(runtime or door.folder), *words])
    redaction.forget()
    return code


def test_a_door_moves_to_another_board(door: Door, board: Door, tmp_path: Path, capsys: Out) -> None:
    file = tmp_path / "door.fmd"
    assert main(["backup", str(file), *options(door), "--only", "settings", "--only", "record"]) == EXIT_OK
    printed = capsys.readouterr().out
    assert printed.startswith(f"{file}: settings without secrets, record; ")
    assert printed.splitlines()[1].endswith("camera.source, mqtt.password_file")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert LOGIN.encode() not in file.read_bytes()
    before = board.content
    assert restored(board, file, "--check") == EXIT_OK
    assert board.content == before
    assert "settings, record, 3 passages" in capsys.readouterr().out
    assert restored(board, file) == EXIT_OK
    printed = capsys.readouterr().out
    assert "set these again, as the backup holds no secrets: camera.source, mqtt.password_file" in printed
    assert printed.splitlines()[-1] == "restored; start fmd: sudo systemctl start fmd"
    assert board.passages == 3


def test_a_real_model_is_proven_before_it_is_restored(door: Door, board: Door, tmp_path: Path, capsys: Out) -> None:
    file, store = tmp_path / "door.fmd", ModelStore(door.state)
    name = store.read("classifier").choice.current
    (store.folder / store.read("classifier").choice.previous).unlink()
    assert main(["backup", str(file), *options(door), "--only", "models"]) == EXIT_OK
    assert f"models {name}; " in capsys.readouterr().out
    assert restored(board, file, "--only", "models") == EXIT_OK
    assert board.places.store.chosen("classifier") == board.places.store.folder / name
    # The same bytes with a hash that fits, and a network that is damaged.
    data = bytearray(models.shipped_model("classifier").read_bytes())
    data[5000:6000] = bytes(1000)
    digest = hashlib.sha256(data).hexdigest()
    path = store.add(bytes(data), "classifier", digest)
    store.switch("classifier", path.name)
    assert main(["backup", str(file), *options(door), "--only", "models"]) == EXIT_OK
    before = board.content
    capsys.readouterr()
    assert restored(board, file) == EXIT_KNOWN
    assert path.name in capsys.readouterr().err
    assert board.content == before


def test_a_running_fmd_has_to_be_stopped_first(door: Door, board: Door, tmp_path: Path, capsys: Out) -> None:
    from edge import config

    file = tmp_path / "door.fmd"
    assert main(["backup", str(file), *options(door), "--only", "settings"]) == EXIT_OK
    arming = ArmingControl(config.load(), BoardClock(None, lambda: True, lambda: True))
    before = board.content
    with control_server.serving(tmp_path, control_server.table(arming, lambda: None)):
        assert restored(board, file, runtime=tmp_path) == EXIT_KNOWN
        assert "fmd runs; stop it first: sudo systemctl stop fmd" in capsys.readouterr().err
        assert restored(board, file, "--check", runtime=tmp_path) == EXIT_OK
    assert board.content == before


BAD = {
    "a file that is missing": ("restore nowhere.fmd", "nowhere.fmd: No such file or directory"),
    "a folder": ("restore .", "Is a directory"),
    "a picture": ("restore picture.png", "picture.png: damaged, cut off, or no backup of fmd; nothing was changed"),
    "a state directory that is missing": ("backup new.fmd --state nowhere", "nowhere: no such folder"),
    "a folder to write to": ("backup .", "a folder, expected a file"),
    "a folder that is missing": ("backup nowhere/x.fmd", "no folder nowhere"),
    "settings that are missing": ("backup x.fmd --config nowhere.toml", "nowhere.toml: cannot be read for the backup"),
}


def test_the_next_start_finishes_an_interrupted_restoration(
    board: Door, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fmd.service runs first, and the next ``fmd restore``."""
    board.base.write_text("old")
    new = board.base.with_name("fmd.toml.restored")
    new.write_text("new")
    moves = [swap.Move(bytes(board.base), bytes(board.base.with_name("fmd.toml.before-restore")), True)]
    state_file.write_state(paths.restore_journal(board.state), swap.Journal(moves))
    monkeypatch.setattr(paths, "STATE", board.state)
    assert restore_unit.main() == EXIT_OK
    assert board.base.read_text() == "new"
    assert capsys.readouterr().out == f"finished an interrupted restoration: {board.base}\n"
    assert restore_unit.main() == EXIT_OK
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", BAD)
def test_wrong_words_give_one_line(
    board: Door, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    words, said = BAD[name]
    monkeypatch.chdir(tmp_path)
    Path("picture.png").write_bytes(os.urandom(3000))
    state = [] if "--state" in words else ["--state", str(board.state)]
    code = main([*words.split(), *state, *(["--runtime", str(tmp_path)] if "restore" in words else [])])
    printed = capsys.readouterr().err
    assert (code, said in printed, len(printed.splitlines())) == (EXIT_KNOWN, True, 1), printed
    assert not Path("x.fmd").exists()


def test_an_address_with_a_password_anywhere_is_a_secret() -> None:
    assert backup_settings.is_secret("mqtt.configuration_url", "http://me:hidden77@door.local/")
    assert backup_settings.is_secret("camera.sources", {"hall": "rtsp://cam/1"})
    assert backup_settings.is_secret("notify.urls", ["json://host"])
    assert not backup_settings.is_secret("camera.source", "picamera2")
    assert not backup_settings.is_secret("mqtt.configuration_url", "http://door.local/")
    assert not backup_settings.is_secret("mqtt.password_file", "")


def test_the_services_places_are_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Out) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setattr(paths, "STATE", tmp_path / "var-lib-fmd")
    assert main(["backup", str(tmp_path / "x.fmd")]) == EXIT_KNOWN
    assert f"{tmp_path / 'var-lib-fmd'}: no such folder" in capsys.readouterr().err
