"""Access to a boot partition: a mounted folder, or a partition inside an image file.

No other module of :mod:`edge.flash` writes. Paths are relative to the partition, with forward slashes, in lower case as
Raspberry Pi OS has them; FAT itself ignores case.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

from edge.errors import CardError
from edge.files import write_atomically
from edge.flash.fat import Fat

SECTOR = 512
FAT_TYPES = frozenset({0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E})
"""Partition types of a master boot record that hold FAT12, FAT16 or FAT32."""


HINTS = {
    errno.EROFS: "the card is write-protected: slide the lock of its adapter",
    errno.EACCES: "the card is write-protected, or another program uses it",
    errno.ENOSPC: "the card is full",
    errno.EIO: "the card was removed, or is worn out",
    errno.ENODEV: "the card was removed",
    errno.ENXIO: "the card was removed",
    errno.ENOENT: "the card was removed",
}
"""What an error of the system means for a card."""


class Target(Protocol):
    """A boot partition."""

    def names(self) -> frozenset[str]:
        """Return the names of files and folders at the top of the partition, in lower case."""

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, or None if there is none."""

    def write(self, path: str, data: bytes) -> None:
        """Write a file, creating its folder; if the partition allows it, atomically."""

    def free(self) -> int:
        """Return the bytes that are free."""


def open_target(path: Path) -> Target:
    """Open the boot partition at ``path``, a folder or an image file. Raises CardError for a disk's device."""
    if os.name == "nt":
        path = Path(drive_folder(str(path)))
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise CardError(f"{path}: {error.strerror}; give a mounted boot partition or an image file") from error
    if stat.S_ISDIR(mode):
        return MountedFolder(path)
    if stat.S_ISREG(mode):
        return ImageFile(path)
    raise CardError(
        f"{path}: a device; fmd never writes to a disk. Mount its boot partition and give that folder, or an image file"
    )


def drive_folder(path: str) -> str:
    """Return the top folder of a drive of Windows: ``D:`` alone is the folder that a program is in on that drive.

    Its shells pass ``"D:\\"`` with the quotation mark at the end.
    """
    path = path.rstrip('"')
    return f"{path}\\" if re.fullmatch("[A-Za-z]:", path) else path


class MountedFolder:
    """The boot partition of a card, mounted at ``root``. Raises CardError for every error of the system on it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._device = root.stat().st_dev

    def __str__(self) -> str:
        return str(self._root)

    def names(self) -> frozenset[str]:
        with self._naming(""):
            return frozenset(entry.name.lower() for entry in self._root.iterdir())

    def read(self, path: str) -> bytes | None:
        with self._naming(path):
            try:
                return self._inside(path).read_bytes()
            except FileNotFoundError:
                return None

    def write(self, path: str, data: bytes) -> None:
        with self._naming(path):
            file = self._inside(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            # Durable: users pull the card as soon as the command ends.
            write_atomically(file, data, durable=True)

    def free(self) -> int:
        with self._naming(""):
            return shutil.disk_usage(self._root).free

    @contextmanager
    def _naming(self, path: str) -> Iterator[None]:
        """Name the file in an error of the system. Raises CardError if another disk is mounted there now."""
        try:
            # The folder of a removed card may remain, on the laptop's own disk.
            if self._root.stat().st_dev != self._device:
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            yield
        except CardError:
            raise
        except OSError as error:
            hint = HINTS.get(error.errno or 0)
            raise CardError(f"{self._root / path}: {error.strerror or error}{f'; {hint}' if hint else ''}") from error

    def _inside(self, path: str) -> Path:
        """Return a path of the partition. Raises CardError for a link: FAT has none, so it leads to another disk."""
        file = self._root / path
        for step in (file, *file.parents):
            if step == self._root:
                return file
            if step.is_symlink():
                raise CardError(f"{step}: a link, expected a file of a boot partition; nothing is written through it")
        raise CardError(f"{path}: not inside {self._root}")


class ImageFile:
    """The first FAT partition of an image file, which needs neither root nor a mount."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = fat_offset(path)

    def __str__(self) -> str:
        return str(self._path)

    def names(self) -> frozenset[str]:
        with self._opened() as partition:
            return frozenset(name.lower() for name in partition.names())

    def read(self, path: str) -> bytes | None:
        with self._opened() as partition:
            return partition.read(path)

    def write(self, path: str, data: bytes) -> None:
        with self._opened("r+b") as partition:
            partition.write(path, data)

    def free(self) -> int:
        with self._opened() as partition:
            return partition.free()

    @contextmanager
    def _opened(self, mode: Literal["rb", "r+b"] = "rb") -> Iterator[Fat]:
        with self._path.open(mode) as handle:
            try:
                yield Fat(handle, self._offset)
            except CardError as error:
                raise CardError(f"{self._path}: {error}") from error
            if mode == "r+b":
                handle.flush()
                os.fsync(handle.fileno())


def fat_offset(path: Path) -> int:
    """Return the offset of the first FAT partition of an image file, in bytes.

    The master boot record has four entries of 16 bytes from byte 446 on (type at 4, first sector at 8, little endian).
    An image of the partition alone begins at 0. Raises CardError if the file is compressed or has no FAT partition.
    """
    with path.open("rb") as handle:
        head = handle.read(SECTOR)
    if head[:6] == b"\xfd7zXZ\x00" or head[:4] in (b"PK\x03\x04", b"\x28\xb5\x2f\xfd") or head[:2] == b"\x1f\x8b":
        raise CardError(f"{path}: compressed; unpack it first (unxz {path.name}) and give the .img")
    if head[510:512] != b"\x55\xaa":
        raise CardError(f"{path}: no partition table; expected an image of Raspberry Pi OS")
    if head[54:57] == b"FAT" or head[82:85] == b"FAT":
        return 0
    for entry in (head[start : start + 16] for start in range(446, 510, 16)):
        if entry[4] in FAT_TYPES:
            return int.from_bytes(entry[8:12], "little") * SECTOR
    raise CardError(f"{path}: no FAT partition in its partition table; expected an image of Raspberry Pi OS")
