"""What a day of the record really writes to a card: ext4 on a loop device, whose kernel counts every sector.

    sudo python -m tests.machine.write_cost [--passages 5000] [--violated 0.1]

The budget counts an estimate for each batch (edge/record/budget.py); this compares it with the sectors.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.contracts import Change
from edge.messages import DecisionMessage
from edge.record.budget import DAY_S, MB, batch_cost
from edge.record.evidence import Weighed, packed
from edge.record.rows import SpanState
from tests.edge.record.parts import Clock, passage, violation

OPEN_S = 12 * 3600
"""Part of the day in which people pass."""


@contextmanager
def card(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Mount an empty ext4 as Raspberry Pi OS does; yield its folder and its device's counters."""
    image, mounted = folder / "card.img", folder / "card"
    mounted.mkdir()
    with image.open("wb") as handle:
        handle.truncate(512 * MB)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    subprocess.run(["mount", "-o", "loop,noatime", image, mounted], check=True)
    try:
        device = mounted.stat().st_dev
        yield mounted, Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
    finally:
        subprocess.run(["umount", mounted], check=True)


def written(counters: Path) -> int:
    """Return the bytes written to the device so far."""
    os.sync()
    return int(counters.read_text().split()[6]) * 512


def evidence(chance: random.Random) -> bytes:
    """Return what a passage of about twenty observations leaves."""
    count = chance.randint(8, 32)
    return packed(
        [
            Weighed(0.09 * i + chance.random() * 0.02, chance.uniform(0.2, 1), True, (p := chance.random(), 1 - p, 0.0))
            for i in range(count)
        ]
    )


def day(folder: Path, passages: int, violated: float, every_s: float) -> tuple[int, float]:
    """Record a day; return the number of batches and the estimate of their cost in bytes."""
    chance, clock = random.Random(1), Clock()
    record = clock.record(folder, mb_a_day=10000.0, every_s=every_s)
    costs: list[float] = []
    record._budget.spend = costs.append  # type: ignore[method-assign]
    record.span("", SpanState.WATCHING)
    moments = sorted(chance.uniform(0, OPEN_S) for _ in range(passages))
    number = 0
    for second in range(0, int(DAY_S), 2):
        clock.forward(2)
        while number < len(moments) and moments[number] < second:
            number += 1
            bad = chance.random() < violated
            row = (violation if bad else passage)(number, clock.wall_s, evidence=evidence(chance))
            for change in (Change.DECIDED, Change.LEFT):
                record.add("decision", message(change, number, row.outcome, row.label, bad))
            if bad:
                record.add_passage(violation(number, clock.wall_s, ended=None, evidence=b""))
            record.add_passage(row)
        record.keep()
    record.close()
    return len(costs), sum(costs)


def message(change: Change, number: int, outcome: str, label: str, bad: bool) -> DecisionMessage:
    """Return a decision as the reporter records it."""
    signal = "no_mask" if bad else "running"
    return DecisionMessage(change.value, f"1800000000-{number}", outcome, label, signal, bad, 21, 4.52)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--passages", type=int, default=5000)
    parser.add_argument("--violated", type=float, default=0.1)
    arguments = parser.parse_args()
    print("every_s  violated  batches  estimate MB  written MB  database MB")
    for every_s, violated in ((300.0, 0.0), (300.0, arguments.violated), (60.0, 0.0)):
        with tempfile.TemporaryDirectory() as folder, card(Path(folder)) as (mounted, counters):
            before = written(counters)
            batches, estimate = day(mounted, arguments.passages, violated, every_s)
            after = written(counters)
            size = (mounted / "record.db").stat().st_size
            print(
                f"{every_s:7.0f}  {violated:8.2f}  {batches:7d}  {estimate / MB:11.2f}  {(after - before) / MB:10.2f}"
                f"  {size / MB:11.2f}"
            )
    print(f"an empty batch is estimated at {batch_cost(0):.0f} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
