"""Power cuts while fmd records decisions: acknowledged events are on the disk, and the board boots again.

One run of the board is recorded with every sector and flush. From that record the proof makes disks as a cut at a
random moment may leave them (see powercut.py). The file system's own journal repairs each disk, and the proof then
checks it. It boots the worst one.
"""

from __future__ import annotations

import json
import random
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.record import database, events
from tests.machine import emulator, powercut
from tests.machine.emulator import Machine
from tests.machine.place import ProofError, Report, call, need

UNIT = """[Service]
# Logs "events kept up to N" when a batch is safe on the card, and logs it to the console, where the proof reads it.
ExecStart=
ExecStart=/opt/fmd/bin/fmd run --verbose --config /etc/fmd/fmd.toml
StandardError=journal+console
"""
EVENTS = """
[track]
lost_s = 0.6

[record]
every_s = 0.5
mb_a_day = 10000.0
"""
"""Settings for many small batches: the more often fmd writes, the more writes a cut can tear."""
ACKNOWLEDGED = re.compile(r"events kept up to (\d+)")
STATE = "/var/lib/fmd"
BATCHES = 12
CUTS = 40
RECORD_S, POLL_S = 1500, 0.3


@dataclass(frozen=True)
class Acknowledged:
    """A confirmation: ``event`` and all before it were kept when the record had at most ``written`` bytes."""

    event: int
    written: int


def prepare(tree: Path) -> None:
    """Configure the board in ``tree`` to write often and to log every batch on its console."""
    folder = tree / "etc/systemd/system/fmd.service.d"
    folder.mkdir(exist_ok=True)
    (folder / "proof.conf").write_text(UNIT)
    with (tree / "etc/fmd/fmd.toml").open("a") as settings:
        settings.write(EVENTS)


def check(report: Report, board: Machine) -> None:
    """Record one run of ``board``, cut it at random moments, check the disks, and boot the worst."""
    need("e2fsck", "debugfs")
    log, start = board.folder / "writes", board.disk.with_suffix(".start")
    board.folder.mkdir(parents=True, exist_ok=True)
    call(["cp", "--sparse=always", board.disk, start])
    board.drive = powercut.drive(board.disk, log)
    with report.step(f"the board writes {BATCHES} batches of events, then power is cut"):
        acknowledged = _record(board, log)
    report.say(f"acknowledged: {acknowledged[-1].event} events in {len(acknowledged)} batches")
    worst, kept = _cut_often(report, start, log, acknowledged)
    with report.step("a board booted from the worst of these disks boots and continues counting"):
        _boot_again(board, worst, kept)


def _cut_often(report: Report, start: Path, log: Path, acknowledged: list[Acknowledged]) -> tuple[Path, int]:
    """Check the disks of many cuts; return the one with the most unconfirmed writes, and its number of events."""
    chance, disk, worst = random.Random(1), log.with_name("cut.img"), log.with_name("worst.img")
    most, kept_on_worst = -1, 0
    with log.open("rb") as handle:
        replay = powercut.Replay(start, handle)
        end = len(replay.writes)
        first = first_after(acknowledged, replay.writes)
        check_control(report, replay, first, acknowledged[-1].event, chance)
        for moment in [*sorted(chance.sample(range(first, end), min(CUTS - 1, end - first))), end]:
            with report.step(f"cut at write {moment} of {end}: nothing corrupt, nothing acknowledged lost"):
                unconfirmed = replay.cut(moment, chance, disk)
                sure = promised(acknowledged, replay.writes, moment)
                kept = check_disk(disk, sure)
                report.say(f"{unconfirmed} writes unconfirmed; acknowledged {sure} events, kept {kept}")
                if unconfirmed > most:
                    most, kept_on_worst = unconfirmed, kept
                    disk.replace(worst)
    return worst, kept_on_worst


def first_after(acknowledged: list[Acknowledged], writes: list[powercut.Write]) -> int:
    """Return the first moment of a cut at which something has been acknowledged."""
    return next(i for i, each in enumerate(writes, 1) if each.offset >= acknowledged[0].written)


