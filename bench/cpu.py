"""Processor seconds a second of video: fmd beside the papers' loop, busy and idle, on the same frames.

Both loops run over the whole clip in processes of their own, turn by turn. Decoding is left out of both; making a frame
of the driver's B, G, R is counted in ours. ``--idle`` names seconds with nobody in view; they are measured as they
stand, and played to and fro for a minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench import clips
from bench.loops import Run, in_own_process
from bench.measure import Figure, report

BUSY_BAR, IDLE_BAR = 1 / 10, 1 / 100
EMPTY_ROOM = "empty_room_then_people.mp4"
KNOWN = {EMPTY_ROOM: clips.Span(0, 5.8)}
"""Clips whose first seconds, until somebody's shadow falls in, show nobody."""
IDLE_S = 60.0
"""A door stands idle for hours: its quiet seconds are played to and fro for so long."""
PAPERS_S = 10.0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clips", nargs="+", help="clips with people")
    parser.add_argument("--peers", type=Path, required=True, help="folder with the papers' face detector")
    parser.add_argument("--idle", type=clips.spans_of, help="seconds of the clips with nobody in view, as in 0-5.8")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2, help="model.threads (default: 2, as fmd's)")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, judge."""
    figures: list[Figure] = []
    for clip in arguments.clips:
        name = Path(clip).name
        idle = arguments.idle[0] if arguments.idle else KNOWN.get(name)
        if idle is None:
            figures += compared(f"{name}, busy", *_rounds(clip, arguments), bar=BUSY_BAR)
            continue
        figures += _idle(name, clip, idle, arguments)
    return report(figures)


def _idle(name: str, clip: str, idle: clips.Span, arguments: argparse.Namespace) -> list[Figure]:
    """The quiet seconds as they stand, the loop's first frame among them, and for as long as a door stands idle."""
    told = []
    for what, seconds, bar in (("first frame and all", idle.end_s - idle.start_s, None), ("idle", IDLE_S, IDLE_BAR)):
        # The papers' loop has neither gate nor memory: its sixth second costs what its sixtieth would.
        lengths = seconds, min(seconds, PAPERS_S)
        told += compared(f"{name}, {what}, {seconds:g} s", *_rounds(clip, arguments, idle, lengths), bar=bar)
    return told


def _rounds(
    clip: str, arguments: argparse.Namespace, idle: clips.Span | None = None, lengths: tuple[float, float] = (0, 0)
) -> tuple[list[Run], list[Run]]:
    """Ours and theirs over a clip, or its idle seconds again and again for those lengths, turn by turn."""
    our_span, their_span = (["--span", str(idle), "--seconds", str(seconds)] if idle else [] for seconds in lengths)
    ours, theirs = [], []
    for _ in range(arguments.rounds):
        ours.append(in_own_process("fmd", clip, "--threads", str(arguments.threads), *our_span))
        theirs.append(in_own_process("papers", clip, "--peers", str(arguments.peers), *their_span))
    return ours, theirs


def compared(name: str, ours: Sequence[Run], theirs: Sequence[Run], bar: float | None = None) -> list[Figure]:
    """Theirs, ours and the ratio."""
    mine, other = (float(np.mean([run.per_second() for run in runs])) for runs in (ours, theirs))
    return [
        Figure(f"{name}: papers' loop", 1000 * other, "ms CPU/s"),
        Figure(f"{name}: fmd", 1000 * mine, "ms CPU/s"),
        Figure(f"{name}: fmd / papers' loop", mine / other, "", bar),
    ]
