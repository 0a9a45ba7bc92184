"""Boxes of a detector in place of drawn ones."""

from __future__ import annotations

from converter.tables import IGNORE, LabelledFace
from edge.contracts import Box
from training import redraw


def test_each_box_finds_the_face_it_overlaps_most_and_only_one() -> None:
    left, right = LabelledFace(Box(0, 0, 40, 40), "with_mask"), LabelledFace(Box(100, 0, 140, 40), "without_mask")
    boxes = [Box(2, 0, 44, 42), Box(0, 1, 39, 41), Box(103, 0, 143, 40), Box(300, 0, 340, 40)]
    assert redraw.redrawn([left, right], boxes) == [
        LabelledFace(boxes[0], "with_mask"),
        LabelledFace(boxes[2], "without_mask"),
    ]


def test_a_face_that_no_box_finds_is_left_out() -> None:
    face = LabelledFace(Box(0, 0, 40, 40), "with_mask")
    assert redraw.redrawn([face], [Box(30, 30, 70, 70)]) == []


def test_what_is_beside_every_label_is_ignored() -> None:
    face, head = LabelledFace(Box(0, 0, 40, 40), "with_mask"), LabelledFace(Box(100, 0, 140, 40), IGNORE)
    boxes = [Box(4, 0, 44, 40), Box(104, 0, 144, 40), Box(300, 0, 340, 40)]
    assert redraw.others([face, head], boxes) == [LabelledFace(boxes[2], IGNORE)]
