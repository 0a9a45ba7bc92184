"""Memory over 100,000 simulated frames: does it grow?

The service itself runs over the built-in scene (or a clip) again and again, on one rising clock: people come, are
decided and leave, hundreds of times. The bench reads the resident set (VmRSS) and the number of Python's allocated
blocks at every second start of the clip. The detector inspects every second frame, and so a clip with an odd number of
frames repeats itself only after two rounds. At the same moment of the scene fmd remembers the same people, so that a
difference is memory that was not released. The first readings, while caches fill, are left out. The 95% confidence
interval of the rise in the other readings must include zero.

A resident set hides a leak while the heap has free memory, and a start leaves much of that. So the free memory is
returned to the system once, in the middle of the settling time (malloc_trim(3), if the C library has it). The resident
set then resolves pages of 4 kB: five pages, spread evenly over the last 80,000 frames, differ from chance. That is 50
bytes per person.

The allocated blocks resolve a single Python object. They have no bar, because one known rise in them ends. The alert
remembers the last 32 people it sounded for. From 257 on each id is an object of its own: CPython shares smaller
integers. So 32 blocks come with the next 32 people, and no more after them.
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
from bench.measure import Measurement, Series, report, slope
from bench.memory import scene_file
from edge import config
from edge.contracts import Step
from edge.errors import DataError
from edge.reporting.listener import Callbacks
from edge.service import run as service

FRAMES, MIN_READINGS, SETTLING_SHARE = 100_000, 25, 0.2
"""Frames of a run, the fewest readings that make a trend, and the share of readings left out at the start."""


class Readings(NamedTuple):
    """Resident kilobytes and Python's allocated blocks, at equal intervals."""

    resident_kb: Series
    blocks: Series


class EnoughError(Exception):
    """Raised once the requested number of frames has been processed."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clip", nargs="?", default=clips.SCENE, help="a clip (default: the built-in scene, as a file)")
    parser.add_argument("--frames", type=int, default=FRAMES, help="frames to process (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="file to write the readings to, as CSV")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the measurements, and return 1 if a bar is missed."""
    with tempfile.TemporaryDirectory(prefix="fmd-bench-") as folder:
        clip = scene_file(Path(folder)) if arguments.clip == clips.SCENE else Path(arguments.clip)
        readings = measured(clip, arguments.frames, say=lambda line: print(line, file=sys.stderr, flush=True))
    if arguments.out:
        rows = [f"{kb:.0f},{blocks:.0f}" for kb, blocks in zip(*readings, strict=True)]
        arguments.out.write_text("\n".join(["resident_kb,blocks", *rows]) + "\n")
    return report(measurements_of(readings, arguments.frames))


def measurements_of(readings: Readings, frames: int) -> list[Measurement]:
    """Return the slopes with their intervals; the bar is that the resident set does not rise."""
    per_1000 = len(readings.resident_kb) / frames * 1000
    resident, blocks = slope(_settled(readings.resident_kb)), slope(_settled(readings.blocks))
    return [
        Measurement("resident memory at the end", float(readings.resident_kb[-1]) / 1024, "MiB"),
        Measurement("resident memory: slope", resident.value * per_1000, "kB/1000 frames"),
        Measurement("resident memory: upper end of its interval", resident.high * per_1000, "kB/1000 frames"),
        # A slope below zero is no leak.
        Measurement(
            "resident memory: lower end of its interval, above zero", max(0.0, resident.low * per_1000), "", 0.0
        ),
        Measurement("allocated blocks: slope", blocks.value * per_1000, "/1000 frames"),
        Measurement("allocated blocks: lower end of its interval", blocks.low * per_1000, "/1000 frames"),
    ]


def _settled(series: Series) -> Series:
    return series[int(len(series) * SETTLING_SHARE) :]


def measured(clip: Path, frames: int, say: Callable[[str], None] = lambda line: None) -> Readings:
    """Run the service over ``clip`` until ``frames`` frames have passed the pipeline, and read at every second round.

    Raises DataError if the clip does not repeat often enough for a trend.
    """
    # Two rounds: see the reason at the top.
    every = 2 * clips.length(str(clip))
    readings = frames // every
    if readings < MIN_READINGS:
        raise DataError(f"--frames: {frames} of {clip} give {readings} readings; give {MIN_READINGS * every} or more")
    found = Readings(np.zeros(readings), np.zeros(readings))  # allocated at once: a growing list would count itself

    def on_step(step: Step) -> None:
        seen = step.frame.index + 1
        if seen % every:
            return
        done = seen // every
        read_into(found, done - 1)
        # Half of the settling time is left for the heap to take back what the service needs.
        if done == int(readings * SETTLING_SHARE / 2):
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
    # A looped clip has no end. So a signal stopped the service, which has handled it: the user wants the bench to stop.
    raise KeyboardInterrupt


def read_into(found: Readings, i: int) -> None:
    """Store reading ``i`` in ``found``."""
    # Memory that a collection frees is no growth; the same is done before every reading.
    gc.collect()
    found.resident_kb[i], found.blocks[i] = resident_kb(), sys.getallocatedblocks()


def resident_kb() -> float:
    """Return the resident kilobytes of this process, as the kernel counts them."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def trim() -> None:
    """Return the heap's free memory to the system, if the C library can (glibc can)."""
    if malloc_trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        malloc_trim(0)
