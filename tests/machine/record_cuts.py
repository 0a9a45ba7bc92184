"""Power cuts while the record is written, on this machine: a real ext4, whose every write and flush QEMU logs.

    sudo python -m tests.machine.record_cuts [--cuts 100] [--batches 300]

The record writes batches of passages and events to a loop device. From the log of its writes come the disks that cuts
at random moments may leave (see powercut.py), and each is repaired by the file system's journal and checked. It needs
qemu-storage-daemon (apt install qemu-utils) and e2fsprogs; proof_machine does the same with a whole emulated board.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from edge.contracts import Change
from edge.messages import DecisionMessage
from edge.record import database
from tests.edge.record.parts import Clock, passage, violation
from tests.machine import power, powercut
from tests.machine.place import ProofError, Report, call, need, need_root

DISK_MB = 96
PASSAGES = 20
"""Passages of a batch: so many that the log of changes is copied into the database several times."""
PATIENCE_S = 20.0


@contextmanager
def logged(disk: Path, log: Path, folder: Path) -> Iterator[Path]:
    """Mount ``disk`` while every write to it also goes to ``log``; yield where it is mounted."""
    exported, mounted = folder / "exported", folder / "mounted"
    exported.touch()
    mounted.mkdir()
    log.write_bytes(b"")
    blocks = [option for option in powercut.drive(disk, log) if option.startswith("driver=")]
    command = [
        "qemu-storage-daemon",
        *(word for block in blocks for word in ("--blockdev", block)),
        *("--export", f"type=fuse,id=e,node-name=disk,mountpoint={exported},writable=on"),
    ]
    with subprocess.Popen(command) as daemon:
        try:
            _wait_for_export(daemon, exported)
            call(["mount", "-o", "loop,noatime", exported, mounted])
            try:
                yield mounted
            finally:
                call(["umount", mounted])
        finally:
            daemon.terminate()


def _wait_for_export(daemon: subprocess.Popen[bytes], exported: Path) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not exported.stat().st_size:
        if daemon.poll() is not None or time.monotonic() > until_s:
            raise ProofError("qemu-storage-daemon does not export the disk; it needs /dev/fuse")
        time.sleep(0.05)


def write_batches(folder: Path, log: Path, batches: int) -> list[power.Acknowledged]:
    """Record ``batches`` batches; return after each what counts as kept, and how long the log was then."""
    clock, found = Clock(), []
    record = clock.record(folder, mb_a_day=10000.0)
    chance = random.Random(2)
    for batch in range(batches):
        for number in range(batch * PASSAGES + 1, (batch + 1) * PASSAGES + 1):
            clock.forward(7)
            bad = chance.random() < 0.1
            record.add_passage((violation if bad else passage)(number, clock.wall_s))
            record.add("decision", DecisionMessage(Change.LEFT.value, str(number), "", "", "", bad, 9, 5.0))
        if not record.keep(at_once=True):
            raise ProofError(f"batch {batch} was not written")
        found.append(power.Acknowledged(record.kept, log.stat().st_size))
    record.close()
    return found


def check_passages(disk: Path, kept: int) -> None:
    """Raise ProofError unless the passages of all kept events are on ``disk``: they were written together."""
    with power.extracted(disk) as folder, closing(sqlite3.connect(folder / database.NAME)) as connection:
        [(found,)] = connection.execute("SELECT COUNT(*) FROM passages WHERE ended IS NOT NULL").fetchall()
    if found != kept:
        raise ProofError(f"{kept} events and {found} passages on one disk, expected as many of both")


def check(report: Report, folder: Path, cuts: int, batches: int) -> None:
    """Write a record, cut it at ``cuts`` moments, and check every disk."""
    need_root()
    need("qemu-storage-daemon", "mkfs.ext4", "e2fsck", "debugfs")
    disk, start, log = folder / "disk.img", folder / "start.img", folder / "writes"
    with disk.open("wb") as handle:
        handle.truncate(DISK_MB << 20)
    call(["mkfs.ext4", "-q", "-F", disk])
    call(["cp", "--sparse=always", disk, start])
    with report.step(f"{batches} batches of {PASSAGES} passages are written"), logged(disk, log, folder) as mounted:
        state = mounted / power.STATE.lstrip("/")
        state.mkdir(parents=True)
        acknowledged = write_batches(state, log, batches)
    with log.open("rb") as handle:
        replay, chance = powercut.Replay(start, handle), random.Random(1)
        first, end = power.first_after(acknowledged, replay.writes), len(replay.writes)
        report.say(f"{end} writes and flushes, {acknowledged[-1].event} events acknowledged")
        power.check_control(report, replay, first, acknowledged[-1].event, chance)
        with report.step(f"{cuts} cuts: nothing corrupt, nothing acknowledged lost"):
            unconfirmed = beyond = 0
            for moment in sorted(chance.sample(range(first, end), cuts)):
                unconfirmed += replay.cut(moment, chance, folder / "cut.img")
                sure = power.promised(acknowledged, replay.writes, moment)
                kept = power.check_disk(folder / "cut.img", sure)
                check_passages(folder / "cut.repaired", kept)
                beyond += kept - sure
            report.say(f"unconfirmed writes: {unconfirmed}; events kept beyond those acknowledged: {beyond}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--batches", type=int, default=300)
    arguments = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="fmd-cuts-") as name:
        check(report, Path(name), arguments.cuts, arguments.batches)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
