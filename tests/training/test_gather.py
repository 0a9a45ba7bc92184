"""Tables gathered from several sets: no twin of a test picture, no group torn apart, no negative on a face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converter import tables
from converter.tables import LabelledFace, Picture
from edge.contracts import Box
from edge.errors import DataError
from tests.training.conftest import save, wall, write_table
from training import data, gather

HEADER = ("image", "split", "width", "height", "xmin", "ymin", "xmax", "ymax", "label")


def scene(seed: int) -> np.ndarray:
    """A picture (60, 80, 3) that resembles no other: blocks of random brightness."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 1)).astype(np.uint8)
    return np.repeat(np.repeat(np.repeat(blocks, 10, axis=0), 10, axis=1), 3, axis=2)


@pytest.fixture
def two_sets(tmp_path: Path) -> tuple[Path, Path]:
    """Set a: 30 pictures, the first for testing. Set b: brighter copies of the first two of a, and ten others."""
    for name, count, first in (("a", 30, 0), ("b", 12, 100)):
        rows = []
        for i in range(count):
            image = scene(first + i)
            if name == "b" and i < 2:
                image = np.clip(scene(i).astype(int) + 9, 0, 255).astype(np.uint8)
            save(tmp_path / name / "images" / f"{name}{i:02}.png", image)
            split = "test" if name == "a" and i == 0 else "train"
            rows.append((f"{name}{i:02}.png", split, 80, 60, 10, 10, 40, 40, "with_mask"))
        write_table(tmp_path / name / "boxes.csv", HEADER, rows)
    return tmp_path / "a" / "boxes.csv", tmp_path / "b" / "boxes.csv"


def test_twins_of_test_pictures_are_left_out_and_groups_stay_together(
    two_sets: tuple[Path, Path], tmp_path: Path
) -> None:
    given = [(path, tables.read_boxes(path), 0.5) for path in two_sets]
    done = gather.gather(given, [], tmp_path / "out")
    assert [(one.pictures, one.twins) for one in done] == [(30, 0), (11, 1)]
    first, second = (tables.read_boxes(one.path) for one in done)
    assert {picture.split for picture in first} == {"train", "validation", "test"}
    by_name = {picture.path.name: picture for picture in first + second}
    assert "b00.png" not in by_name
    assert by_name["a01.png"].group == by_name["b01.png"].group
    assert by_name["a01.png"].split == by_name["b01.png"].split
    assert by_name["a02.png"].group != by_name["a03.png"].group
    # What the tables keep for validation, training keeps as well.
    assert {p.path.name for p in data.divide(first)[1]} == {p.path.name for p in first if p.split == "validation"}


def test_negatives_on_a_face_are_refused() -> None:
    face, head = Box(10, 10, 50, 50), Box(100, 10, 140, 50)
    picture = Picture(
        Path("x.jpg"), (LabelledFace(face, "with_mask"), LabelledFace(head, tables.IGNORE)), "", "train", "x", "x.jpg"
    )
    places = {"x.jpg": [Box(12, 12, 48, 48), Box(105, 12, 150, 60), Box(200, 10, 240, 50), Box(201, 10, 241, 50)]}
    with_boxes, refused = gather.attached(picture, [places])
    assert refused == 2
    assert [face.box for face in with_boxes.faces if face.label == data.NOT_A_FACE] == [Box(200, 10, 240, 50)]


def test_a_joint_group_stays_on_the_training_side() -> None:
    names = [f"group {i}" for i in range(40)]
    low, high = min(names, key=data.draw_of), max(names, key=data.draw_of)
    pictures = [Picture(Path(name), (), "", "train", name, name) for name in (low, high)]
    assert gather.group_names(pictures, [(0, 1)]) == [high, high]
    assert gather.group_names(pictures, []) == [low, high]


def test_class_folders_become_a_split(class_folders: Path, tmp_path: Path) -> None:
    done = gather.gather([(class_folders, tables.read_folders(class_folders), 0.12)], [], tmp_path / "out")
    read = tables.read_folders(done[0].path.parent)
    assert {picture.label for picture in read} == {"with_mask", "without_mask"}
    assert all(picture.path.is_file() for picture in read)


def test_rooms_get_boxes_inside_them(tmp_path: Path) -> None:
    save(tmp_path / "images" / "room.png", wall(90, 120, 1))
    (tmp_path / "images.csv").write_text("image,split\nroom.png,train\n", encoding="utf-8")
    (room,) = data.read_pictures(tmp_path / "images.csv")
    faces = gather.with_random_boxes(room, np.random.default_rng(1)).faces
    assert len(faces) == gather.ROOM_BOXES
    for face in faces:
        assert face.label == data.NOT_A_FACE
        assert 0 <= face.box.xmin < face.box.xmax <= 120
        assert 0 <= face.box.ymin < face.box.ymax <= 90


def test_bad_tables(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("image,xmin\nx.jpg,1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"t.csv:2: not a box"):
        gather.read_negatives(table)
    table.write_text("name\nx.jpg\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"t.csv:2: names no picture"):
        data.read_pictures(table)
