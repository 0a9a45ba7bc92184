"""People at a simulated door: the scripted detector and model read them, and fmd's stages decide them right."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise

import pytest

from edge import config
from edge.camera.picture import PictureMonitor
from edge.contracts import LABELS, WITH_MASK, CameraState, Decision, Outcome
from edge.stages.alert import Alert
from simulation.fleet.scene import Pictures, Scene, ScriptedDetector, pipeline_of, visits

FPS = 8.0


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return Pictures.drawn()


def test_people_come_one_at_a_time_as_often_as_asked_with_every_label() -> None:
    some = list(islice(visits(seed=3, every_s=60.0, from_s=100.0), 2000))
    assert all(before.to_s < after.from_s for before, after in pairwise(some))
    assert (some[-1].to_s - 100.0) / len(some) == pytest.approx(60.0, rel=0.05)
    assert {visit.label for visit in some} == set(LABELS)
    assert list(islice(visits(3, 60.0, 100.0), 5)) == some[:5]


def test_each_person_is_decided_once_as_the_mask_is_worn(pictures: Pictures) -> None:
    settings = config.load(None, {"camera.fps": FPS})
    scene, people = Scene(5, 12.0, 0.0), list(islice(visits(5, 12.0, 0.0), 20))
    pipeline = pipeline_of(settings, Alert(settings.alert, None, None), ScriptedDetector(Scene(5, 12.0, 0.0)), 5)
    decided: list[Decision] = []
    for i in range(int(people[-1].to_s * FPS) + 30):
        decided += pipeline.step(pictures.frame(scene, i / FPS, i)).decisions
    first = [d.passage.outcome for d in decided if d.change.value == "decided"][: len(people)]
    wanted = [Outcome.COMPLIANT if visit.label == WITH_MASK else Outcome.VIOLATION for visit in people]
    assert first == wanted


def test_two_readers_of_one_camera_may_ask_at_once() -> None:
    before, scene = sys.getswitchinterval(), Scene(1, 10.0, 0.0)
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(scene.visit, range(0, 200_000, 20)))
    finally:
        sys.setswitchinterval(before)


def test_a_working_camera_is_never_taken_for_a_dark_or_a_frozen_one(pictures: Pictures) -> None:
    settings = config.load(None, {}).camera
    monitor, scene = PictureMonitor(settings, settings.frozen_s), Scene(1, 20.0, 0.0)
    states = {monitor.update(pictures.frame(scene, i / FPS, i), i / FPS) for i in range(400)}
    assert states == {CameraState.STREAMING}
