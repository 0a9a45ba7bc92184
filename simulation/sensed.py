"""Doors with a presence sensor: what it does to alarms for people and for posters.

    python -m simulation.sensed [--doors 100]

The sensors are simulated: a scene of heads, bodies, posters and a wall, drawn finely and averaged over each cell, with
noise. Stage and decider are real. Everybody is without a mask. For each scene: how many alarm, and how much later than
without the sensor.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from edge import config
from edge.contracts import WITH_MASK, Box, Floats, Frame, Outcome, Reading, Sensed, Track
from edge.inference.presence import SensorView
from edge.stages.decide import Decider
from edge.stages.presence import Counts, PresenceCheck
from simulation.crowd import observed

FPS, SECONDS = 15.0, 8.0
WIDTH, HEIGHT, FIELD_DEG = 640, 480, 62.0
FOCAL = WIDTH / 2 / math.tan(math.radians(FIELD_DEG / 2))
HEAD_M, BODY_M = (0.16, 0.22), 0.45
FINE = 6
"""Points of a cell in each direction."""
IMAGE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)


@dataclass(frozen=True)
class Kind:
    """A sensor: its cells (rows, columns), field of view in degrees, noise, and readings per second."""

    sensed: Sensed
    shape: tuple[int, int]
    field_deg: tuple[float, float]
    noise: float
    rate: float


SENSORS = {
    "mlx90640": Kind(Sensed.WARMTH, (24, 32), (55.0, 35.0), 0.25, 4.0),
    "amg8833": Kind(Sensed.WARMTH, (8, 8), (60.0, 60.0), 0.4, 10.0),
    "vl53l5cx": Kind(Sensed.DISTANCE, (8, 8), (45.0, 45.0), 0.02, 8.0),
}


@dataclass(frozen=True)
class Head:
    """A head, at metres to the right, below and before the camera at a time; ``real`` is false for a poster's."""

    at: Callable[[float], tuple[float, float, float]]
    celsius: float
    real: bool = True


@dataclass(frozen=True)
class Scene:
    """A wall with heads before it or on it. ``aside_deg`` is how far the sensor hangs beside its settings."""

    heads: Sequence[Head]
    wall_c: float = 21.0
    wall_m: float = 4.0
    aside_deg: float = 0.0
    unplugged_s: float = float("inf")


