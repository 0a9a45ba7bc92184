"""Backups of a door, restored on another board: whole ones, those without secrets, and those of strangers."""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge import config, overlay
from edge.backup import archive, restore, sources
from edge.backup.archive import MODELS, OVERLAY, PARTS, RECORD, SETTINGS, Archive
from edge.errors import BackupError, FmdError, SettingsError
from edge.files import write_atomically
from edge.record import database
from edge.service.model_store import Choice
from tests.edge.backup.parts import LOGIN, Door, changed, model_check, name_of
from tests.edge.backup.parts import SETTINGS as TEXT
from tests.edge.service.disks import small_disk

Change = Callable[[dict[str, bytes]], object]


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A backup of everything, with secrets."""
    return Door(tmp_path_factory.mktemp("old") / "door").fill().backup()


@pytest.fixture
def board(tmp_path: Path) -> Door:
    """Another board: its own settings, a record of one passage, no models."""
    door = Door(tmp_path / "board")
    door.base.write_text("version = 5\n[alert]\nled_pin = 5\n")
    door.record(1)
    return door


def put(data: bytes, door: Door, *parts: Any, check: restore.CheckSettings = lambda settings: None) -> restore.Checked:
    found = Archive(io.BytesIO(data), Path("door.fmd"))
    with restore.checked(found, door.places, parts or PARTS, check, model_check) as checked:
        checked.apply()
        return checked


def test_a_backup_with_secrets_brings_everything_back(backup: bytes, board: Door) -> None:
    seen = []
    checked = put(backup, board, check=lambda settings: seen.append(settings.watch.gate))
    assert (checked.parts, checked.passages, checked.missing, seen) == (PARTS, 3, (), [False])
    assert board.base.read_text() == TEXT  # with its comments
    assert (board.base.parent / "mqtt-password").read_text() == LOGIN
    assert stat.S_IMODE((board.base.parent / "mqtt-password").stat().st_mode) == 0o640
    assert (board.base.parent / "door.ttf").read_bytes() == b"a font"
    assert overlay_of(board) == {"watch": {"gate": False}}
    assert board.passages == 3
    for task in ("classifier", "detector"):
        choice = board.places.store.read(task).choice
        assert (choice.current, choice.previous, choice.proven) == (name_of(task), "shipped", False)
        assert choice.switch != "a switch"
        assert board.places.store.chosen(task) is not None
    assert "led_pin = 5" in (board.base.parent / "fmd.toml.before-restore").read_text()
    assert len(list(board.state.glob("record-replaced-*.db"))) == 1


def overlay_of(door: Door) -> dict[str, Any]:
    from edge import toml

    values = toml.parsed((door.state / overlay.NAME).read_text(), "overlay")
    assert (values.pop("base"), values.pop("version")) == (str(door.base), 5)
    return values


def test_a_backup_without_secrets_holds_none_and_keeps_those_of_the_board(tmp_path: Path, board: Door) -> None:
    door = Door(tmp_path / "door").fill()
    data = door.backup(secrets=False)
    held = archive.Archive(io.BytesIO(data), Path("x"))
    assert held.manifest.left_out == ("camera.source", "mqtt.password_file")
    assert all(LOGIN.encode() not in held.read(name) for name in held.names("settings/"))
    assert held.names("settings/files/") == ["settings/files/door.ttf"]
    # A board that has nothing of it yet.
    assert put(data, board).missing == ("camera.source", "mqtt.password_file")
    settings = config.laid(board.base, {}).settings
    assert (settings.camera.source, settings.mqtt.username, settings.watch.still_s) == ("auto", "me", 0.4)
    # The board it came from: what it has stays.
    put(data, door)
    settings = config.laid(door.base, {}).settings
    assert settings.camera.source == f"rtsp://me:{LOGIN}@cam/1"
    assert settings.mqtt.password_file == str(door.base.parent / "mqtt-password")


def test_a_part_alone(backup: bytes, board: Door) -> None:
    before = board.content
    assert put(backup, board, "record").parts == ("record",)
    assert board.passages == 3
    after = board.content
    assert {name: after[name] for name in before if not name.endswith(database.NAME)} == {
        name: content for name, content in before.items() if not name.endswith(database.NAME)
    }
    with pytest.raises(BackupError, match="the backup holds record, expected models; nothing was changed"):
        put(board.backup("record"), board, "models")


def test_a_board_without_anything(backup: bytes, tmp_path: Path) -> None:
    board = Door(tmp_path / "board")
    put(backup, board)
    assert (board.passages, board.base.read_text()) == (3, TEXT)


def test_a_restored_overlay_has_to_prove_itself(backup: bytes, board: Door) -> None:
    board.change({"watch.gate": True})
    (board.state / overlay.PROVEN).write_text("x")
    put(backup, board)
    assert not (board.state / overlay.PROVEN).exists()
    without = changed(backup, lambda content: content.pop(OVERLAY))
    put(without, board)
    assert not (board.state / overlay.NAME).exists()


def test_broken_settings_of_the_board_are_replaced(backup: bytes, board: Door) -> None:
    board.base.write_bytes(b"[alert\xff")
    put(backup, board)
    assert board.base.read_text() == TEXT


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_files_in_the_state_directory_belong_to_its_owner(backup: bytes, board: Door) -> None:
    os.chown(board.state, 65534, 12)
    put(backup, board)
    for name in (overlay.NAME, database.NAME):
        about = (board.state / name).stat()
        assert (about.st_uid, about.st_gid, stat.S_IMODE(about.st_mode)) == (65534, 12, 0o600)
    about = board.base.stat()
    assert (about.st_uid, about.st_gid, stat.S_IMODE(about.st_mode)) == (0, 12, 0o640)


def replaced(name: str, data: bytes) -> Change:
    return lambda content: content.update({name: data})


def text(more: str) -> Change:
    return replaced(SETTINGS, f"version = 5\n{more}".encode())


def choice(**fields: str) -> Change:
    return replaced(f"{MODELS}classifier.json", json.dumps(fields).encode())


REFUSED: dict[str, tuple[Change, str]] = {
    "settings that are no TOML": (replaced(SETTINGS, b"[alert"), "not valid TOML"),
    "settings of another encoding": (replaced(SETTINGS, b"\xff"), "not a text file in UTF-8"),
    "settings with a wrong value": (text("[alert]\nled_pin = 99\n"), r"alert\.led_pin: expected"),
    "settings of a later fmd": (replaced(SETTINGS, b"version = 99\n"), "written for a later fmd"),
    "an overlay with a path": (replaced(OVERLAY, b"[model]\nclassifier = '/x'\n"), "only the settings file can set it"),
    "an overlay that does not fit": (replaced(OVERLAY, b"[watch]\nstill_s = 9.0\n"), r"watch\.still_s: got 9"),
    "an overlay that is no TOML": (replaced(OVERLAY, b"["), "not valid TOML"),
    "a file that is missing": (
        text("[voice]\nfile = 'gone.wav'\n"),
        r"voice\.file: names .*gone\.wav, which is neither",
    ),
    "a file that never ends": (text("[camera]\nsource_file = '/dev/zero'\n"), "which is neither in the backup nor"),
    "a file of the kernel": (text("[camera]\nsource_file = '/proc/kmsg'\n"), "which is neither in the backup nor"),
    "a file that no setting names": (replaced("settings/files/page.toml", b"x"), "no setting in the backup names it"),
    "a file named as the settings": (
        lambda content: content.update({SETTINGS: b"[voice]\nfile = 'fmd.toml'\n", "settings/files/fmd.toml": b"x"}),
        "for another purpose",
    ),
    "a file that the board has for something else": (
        lambda content: content.update({SETTINGS: b"[voice]\nfile = 'page.toml'\n", "settings/files/page.toml": b"x"}),
        "for another purpose",
    ),
    "a damaged model": (replaced(MODELS + name_of("classifier"), b"x"), "has another hash than its name"),
    "a model of the other task": (
        lambda content: content.update(
            {
                f"{MODELS}detector-{name_of('classifier').split('-')[1]}": content.pop(MODELS + name_of("classifier")),
                f"{MODELS}classifier.json": b"{}",
            }
        ),
        "a classifier, expected a detector",
    ),
    "a choice that is none": (replaced(f"{MODELS}classifier.json", b"["), "not a choice of models"),
    "a choice of a path": (choice(current="../../x"), "expected a classifier"),
    "a choice of a missing model": (choice(current="classifier-000000000000.tflite"), "which the backup lacks"),
    "a record that is none": (replaced(RECORD, b"x" * 3000), r"record\.db: damaged, or not a record of fmd"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_in_one_line_and_changes_nothing(backup: bytes, board: Door, name: str) -> None:
    change, why = REFUSED[name]
    (board.base.parent / "page.toml").write_text("the page's own")
    before = board.content
    with pytest.raises(FmdError, match=why) as caught:
        put(changed(backup, change), board)
    assert "\n" not in str(caught.value)
    assert board.content == before


def test_a_file_under_a_name_that_is_no_file_name_stays_outside(backup: bytes, board: Door) -> None:
    evil = changed(backup, text("[voice]\nfile = '../../outside.wav'\n"))
    before = board.content
    with pytest.raises(SettingsError, match="neither in the backup"):
        put(evil, board)
    assert board.content == before


def test_a_model_that_the_check_refuses_changes_nothing(backup: bytes, board: Door) -> None:
    data = b"another model" * 50
    import hashlib

    name = f"classifier-{hashlib.sha256(data).hexdigest()[:12]}.tflite"

    def change(content: dict[str, bytes]) -> None:
        del content[MODELS + name_of("classifier")]
        content[MODELS + name] = data
        content[f"{MODELS}classifier.json"] = json.dumps({"current": name}).encode()

    before = board.content
    with pytest.raises(FmdError, match=f"{name}: damaged"):
        put(changed(backup, change), board)
    assert board.content == before


def test_the_callers_check_of_the_settings_counts(backup: bytes, board: Door) -> None:
    def refuse(settings: config.Settings) -> None:
        raise SettingsError(f"mqtt.host: {settings.mqtt.host}: no library")

    before = board.content
    with pytest.raises(SettingsError, match="broker: no library"):
        put(backup, board, check=refuse)
    assert board.content == before


@pytest.mark.parametrize("where", ["state", "etc"])
def test_a_full_disk_changes_nothing(backup: bytes, board: Door, where: str) -> None:
    large = changed(backup, replaced("settings/files/door.ttf", os.urandom(200_000)))
    with small_disk(board.folder / where, "96k") as fill:
        fill()
        before = board.content
        with pytest.raises(OSError, match="No space left"):
            put(large, board)
        assert board.content == before


def test_a_write_that_fails_in_the_middle_changes_nothing(backup: bytes, board: Door) -> None:
    # The old record cannot be renamed: a folder that is not empty has its name. It is the last of the exchange.
    (board.base.parent / "door.ttf").write_text("old")
    board.base.write_text("[display]\nfont = 'door.ttf'\n")
    (board.state / "overlay.toml.before-restore" / "x").mkdir(parents=True)
    board.change({"watch.gate": True})
    before = board.content
    with pytest.raises(OSError, match=r"Is a directory|not empty"):
        put(backup, board)
    assert board.content == before


def test_a_backup_file_is_private_and_replaces_an_earlier_one_as_a_whole(tmp_path: Path) -> None:
    door, path = Door(tmp_path / "door").fill(), tmp_path / "door.fmd"
    path.write_text("an earlier one")
    manifest = sources.write_file(path, door.places, PARTS, False)
    assert manifest.parts == PARTS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    write_atomically(door.state.with_name("state-models") / "classifier.json", b"[")
    with pytest.raises(BackupError, match=r"repair it with fmd model install, or leave it out with --only"):
        sources.write_file(path, door.places, PARTS, False)
    assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["door", "door.fmd"]


def test_a_link_in_the_folder_of_the_backup_is_replaced_and_not_followed(tmp_path: Path) -> None:
    door = Door(tmp_path / "door").fill()
    target = tmp_path / "target"
    target.write_text("theirs")
    for name in ("door.fmd", "door.fmd.part"):
        (tmp_path / name).symlink_to(target)
    sources.write_file(tmp_path / "door.fmd", door.places, PARTS, False)
    assert target.read_text() == "theirs"
    assert not (tmp_path / "door.fmd").is_symlink()


def test_a_backup_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="there is nothing to back up"):
        sources.write_file(tmp_path / "x", Door(tmp_path / "door").places, ("record",), False)
    assert not (tmp_path / "x").exists()


def test_a_model_in_use_that_is_missing_is_an_error(tmp_path: Path) -> None:
    door = Door(tmp_path / "door").fill()
    (door.places.store.folder / name_of("classifier")).unlink()
    with pytest.raises(BackupError, match="missing, although it is in use"):
        door.backup()
    door.places.store.store("classifier", Choice("shipped", name_of("classifier")))
    assert f"{MODELS}classifier.json" in Archive(io.BytesIO(door.backup()), Path("x")).names(MODELS)


def test_a_full_disk_leaves_no_half_backup(tmp_path: Path) -> None:
    door, disk = Door(tmp_path / "door").fill(), tmp_path / "disk"
    disk.mkdir()
    (disk / "door.fmd").write_text("an earlier one")
    with small_disk(disk):
        (door.base.parent / "door.ttf").write_bytes(os.urandom(200_000))
        with pytest.raises(OSError, match="No space left") as caught:
            sources.write_file(disk / "door.fmd", door.places, PARTS, False)
        assert caught.value.filename == str(disk / "door.fmd")
        assert [(each.name, each.read_text()) for each in disk.iterdir()] == [("door.fmd", "an earlier one")]
