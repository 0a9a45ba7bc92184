"""Hard conditions and bands of brightness, on pictures and matches made here."""

from __future__ import annotations

import numpy as np
import pytest

from converter.tables import IGNORE, LabelledFace
from edge.contracts import Box
from tests.training.conftest import wall
from training import robustness, score
from training.score import Match, Predicted

FACE = LabelledFace(Box(60, 40, 100, 90), "with_mask")


def match(label: str, said: str | None) -> Match:
    found = None if said is None else Predicted(FACE.box, 0.9, said)
    return Match("a", LabelledFace(FACE.box, label), found)


@pytest.mark.parametrize("name", robustness.CONDITIONS)
def test_each_condition_keeps_the_size_and_all_faces_but_the_original_changes_nothing(name: str) -> None:
    image = wall(120, 160, 1)
    changed, faces = robustness.CONDITIONS[name](image, (FACE, FACE))
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
    assert len(faces) == 2
    assert np.array_equal(changed, image) is (name == "original")


def test_boxes_turn_with_the_picture() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    image[20:30, 95:105] = 255
    face = LabelledFace(Box(90, 15, 110, 35), "with_mask")
    changed, (turned,) = robustness.rotated(90)(image, (face,))
    y, x = np.argwhere(changed[..., 0] > 128).mean(axis=0)
    assert turned.box.centre == pytest.approx((x, y), abs=1.5)
    assert (turned.box.width, turned.box.height) == (20, 20)


def test_a_face_turned_out_of_the_picture_is_ignored() -> None:
    corner = LabelledFace(Box(0, 0, 30, 30), "with_mask")
    _, (turned,) = robustness.rotated(45)(np.zeros((200, 200, 3), np.uint8), (corner,))
    assert turned.label == IGNORE


@pytest.mark.parametrize(
    ("label", "said", "right"),
    [
        ("with_mask", "with_mask", True),
        ("without_mask", "with_incorrect_mask", True),
        ("with_incorrect_mask", "with_mask", False),
        ("with_mask", "", False),
        ("without_mask", None, False),
    ],
)
def test_a_face_is_right_on_its_side(label: str, said: str | None, right: bool) -> None:
    assert score.is_right(match(label, said)) is right


def test_the_loss_is_on_the_faces_that_a_condition_keeps() -> None:
    good, bad = match("with_mask", "with_mask"), match("without_mask", None)
    matched = {"original": {("a", 0): good, ("a", 1): good, ("a", 2): bad}, "dark": {("a", 0): good, ("a", 1): bad}}
    original, dark = robustness.results(matched)
    assert (original.faces, original.lost) == (3, 0)
    assert (dark.faces, dark.right_side, dark.lost) == (2, 0.5, 0.5)
    assert dark.recall == 0.5


def test_a_dark_band_that_is_worse_fails() -> None:
    matches = {("a", i): match("with_mask", None if i < 30 else "with_mask") for i in range(200)}
    brightness = {("a", i): float(i) for i in range(200)}
    dark, *others = robustness.bands(matches, brightness)
    assert (dark.low, dark.high, dark.faces, dark.right_side) == (0, 49, 50, 0.4)
    assert dark.fails
    assert not any(band.fails for band in others)


def test_the_brow_is_in_the_upper_part_of_the_box() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    image[47:53, 74:86] = 200
    assert robustness.brow_brightness(image, FACE.box) > 80
    assert robustness.brow_brightness(image, Box(-40, -40, 10, 10)) == 0
