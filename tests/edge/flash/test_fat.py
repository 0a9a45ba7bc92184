"""FAT partitions written without a driver: mtools read them, fsck finds no fault, and damaged ones are refused."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from edge.errors import CardError
from edge.flash.fat import Fat, geometry
from tests.edge.flash.conftest import BOOKWORM, BOOT_SECTOR

OFFSET = BOOT_SECTOR * 512
SIZES = {16: 8, 32: 34}
"""Bits of the table -> size of a partition that has so many with clusters of one sector, megabytes."""


@pytest.fixture(params=SIZES, ids=lambda bits: f"FAT{bits}")
def image(request: pytest.FixtureRequest, bookworm: Path, image_of: Callable[..., Path]) -> Path:
    return image_of(bookworm, SIZES[request.param], request.param)


def checked(image: Path) -> str:
    """What fsck prints about the partition; empty if it finds nothing."""
    partition = image.with_suffix(".fat")
    partition.write_bytes(image.read_bytes()[OFFSET : -2048 * 512])
    done = subprocess.run(["fsck.vfat", "-n", partition], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout


def by_mtools(image: Path, path: str) -> bytes:
    return subprocess.run(
        ["mcopy", "-n", "-i", f"{image}@@{OFFSET}", f"::/{path}", "-"], check=True, capture_output=True
    ).stdout


def name(dice: random.Random) -> str:
    letters = "abcXYZ019._~+-é日 "
    return f"n{''.join(dice.choices(letters, k=dice.choice([1, 5, 12, 13, 25, 26, 60])))}e"


@pytest.mark.parametrize("seed", range(2))
def test_random_files_read_back_and_fsck_finds_no_fault(image: Path, seed: int) -> None:
    dice = random.Random(seed)
    files: dict[str, bytes] = {}
    with image.open("r+b") as handle:
        fat = Fat(handle, OFFSET)
        for number in range(80):
            fat = Fat(handle, OFFSET) if number % 10 == 0 else fat
            folder = dice.choice(["", "fmd/", "fmd/etc/", "a long folder/"])
            again = [path for path in files if path.rpartition("/")[0] == folder.rstrip("/")]
            path = dice.choice(again) if again and dice.random() < 0.3 else folder + name(dice)
            if path.lower() in {known.lower() for known in files} - {path.lower()} or path.endswith("."):
                continue
            files = {known: data for known, data in files.items() if known.lower() != path.lower()}
            files[path] = dice.randbytes(dice.choice([0, 1, 511, 512, 513, 5000, 40000]))
            fat.write(path, files[path])
        fat = Fat(handle, OFFSET)
        assert {path: fat.read(path) for path in files} == files
        assert fat.label().lower() == "bootfs"
    assert checked(image) == ""
    for path, data in list(files.items())[:10]:
        assert by_mtools(image, path) == data
    for path, text in BOOKWORM.items():
        assert by_mtools(image, path).decode() == text


def test_files_of_another_writer_are_read(image: Path, tmp_path: Path) -> None:
    files = {"NetWork-Config.before": b"x" * 3000, "SHORT.TXT": b"", "lower.txt": b"low"}
    for path, data in files.items():
        (tmp_path / path).write_bytes(data)
        subprocess.run(["mcopy", "-i", f"{image}@@{OFFSET}", tmp_path / path, "::/"], check=True)
    with image.open("rb") as handle:
        fat = Fat(handle, OFFSET)
        assert {path: fat.read(path.upper()) for path in files} == files
        assert set(files) <= set(fat.names())
        assert fat.read("fmd/none") is None


def test_a_full_partition_keeps_the_old_file(image: Path) -> None:
    with image.open("r+b") as handle:
        fat = Fat(handle, OFFSET)
        with pytest.raises(CardError, match="MB free"):
            fat.write("cmdline.txt", bytes(fat.free() + 1))
        assert Fat(handle, OFFSET).read("cmdline.txt") == BOOKWORM["cmdline.txt"].encode()
    assert checked(image) == ""


def test_the_root_of_fat16_has_an_end(bookworm: Path, image_of: Callable[..., Path]) -> None:
    with image_of(bookworm).open("r+b") as handle:
        fat = Fat(handle, OFFSET)
        # Entries for long names need most of the 512 that mkfs makes.
        for number in range(26):
            fat.write(f"{number} {'long name' * 25}", b"")
        with pytest.raises(CardError, match="no room for another name in its root folder"):
            fat.write("a long name that needs many entries " * 5, b"")


def test_a_written_image_depends_on_nothing_but_the_files(image: Path) -> None:
    copy = Path(shutil.copy(image, image.with_suffix(".copy")))
    for path in (image, copy):
        with path.open("r+b") as handle:
            Fat(handle, OFFSET).write("fmd/a name", b"same")
    assert image.read_bytes() == copy.read_bytes()


def test_a_damaged_partition_is_an_expected_error_or_reads(image: Path) -> None:
    whole = image.read_bytes()[OFFSET:]
    handle = io.BytesIO(whole)
    layout = geometry(whole[:512])
    places = [(0, 90), (layout.fat_start, 400), (layout.root_start or layout.data_start, 600)]
    for seed in range(40):
        dice = random.Random(seed)
        handle.seek(0)
        handle.write(whole[: 2 << 20])  # all that was written
        Fat(handle).write("fmd/etc/file", b"x" * 5000)
        for _ in range(dice.choice([1, 4, 30])):
            start, size = dice.choice(places)
            handle.seek(start + dice.randrange(size))
            handle.write(bytes([dice.choice([0, 1, 0xFF, dice.randrange(256)])]))
        with suppress(CardError):  # any other error fails the test
            fat = Fat(handle)
            for path in ("cmdline.txt", "fmd/etc/file", "none"):
                fat.read(path)
            fat.names()
            fat.write("fmd/etc/new", b"y" * 2000)


@pytest.mark.parametrize("boot", [bytes(512), b"\xff" * 512, b"\xeb\x3c\x90" + b"MSDOS5.0" + bytes(501)])
def test_other_sectors_are_no_boot_sector(boot: bytes) -> None:
    with pytest.raises(CardError, match="does not describe a FAT partition"):
        geometry(boot)
