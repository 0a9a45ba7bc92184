"""The file of a backup: a zip whose ``manifest.json`` lists size and SHA-256 of every entry.

A backup may have been changed or made by anyone. Its names are fixed, so nothing in it chooses a path. Sizes are
limited before anything is read, and no entry counts before its hash is right.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import msgspec

from edge.errors import BackupError
from edge.files import printable
from edge.inference.bundle import MAX_FILE

FORMAT = 1
MANIFEST = "manifest.json"
Part = Literal["settings", "models", "record"]
PARTS: tuple[Part, ...] = ("settings", "models", "record")
SETTINGS, OVERLAY, RECORD = "settings/fmd.toml", "settings/overlay.toml", "record/record.db"
FILES, MODELS = "settings/files/", "models/"
MAX_ENTRIES = 48
MAX_MANIFEST = 1 << 16
MAX_TEXT = 1 << 20
"""Bytes of the largest settings file or choice of a model."""
MAX_RECORD = 1 << 30
"""Bytes of the largest record: far more than ``record.mb_kept`` has by default."""
NAMES: tuple[tuple[re.Pattern[str], int], ...] = (
    (re.compile(r"settings/(fmd|overlay)\.toml"), MAX_TEXT),
    (re.compile(r"settings/files/[A-Za-z0-9][A-Za-z0-9._+~-]{0,99}"), MAX_FILE),
    (re.compile(r"models/(classifier|detector)\.json"), MAX_TEXT),
    (re.compile(r"models/(classifier|detector)-[0-9a-f]{12}\.(tflite|onnx)"), MAX_FILE),
    (re.compile(r"record/record\.db"), MAX_RECORD),
)
"""Every name that an entry may have, and its largest size in bytes."""
END = struct.Struct("<4s4H2LH")
"""End of a zip's directory (APPNOTE 4.3.16): signature, disks, entries, bytes and place of the directory, comment."""
LOCATOR = 20
"""Bytes of the zip64 locator that may precede it."""
MAX_DIRECTORY = 1 << 16
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
PIECE = 1 << 20
DAMAGED = "damaged, cut off, or no backup of fmd; nothing was changed"


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file in the backup: its name, its bytes, and their SHA-256."""

    name: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


Key = Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,50}\.[a-z_]{1,50}$")]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is of, and what it holds.

    ``left_out`` are the settings (``section.key``) that it does not hold because they are secrets. ``made_at`` is ISO
    8601 in UTC, ``version`` that of fmd.
    """

    format: int
    version: Annotated[str, msgspec.Meta(max_length=100)]
    door: Annotated[str, msgspec.Meta(max_length=100)]
    made_at: Annotated[str, msgspec.Meta(max_length=40)]
    secrets: bool
    left_out: Annotated[tuple[Key, ...], msgspec.Meta(max_length=50)] = ()
    entries: Annotated[tuple[Entry, ...], msgspec.Meta(max_length=MAX_ENTRIES)]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that it holds."""
        found = {entry.name.partition("/")[0] for entry in self.entries}
        return tuple(part for part in PARTS if part in found)


class Writer:
    """A backup that is being written to an open file."""

    def __init__(self, target: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED)
        self._entries: list[Entry] = []

    def add(self, name: str, content: bytes) -> None:
        """Add an entry. Raises BackupError for one that no restoration would take."""
        with self._entry(name) as write:
            write(content)

    def copy(self, name: str, source: BinaryIO) -> None:
        """Add all that ``source`` still has."""
        with self._entry(name) as write:
            while piece := source.read(PIECE):
                write(piece)

    def discard(self) -> None:
        """Write no more; the file is to be deleted."""
        with suppress(OSError, ValueError):  # a full disk is full for the end of the zip as well
            self._zip.close()

    def close(self, manifest: Manifest) -> Manifest:
        """Complete the file with this manifest and the entries, and return it with them."""
        manifest = msgspec.structs.replace(manifest, entries=tuple(self._entries))
        self._zip.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        self._zip.close()
        return manifest

    @contextmanager
    def _entry(self, name: str) -> Iterator[_Counted]:
        limit = _limit_of(name)
        if limit is None or len(self._entries) >= MAX_ENTRIES:
            raise BackupError(f"{name}: cannot be part of a backup; its name or the number of files does not fit")
        with self._zip.open(name, "w") as out:
            counted = _Counted(out.write, limit, name)
            yield counted
        self._entries.append(Entry(name, counted.size, counted.hash.hexdigest()))


class _Counted:
    """Passes pieces on, counts and hashes them."""

    def __init__(self, write: object, limit: int, name: str) -> None:
        self._write, self._limit, self._name = write, limit, name
        self.size, self.hash = 0, hashlib.sha256()

    def __call__(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self._limit:
            raise BackupError(f"{self._name}: has more than {self._limit:,} bytes; a backup does not hold such a file")
        self.hash.update(piece)
        self._write(piece)  # type: ignore[operator]


class Archive:
    """A backup that is being read. Its manifest is checked, its entries are when they are read."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        """Raises BackupError unless ``file`` is a backup that this fmd can read; ``path`` is for messages."""
        self._path = printable(path)
        with self._refusing():
            _check_end(file)
            self._zip = zipfile.ZipFile(file)
            infos = {info.filename: info for info in self._zip.infolist()}
            if len(infos) != len(self._zip.infolist()) or MANIFEST not in infos:
                raise _DamagedError
            # Others may need gigabytes of memory to unpack a kilobyte. Bit 0 marks an encrypted entry.
            if any(info.compress_type not in PACKED or info.flag_bits & 1 for info in infos.values()):
                raise _DamagedError
            raw = msgspec.json.decode(self._read(infos[MANIFEST], MAX_MANIFEST), type=dict[str, msgspec.Raw])
            self._check_format(raw)
            self._infos = infos
            self.manifest = msgspec.convert(
                {key: msgspec.json.decode(value) for key, value in raw.items()}, Manifest, str_keys=True
            )
            self._check_entries()

    def read(self, name: str) -> bytes:
        """Return an entry; its name must be in the manifest. Raises BackupError if it is damaged."""
        entry = self._entry(name)
        with self._refusing():
            content = self._read(self._infos[name], entry.size)
            if len(content) != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:
                raise _DamagedError
            return content

    def copy(self, name: str, target: BinaryIO) -> None:
        """Write an entry to ``target`` in pieces. Raises BackupError if it is damaged, and OSError of the target."""
        entry, size, digest = self._entry(name), 0, hashlib.sha256()
        with ExitStack() as stack:
            with self._refusing():
                source = stack.enter_context(self._zip.open(self._infos[name]))
            while True:
                with self._refusing():
                    piece = source.read(PIECE)
                    size += len(piece)
                    digest.update(piece)
                    if size > entry.size or (not piece and (size, digest.hexdigest()) != (entry.size, entry.sha256)):
                        raise _DamagedError
                if not piece:
                    return
                target.write(piece)

    def has(self, name: str) -> bool:
        """Return whether the backup holds an entry."""
        return any(entry.name == name for entry in self.manifest.entries)

    def names(self, prefix: str) -> list[str]:
        """Return the names of the entries that begin so."""
        return [entry.name for entry in self.manifest.entries if entry.name.startswith(prefix)]

    def _entry(self, name: str) -> Entry:
        return next(entry for entry in self.manifest.entries if entry.name == name)

    def _read(self, info: zipfile.ZipInfo, limit: int) -> bytes:
        with self._zip.open(info) as source:
            content = source.read(limit + 1)
        if len(content) > limit:
            raise _DamagedError
        return content

    def _check_format(self, raw: dict[str, msgspec.Raw]) -> None:
        found = msgspec.json.decode(raw.get("format", b"0"), type=int)
        if found > FORMAT:
            raise BackupError(
                f"{self._path}: a backup of a later fmd (format {found}, this one reads {FORMAT}); update fmd"
            )
        if found < 1:
            raise _DamagedError

    def _check_entries(self) -> None:
        """Raise an error unless manifest and zip agree, and every name and size is allowed."""
        names = [entry.name for entry in self.manifest.entries]
        if len(set(names)) != len(names) or {*names, MANIFEST} != self._infos.keys():
            raise _DamagedError
        for entry in self.manifest.entries:
            limit = _limit_of(entry.name)
            if limit is None or entry.size > limit:
                raise _DamagedError

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Turn whatever a strange file leads to into one line."""
        try:
            yield
        except BackupError:
            raise
        except (
            _DamagedError, zipfile.BadZipFile, zlib.error, msgspec.MsgspecError, EOFError, OSError, ValueError,
            NotImplementedError, RuntimeError, RecursionError, struct.error, LookupError,
        ) as error:  # fmt: skip
            raise BackupError(f"{self._path}: {DAMAGED}") from error


class _DamagedError(Exception):
    """The file is no whole backup."""


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open a backup. Raises BackupError if it is none, and OSError if it cannot be read."""
    # O_NONBLOCK: opening a pipe must not wait for its writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise BackupError(f"{printable(path)}: not a regular file")
        yield Archive(file, path)


def is_backup(path: Path) -> bool:
    """Return whether a file is a backup that this fmd can read. Raises OSError if it cannot be read."""
    try:
        with opened(path):
            return True
    except BackupError:
        return False


def _limit_of(name: str) -> int | None:
    return next((limit for pattern, limit in NAMES if pattern.fullmatch(name)), None)


def _check_end(file: BinaryIO) -> None:
    """Raise an error for a zip whose directory would take much memory; Python's module reads any directory whole."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - END.size - LOCATOR))
    tail = file.read()
    signature, *_, here, all_, length, _place, comment = END.unpack(tail[-END.size :])
    if signature != b"PK\x05\x06" or comment or tail[: -END.size].startswith(b"PK\x06\x07"):
        raise _DamagedError
    if here != all_ or all_ > MAX_ENTRIES + 1 or length > MAX_DIRECTORY:
        raise _DamagedError
    file.seek(0)
