"""Crowds: how long the first alarm takes when there are more faces than a frame's observations.

    python -m simulation.crowd

Scheduler and decider are real, with the default settings. Everybody stands still and is found in every frame. An
observation gives the probabilities of a face with or without a mask, with noise, and has the quality of a small face.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from statistics import median

import numpy as np

from edge import config
from edge.config import Settings
from edge.contracts import WITH_INCORRECT_MASK, WITH_MASK, WITHOUT_MASK, Box, Observation, Outcome, Passage, Track
from edge.stages.decide import Decider
from edge.stages.schedule import Scheduler

FPS = 15.0
QUALITY = 0.4
"""Quality of an observation of a sharp face 26 pixels wide, as faces of a crowd are."""
CROWDS = ((1, 0), (24, 0), (100, 0), (1, 23), (1, 80))
"""Faces without and with a mask of each crowd."""
GIVE_UP_S = 30.0


def observed(bare: bool, rng: np.random.Generator) -> Observation:
    """Return an observation of a face; one in forty leans to the wrong side."""
    wrong = rng.random() < 1 / 40
    sure = float(rng.uniform(0.55, 0.7) if wrong else rng.uniform(0.85, 0.999))
    said, other = (WITHOUT_MASK, WITH_MASK) if bare is not wrong else (WITH_MASK, WITHOUT_MASK)
    return Observation({said: sure, other: 0.8 * (1 - sure), WITH_INCORRECT_MASK: 0.2 * (1 - sure)}, QUALITY)


def first_alarm_s(settings: Settings, bare: int, masked: int, fps: float = FPS, seed: int = 1) -> float:
    """Return the seconds until the first alarm for a face without a mask; infinite if none. All come at once."""
    rng = np.random.default_rng(seed)
    is_bare = rng.permutation([True] * bare + [False] * masked)
    scheduler, decider = Scheduler(settings.classify), Decider(settings.decide, WITH_MASK)
    passages: dict[int, Passage] = {}
    for i in range(int(GIVE_UP_S * fps)):
        now_s = i / fps
        tracks = [Track(id_, Box(60 * id_, 0, 60 * id_ + 26, 30), 0.9, 0.0, now_s, 0) for id_ in range(len(is_bare))]
        views = scheduler.select(tracks, passages, now_s)
        observations = {id_: observed(bool(is_bare[id_]), rng) for id_ in views}
        found = decider.update(tracks, observations, now_s)
        passages = {passage.id: passage for passage in found.passages}
        if any(is_bare[p.id] and p.outcome is Outcome.VIOLATION for p in found.passages):
            return now_s
    return math.inf


def first_alarms_s(settings: Settings, bare: int, masked: int, fps: float = FPS, crowds: int = 20) -> Sequence[float]:
    """Return the seconds until the first alarm of several crowds, in order."""
    return sorted(first_alarm_s(settings, bare, masked, fps, seed) for seed in range(crowds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--fps", type=float, default=FPS, help="frames per second (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting, as in fmd run")
    arguments = parser.parse_args()
    settings = config.load(None, dict(map(config.parse_assignment, arguments.set)))
    print(f"{'without':>8}{'with mask':>11}{'median s':>10}{'slowest s':>11}")
    for bare, masked in CROWDS:
        times = first_alarms_s(settings, bare, masked, arguments.fps)
        print(f"{bare:>8}{masked:>11}{median(times):>10.2f}{times[-1]:>11.2f}")


if __name__ == "__main__":
    main()
