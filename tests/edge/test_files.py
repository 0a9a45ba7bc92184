"""Atomic writes: a reader sees the old content or the new, and a failure leaves the old."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge import files
from edge.errors import CameraError
from edge.files import native_name, printable, read_regular, write_atomically
from tests.edge.parts import ROOT


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"old")
    write_atomically(path, b"new", mode=0o640)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_has_its_permissions_whatever_the_mask_is_and_an_older_one_stays(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir(mode=0o700)
    os.umask(0o077)
    for _ in range(2):
        files.make_folder(tmp_path / "old" / "a" / "b", 0o755)
    found = [(tmp_path / name).stat().st_mode & 0o777 for name in ("old", "old/a", "old/a/b")]
    assert found == [0o700, 0o755, 0o755]


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


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from edge.files import write_atomically

# A file that grows beyond the limit fails as on a full disk (setrlimit(2)).
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_atomically(Path(sys.argv[1]), b"x" * 100_000)
except OSError as error:
    print(error.filename)
"""


def test_a_full_disk_leaves_the_old_file_and_no_unfinished_one(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (found.stdout, found.stderr) == (f"{path}\n", "")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_unfinished_file_of_a_killed_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    (tmp_path / "state.json.part").write_bytes(b"half")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_place_of_the_unfinished_file_is_not_followed(tmp_path: Path) -> None:
    """Root writes models into a folder of the user fmd."""
    other = tmp_path / "other"
    other.write_bytes(b"keep")
    other.chmod(0o600)
    (tmp_path / "state.json.part").symlink_to(other)
    write_atomically(tmp_path / "state.json", b"new", mode=0o644)
    assert (other.read_bytes(), other.stat().st_mode & 0o777) == (b"keep", 0o600)
    assert (tmp_path / "state.json").read_bytes() == b"new"


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


def test_a_folder_in_place_of_a_file_is_named_and_leaves_nothing_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="not a regular file") as caught:
        read_regular(tmp_path, 100)
    assert caught.value.filename == str(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