@dataclass
class SimulatedSensor:
    """Implements :class:`edge.contracts.SensorFeed` for a scene; call :meth:`tick` with the time."""

    kind: Kind
    scene: Scene
    chance: np.random.Generator
    newest: Reading | None = None
    fault: str = ""
    _due_s: float = -1.0
    _rays: tuple[Floats, Floats] = field(init=False)

    def __post_init__(self) -> None:
        self._rays = _rays(self.kind, self.scene.aside_deg)

    def tick(self, now_s: float) -> None:
        """Take a reading if one is due: of the scene in the middle of the time that it took."""
        if now_s >= self.scene.unplugged_s:
            self.fault = "unplugged"
            self.newest = None
        elif now_s >= self._due_s:
            took_s = 1 / self.kind.rate
            values = self._values(now_s - took_s / 2)
            self.newest = Reading(self.kind.sensed, values, self.kind.field_deg, now_s - took_s, now_s)
            self._due_s = now_s + took_s

    def _values(self, at_s: float) -> Floats:
        x, y = self._rays
        warmth, distance = np.full(x.shape, self.scene.wall_c), np.full(x.shape, self.scene.wall_m)
        for head in sorted(self.scene.heads, key=lambda head: -head.at(at_s)[2]):
            right, down, away = head.at(at_s)
            is_head = ((x * away - right) / (HEAD_M[0] / 2)) ** 2 + ((y * away - down) / (HEAD_M[1] / 2)) ** 2 < 1
            if head.real:
                is_body = (np.abs(x * away - right) < BODY_M / 2) & (y * away > down + HEAD_M[1] * 0.6)
                # Clothes have about half of the difference between skin and room.
                warmth[is_body], distance[is_body] = (self.scene.wall_c + head.celsius) / 2, away
            warmth[is_head] = head.celsius
            distance[is_head] = away
        rows, columns = self.kind.shape
        if self.kind.sensed is Sensed.WARMTH:
            cells = warmth.reshape(rows, FINE, columns, FINE).mean(axis=(1, 3))
        else:
            # The nearest surface that fills a sixth of the cell.
            points = np.sort(
                distance.reshape(rows, FINE, columns, FINE).transpose(0, 2, 1, 3).reshape(rows, columns, -1)
            )
            cells = points[:, :, FINE * FINE // 6]
            cells = np.where(cells > 4.0, np.nan, cells)
        noise = self.kind.noise if self.kind.sensed is Sensed.WARMTH else self.kind.noise * cells
        return np.asarray(cells + self.chance.normal(0, 1, cells.shape) * noise, np.float32)


def _rays(kind: Kind, aside_deg: float) -> tuple[Floats, Floats]:
    """Return the directions of all fine points: metres to the right and down, one metre away."""
    rows, columns = kind.shape

    def tangents(field_deg: float, cells: int) -> Floats:
        steps = (np.arange(cells * FINE, dtype=np.float32) + 0.5) / (cells * FINE) * 2 - 1
        return np.asarray(steps * math.tan(math.radians(field_deg / 2)), np.float32)

    x, y = tangents(kind.field_deg[0], columns), tangents(kind.field_deg[1], rows)
    x = np.tan(np.arctan(x) + math.radians(aside_deg))
    grid = np.meshgrid(x, y)
    return np.asarray(grid[0], np.float32), np.asarray(grid[1], np.float32)


def box_of(place: tuple[float, float, float], chance: np.random.Generator) -> Box:
    """Return where the camera's detector finds a head, with a tremble of 2 percent of its size."""
    right, down, away = place
    width, height = HEAD_M[0] * FOCAL / away, HEAD_M[1] * FOCAL / away
    x, y = WIDTH / 2 + FOCAL * right / away, HEIGHT / 2 + FOCAL * down / away
    shake = chance.normal(0, 0.02, 4) * width
    return Box(x - width / 2 + shake[0], y - height / 2 + shake[1], x + width / 2 + shake[2], y + height / 2 + shake[3])


def alarms(
    scene: Scene, kind: Kind | None, seed: int, learned: list[Counts] | None = None
) -> Iterator[tuple[int, float]]:
    """Yield index and seconds of the first alarm for each head that gives one; without a ``kind``, without a sensor.

    ``learned`` ends with what the sensor has learned before, and gets what it has learned after.
    """
    chance, rng = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    sensor = SimulatedSensor(kind, scene, chance) if kind else None
    check = PresenceCheck(SensorView(FIELD_DEG), sensor, learned[-1] if learned else Counts()) if sensor else None
    decider = Decider(config.load().decide, WITH_MASK)
    entered: dict[int, float] = {}
    alarmed: set[int] = set()
    if sensor:
        sensor.tick(0.0)
    for index in range(int(FPS * SECONDS)):
        now_s = (index + 1) / FPS
        tracks = []
        for id_, head in enumerate(scene.heads):
            box = box_of(head.at(now_s), rng)
            if 0 < box.centre[0] < WIDTH:
                entered.setdefault(id_, now_s)
                tracks.append(Track(id_, box, 0.9, entered[id_], now_s, 0))
        if sensor:
            sensor.tick(now_s)
        people = tuple(tracks)
        observations = {track.id: observed(True, rng) for track in people}
        pictures: tuple[Track, ...] = ()
        if check is not None:
            people, pictures = check.split(people, Frame(IMAGE, None, now_s, index), True)
        seen = {track.id: observations[track.id] for track in people}
        found = decider.update(people, seen, now_s, pictures={track.id for track in pictures})
        for passage in found.passages:
            if passage.outcome is Outcome.VIOLATION and passage.id not in alarmed:
                alarmed.add(passage.id)
                yield passage.id, now_s
    if check is not None and learned is not None:
        learned.append(check.counts)


def walks(chance: np.random.Generator, celsius: float) -> Head:
    """Return a person who comes from the side, walks to the door and waits there."""
    side, ends, speed = chance.choice([-1, 1]) * chance.uniform(0.6, 1.2), chance.uniform(0.9, 1.6), 1.0
    starts = chance.uniform(2.8, 3.6)

    def at(now_s: float) -> tuple[float, float, float]:
        away = max(ends, starts - speed * now_s)
        share = (away - ends) / (starts - ends)
        return float(side * share), 0.05 + 0.01 * math.sin(3 * now_s), float(away)

    return Head(at, celsius)


def stands(chance: np.random.Generator, celsius: float, away: float, real: bool = True) -> Head:
    """Return a person who is there at once and stands, or a poster."""
    right = chance.uniform(-0.15, 0.15) * away
    sway = 0.01 if real else 0.0
    return Head(lambda now_s: (float(right + sway * math.sin(2 * now_s)), 0.0, away), celsius, real)


Make = Callable[[np.random.Generator], Scene]


def _face(chance: np.random.Generator, mean: float = 33.5, sd: float = 1.5) -> float:
    return float(chance.normal(mean, sd))


def _wall(chance: np.random.Generator, mean: float = 21.0, sd: float = 2.0) -> float:
    return float(chance.normal(mean, sd))


def _poster(chance: np.random.Generator, wall_c: float, away: float) -> Scene:
    head = stands(chance, wall_c + float(chance.normal(0, 0.3)), away, real=False)
    return Scene((head,), wall_c, away)


TRUSTED = Counts(0.0, 20.0)
"""What a sensor has learned that has seen twenty people."""

SCENES: dict[str, Make] = {
    "walks in": lambda chance: Scene((walks(chance, _face(chance)),), _wall(chance)),
    "stands there": lambda chance: Scene((stands(chance, _face(chance), chance.uniform(0.8, 2.0)),), _wall(chance)),
    "far away, 4 m": lambda chance: Scene((stands(chance, _face(chance), 4.0),), _wall(chance), 5.0),
    "cold face, winter": lambda chance: Scene((walks(chance, _face(chance, 27.0, 2.5)),), _wall(chance)),
    "warm wall, 32 C": lambda chance: Scene(
        (stands(chance, _face(chance, 34.5, 1.0), chance.uniform(0.8, 2.0)),), _wall(chance, 32.0, 1.0)
    ),
    "10 degrees aside": lambda chance: replace(Scene((walks(chance, _face(chance)),), _wall(chance)), aside_deg=10.0),
    "10 degrees aside, new": lambda chance: replace(
        Scene((walks(chance, _face(chance)),), _wall(chance)), aside_deg=10.0
    ),
    "poster, 1.5 m": lambda chance: _poster(chance, _wall(chance), 1.5),
    "poster, 3 m": lambda chance: _poster(chance, _wall(chance), 3.0),
    "poster, warm wall": lambda chance: _poster(chance, _wall(chance, 32.0, 1.0), 1.5),
    "poster, sensor unplugged": lambda chance: replace(_poster(chance, _wall(chance), 1.5), unplugged_s=4.0),
}


class Result(NamedTuple):
    """Of ``doors``: how many alarmed, how many later than without the sensor, and by how much at most, seconds."""

    doors: int
    alarmed: int
    later: int
    longest_s: float


def measured(make: Make, kind: Kind, doors: int, trusted: bool = True) -> Result:
    """Return what the sensor does in ``doors`` scenes of a kind, one after the other, new or after it is trusted."""
    delays, alarmed, learned = [], 0, [TRUSTED if trusted else Counts()]
    for seed in range(doors):
        scene = make(np.random.default_rng(seed))
        before, after = dict(alarms(scene, None, seed)), dict(alarms(scene, kind, seed, learned))
        if 0 in after:
            alarmed += 1
            delays.append(after[0] - before[0])
    later = [delay for delay in delays if delay > 1e-6]
    return Result(doors, alarmed, len(later), max(later, default=0.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--doors", type=int, default=100, help="doors of each scene (default: %(default)s)")
    doors = parser.parse_args().doors
    print(f"{'sensor':10s} {'scene':26s} {'alarmed':>8s} {'later':>6s} {'longest s':>10s}")
    for name, kind in SENSORS.items():
        for scene, make in SCENES.items():
            found = measured(make, kind, doors, not scene.endswith("new"))
            print(
                f"{name:10s} {scene:26s} {found.alarmed:>4d}/{doors} {found.later:>6d} {found.longest_s:>10.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
