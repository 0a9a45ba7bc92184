"""The votes on how a camera hangs, with a classifier that knows which way a face is turned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edge.contracts import Box, Face, Frame, Observation, View
from edge.stages.upright import INTERVAL_S, UprightCheck


class Marked:
    """Classifier that takes a box for a face if its upper left quarter is white; it counts its calls."""

    def __init__(self, has_background: bool = True) -> None:
        self.calls, self._has_background = 0, has_background

    def classify(self, frame: Frame, views: Sequence[View]) -> list[Observation]:
        self.calls += 1
        (view,) = views
        xmin, ymin, xmax, ymax = (round(v) for v in view.face.box)
        quarter = frame.image[ymin : (ymin + ymax) // 2, xmin : (xmin + xmax) // 2]
        assert quarter.size
        background = 0.02 if quarter.mean() > 200 else 0.7
        return [Observation({"with_mask": 1.0}, 1.0, background if self._has_background else None)]


def frame_and_face(turns: int, x: int, y: int) -> tuple[Any, Box]:
    """Return a picture with a marked face, turned counterclockwise by ``turns`` quarters, and its box."""
    image = np.zeros((96, 128, 3), np.uint8)
    box = Box(x, y, x + 20, y + 24)
    mark = np.zeros((24, 20, 3), np.uint8)
    mark[:12, :10] = 255
    image[y : y + 24, x : x + 20] = mark
    width = 128.0
    for _ in range(turns):
        box = Box(box.ymin, width - box.xmax, box.ymax, width - box.xmin)
        width = 96.0 if width == 128.0 else 128.0
    return np.rot90(image, turns), box


def votes(check: UprightCheck, turns: int, seconds: float, place: tuple[int, int] = (50, 30)) -> list[int]:
    """Return the votes of ten frames a second."""
    image, box = frame_and_face(turns, *place)
    found = (check.check(Frame(image, None, i / 10, i), [Face(box, 0.9)]) for i in range(round(seconds * 10)))
    return [turned.degrees for turned in found if turned is not None]


@pytest.mark.parametrize("place", [(50, 30), (0, 0), (108, 72)])
@pytest.mark.parametrize(("turns", "degrees"), [(1, 90), (2, 180), (3, 270)])
def test_a_turned_face_votes_for_the_turn_that_makes_it_upright(
    turns: int, degrees: int, place: tuple[int, int]
) -> None:
    seen = votes(UprightCheck(Marked()), turns, 20, place)
    assert set(seen) == {degrees}
    assert len(seen) == pytest.approx(20 / INTERVAL_S[0], abs=1)


def test_upright_faces_are_checked_rarely() -> None:
    seen = votes(UprightCheck(Marked()), 0, 60)
    assert seen == [0] * round(60 / INTERVAL_S[1])


def test_an_empty_doorway_and_faint_faces_cost_nothing() -> None:
    classifier = Marked()
    check = UprightCheck(classifier)
    image, box = frame_and_face(2, 50, 30)
    for i in range(1000):
        assert check.check(Frame(image, None, i / 10, i), [Face(box, 0.3)] if i % 2 else []) is None
    assert classifier.calls == 0


def test_a_model_without_a_background_label_gives_no_vote() -> None:
    classifier = Marked(has_background=False)
    assert votes(UprightCheck(classifier), 2, 60) == []
    assert classifier.calls == 4
