from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edge import config
from edge.contracts import Frame, Image
from edge.watch import Watch

FPS = 15.0


EMPTY: Image = np.zeros((1, 1, 3), np.uint8)
"""The gate looks at the brightness plane alone."""


def room(seconds: float, from_s: float = 0.0, drift: float = 0.0, person: int = 0) -> Iterator[Frame]:
    """An empty room as a noisy sensor sees it; somebody ``person`` points wide walks through it."""
    rng = np.random.default_rng(3)
    for i in range(int(seconds * FPS)):
        now_s = from_s + i / FPS
        scene = np.full((120, 160), 100.0)
        if person:
            x = (20 + 2 * i) % 120
            scene[30:100, x : x + person] = 160
        seen = scene + rng.normal(0, 3.0, scene.shape) + drift * now_s
        yield Frame(EMPTY, np.clip(seen, 0, 255).astype(np.uint8), now_s, i)


def watch_of(**changed: Any) -> Watch:
    return Watch(config.load(None, {f"watch.{key}": value for key, value in changed.items()}).watch)


def settle(watch: Watch) -> None:
    for frame in room(5.0):
        watch.awake(frame, occupied=False)


def test_an_empty_noisy_room_sleeps_but_for_its_rechecks() -> None:
    watch = watch_of(recheck_s=1.0)
    settle(watch)
    awake = [watch.awake(frame, occupied=False) for frame in room(10.0, from_s=5.0)]
    assert 9 <= sum(awake) <= 11


def test_slow_daylight_wakes_nobody() -> None:
    watch = watch_of(recheck_s=1000.0)
    settle(watch)
    assert not any(watch.awake(frame, occupied=False) for frame in room(20.0, from_s=5.0, drift=0.5))


def test_somebody_who_walks_in_wakes_it_at_once_and_keeps_it_awake() -> None:
    watch = watch_of(recheck_s=1000.0)
    settle(watch)
    assert all(watch.awake(frame, occupied=False) for frame in room(3.0, from_s=5.0, person=15))


def test_it_stays_awake_a_while_after_the_last_movement_then_sleeps() -> None:
    watch = watch_of(awake_s=2.0, recheck_s=1000.0)
    frames = list(room(8.0))
    awake = [watch.awake(frame, occupied=False) for frame in frames]  # the first frame counts as movement
    assert awake[: int(2.0 * FPS)] == [True] * int(2.0 * FPS)
    assert not any(awake[int(2.0 * FPS) + 1 :])


def test_nobody_is_slept_away_while_being_tracked() -> None:
    watch = watch_of(awake_s=0.0, recheck_s=1000.0)
    settle(watch)
    assert all(watch.awake(frame, occupied=True) for frame in room(3.0, from_s=5.0))


def test_without_the_gate_every_frame_is_looked_at() -> None:
    watch = watch_of(gate=False)
    assert all(watch.awake(frame, occupied=False) for frame in room(3.0))


def test_a_picture_of_another_size_counts_as_movement() -> None:
    watch = watch_of(recheck_s=1000.0)
    settle(watch)
    assert watch.awake(Frame(EMPTY, np.full((100, 100), 100, np.uint8), 20.0, 0), occupied=False)
