"""Where a card's boot partition is reached: a mounted folder, or a partition inside an image file.

Nothing else in :mod:`edge.flash` writes. Paths are those of the partition, with forward slashes, in lower case as
Raspberry Pi OS has them; FAT itself takes no notice of case.
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

SECTOR = 512
FAT_TYPES = frozenset({0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E})
"""Partition types of a master boot record that hold FAT12, FAT16 or FAT32."""
INSTALL_MTOOLS = "install mtools (apt install mtools, brew install mtools), or give the folder of a mounted card"


class Target(Protocol):
    """A boot partition."""

    def names(self) -> frozenset[str]:
        """What lies at its top, in lower case."""

    def read(self, path: str) -> bytes | None:
        """A file's content, None where there is none."""

    def write(self, path: str, data: bytes) -> None:
        """Put a file there, its folder too, whole or not at all where the partition can do that."""

    def free(self) -> int:
        """Bytes left on it."""


def open_target(path: Path) -> Target:
    """The boot partition at ``path``, a folder or an image file; disks themselves are never opened."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise CardError(f"{path}: {error.strerror}; give a mounted boot partition or an image file") from error
    if stat.S_ISDIR(mode):
        return MountedFolder(path)
    if stat.S_ISREG(mode):
        return ImageFile(path)
    raise CardError(
        f"{path}: a device; fmd writes to no disk. Mount its boot partition and give that folder, or an image file"
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
        new = file.with_name(file.name + ".new")
        try:
            with new.open("wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            new.replace(file)
        except OSError:
            new.unlink(missing_ok=True)
            raise

    def free(self) -> int:
        return shutil.disk_usage(self._root).free

    def _inside(self, path: str) -> Path:
        """FAT has no links: one in the way leads to where nobody pointed."""
        file = self._root / path
        for step in (file, *file.parents):
            if step == self._root:
                return file
            if step.is_symlink():
                raise CardError(f"{step}: a link, expected a file of a boot partition; nothing is written through it")
        raise CardError(f"{path}: not inside {self._root}")


class ImageFile:
    """The first FAT partition of an image file, by way of mtools; needs neither root nor a mount."""

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
        """What lies in a folder that is there, in lower case."""
        lines = self._mtools("mdir", "-b", "-a", f"::/{folder}").decode(errors="replace").splitlines()
        return frozenset(line.rstrip("/").rpartition("/")[2].lower() for line in lines)

    def free(self) -> int:
        found = re.search(rb"([\d ]+) bytes free", self._mtools("mdir", "-a", "::/"))
        if found is None:
            raise CardError(f"{self._path}: mdir does not tell the free space of its boot partition")
        return int(found[1].replace(b" ", b""))

    def _mtools(self, command: str, *arguments: str) -> bytes:
        where = f"{self._path}@@{self._offset}"
        try:
            done = subprocess.run(
                [command, "-i", where, *arguments],
                capture_output=True,
                check=True,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C.UTF-8"},
            )
        except FileNotFoundError as error:
            raise CardError(f"{self._path}: {command} is needed for image files; {INSTALL_MTOOLS}") from error
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip()
            raise CardError(f"{self._path}: {command}: {said}") from error
        return done.stdout


def fat_offset(path: Path) -> int:
    """Where the first FAT partition of an image file begins, in bytes.

    Reads the master boot record, whose four entries of 16 bytes begin at 446 (type at 4, first sector at 8, little
    endian). An image of the partition alone begins at 0.
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