def promised(acknowledged: list[Acknowledged], writes: list[powercut.Write], cut: int) -> int:
    """Return the newest event that was certainly acknowledged before the cut."""
    end = writes[cut - 1].offset + powercut.SECTOR * writes[cut - 1].sectors
    return max((each.event for each in acknowledged if each.written <= end), default=0)


def _record(board: Machine, log: Path) -> list[Acknowledged]:
    found: list[Acknowledged] = []
    until_s = time.monotonic() + RECORD_S
    with board:
        while len(found) < BATCHES:
            if time.monotonic() > until_s:
                raise ProofError(f"{len(found)} batches in {RECORD_S} s; console:\n{board.console()[-1500:]}")
            time.sleep(POLL_S)
            kept = [int(number) for number in ACKNOWLEDGED.findall(board.console())]
            # The size is read after the console, so that every event on the console lies before it.
            if kept and (not found or kept[-1] > found[-1].event):
                found.append(Acknowledged(kept[-1], log.stat().st_size))
    return found


def check_disk(disk: Path, promised_event: int) -> int:
    """Return the newest event on a disk after a cut.

    Raises ProofError if data is corrupt or an acknowledged event is lost.

    ``disk`` itself stays unchanged.
    """
    copy = disk.with_suffix(".repaired")
    call(["cp", "--sparse=always", disk, copy])
    call(["sh", "-c", f"e2fsck -p {copy} || [ $? -eq 1 ]"], words="e2fsck (replaying the journal)")
    call(["e2fsck", "-fn", copy], words="e2fsck (checking for damage)")
    numbers = events_on(copy)
    kept = numbers[-1] if numbers else 0
    if kept < promised_event:
        raise ProofError(f"acknowledged up to event {promised_event}, the disk holds them up to {kept}")
    return kept


def events_on(disk: Path) -> list[int]:
    """Return the numbers of the events in the record on ``disk``, an ext4 image."""
    with extracted(disk) as folder:
        return whole_events(folder)


@contextmanager
def extracted(disk: Path) -> Iterator[Path]:
    """Yield a folder with the record of ``disk``, an ext4 image."""
    with tempfile.TemporaryDirectory() as name:
        for file in (database.NAME, f"{database.NAME}-wal"):
            call(["debugfs", "-R", f"dump {STATE}/{file} {name}/{file}", disk])
        yield Path(name)


def whole_events(folder: Path) -> list[int]:
    """Return the numbers of the events in the record in ``folder``.

    Raises ProofError if the database is damaged or a number is missing.
    """
    if not (folder / database.NAME).exists() or not (folder / database.NAME).stat().st_size:
        return []
    connection, problem = database.open_for_writing(folder)
    connection.close()
    if problem:
        raise ProofError(f"the record is damaged: {problem}")
    numbers = [event["n"] for event in events.read(folder)]
    if numbers != list(range(1, len(numbers) + 1)):
        raise ProofError(f"events are missing: {numbers}")
    return numbers


def check_control(report: Report, replay: powercut.Replay, moment: int, newest: int, chance: random.Random) -> None:
    """Check that a disk that ignores flushes fails; otherwise the other checks would prove nothing."""
    with report.step("control: on a disk that ignores flushes, the loss is found"):
        disk = replay.disk.with_name("control.img")
        replay.lying(moment, chance, disk)
        try:
            check_disk(disk, newest)
        except ProofError as error:
            report.say(f"found: {str(error).splitlines()[-1][:100]}")
        else:
            raise ProofError("no event was missing on a disk that lost half of its confirmed writes")


def _boot_again(board: Machine, disk: Path, kept: int) -> None:
    again = Machine(board.kernel, disk, board.folder / "again", board.kind)
    with emulator.powered(again):
        again.shell.out("until systemctl is-active --quiet fmd; do sleep 1; done", 900)
        again.wait_for(rf"events kept up to (?!{kept}\b)\d+", 900)
        lines = again.shell.out(f"/opt/fmd/bin/fmd events --json --state {STATE}").splitlines()
        numbers = [json.loads(line)["n"] for line in lines]
        if len(numbers) <= kept:
            raise ProofError(f"it had {kept} events and has {len(numbers)} now")
