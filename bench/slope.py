"""Memory over 100,000 simulated frames: does it grow?

The service itself runs over the built-in scene (or a clip), again and again on one rising clock: people come, are
decided and leave, hundreds of times over. At every second return of the clip's beginning (the detector looks at every
second frame, and an odd number of frames comes round in two) the resident set (VmRSS) and the number of Python's
allocated blocks are read: at the same moment of the scene the same people are remembered, and what differs has stayed.
The first readings, while caches fill, are left out; of the rest the rise and its 95% confidence interval are told, and
the interval has to include zero.

A resident set hides a leak for as long as the heap has free room to put it, and starting leaves much. So that room is
given back to the system once, with the settling half over (malloc_trim(3), where the C library has it). What is left
to see is pages of 4 kB: five of them, evenly spread over the last 80,000 frames, are told from chance, which is 50
bytes a person. The blocks see a single object, of Python. They have no bar, for one rise of theirs is known and ends:
the alert remembers the last 32 people it sounded for, and from person 257 on each number is an object of its own
(CPython shares those up to 256), so that 32 blocks come with the next 32 people and no more after them.
"""

from __future__ import annotations

import argparse
import ctypes
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
from edge import config
from edge.contracts import Step
from edge.errors import DataError
from edge.reporting.listener import Callbacks
from edge.service import run as service

FRAMES, MIN_READINGS, SETTLING = 100_000, 25, 0.2
"""Frames, the fewest readings that make a trend, and the share of them at the start that is left out."""


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
        Figure("resident memory: upper end of its interval", resident.high * per_1000, "kB/1000 frames"),
        # A slope below zero is no leak.
        Figure("resident memory: lower end of its interval, above zero", max(0.0, resident.low * per_1000), "", 0.0),
        Figure("allocated blocks: slope", blocks.value * per_1000, "/1000 frames"),
        Figure("allocated blocks: lower end of its interval", blocks.low * per_1000, "/1000 frames"),
    ]


def _settled(series: Series) -> Series:
    return series[int(len(series) * SETTLING) :]


def watched(clip: Path, frames: int, say: Callable[[str], None] = lambda line: None) -> Readings:
    """Run the service over ``clip`` until ``frames`` frames went all the way through, and read every second round.

    Raises DataError where it does not come round often enough for a trend.
    """
    every = 2 * clips.length(str(clip))
    readings = frames // every
    if readings < MIN_READINGS:
        raise DataError(f"--frames: {frames} of {clip} give {readings} readings; give {MIN_READINGS * every} or more")
    found = Readings(np.zeros(readings), np.zeros(readings))  # all at once: a growing list would count itself

    def on_step(step: Step) -> None:
        seen = step.frame.index + 1
        if seen % every:
            return
        done = seen // every
        read_into(found, done - 1)
        if done == int(readings * SETTLING / 2):
            trim()
        if done % 20 == 0:
            say(f"{seen} frames: {found.resident_kb[done - 1] / 1024:.1f} MiB")
        if done == readings:
            raise EnoughError

    settings = config.load(None, {"camera.source": str(clip), "camera.loop": True, "alert.driver": "console"})
    try:
        service.run(settings, [Callbacks(on_step)])
    except EnoughError:
        return found
    # A looped clip has no end: the service was asked to stop, by a signal that it keeps to itself.
    raise KeyboardInterrupt


def read_into(found: Readings, i: int) -> None:
    """Take reading ``i``."""
    # What a collection would free is no growth; it is done alike before every reading.
    gc.collect()
    found.resident_kb[i], found.blocks[i] = resident_kb(), sys.getallocatedblocks()


def resident_kb() -> float:
    """Of this process, as the kernel counts it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def trim() -> None:
    """Give the heap's free room back to the system; nothing where the C library cannot (glibc can)."""
    if give_back := getattr(ctypes.CDLL(None), "malloc_trim", None):
        give_back(0)
