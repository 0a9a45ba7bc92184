"""Hints for aiming: what is wrong with a picture, and that a hint holds before it is shown."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.contracts import Box, Face, Frame, Image, Step
from edge.page_service.hints import MIN_SAMPLES, OLD_S, SAMPLE_S, Doubt, Hints, of_faces, of_picture
from edge.page_service.live import LiveView
from tests.edge.page_service.parts import LIVE, Clock, settings, with_faces


def frame(image: Image) -> Frame:
    return Frame(image, None, 0.0, 0)


def blurred(image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 8), np.uint8)


def darkened(image: Image, box: Box, factor: float) -> Image:
    """Return a picture whose face is dark, and whose surroundings are not."""
    made = image.copy()
    rows, columns = slice(int(box.ymin), int(box.ymax)), slice(int(box.xmin), int(box.xmax))
    made[rows, columns] = (made[rows, columns] * factor).astype(np.uint8)
    return made


def test_a_well_aimed_camera_has_no_doubts() -> None:
    step = with_faces()
    assert list(of_picture(step.frame)) == []
    assert list(of_faces(step.frame, [step.tracks[0].box], 24)) == []


def test_light_and_focus() -> None:
    step = with_faces()
    image, box = step.frame.image, step.tracks[0].box
    assert list(of_picture(frame((image * 0.1).astype(np.uint8)))) == [Doubt.DARK]
    assert list(of_picture(frame((image * 0.3).astype(np.uint8)))) == []
    assert list(of_faces(frame(darkened(image, box, 0.1)), [box], 24)) == [Doubt.BACKLIT]
    assert Doubt.BACKLIT not in of_faces(frame((image * 0.15).astype(np.uint8)), [box], 24), "all of it is dark"
    assert list(of_faces(frame(blurred(image)), [box], 24)) == [Doubt.BLURRED]


@pytest.mark.parametrize(
    ("box", "doubts"),
    [
        (Box(300, 200, 318, 218), {Doubt.SMALL}),
        (Box(300, 200, 330, 230), {Doubt.FAR}),
        (Box(20, 100, 620, 400), {Doubt.LARGE}),
        (Box(0, 150, 80, 230), {Doubt.LEFT}),
        (Box(560, 150, 640, 230), {Doubt.RIGHT}),
        (Box(280, 400, 360, 479), {Doubt.LOW}),
        (Box(280, 380, 360, 460), {Doubt.LOW}),
        (Box(280, 0, 360, 90), {Doubt.HIGH}),
        (Box(280, 150, 360, 230), set()),
    ],
)
def test_size_and_place_of_the_largest_face(box: Box, doubts: set[Doubt]) -> None:
    image = np.random.default_rng(1).integers(60, 200, (480, 640, 3), np.uint8)
    assert set(of_faces(frame(image), [Box(100, 100, 110, 110), box], 24)) == doubts


class Aiming:
    """Hints about one camera over time."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.view, self.hints = LiveView(self.clock, lambda: 0.0, lambda settings: ()), Hints(self.clock)
        for listener in (self.view, self.hints):
            listener.on_settings(settings())

    def ask(self, step: Step, after_s: float = SAMPLE_S) -> tuple[str, ...]:
        self.clock.now_s += after_s
        self.view.on_step(step, LIVE)
        steps = self.view.steps_of("")
        assert steps is not None
        return self.hints.of("", steps)


def dark(step: Step) -> Step:
    shown = replace(step.frame, image=(step.frame.image * 0.05).astype(np.uint8), given_luma=None)
    return replace(step, frame=shown, faces=(), tracks=(), passages=())


def test_a_hint_must_hold_and_ends_with_its_reason() -> None:
    aiming, step = Aiming(), with_faces()
    assert [bool(aiming.ask(dark(step))) for _ in range(MIN_SAMPLES)] == [False] * (MIN_SAMPLES - 1) + [True]
    assert aiming.ask(dark(step)) == (Doubt.DARK.value,)
    shown = [bool(aiming.ask(step)) for _ in range(8)]
    assert shown[0]
    assert not shown[-1]


def test_one_odd_picture_is_no_hint() -> None:
    aiming, step = Aiming(), with_faces()
    for number in range(20):
        assert aiming.ask(dark(step) if number == 10 else step) == ()


def test_pictures_that_follow_at_once_are_one_sample() -> None:
    aiming, step = Aiming(), with_faces()
    assert not any(aiming.ask(dark(step), after_s=0.01) for _ in range(30))


def test_samples_of_long_ago_do_not_count() -> None:
    aiming, step = Aiming(), with_faces()
    for _ in range(MIN_SAMPLES):
        aiming.ask(dark(step))
    assert aiming.ask(dark(step), after_s=OLD_S) == ()


def test_a_picture_without_a_face_says_nothing_of_faces() -> None:
    aiming, step = Aiming(), with_faces()
    small = replace(step, faces=(Face(Box(300, 200, 318, 218), 0.9),))
    for _ in range(MIN_SAMPLES):
        aiming.ask(small)
    for _ in range(4):
        assert aiming.ask(replace(step, faces=())) == (Doubt.SMALL.value,)


def test_a_doubtful_face_says_nothing() -> None:
    aiming, step = Aiming(), with_faces()
    for _ in range(8):
        assert aiming.ask(replace(step, faces=(Face(Box(300, 200, 318, 218), 0.21),))) == ()
