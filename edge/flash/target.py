"""Access to a boot partition: a mounted folder, or a partition inside an image file.

No other module of :mod:`edge.flash` writes. Paths are relative to the partition, with forward slashes, in lower case as
Raspberry Pi OS has them; FAT itself ignores case.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path, PurePosixPath
from typing import Protocol

from edge.errors import CardError
from edge.files import write_atomically

SECTOR = 512
FAT_TYPES = frozenset({0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E})
"""Partition types of a master boot record that hold FAT12, FAT16 or FAT32."""
INSTALL_MTOOLS = "install mtools (apt install mtools, brew install mtools), or give the folder of a mounted card"


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


class MountedFolder:
    """The boot partition of a card, mounted at ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __str__(self) -> str:
        return str(self._root)

    def names(self) -> frozenset[str]:
        return frozenset(entry.name.lower() for entry in self._root.iterdir())

    def read(self, path: str) -> bytes | None:
        try:
            return self._inside(path).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, path: str, data: bytes) -> None:
        file = self._inside(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        # Durable: users pull the card as soon as the command ends.
        write_atomically(file, data, durable=True)

    def free(self) -> int:
        return shutil.disk_usage(self._root).free

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
    """The first FAT partition of an image file, through mtools, which need neither root nor a mount."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = fat_offset(path)

    def __str__(self) -> str:
        return str(self._path)

    def names(self) -> frozenset[str]:
        return self._listed("")

    def read(self, path: str) -> bytes | None:
        if not self._has(path):
            return None
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / "file"
            self._mtools("mcopy", f"::/{path}", str(copy))
            return copy.read_bytes()

    def write(self, path: str, data: bytes) -> None:
        for folder in list(PurePosixPath(path).parents)[-2::-1]:
            if not self._has(str(folder)):
                self._mtools("mmd", f"::/{folder}")
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / "file"
            copy.write_bytes(data)
            self._mtools("mcopy", "-o", str(copy), f"::/{path}")

    def _has(self, path: str) -> bool:
        folder, _, name = path.lower().rpartition("/")
        return (not folder or self._has(folder)) and name in self._listed(folder)

    def _listed(self, folder: str) -> frozenset[str]:
        """Return the names in a folder that exists, in lower case."""
        lines = self._mtools("mdir", "-b", "-a", f"::/{folder}").decode(errors="replace").splitlines()
        # mdir -b prints full paths, folders with a slash at the end.
        return frozenset(line.rstrip("/").rpartition("/")[2].lower() for line in lines)

    def free(self) -> int:
        found = re.search(rb"([\d ]+) bytes free", self._mtools("mdir", "-a", "::/"))
        if found is None:
            raise CardError(f"{self._path}: mdir does not report the free space of its boot partition; update mtools")
        return int(found[1].replace(b" ", b""))

    def _mtools(self, command: str, *arguments: str) -> bytes:
        where = f"{self._path}@@{self._offset}"
        try:
            done = subprocess.run(
                [command, "-i", where, *arguments],
                capture_output=True,
                check=True,
                stdin=subprocess.DEVNULL,
                # Without the first, mtools reject unusual but valid disk parameters; free() parses English text.
                env={**os.environ, "MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C.UTF-8"},
            )
        except FileNotFoundError as error:
            raise CardError(f"{self._path}: {command} is needed for image files; {INSTALL_MTOOLS}") from error
        except subprocess.CalledProcessError as error:
            message = error.stderr.decode(errors="replace").strip()
            raise CardError(f"{self._path}: {command}: {message}") from error
        return done.stdout


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
