"""Memory over 100,000 simulated frames: does it grow?

The service itself runs over the built-in scene (or a clip), again and again on one rising clock: people come, are
decided and leave, hundreds of times over. Every so often the resident set (VmRSS) and the number of Python's allocated
blocks are read. The first readings, while caches fill, are left out; through the rest a line is laid, and the 95%
confidence interval of its slope has to include zero. The blocks have no bar, for some of what fmd remembers is bounded
and still fills (the alert keeps the last 256 people it sounded for); a leak of one small object a passage shows in them
long before the resident set moves.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench import clips
from bench.measure import Figure, Series, report, slope
from bench.memory import scene_file
from edge import config, service
from edge.contracts import Step

FRAMES, READINGS, SETTLING = 100_000, 400, 0.2
"""Frames, readings over them, and the share of readings at the start that is left out."""


class Readings(NamedTuple):
    """Equally far apart: resident kilobytes and Python's allocated blocks."""

    resident_kb: Series
    blocks: Series


class EnoughError(Exception):
    """As many frames as were asked for have been seen."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clip", nargs="?", default=clips.SCENE, help="a clip (default: the built-in scene, as a file)")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--out", type=Path, help="write the readings there as CSV")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, judge."""
    with tempfile.TemporaryDirectory(prefix="fmd-bench-") as folder:
        clip = scene_file(Path(folder)) if arguments.clip == clips.SCENE else Path(arguments.clip)
        readings = watched(clip, arguments.frames, say=lambda line: print(line, file=sys.stderr, flush=True))
    if arguments.out:
        rows = [f"{kb:.0f},{blocks:.0f}" for kb, blocks in zip(*readings, strict=True)]
        arguments.out.write_text("\n".join(["resident_kb,blocks", *rows]) + "\n")
    return report(figures_of(readings, arguments.frames))


def figures_of(readings: Readings, frames: int) -> list[Figure]:
    """Slopes with their intervals, and how far above zero the one of the resident set begins."""
    per_1000 = len(readings.resident_kb) / frames * 1000
    resident, blocks = slope(_settled(readings.resident_kb)), slope(_settled(readings.blocks))
    return [
        Figure("resident memory at the end", float(readings.resident_kb[-1]) / 1024, "MiB"),
        Figure("resident memory: slope", resident.value * per_1000, "kB/1000 frames"),
        # A slope below zero is no leak.
        Figure("resident memory: lower end of its interval, above zero", max(0.0, resident.low * per_1000), "", 0.0),
        Figure("allocated blocks: slope", blocks.value * per_1000, "/1000 frames"),
    ]


def _settled(series: Series) -> Series:
    return series[int(len(series) * SETTLING) :]


def watched(
    clip: Path, frames: int, readings: int = READINGS, say: Callable[[str], None] = lambda line: None
) -> Readings:
    """Run the service over ``clip`` until ``frames`` frames (a multiple of ``readings``) went all the way through."""
    readings = min(readings, frames)
    every = frames // readings
    found = Readings(np.zeros(readings), np.zeros(readings))  # all at once: a growing list would count itself

    def on_step(step: Step) -> None:
        seen = step.frame.index + 1
        if seen % every == 0:
            read_into(found, seen // every - 1)
            if seen % (20 * every) == 0:
                say(f"{seen} frames: {resident_kb() / 1024:.1f} MiB")
        if seen == every * readings:
            raise EnoughError

    settings = config.load(None, {"camera.source": str(clip), "camera.loop": True, "alert.driver": "console"})
    try:
        service.run(settings, on_step, lambda decision: None)
    except EnoughError:
        return found
    raise AssertionError("a looped clip has no end")


def read_into(found: Readings, i: int) -> None:
    """Take reading ``i``."""
    # What a collection would free is no growth; it is done alike before every reading.
    gc.collect()
    found.resident_kb[i], found.blocks[i] = resident_kb(), sys.getallocatedblocks()


def resident_kb() -> float:
    """Of this process, as the kernel counts it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
