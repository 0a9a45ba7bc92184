from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from edge import config
from edge.contracts import Frame, Image, Presence
from edge.stages.regions import Regions
from edge.stages.watch import COLUMNS, ROWS, Watch

FPS = 15.0


EMPTY: Image = np.zeros((1, 1, 3), np.uint8)
"""The gate reads the brightness plane alone."""


def room(
    seconds: float, from_s: float = 0.0, drift: float = 0.0, person: int = 0, speed: float = 30.0, noise: float = 3.0
) -> Iterator[Frame]:
    """Yield an empty room as a noisy sensor sees it, or one in which a person ``person`` points wide walks.

    ``speed`` is in points a second, ``drift`` in levels of brightness a second.
    """
    rng = np.random.default_rng(3)
    for i in range(int(seconds * FPS)):
        now_s = from_s + i / FPS
        scene = np.full((120, 160), 100.0)
        if person:
            x = int(20 + speed * i / FPS) % 120
            scene[30:100, x : x + person] = 160
        seen = scene + rng.normal(0, noise, scene.shape) + drift * now_s
        yield Frame(EMPTY, np.clip(seen, 0, 255).astype(np.uint8), now_s, i)


def watch_of(**changed: Any) -> Watch:
    settings = config.load(None, {key.replace("__", "."): value for key, value in changed.items()})
    return Watch(settings.watch, settings.detect)


def detections(watch: Watch, frames: Iterator[Frame], presence: Presence = Presence.NOBODY) -> list[float]:
    """Return the times of the frames that the detector inspects."""
    return [frame.captured_s for frame in frames if watch.due(frame, presence)]


def settled(**changed: Any) -> Watch:
    """Return a watch that has seen five seconds of the empty room."""
    watch = watch_of(**changed)
    detections(watch, room(5.0))
    return watch


NEVER = {"watch__recheck_s": 10_000.0}


def test_an_empty_noisy_room_is_inspected_once_and_then_for_rechecks() -> None:
    assert detections(watch_of(**NEVER), room(10.0)) == [0.0]
    assert detections(watch_of(watch__recheck_s=2.0), room(9.0)) == pytest.approx([0, 2, 4, 6, 8], abs=0.3)


def test_slow_daylight_wakes_the_detector_only_now_and_then() -> None:
    """Half a level a second changes the whole view every dozen seconds; one detection each time is enough."""
    assert len(detections(settled(watch__awake_s=0.0, **NEVER), room(60.0, from_s=5.0, drift=0.5))) <= 5


def test_a_camera_that_settles_its_exposure_does_not_wake_the_detector() -> None:
    assert detections(settled(**NEVER), room(2.0, from_s=5.0, drift=0.5)) == []


@pytest.mark.parametrize("speed", [30.0, 3.0, 0.3])
def test_a_person_who_comes_in_is_inspected_however_slowly(speed: float) -> None:
    """15 points are a shoulder's breadth. The detector never sees a view older than a step of two spots."""
    seen = detections(settled(watch__awake_s=0.0, **NEVER), room(20.0, from_s=5.0, person=15, speed=speed))
    assert seen[0] <= 5.0 + 2 / FPS
    covered = speed * max(b - a for a, b in itertools.pairwise([*seen, 25.0]))
    assert covered <= 8 + speed / FPS


def test_a_person_who_moves_is_inspected_at_the_configured_rate() -> None:
    seen = detections(settled(detect__every_s=0.2, **NEVER), room(3.0, from_s=5.0, person=15))
    assert {round(b - a, 3) for a, b in itertools.pairwise(seen)} == {0.2}
    assert len(detections(settled(detect__every_s=0.0, **NEVER), room(3.0, from_s=5.0, person=15))) == 45


def test_the_detector_stays_awake_for_a_while_after_a_change_then_sleeps() -> None:
    watch = settled(watch__awake_s=2.0, **NEVER)
    (first, *_) = seen = detections(watch, room(0.2, from_s=5.0, person=15)) + detections(watch, room(8.0, from_s=5.2))
    assert first + 1.8 <= seen[-1] <= first + 4.3  # gone: where that is still new after the first two seconds, two more
    assert len(seen) >= 14


