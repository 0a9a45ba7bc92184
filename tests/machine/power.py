"""Power cuts while fmd writes down what it decided: what it had acknowledged is there, and the board comes back.

One run of the board is recorded to the last sector and flush. From the record come disks as cuts at random moments may
leave them (see powercut.py); each is repaired by nothing but the file system's own journal and then looked through, and
the worst is booted.
"""

from __future__ import annotations

import json
import random
import re
import time
from dataclasses import dataclass
from pathlib import Path

from tests.machine import emulator, powercut
from tests.machine.emulator import Machine
from tests.machine.place import ProofError, Report, call, need

UNIT = """[Service]
# Says "events kept up to N" when a batch is on the card for good, and says it where the proof can see it.
ExecStart=
ExecStart=/opt/fmd/bin/fmd run --verbose --config /etc/fmd/fmd.toml
StandardError=journal+console
"""
EVENTS = """
[track]
lost_s = 0.6

[events]
every_s = 0.5
mb_a_day = 10000.0
"""
"""Many small batches: the more often it writes, the more there is to tear."""
ACKNOWLEDGED = re.compile(r"events kept up to (\d+)")
STATE = "/var/lib/fmd"
BATCHES = 12
CUTS = 40
RECORD_S, POLL_S = 1500, 0.3


@dataclass(frozen=True)
class Acknowledged:
    """``event`` and all before it were kept at the latest when the record had ``written`` bytes."""

    event: int
    written: int


def prepare(tree: Path) -> None:
    """Have the board in ``tree`` write often and say so on its console."""
    folder = tree / "etc/systemd/system/fmd.service.d"
    folder.mkdir(exist_ok=True)
    (folder / "proof.conf").write_text(UNIT)
    with (tree / "etc/fmd/fmd.toml").open("a") as settings:
        settings.write(EVENTS)


def check(report: Report, board: Machine) -> None:
    """Record one run of ``board``, cut it at random, look at what is left, and boot some of it."""
    need("e2fsck", "debugfs")
    log, start = board.folder / "writes", board.disk.with_suffix(".start")
    board.folder.mkdir(parents=True, exist_ok=True)
    call(["cp", "--sparse=always", board.disk, start])
    board.drive = powercut.drive(board.disk, log)
    with report.step(f"the board writes {BATCHES} batches of events, then power is cut"):
        acknowledged = _record(board, log)
    report.say(f"acknowledged: {acknowledged[-1].event} events in {len(acknowledged)} batches")
    worst, kept = _cut_often(report, start, log, acknowledged)
    with report.step("a board booted from the worst of these disks comes back and goes on counting"):
        _boot_again(board, worst, kept)


def _cut_often(report: Report, start: Path, log: Path, acknowledged: list[Acknowledged]) -> tuple[Path, int]:
    """Look through the disks of many cuts; the one with the most unconfirmed writes, and the events on it."""
    chance, disk, worst = random.Random(1), log.with_name("cut.img"), log.with_name("worst.img")
    most, kept_on_worst = -1, 0
    with log.open("rb") as handle:
        replay = powercut.Replay(start, handle)
        end = len(replay.writes)
        first = next(i for i, each in enumerate(replay.writes, 1) if each.offset >= acknowledged[0].written)
        _check_control(report, replay, first, acknowledged[-1].event, chance)
        for moment in [*sorted(chance.sample(range(first, end), min(CUTS - 1, end - first))), end]:
            with report.step(f"cut at write {moment} of {end}: nothing corrupt, nothing acknowledged lost"):
                unconfirmed = replay.cut(moment, chance, disk)
                sure = promised(acknowledged, replay.writes, moment)
                kept = _look_through(disk, sure)
                report.say(f"{unconfirmed} writes unconfirmed; acknowledged {sure} events, kept {kept}")
                if unconfirmed > most:
                    most, kept_on_worst = unconfirmed, kept
                    disk.replace(worst)
    return worst, kept_on_worst


def promised(acknowledged: list[Acknowledged], writes: list[powercut.Write], cut: int) -> int:
    """The newest event that was surely acknowledged before the cut."""
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
            events = [int(number) for number in ACKNOWLEDGED.findall(board.console())]
            # The size is read after the console: whatever that tells of lies before it.
            if events and (not found or events[-1] > found[-1].event):
                found.append(Acknowledged(events[-1], log.stat().st_size))
    return found


def _look_through(disk: Path, promised_event: int) -> int:
    """The newest event on a disk after a cut; raises where anything is corrupt or an acknowledged one is gone.

    ``disk`` is left as it was found.
    """
    copy = disk.with_suffix(".repaired")
    call(["cp", "--sparse=always", disk, copy])
    call(["sh", "-c", f"e2fsck -p {copy} || [ $? -eq 1 ]"], words="e2fsck (replaying the journal)")
    call(["e2fsck", "-fn", copy], words="e2fsck (looking for damage)")
    events = whole_events(call(["debugfs", "-R", f"cat {STATE}/events.jsonl", copy]))
    kept = events[-1] if events else 0
    if kept < promised_event:
        raise ProofError(f"acknowledged up to event {promised_event}, the disk holds them up to {kept}")
    return kept


def whole_events(text: str) -> list[int]:
    """The numbers of the events in a log; only its last line may be torn, and no number may be missing."""
    lines = text.splitlines(keepends=True)
    numbers = []
    for index, line in enumerate(lines):
        try:
            numbers.append(int(json.loads(line)["n"]))
        except (ValueError, KeyError, TypeError) as error:
            if index < len(lines) - 1:
                raise ProofError(f"line {index + 1} of {len(lines)} of the events is torn: {line[:80]!r}") from error
    if numbers != list(range(1, len(numbers) + 1)):
        raise ProofError(f"events are missing: {numbers}")
    return numbers


def _check_control(report: Report, replay: powercut.Replay, moment: int, newest: int, chance: random.Random) -> None:
    """A disk that lies about its flushes must be found out, or these checks would prove nothing."""
    with report.step("control: on a disk that ignores flushes, the loss is found"):
        disk = replay.disk.with_name("control.img")
        replay.lying(moment, chance, disk)
        try:
            _look_through(disk, newest)
        except ProofError as error:
            report.say(f"found: {str(error).splitlines()[-1][:100]}")
        else:
            raise ProofError("nothing was missing on a disk that lost half of what it had confirmed")


def _boot_again(board: Machine, disk: Path, kept: int) -> None:
    again = Machine(board.kernel, disk, board.folder / "again", board.kind)
    with emulator.powered(again):
        again.shell.out("until systemctl is-active --quiet fmd; do sleep 1; done", 900)
        again.wait_for(rf"events kept up to (?!{kept}\b)\d+", 900)
        numbers = whole_events(again.shell.out(f"cat {STATE}/events.jsonl"))
        if len(numbers) <= kept:
            raise ProofError(f"it had {kept} events and has {len(numbers)} now")
