"""Atomic writes: a reader sees the old content or the new, and a failure leaves the old."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge import files
from edge.errors import CameraError
from edge.files import native_name, printable, write_atomically


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"old")
    write_atomically(path, b"new", mode=0o640)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_that_has_the_old_file_open_keeps_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"old content")
    with path.open("rb") as reader:
        assert reader.read(3) == b"old"
        write_atomically(path, b"new")
        assert reader.read() == b" content"


def test_two_names_that_differ_in_their_suffix_do_not_share_an_unfinished_file(tmp_path: Path) -> None:
    """``model.tflite`` and ``model.keras`` may be written at the same time."""
    assert (tmp_path / "a.x").with_name("a.x.part") != (tmp_path / "a.y").with_name("a.y.part")
    write_atomically(tmp_path / "a.x", b"x")
    write_atomically(tmp_path / "a.y", b"y")
    assert [(tmp_path / name).read_bytes() for name in ("a.x", "a.y")] == [b"x", b"y"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_leaves_the_old_file_and_no_unfinished_one(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"old")
    (tmp_path / "state.json.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"x" * 100_000)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_error_and_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "state.json", b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_durable_write_syncs_the_file_before_its_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.tflite"
    synced: list[tuple[str, bool]] = []

    def fsync(handle: int) -> None:
        synced.append((str(Path(f"/proc/self/fd/{handle}").readlink()), path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(path, b"x", durable=True)
    assert synced == [(f"{path}.part", False), (str(tmp_path), True)]
    synced.clear()
    write_atomically(path, b"y")
    assert synced == []


def test_a_folder_that_is_missing_cannot_be_synced(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.sync_folder(tmp_path / "missing")


def test_a_name_that_is_not_utf_8_is_refused_and_printed_escaped() -> None:
    name = os.fsdecode(b"T\xfcr.mp4")
    with pytest.raises(CameraError, match=r"T\\udcfcr\.mp4: the name is not valid UTF-8"):
        native_name(Path(name), CameraError)
    assert native_name("T\u00fcr.mp4", CameraError) == "T\u00fcr.mp4"
    assert printable(Path(name)) == r"T\udcfcr.mp4"