def test_an_undecided_person_keeps_the_detector_awake_and_a_settled_one_now_and_then() -> None:
    assert len(detections(settled(**NEVER), room(3.0, from_s=5.0), Presence.OPEN)) == 45
    assert len(detections(settled(detect__undecided_s=0.1, **NEVER), room(3.0, from_s=5.0), Presence.OPEN)) >= 22
    every = settled(detect__undecided_s=0.5, detect__every_s=0.0, **NEVER)
    assert len(detections(every, room(3.0, from_s=5.0), Presence.OPEN)) == 45
    still = detections(settled(watch__still_s=0.5), room(3.0, from_s=5.0), Presence.SETTLED)
    assert 5 <= len(still) <= 7


@pytest.mark.parametrize("noise", [8.0, 12.0])
def test_the_noise_of_a_night_wakes_the_detector_no_more_once_learnt_and_a_person_does(noise: float) -> None:
    watch = watch_of(**NEVER)
    detections(watch, room(60.0, noise=noise))
    assert detections(watch, room(30.0, from_s=60.0, noise=noise)) == []
    assert detections(watch, room(1.0, from_s=90.0, noise=noise, person=15))


def test_a_light_switched_on_is_inspected() -> None:
    watch = settled(**NEVER)
    brighter = (Frame(EMPTY, f.luma // 2 + 90, f.captured_s, f.index) for f in room(1.0, from_s=5.0))
    assert detections(watch, brighter)


def test_without_the_gate_every_frame_that_is_due_is_inspected() -> None:
    assert len(detections(watch_of(watch__gate=False, detect__every_s=0.0), room(3.0))) == 45
    assert len(detections(watch_of(watch__gate=False), room(3.0))) == 23


@pytest.mark.parametrize(("contrast", "noticed"), [(20, True), (100, False)])
def test_a_person_is_noticed_if_they_differ_by_the_configured_contrast(contrast: int, noticed: bool) -> None:
    """They differ by 60 levels from the wall, and a quiet picture must not raise the limit."""
    watch = settled(watch__contrast=contrast, **NEVER)
    assert bool(detections(watch, room(3.0, from_s=5.0, person=15))) is noticed


def left_half_ignored() -> Watch:
    settings = config.load(None, {"watch.recheck_s": 10_000.0})
    cells = Regions(ignore=[[(0, 0), (0.5, 0), (0.5, 1), (0, 1)]]).cells(COLUMNS, ROWS)
    watch = Watch(settings.watch, settings.detect, cells)
    detections(watch, room(5.0))
    return watch


def street(seconds: float, from_s: float, right: bool) -> Iterator[Frame]:
    """A room in whose left or right half people walk all the time."""
    for frame in room(seconds, from_s, person=12):
        luma = frame.luma.copy()
        luma[:, 80:] = luma[:, :80] if right else 100
        luma[:, :80] = 100 if right else luma[:, :80]
        yield Frame(EMPTY, luma, frame.captured_s, frame.index)


def test_people_behind_glass_do_not_wake_the_detector() -> None:
    assert detections(left_half_ignored(), street(4.0, 5.0, right=False)) == []
    assert len(detections(left_half_ignored(), street(4.0, 5.0, right=True))) > 10
    assert len(detections(settled(), street(4.0, 5.0, right=False))) > 10


def test_one_watched_spot_is_enough_to_wake_the_detector() -> None:
    settings = config.load()
    small = Regions(only=[[(0.5, 0.5), (0.52, 0.5), (0.52, 0.53), (0.5, 0.53)]]).cells(COLUMNS, ROWS)
    assert small is not None
    assert 1 <= small.sum() <= 4
    watch = Watch(settings.watch, settings.detect, small)
    detections(watch, room(2.0, noise=0.5))
    assert detections(watch, (Frame(EMPTY, np.full((120, 160), 160, np.uint8), 3 + i / FPS, i) for i in range(5)))
