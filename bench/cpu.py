"""Processor seconds a second of video: fmd beside the papers' loop, busy and idle, on the same frames.

Both loops run over the whole clip in processes of their own, turn by turn. Decoding is left out of both; making a frame
of the driver's B, G, R is counted in ours. ``--idle`` names the
seconds with nobody in view.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.clips import Span, spans_of
from bench.loops import Run, in_own_process
from bench.measure import Figure, report

BUSY_BAR, IDLE_BAR = 1 / 10, 1 / 100
EMPTY_ROOM = "empty_room_then_people.mp4"
EMPTY_ROOM_IDLE = "0-6"
"""Until the first person walks in; nobody moves but the codec."""
EMPTY_ROOM_NOBODY = "0-6,20.3-22.7,45.3-50.2,70.5-74.5,87.4-92.1,120.7-123.5,136.6-139.4"
"""Every stretch with nobody in view, those among them in which the gate still waits for somebody to come back."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clips", nargs="+", help="clips with people, and with --idle one that has nobody at times")
    parser.add_argument("--peers", type=Path, required=True, help="folder with the papers' face detector")
    parser.add_argument(
        "--idle", type=spans_of, help="seconds with nobody in view, as in 0-5.5,20-23; only those count"
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2, help="model.threads (default: 2, as fmd's)")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, judge."""
    figures: list[Figure] = []
    for clip in arguments.clips:
        ours, theirs = rounds(clip, arguments.peers, arguments.rounds, arguments.threads)
        spans = {"idle": arguments.idle} if arguments.idle else known_spans(clip)
        figures += compared(Path(clip).name, ours, theirs, spans)
    return report(figures)


def known_spans(clip: str) -> dict[str, list[Span]]:
    """What is known of a clip by its name; elsewhere all of it is busy."""
    if Path(clip).name != EMPTY_ROOM:
        return {"busy": []}
    return {"idle": spans_of(EMPTY_ROOM_IDLE), "nobody in view": spans_of(EMPTY_ROOM_NOBODY), "whole": []}


def rounds(clip: str, peers: Path, count: int, threads: int) -> tuple[list[Run], list[Run]]:
    """Ours and theirs over a clip, turn by turn."""
    ours, theirs = [], []
    for _ in range(count):
        ours.append(in_own_process("fmd", clip, "--threads", str(threads)))
        theirs.append(in_own_process("papers", clip, "--peers", str(peers)))
    return ours, theirs


def compared(name: str, ours: Sequence[Run], theirs: Sequence[Run], spans: dict[str, list[Span]]) -> list[Figure]:
    """Theirs, ours and the ratio, for every kind of span."""
    figures = []
    for kind, where in spans.items():
        mine, other = (float(np.mean([run.per_second(where) for run in runs])) for runs in (ours, theirs))
        bar = {"busy": BUSY_BAR, "idle": IDLE_BAR}.get(kind)
        figures += [
            Figure(f"{name}, {kind}: papers' loop", 1000 * other, "ms CPU/s"),
            Figure(f"{name}, {kind}: fmd", 1000 * mine, "ms CPU/s"),
            Figure(f"{name}, {kind}: fmd / papers' loop", mine / other, "", bar),
        ]
    return figures
