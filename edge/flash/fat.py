"""Files of a FAT16 or FAT32 partition inside an image file, read and written without a driver, root or a program.

After Microsoft's "FAT File System Specification" (2005): boot sector in 3.1, directory entries in 6, long names in 7. A
partition with other structures than that is refused. Names match without regard to case.

What replaces a file is complete before the file's entry, 32 bytes of one sector, changes: an interrupted write leaves
the old file, and at most clusters that nothing uses.
"""

from __future__ import annotations

import io
import re
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from edge.errors import CardError

ENTRY = 32
"""Bytes of a directory entry."""
FREE, END_OF_FOLDER = 0xE5, 0x00
"""First byte of an entry that was deleted, and of the first one that was never used."""
VOLUME_LABEL, DIRECTORY, ARCHIVE, LONG_NAME = 0x08, 0x10, 0x20, 0x0F
"""Attributes of an entry."""
LAST_PART = 0x40
"""Flag in the number of a long name's last part, which comes first."""
PART_LENGTH = 13
"""UTF-16 units of a long name in one entry."""
MAX_FAT_BYTES = 64 << 20
"""Largest table that is read: 2 TB with clusters of 128 kB need less. A crafted boot sector may state more."""
MAX_ENTRIES = 65536
"""Most entries of a folder, the specification's limit."""
NEW_YEAR_1980 = 0x0021
"""Date of the files written here: the earliest one, as their time has no meaning and equal input gives equal images."""
SHORT_NAME = r"[A-Z0-9_~$%'@!(){}^#&-]{1,8}(\.[A-Z0-9_~$%'@!(){}^#&-]{1,3})?"
"""Names that need no long name."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Layout of the partition; offsets and sizes in bytes from its start."""

    cluster: int
    fat_start: int
    fat_size: int
    fats: int
    root_start: int
    root_size: int
    """Both 0 in FAT32, where the root folder is a chain of clusters as any other."""
    root_cluster: int
    data_start: int
    clusters: int
    """Number of clusters; the first has the number 2."""
    info: int
    """Sector of FAT32 that repeats how many clusters are free; 0 if there is none."""

    @property
    def wide(self) -> bool:
        """Return whether the table has 32 bits per cluster."""
        return self.root_size == 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder. ``slots`` are the offsets of its directory entries, the short one last."""

    name: str
    attributes: int
    cluster: int
    size: int
    slots: tuple[int, ...]


def geometry(boot: bytes) -> Geometry:
    """Return the layout that a boot sector states. Raises CardError unless it is FAT16 or FAT32 with sane values."""

    def number(at: int, size: int) -> int:
        return int.from_bytes(boot[at : at + size], "little")

    sector, per_cluster, reserved, fats = number(11, 2), boot[13], number(14, 2), boot[16]
    if sector not in (512, 1024, 2048, 4096) or per_cluster.bit_count() != 1 or not reserved or fats not in (1, 2):
        raise CardError("its boot sector does not describe a FAT partition; write the image again")
    root_size = -(-number(17, 2) * ENTRY // sector) * sector
    fat_size = (number(22, 2) or number(36, 4)) * sector
    total = (number(19, 2) or number(32, 4)) * sector
    root_start = reserved * sector + fats * fat_size
    data_start, cluster = root_start + root_size, per_cluster * sector
    clusters = (total - data_start) // cluster
    wide = root_size == 0
    if clusters < 4085 or (not wide and clusters >= 65525):
        raise CardError(f"{clusters} clusters, expected FAT16 or FAT32; write the image of Raspberry Pi OS again")
    if not (clusters + 2) * (4 if wide else 2) <= fat_size <= MAX_FAT_BYTES:
        raise CardError("its boot sector does not describe a FAT partition; write the image again")
    info = number(48, 2) * sector if wide and number(48, 2) not in (0, 0xFFFF) else 0
    return Geometry(
        *(cluster, reserved * sector, fat_size, fats),
        *(0 if wide else root_start, root_size, number(44, 4) if wide else 0),
        *(data_start, clusters, info),
    )


class Fat:
    """A partition that begins at ``offset`` of an open file.

    Paths have forward slashes and are relative to the root; ``""`` is the root.
    """

    def __init__(self, handle: BinaryIO, offset: int = 0) -> None:
        self._handle, self._offset = handle, offset
        self._layout = geometry(self._bytes(0, 512))
        self._table = self._read_table()

    def label(self) -> str:
        """Return the name of the partition, empty if it has none."""
        for slot in self._slots(self._layout.root_cluster):
            raw = self._bytes(slot, ENTRY)
            if raw[0] == END_OF_FOLDER:
                break
            if raw[0] != FREE and raw[11] & (VOLUME_LABEL | DIRECTORY) == VOLUME_LABEL and raw[11] != LONG_NAME:
                return raw[:11].decode("ascii", "replace").strip()
        return ""

    def size(self) -> int:
        """Return the bytes that files can have in all."""
        return self._layout.clusters * self._layout.cluster

    def free(self) -> int:
        """Return the bytes of clusters that are free."""
        return self._table.count(0) * self._layout.cluster

    def names(self, folder: str = "") -> list[str]:
        """Return the names in a folder. Raises CardError if there is no such folder."""
        return [entry.name for entry in self._entries(self._folder(folder))]

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, or None if there is none."""
        entry = self._find(path)
        if entry is None or entry.attributes & DIRECTORY:
            return None
        size, data = self._layout.cluster, io.BytesIO()
        for cluster in self._chain(entry.cluster):
            data.write(self._bytes(self._place(cluster), size))
        if data.tell() < entry.size:
            raise CardError(f"{path}: cut short on this partition; write the image again")
        return data.getvalue()[: entry.size]

    def write(self, path: str, data: bytes) -> None:
        """Write a file, and the folders that lead to it. Raises CardError if there is no room or a folder is there."""
        above, _, name = path.rpartition("/")
        folder = self._folder(above, make=True)
        before = self._found(folder, name)
        if before is not None and before.attributes & DIRECTORY:
            raise CardError(f"{path}: a folder, expected a file; write the image again")
        first = self._store(data)
        if before is None:
            self._add(folder, name, ARCHIVE, first, len(data))
            return
        raw = self._bytes(before.slots[-1], ENTRY)
        self._put(
            before.slots[-1], raw[:20] + _high(first) + raw[22:26] + _low(first) + len(data).to_bytes(4, "little")
        )
        self._release(before.cluster)

    # The table

    def _read_table(self) -> array[int]:
        layout = self._layout
        table = array("I" if layout.wide else "H")
        table.frombytes(self._bytes(layout.fat_start, (layout.clusters + 2) * table.itemsize))
        if sys.byteorder == "big":
            table.byteswap()
        if layout.wide:
            # The upper four bits are reserved: kept when written, ignored when read.
            table = array("I", (value & 0x0FFFFFFF for value in table))
        return table

    def _link(self, cluster: int, value: int) -> None:
        """Set what follows a cluster in every copy of the table."""
        layout, size = self._layout, self._table.itemsize
        kept = int.from_bytes(self._bytes(layout.fat_start + cluster * size, size), "little") & 0xF0000000
        self._table[cluster] = value
        for copy in range(layout.fats):
            place = layout.fat_start + copy * layout.fat_size + cluster * size
            self._put(place, (kept | value).to_bytes(size, "little"))

    def _chain(self, first: int) -> Iterator[int]:
        """Yield the clusters of a file. Raises CardError for a chain that leaves the partition or never ends."""
        for _ in range(self._layout.clusters):
            if not 2 <= first < len(self._table):
                break
            yield first
            first = self._table[first]
        else:
            raise CardError("a chain of clusters without an end; write the image again")

    def _store(self, data: bytes) -> int:
        """Write ``data`` to free clusters and return the first; 0 for none."""
        size = self._layout.cluster
        needed = -(-len(data) // size)
        free = list(islice((number for number, value in enumerate(self._table) if not value and number > 1), needed))
        if len(free) < needed:
            raise CardError(f"{self.free() / 1e6:.1f} MB free, {len(data) / 1e6:.1f} MB needed")
        for index, cluster in enumerate(free):
            self._put(self._place(cluster), data[index * size : (index + 1) * size].ljust(size, b"\x00"))
        end = 0x0FFFFFFF if self._layout.wide else 0xFFFF
        for cluster, following in zip(free, [*free[1:], end], strict=False):  # no cluster for an empty file
            self._link(cluster, following)
        self._note_free()
        return free[0] if free else 0

    def _release(self, first: int) -> None:
        for cluster in list(self._chain(first)):
            self._link(cluster, 0)
        self._note_free()

    def _note_free(self) -> None:
        """Repeat the number of free clusters where FAT32 has it; the next free one becomes unknown (0xFFFFFFFF)."""
        if self._layout.info and self._bytes(self._layout.info, 4) == b"RRaA":
            self._put(self._layout.info + 488, self._table.count(0).to_bytes(4, "little") + b"\xff" * 4)

    # Folders

    def _folder(self, path: str, make: bool = False) -> int:
        """Return the first cluster of a folder, 0 for the root of FAT16. Raises CardError unless it is one."""
        cluster = self._layout.root_cluster
        for name in filter(None, path.split("/")):
            found = self._found(cluster, name)
            if found is None and make:
                cluster = self._make_folder(cluster, name)
            elif found is None or not found.attributes & DIRECTORY:
                raise CardError(f"{path}: {'no such folder' if found is None else 'a file, expected a folder'}")
            else:
                # The root of FAT32 is 0 in the entries of what is in it.
                cluster = found.cluster or self._layout.root_cluster
        return cluster

    def _make_folder(self, above: int, name: str) -> int:
        first = self._store(bytes(self._layout.cluster))
        root = above == self._layout.root_cluster
        both = _short_entry(b".          ", DIRECTORY, first, 0)
        both += _short_entry(b"..         ", DIRECTORY, 0 if root else above, 0)
        self._put(self._place(first), both)
        self._add(above, name, DIRECTORY, first, 0)
        return first

    def _find(self, path: str) -> Entry | None:
        cluster, entry = self._layout.root_cluster, None
        for index, name in enumerate(path.split("/")):
            if index:
                if entry is None or not entry.attributes & DIRECTORY:
                    return None
                cluster = entry.cluster or self._layout.root_cluster
            entry = self._found(cluster, name)
        return entry

    def _found(self, folder: int, name: str) -> Entry | None:
        return next((entry for entry in self._entries(folder) if entry.name.lower() == name.lower()), None)

    def _slots(self, folder: int) -> Iterator[int]:
        """Yield the offsets of a folder's directory entries, used or not."""
        layout = self._layout
        if not folder:
            yield from range(layout.root_start, layout.root_start + layout.root_size, ENTRY)
            return
        for number, cluster in enumerate(self._chain(folder)):
            if number * layout.cluster >= MAX_ENTRIES * ENTRY:
                raise CardError("a folder with too many entries; write the image again")
            start = self._place(cluster)
            yield from range(start, start + layout.cluster, ENTRY)

    def _entries(self, folder: int) -> Iterator[Entry]:
        """Yield the files and folders in a folder, without ``.``, ``..`` and the volume's label."""
        parts: list[tuple[int, bytes]] = []
        for slot in self._slots(folder):
            raw = self._bytes(slot, ENTRY)
            if raw[0] == END_OF_FOLDER:
                return
            if raw[0] == FREE:
                parts = []
            elif raw[11] == LONG_NAME:
                parts = [*([] if raw[0] & LAST_PART else parts), (slot, raw)]
            else:
                if not raw[11] & VOLUME_LABEL and raw[0] != ord("."):
                    yield _entry(slot, raw, parts)
                parts = []

    def _add(self, folder: int, name: str, attributes: int, cluster: int, size: int) -> None:
        """Add an entry to a folder, with a long name unless the short one is the name."""
        short = _short_name(name, {self._bytes(entry.slots[-1], 11) for entry in self._entries(folder)})
        raws = [] if _shown(short) == name else _long_entries(name, short)
        raws.append(_short_entry(short, attributes, cluster, size))
        # The short entry last: only then the name leads to the file.
        for slot, raw in zip(self._free_slots(folder, len(raws)), raws, strict=True):
            self._put(slot, raw)

    def _free_slots(self, folder: int, count: int) -> Sequence[int]:
        """Return ``count`` free slots in a row, in a larger folder if need be."""
        row: list[int] = []
        ended = False
        for slot in self._slots(folder):
            first = self._bytes(slot, 1)[0]
            if len(row) == count:
                # What follows the end was never written, or is not to be read.
                if ended and first != END_OF_FOLDER:
                    self._put(slot, bytes([END_OF_FOLDER]))
                return row
            ended |= first == END_OF_FOLDER
            row = [*row, slot] if ended or first == FREE else []
        if len(row) == count:
            return row
        if not folder:
            raise CardError("no room for another name in its root folder; remove files from it")
        last = [*self._chain(folder)][-1:]
        if not last:
            raise CardError("a folder without content; write the image again")
        self._link(last[0], self._store(bytes(self._layout.cluster)))
        return self._free_slots(folder, count)

    # Bytes

    def _place(self, cluster: int) -> int:
        return self._layout.data_start + (cluster - 2) * self._layout.cluster

    def _bytes(self, place: int, size: int) -> bytes:
        self._handle.seek(self._offset + place)
        data = self._handle.read(size)
        if len(data) < size:
            raise CardError("the image file is cut short; download it again")
        return data

    def _put(self, place: int, data: bytes) -> None:
        self._handle.seek(self._offset + place)
        self._handle.write(data)


def _low(cluster: int) -> bytes:
    return (cluster & 0xFFFF).to_bytes(2, "little")


def _high(cluster: int) -> bytes:
    return (cluster >> 16).to_bytes(2, "little")


def _short_entry(short: bytes, attributes: int, cluster: int, size: int) -> bytes:
    date = NEW_YEAR_1980.to_bytes(2, "little")
    # Byte 13 on: time of creation (3 bytes), its date, date of access; then time and date of the last change.
    head = short + bytes([attributes, 0]) + bytes(3) + date + date + _high(cluster) + bytes(2) + date
    return head + _low(cluster) + size.to_bytes(4, "little")


def _entry(slot: int, raw: bytes, parts: Sequence[tuple[int, bytes]]) -> Entry:
    """Return a short entry with the long name before it, if the checksum says that it belongs to this entry."""
    mine = parts if all(part[13] == _checksum(raw[:11]) for _, part in parts) else ()
    name = _shown(raw[:11], raw[12])
    if mine:
        units = b"".join(part[1:11] + part[14:26] + part[28:32] for _, part in reversed(mine))
        name = units.decode("utf-16-le", "replace").partition("\x00")[0]
    cluster = int.from_bytes(raw[26:28], "little") | int.from_bytes(raw[20:22], "little") << 16
    return Entry(name, raw[11], cluster, int.from_bytes(raw[28:32], "little"), (*(at for at, _ in mine), slot))


def _shown(short: bytes, case: int = 0) -> str:
    """Return a short name as text; bits 3 and 4 of ``case`` say that its parts are in lower case."""
    base, suffix = short[:8].decode("latin-1").rstrip(), short[8:].decode("latin-1").rstrip()
    base, suffix = base.lower() if case & 0x08 else base, suffix.lower() if case & 0x10 else suffix
    return f"{base}.{suffix}" if suffix else base


def _short_name(name: str, taken: set[bytes]) -> bytes:
    """Return the 11 bytes of a short name for ``name`` that no other file of its folder has."""
    base, _, suffix = name.rpartition(".") if "." in name.strip(".") else (name, "", "")
    if re.fullmatch(SHORT_NAME, name) and (plain := _packed(base, suffix)) not in taken:
        return plain
    base, suffix = (re.sub(r"[^A-Z0-9_-]", "_", part.upper()) for part in (base, suffix))
    for number in range(1, MAX_ENTRIES):
        tail = f"~{number}"
        if (short := _packed(base[: 8 - len(tail)] + tail, suffix[:3])) not in taken:
            return short
    raise CardError("no room for another name in a folder; remove files from it")


def _packed(base: str, suffix: str) -> bytes:
    return base.ljust(8).encode("ascii") + suffix.ljust(3).encode("ascii")


def _checksum(short: bytes) -> int:
    total = 0
    for byte in short:
        total = ((total >> 1) | (total & 1) << 7) + byte & 0xFF
    return total


def _long_entries(name: str, short: bytes) -> list[bytes]:
    """Return the entries of a long name, the last part first, as a folder holds them."""
    units = name.encode("utf-16-le")
    if len(units) % (2 * PART_LENGTH):
        units += b"\x00\x00"
    units += b"\xff" * (-len(units) % (2 * PART_LENGTH))
    parts = [units[at : at + 2 * PART_LENGTH] for at in range(0, len(units), 2 * PART_LENGTH)]
    entries = []
    for number, part in enumerate(parts, 1):
        order = number | (LAST_PART if number == len(parts) else 0)
        head = bytes([order]) + part[:10] + bytes([LONG_NAME, 0, _checksum(short)])
        entries.append(head + part[10:22] + bytes(2) + part[22:])
    return entries[::-1]
