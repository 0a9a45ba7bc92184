"""Hard negatives: what counts as one, and their way into a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter import tables
from converter.tables import LabelledFace, Picture
from edge.contracts import Box
from edge.errors import DataError
from edge.stages.detect import FaceDetector
from tests.edge.parts import detector_of
from training import data, negatives

FACE = Box(10, 10, 50, 50)


@pytest.mark.parametrize(
    ("box", "clear"),
    [
        (Box(60, 10, 90, 40), True),
        (Box(45, 10, 85, 50), True),  # a ninth of it
        (Box(20, 20, 30, 30), False),  # an eye
        (Box(0, 0, 200, 200), True),  # a body around a small face
        (Box(35, 10, 75, 50), False),
    ],
)
def test_a_negative_has_next_to_nothing_of_a_face(box: Box, clear: bool) -> None:
    assert negatives.clear_of(box, FACE) is clear


def picture(path: Path, name: str, split: str = "train") -> Picture:
    return Picture(path, (LabelledFace(FACE, "with_mask"),), "", split, name, name)


def test_boxes_are_added_by_path_or_by_name(tmp_path: Path) -> None:
    ours = [
        picture(tmp_path / "a.png", "a.png"),
        picture(tmp_path / "b.png", "b.png"),
        picture(tmp_path / "c.png", "c"),
    ]
    hand = LabelledFace(Box(60, 10, 90, 40), data.NOT_A_FACE)
    by_path = Picture(tmp_path / "a.png", (hand,), "", "train", "a", str(tmp_path / "a.png"))
    by_name = Picture(Path("/elsewhere/b.png"), (hand,), "", "train", "b", "b.png")
    labels = [[face.label for face in p.faces] for p in negatives.added(ours, [by_path, by_name])]
    assert labels == [["with_mask", data.NOT_A_FACE], ["with_mask", data.NOT_A_FACE], ["with_mask"]]


def test_only_training_pictures_are_mined(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mined there only"):
        negatives.mine([picture(tmp_path / "a", "a", "test")], detector_of([]), tmp_path / "none", tmp_path / "n")


@pytest.mark.data
def test_mining_the_first_pictures(shared_data: Path, tmp_path: Path) -> None:
    from edge import config
    from edge.service import models

    pictures = [p for p in tables.read_boxes(shared_data / "boxes" / "boxes.csv") if p.split == "train"][:4]
    detector = models.load_model(config.load().model, "detector")
    out = tmp_path / "negatives.csv"
    teacher = shared_data / "peers" / "yunet_n_dynamic.onnx"
    _, found = negatives.mine(pictures, FaceDetector(detector, 0.05), teacher, out)
    assert found > 0
    read = tables.read_boxes(out)
    assert {p.path for p in read} <= {p.path.resolve() for p in pictures}
    assert {face.label for p in read for face in p.faces} == {data.NOT_A_FACE}
    truth = {p.path.resolve(): p.faces for p in pictures}
    assert all(negatives.clear_of(n.box, f.box) for p in read for n in p.faces for f in truth[p.path])
