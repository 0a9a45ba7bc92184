"""Finding cards: what each system says about its mounted volumes, and what is taken for a card."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.commands import main
from edge.flash import volumes
from tests.edge.flash.conftest import TRIXIE, fill


def test_cards_are_found_among_other_volumes(trixie: Path, bookworm: Path, tmp_path: Path) -> None:
    music = fill(tmp_path / "music", {"song.txt": "la"})
    old = fill(tmp_path / "bootfs", {"config.txt": ""})
    found = volumes.cards([music, trixie, old, bookworm, tmp_path / "reader without a card"])
    assert [(volume.root, volume.card is not None) for volume in found] == [
        (trixie, True),
        (old, False),
        (bookworm, True),
    ]
    assert "Raspberry Pi OS of 2025-11-24, first boot by cloud-init" in str(found[0])
    assert "(bootfs, " in str(found[1])
    assert "not the boot partition of a 64-bit Raspberry Pi OS" in str(found[1])
    assert all(volume.size > 0 for volume in found)


def test_linux_lists_fat_partitions_wherever_they_are_mounted_but_not_its_own(tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    table.write_text(
        "/dev/sda1 /boot/firmware vfat rw 0 0\n"
        "/dev/sda2 / ext4 rw 0 0\n"
        "/dev/sdb1 /run/media/me/boot\\040fs vfat rw 0 0\n"
        "/dev/sdc1 /home/me/card vfat ro 0 0\n"
        "/dev/sdc2 /home/me/root ext4 rw 0 0\n"
    )
    assert volumes.mounted_on_linux(table, tmp_path) == [Path("/home/me/card"), Path("/run/media/me/boot fs")]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the table of mounts of Linux")
def test_what_is_mounted_here_can_be_read() -> None:
    assert all(isinstance(volume, volumes.Volume) for volume in volumes.cards())


class Kernel32:
    """Stand-in for Windows' library: drives with a type, and a name unless their reader is empty."""

    def __init__(self, drives: Mapping[str, tuple[int, str | None]]) -> None:
        self.drives = drives
        self.dialogs = True

    def SetErrorMode(self, mode: int) -> int:  # noqa: N802
        self.dialogs = mode != volumes.NO_DIALOGS
        return 0

    def GetLogicalDrives(self) -> int:  # noqa: N802
        return sum(1 << ord(letter) - ord("A") for letter in self.drives)

    def GetDriveTypeW(self, drive: str) -> int:  # noqa: N802
        return self.drives[drive[0]][0]

    def GetVolumeInformationW(self, drive: str, name: ctypes.Array[ctypes.c_wchar], *rest: object) -> int:  # noqa: N802
        label = self.drives[drive[0]][1]
        name.value = label or ""
        rest[3]._obj.value = volumes.READ_ONLY if label == "locked" else 0x200  # type: ignore[attr-defined]
        return label is not None


def test_windows_lists_removable_and_fixed_drives_without_opening_a_window() -> None:
    kernel = Kernel32({"C": (3, "Windows"), "D": (2, "bootfs"), "E": (5, "CD"), "Z": (4, "share")})
    assert volumes.drives_of_windows(kernel) == [Path("C:\\"), Path("D:\\")]
    assert not kernel.dialogs


def test_windows_names_a_volume_and_says_whether_it_is_locked() -> None:
    kernel = Kernel32({"D": (2, "bootfs"), "E": (2, "locked"), "F": (2, None)})
    assert volumes.label_on_windows(kernel, "D:\\") == ("bootfs", False)
    assert volumes.label_on_windows(kernel, "E:\\") == ("locked", True)
    with pytest.raises(OSError, match="no volume"):
        volumes.label_on_windows(kernel, "F:\\")


@pytest.mark.skipif(not hasattr(os, "statvfs"), reason="Windows")
def test_a_writable_volume_is_not_reported_as_locked(trixie: Path) -> None:
    (found,) = volumes.cards([Path(shutil.copytree(trixie, trixie.with_name("bootfs")))])
    assert (found.label, found.read_only) == ("bootfs", False)


def test_on_windows_a_card_is_found_by_its_drive_and_prepared(
    deb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With folders that are called as the drives of Windows are."""
    fill(tmp_path / "C:\\", {"pagefile.sys": ""})
    card = fill(tmp_path / "D:\\", TRIXIE)
    monkeypatch.chdir(tmp_path)
    drives = Kernel32({"C": (3, "Windows"), "D": (2, "bootfs"), "E": (2, None)})
    monkeypatch.setattr(volumes, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=drives), raising=False)
    assert main.main(["flash", "--package", str(deb), "--door", "door-1", "--write"]) == 0
    assert "found D:\\ (bootfs, " in capsys.readouterr().out
    assert (card / "fmd" / deb.name).read_bytes() == deb.read_bytes()
