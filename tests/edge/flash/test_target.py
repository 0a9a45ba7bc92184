"""Reading and writing boot partitions, in folders and in real FAT images; and never anything else."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import CardError
from edge.flash import target as target_module
from edge.flash.target import HINTS, MountedFolder, Target, drive_folder, fat_offset, open_target
from tests.edge.flash.conftest import BOOKWORM, BOOT_SECTOR


@pytest.fixture(params=["folder", "image"])
def target(request: pytest.FixtureRequest, bookworm: Path) -> Target:
    if request.param == "folder":
        return open_target(bookworm)
    make: Callable[[Path], Path] = request.getfixturevalue("image_of")
    return open_target(make(bookworm))


def test_written_files_read_back(target: Target) -> None:
    data = bytes(range(256)) * 40
    target.write("fmd/etc/fmd.toml", b"deep")
    target.write("fmd/package_1.0~rc1_arm64.deb", data)
    target.write("cmdline.txt", b"new\n")
    assert target.read("fmd/package_1.0~rc1_arm64.deb") == data
    assert target.read("fmd/etc/fmd.toml") == b"deep"
    assert target.read("cmdline.txt") == b"new\n"


def test_names_lists_the_top_in_lower_case(target: Target) -> None:
    target.write("fmd/x", b"")
    assert target.names() == {*BOOKWORM, "fmd"}


@pytest.mark.parametrize("path", ["nothing.txt", "fmd/nothing.txt", "fmd/etc/nothing", "cmdline"])
def test_a_missing_file_reads_as_none(target: Target, path: str) -> None:
    assert target.read(path) is None


def test_writing_reduces_the_free_space(target: Target) -> None:
    before = target.free()
    target.write("big", bytes(1 << 20))
    assert before > 1 << 20
    if not isinstance(target, MountedFolder):  # the disk under a folder belongs to everybody
        assert 1 << 20 <= before - target.free() <= (1 << 20) + 8192


def test_a_full_image_is_reported_with_its_name(bookworm: Path, image_of: Callable[[Path], Path]) -> None:
    path = image_of(bookworm)
    with pytest.raises(CardError, match=rf"{path}: 8.3 MB free, 9.4 MB needed"):
        open_target(path).write("big", bytes(9 << 20))


def test_nothing_outside_the_boot_partition_of_an_image_changes(
    bookworm: Path, image_of: Callable[[Path], Path]
) -> None:
    path = image_of(bookworm)
    before = path.read_bytes()
    open_target(path).write("big", b"\xff" * (4 << 20))
    after = path.read_bytes()
    start, end = BOOT_SECTOR * 512, BOOT_SECTOR * 512 + (8 << 20)
    assert (after[:start], after[end:], len(after)) == (before[:start], before[end:], len(before))
    assert after != before


def test_a_link_is_not_written_through(bookworm: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (bookworm / "fmd").symlink_to(elsewhere)
    with pytest.raises(CardError, match="a link, expected a file of a boot partition"):
        open_target(bookworm).write("fmd/x", b"x")
    assert list(elsewhere.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file_whole(bookworm: Path) -> None:
    (bookworm / "cmdline.txt.part").mkdir()
    with pytest.raises(CardError, match=r"cmdline\.txt: Is a directory"):
        open_target(bookworm).write("cmdline.txt", b"new")
    assert (bookworm / "cmdline.txt").read_text() == BOOKWORM["cmdline.txt"]


def test_disks_are_refused() -> None:
    with pytest.raises(CardError, match="/dev/null: a device; fmd never writes to a disk"):
        open_target(Path("/dev/null"))


def test_a_missing_target_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="No such file or directory; give a mounted boot partition"):
        open_target(tmp_path / "none")


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"\xfd7zXZ\x00", r"compressed; unpack it first \(unxz card.img\)"),
        (b"PK\x03\x04", "compressed"),
        (b"", "no partition table"),
        (bytes(510) + b"\x55\xaa", "no FAT partition"),
    ],
)
def test_files_other_than_images_are_refused(tmp_path: Path, head: bytes, said: str) -> None:
    path = tmp_path / "card.img"
    path.write_bytes(head.ljust(512, b"\x00"))
    with pytest.raises(CardError, match=said):
        open_target(path)


def test_an_image_of_the_partition_alone_begins_at_0(tmp_path: Path) -> None:
    path = tmp_path / "boot.img"
    path.write_bytes((bytes(82) + b"FAT32   ").ljust(510, b"\x00") + b"\x55\xaa")
    assert fat_offset(path) == 0


def test_a_drive_of_windows_is_its_top_folder() -> None:
    assert [drive_folder(path) for path in ("D:", 'D:"', "D:\\", "D:\\x", "boot")] == [
        "D:\\",
        "D:\\",
        "D:\\",
        "D:\\x",
        "boot",
    ]


@pytest.mark.parametrize("number", HINTS, ids=errno.errorcode.get)
def test_an_error_of_the_card_says_what_it_means(bookworm: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def failing(path: Path, data: bytes, durable: bool) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(target_module, "write_atomically", failing)
    with pytest.raises(CardError, match=rf"cmdline\.txt: {os.strerror(number)}; {HINTS[number]}"):
        open_target(bookworm).write("cmdline.txt", b"new")


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_what_is_mounted_instead_of_the_card_is_not_written_to(bookworm: Path, tmp_path: Path) -> None:
    """The folder of a removed card often remains, on the laptop's own disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        (tmp_path / "media").symlink_to(bookworm)
        card = open_target(tmp_path / "media")
        card.write("fmd/first", b"")
        (tmp_path / "media").unlink()
        (tmp_path / "media").symlink_to(elsewhere)
        with pytest.raises(CardError, match="the card was removed"):
            card.write("fmd/second", b"")
        with pytest.raises(CardError, match="the card was removed"):
            card.read("fmd/first")
        assert list(Path(elsewhere).iterdir()) == []


def test_a_card_that_was_removed_is_reported(bookworm: Path, tmp_path: Path) -> None:
    card = open_target(bookworm)
    bookworm.rename(tmp_path / "drawer")
    with pytest.raises(CardError, match="No such file or directory; the card was removed"):
        card.write("fmd/first", b"")
    assert not bookworm.exists()
