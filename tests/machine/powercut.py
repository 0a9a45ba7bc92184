"""Disks as a power cut may leave them: QEMU's log of writes and flushes, replayed to a moment, later writes partly
lost.

All writes that a flush confirmed before the cut are on the disk. Each later write is there, or lost, or torn after its
first sectors: a drive with a volatile cache promises no more.
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tests.machine.place import call

MAGIC = 0x6A736677736872
"""Magic number of the log format that QEMU's blklogwrites shares with Linux's dm-log-writes
(include/linux/dm-log-writes.h)."""
FLUSH, DISCARD = 1, 4
SECTOR = 512
SUPER = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")


@dataclass(frozen=True)
class Write:
    """One entry of the log: ``sectors`` from ``sector`` on, their bytes at ``offset`` of the log file."""

    sector: int
    sectors: int
    flags: int
    offset: int

    @property
    def flush(self) -> bool:
        """Whether this entry is a flush: all writes before it are safe on the disk."""
        return bool(self.flags & FLUSH)


def drive(disk: Path, log: Path) -> tuple[str, ...]:
    """Return QEMU's arguments for a virtio disk whose writes all go to ``log`` as well."""
    log.write_bytes(b"")
    return (
        *("-blockdev", f"driver=file,node-name=disk-file,filename={disk}"),
        *("-blockdev", f"driver=file,node-name=log-file,filename={log}"),
        *("-blockdev", f"driver=blklogwrites,node-name=disk,file=disk-file,log=log-file,log-sector-size={SECTOR}"),
        *("-device", "virtio-blk-pci,drive=disk"),
    )


def entries(log: BinaryIO) -> Iterator[Write]:
    """Yield the log's entries in order, without an unfinished last one. Raises ValueError if it is no such log."""
    log.seek(0)
    magic, _, _, sector_size = SUPER.unpack(log.read(SUPER.size))
    if magic != MAGIC or sector_size != SECTOR:
        raise ValueError(f"not a log of {SECTOR}-byte writes: magic {magic:#x}, sectors of {sector_size}")
    end, at = os.fstat(log.fileno()).st_size, SECTOR
    while at + SECTOR <= end:
        log.seek(at)
        sector, sectors, flags, _ = ENTRY.unpack(log.read(ENTRY.size))
        carried = 0 if flags & DISCARD else sectors * SECTOR
        if at + SECTOR + carried > end:
            return
        yield Write(sector, sectors, flags, at + SECTOR)
        at += SECTOR + carried


def confirmed(log: Sequence[Write], cut: int) -> int:
    """Return how many of the first ``cut`` entries are confirmed by the last flush among them."""
    return max((index + 1 for index in range(cut) if log[index].flush), default=0)


def survivors(writes: Sequence[Write], chance: random.Random) -> Iterator[tuple[Write, int]]:
    """Yield the surviving ``writes`` with their number of sectors: a third is whole, a third torn, a third lost."""
    for write in writes:
        kept = chance.choice((write.sectors, 0, chance.randint(0, write.sectors)))
        if kept and not write.flags & DISCARD:
            yield write, kept


class Replay:
    """Replays a log onto ``disk``, which starts as it was before the machine did."""

    def __init__(self, disk: Path, log: BinaryIO) -> None:
        self.disk, self._log = disk, log
        self.writes = list(entries(log))
        self._done = 0

    def cut(self, at: int, chance: random.Random, out: Path) -> int:
        """Write the disk after a cut at entry ``at`` to ``out`` and return the number of unconfirmed writes.

        Cuts go forward: raises ValueError if ``at`` is before an earlier one.
        """
        until = confirmed(self.writes, at)
        self._advance(until)
        call(["cp", "--sparse=always", "--reflink=auto", self.disk, out])
        unconfirmed = [write for write in self.writes[until:at] if write.sectors]
        with out.open("r+b") as disk:
            for write, sectors in survivors(unconfirmed, chance):
                self._put(disk, write, sectors)
        return len(unconfirmed)

    def lying(self, since: int, chance: random.Random, out: Path) -> None:
        """Write the disk after a cut at the log's end to ``out``, without the flushes after entry ``since``."""
        self._advance(confirmed(self.writes, since))
        call(["cp", "--sparse=always", "--reflink=auto", self.disk, out])
        with out.open("r+b") as disk:
            for write, sectors in survivors(self.writes[self._done :], chance):
                self._put(disk, write, sectors)

    def _advance(self, until: int) -> None:
        if until < self._done:
            raise ValueError(f"cuts go forward: {until} after {self._done}")
        with self.disk.open("r+b") as disk:
            for write in self.writes[self._done : until]:
                if not write.flags & DISCARD:
                    self._put(disk, write, write.sectors)
        self._done = until

    def _put(self, disk: BinaryIO, write: Write, sectors: int) -> None:
        self._log.seek(write.offset)
        disk.seek(write.sector * SECTOR)
        disk.write(self._log.read(sectors * SECTOR))
