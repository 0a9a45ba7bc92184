"""Find mounted cards: drive letters of Windows, /Volumes of macOS, mounted FAT partitions and /media of Linux.

Nothing here writes, and no program is started.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import CardError
from edge.flash.card import Card, recognise
from edge.flash.target import MountedFolder

LABEL = "bootfs"
"""Name of the boot partition of Raspberry Pi OS."""
FOLDERS = ("/media/*", "/media/*/*", "/run/media/*/*", "/mnt/*")
"""Where desktops of Linux mount disks, as patterns."""
OWN_SYSTEM = ("/boot", "/efi")
"""Where a Linux machine has its own boot partition, which on a Raspberry Pi resembles a card."""
REMOVABLE, FIXED = 2, 3
"""Types of a drive of Windows. Some card readers call themselves fixed."""
READ_ONLY = 0x00080000
"""Flag of a volume of Windows that cannot be written to."""
NO_DIALOGS = 0x0001
"""Makes Windows return an error, instead of opening a window, for a card reader without a card."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A mounted file system. ``size`` is in bytes; ``problem`` says why it is no card that fmd can prepare."""

    root: Path
    label: str
    size: int
    read_only: bool = False
    card: Card | None = None
    problem: str = ""

    def __str__(self) -> str:
        name = f"{self.root} ({self.label}, {self.size / 1e6:.0f} MB)"
        return f"{name}: {self.card or self.problem}{', write-protected' if self.read_only else ''}"


def cards(roots: Iterable[Path] | None = None) -> list[Volume]:
    """Return the mounted volumes that are cards of Raspberry Pi OS, and those that have the name of one.

    ``roots`` are the folders to check (None: all mounted volumes of this machine).
    """
    volumes = [_volume(root) for root in (mounted() if roots is None else roots)]
    return [volume for volume in volumes if volume is not None and (volume.card or volume.label.lower() == LABEL)]


def _volume(root: Path) -> Volume | None:
    """Return what is mounted at ``root``; None for what cannot be read, such as a reader without a card."""
    try:
        size = shutil.disk_usage(root).total
        label, read_only = _label(root)
        try:
            return Volume(root, label, size, read_only, recognise(MountedFolder(root)))
        except CardError as error:
            return Volume(root, label, size, read_only, problem=str(error).removeprefix(f"{root}: "))
    except OSError:
        return None


def mounted() -> list[Path]:
    """Return the folders where this machine has mounted what may be a card."""
    if sys.platform == "win32":
        return drives_of_windows(ctypes.windll.kernel32)
    if sys.platform == "darwin":
        return sorted(Path("/Volumes").glob("*"))
    return mounted_on_linux(Path("/proc/self/mounts"), Path("/"))


def mounted_on_linux(table: Path, root: Path) -> list[Path]:
    """Return FAT partitions in the kernel's table of mounts, and folders in which desktops mount disks."""
    found = [folder for pattern in FOLDERS for folder in root.glob(pattern.lstrip("/")) if os.path.ismount(folder)]
    for line in table.read_text(errors="replace").splitlines():
        _, place, kind, *_ = line.split(" ")
        # The kernel writes spaces and backslashes as octal numbers.
        place = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), place)
        if kind in ("vfat", "msdos", "fuseblk", "exfat") and not place.startswith(OWN_SYSTEM):
            found.append(Path(place))
    return sorted(set(found))


def drives_of_windows(kernel32: Any) -> list[Path]:
    """Return the drives of Windows that may be cards; neither network drives, which may hang, nor CDs."""
    kernel32.SetErrorMode(NO_DIALOGS)
    letters = [chr(ord("A") + bit) for bit in range(26) if kernel32.GetLogicalDrives() >> bit & 1]
    return [Path(f"{letter}:\\") for letter in letters if kernel32.GetDriveTypeW(f"{letter}:\\") in (REMOVABLE, FIXED)]


def _label(root: Path) -> tuple[str, bool]:
    """Return the name of a volume, and whether it cannot be written to."""
    if sys.platform == "win32":
        return label_on_windows(ctypes.windll.kernel32, str(root))
    return root.name, bool(os.statvfs(root).f_flag & os.ST_RDONLY)


def label_on_windows(kernel32: Any, drive: str) -> tuple[str, bool]:
    name, flags = ctypes.create_unicode_buffer(261), ctypes.c_uint32()
    if not kernel32.GetVolumeInformationW(drive, name, 261, None, None, ctypes.byref(flags), None, 0):
        raise OSError(f"{drive}: no volume")
    return name.value, bool(flags.value & READ_ONLY)
