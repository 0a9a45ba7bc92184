"""Disks as a power cut may leave them: QEMU's log of every write and flush, replayed to a moment, the rest partly lost.

Whatever a flush had confirmed before the cut is there. Of the writes after it each is there, or lost, or there only to
its first sectors; a drive with a volatile cache promises no more.
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
"""Of the log format that QEMU's blklogwrites shares with Linux's dm-log-writes (include/linux/dm-log-writes.h)."""
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
        """Everything before it is on the disk for good."""
        return bool(self.flags & FLUSH)


def drive(disk: Path, log: Path) -> tuple[str, ...]:
    """QEMU's arguments for a virtio disk whose every write goes to ``log`` as well."""
    log.write_bytes(b"")
    return (
        *("-blockdev", f"driver=file,node-name=disk-file,filename={disk}"),
        *("-blockdev", f"driver=file,node-name=log-file,filename={log}"),
        *("-blockdev", f"driver=blklogwrites,node-name=disk,file=disk-file,log=log-file,log-sector-size={SECTOR}"),
        *("-device", "virtio-blk-pci,drive=disk"),
    )


def entries(log: BinaryIO) -> Iterator[Write]:
    """The log's entries in order; an unfinished last one is left out."""
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
    """How many of the first ``cut`` entries the last flush among them confirmed."""
    return max((index + 1 for index in range(cut) if log[index].flush), default=0)


def survivors(writes: Sequence[Write], chance: random.Random) -> Iterator[tuple[Write, int]]:
    """Those of ``writes`` that got through, each with how many of its sectors: a third whole, a third torn."""
    for write in writes:
        kept = chance.choice((write.sectors, 0, chance.randint(0, write.sectors)))
        if kept and not write.flags & DISCARD:
            yield write, kept


class Replay:
    """A disk carried forward along the log; ``disk`` starts as it was before the machine did."""

    def __init__(self, disk: Path, log: BinaryIO) -> None:
        self.disk, self._log = disk, log
        self.writes = list(entries(log))
        self._done = 0

    def cut(self, at: int, chance: random.Random, out: Path) -> int:
        """Make ``out`` the disk after a cut at entry ``at``, never before an earlier one; how many were unconfirmed."""
        until = confirmed(self.writes, at)
        self._advance(until)
        call(["cp", "--sparse=always", "--reflink=auto", self.disk, out])
        unconfirmed = [write for write in self.writes[until:at] if write.sectors]
        with out.open("r+b") as disk:
            for write, sectors in survivors(unconfirmed, chance):
                self._put(disk, write, sectors)
        return len(unconfirmed)

    def lying(self, since: int, chance: random.Random, out: Path) -> None:
        """Make ``out`` the disk after a cut at the log's end, had every flush after entry ``since`` been ignored."""
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
