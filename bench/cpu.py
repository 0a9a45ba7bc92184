"""Processor seconds per second of video: fmd beside the papers' loop, busy and idle, on the same frames.

Both loops run over the whole clip, in turns and in processes of their own. Decoding counts for neither; making a frame
from the driver's B, G, R counts for fmd. ``--idle`` names seconds without a person in view: they are measured as they
are, and played forwards and backwards for a minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench import clips
from bench.loops import Run, in_own_process
from bench.measure import Measurement, report

BUSY_BAR, IDLE_BAR = 1 / 10, 1 / 100
EMPTY_ROOM = "empty_room_then_people.mp4"
KNOWN = {EMPTY_ROOM: clips.Interval(0, 5.8)}
"""Clips whose first seconds are empty, until the shadow of a person falls in."""
IDLE_S = 60.0
"""Duration for which the empty seconds are played: a door stands idle for hours."""
# The papers' loop costs the same in every second, so that ten seconds suffice.
PAPERS_S = 10.0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clips", nargs="+", help="clips with people")
    parser.add_argument("--peers", type=Path, required=True, help="folder with the papers' face detector")
    parser.add_argument(
        "--idle", type=clips.intervals_of, help="seconds of the clips without a person in view, as in 0-5.8"
    )
    parser.add_argument("--rounds", type=int, default=2, help="turns of each loop (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="model.threads (default: %(default)s, as fmd's)")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the measurements, and return 1 if a bar is missed."""
    measurements: list[Measurement] = []
    for clip in arguments.clips:
        name = Path(clip).name
        idle = arguments.idle[0] if arguments.idle else KNOWN.get(name)
        if idle is None:
            measurements += compared(f"{name}, busy", *_rounds(clip, arguments), bar=BUSY_BAR)
            continue
        measurements += _idle(name, clip, idle, arguments)
    return report(measurements)


def _idle(name: str, clip: str, idle: clips.Interval, arguments: argparse.Namespace) -> list[Measurement]:
    """Measure the empty seconds as they are, with the loop's first frame, and for as long as IDLE_S."""
    measurements = []
    for what, seconds, bar in (("first frame and all", idle.end_s - idle.start_s, None), ("idle", IDLE_S, IDLE_BAR)):
        # The papers' loop has neither gate nor memory: its sixth second costs as much as its sixtieth.
        lengths = seconds, min(seconds, PAPERS_S)
        measurements += compared(f"{name}, {what}, {seconds:g} s", *_rounds(clip, arguments, idle, lengths), bar=bar)
    return measurements


def _rounds(
    clip: str, arguments: argparse.Namespace, idle: clips.Interval | None = None, lengths: tuple[float, float] = (0, 0)
) -> tuple[list[Run], list[Run]]:
    """Run fmd's and the papers' loop in turns over a clip, or over its idle seconds for ``lengths`` (ours, theirs)."""
    our_span, their_span = (["--span", str(idle), "--seconds", str(seconds)] if idle else [] for seconds in lengths)
    ours, theirs = [], []
    for _ in range(arguments.rounds):
        ours.append(in_own_process("fmd", clip, "--threads", str(arguments.threads), *our_span))
        theirs.append(in_own_process("papers", clip, "--peers", str(arguments.peers), *their_span))
    return ours, theirs


def compared(name: str, ours: Sequence[Run], theirs: Sequence[Run], bar: float | None = None) -> list[Measurement]:
    """Return the cost of the papers' loop, that of fmd, and their ratio."""
    mine, other = (float(np.mean([run.per_second() for run in runs])) for runs in (ours, theirs))
    return [
        Measurement(f"{name}: papers' loop", 1000 * other, "ms CPU/s"),
        Measurement(f"{name}: fmd", 1000 * mine, "ms CPU/s"),
        Measurement(f"{name}: fmd / papers' loop", mine / other, "", bar),
    ]
