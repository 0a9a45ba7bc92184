"""Reading tables and folders, and dividing them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from converter import tables
from edge.errors import DataError
from training import data

Write = Callable[[str, str], Path]


def test_boxes_come_in_the_tables_order(boxes_table: Path) -> None:
    pictures = tables.read_boxes(boxes_table)
    assert [picture.name for picture in pictures] == [f"{i:03}.png" for i in range(24)]
    assert pictures[3].path.is_file()
    assert [face.box.width for face in pictures[3].faces] == [30, 60]


def test_class_folders_honour_their_split(class_folders: Path) -> None:
    pictures = tables.read_folders(class_folders)
    assert {picture.split for picture in pictures} == {"train", "test"}
    assert len(data.of_split(pictures, "test")) == 12


def test_class_folders_without_a_split_keep_near_duplicates_together(class_folders: Path, tmp_path: Path) -> None:
    for label in ("with_mask", "without_mask"):
        (tmp_path / label).mkdir()
        for source in sorted((class_folders / label).iterdir())[:3]:
            for copy in ("a", "b"):
                (tmp_path / label / f"{source.stem}{copy}.png").write_bytes(source.read_bytes())
    pictures = tables.read_folders(tmp_path)
    assert len(pictures) == 12
    assert {p.name[-5] for p in pictures if p.group == pictures[0].group} >= {"a", "b"}


def test_validation_is_carved_out_of_train_and_whole_groups_only(class_folders: Path) -> None:
    pictures = tables.read_folders(class_folders)
    train, validation = data.divide(pictures)
    assert validation
    assert not {p.group for p in train} & {p.group for p in validation}
    assert len(train) + len(validation) == 28
    assert data.of_split(pictures, "validation") == validation
    assert data.of_split(pictures, "all") == pictures


def test_an_unknown_split_is_told(class_folders: Path) -> None:
    with pytest.raises(DataError, match="found test, train"):
        data.of_split(tables.read_folders(class_folders), "tset")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,xmin,ymin,xmax,ymax,label\na.png,1,2,x,4,with_mask\n", "b.csv:2: not a labelled box"),
        ("image,label\na.png,with_mask\n", "b.csv:2: not a labelled box"),
        ("image,xmin,ymin,xmax,ymax,label\n", "holds no boxes"),
    ],
)
def test_bad_tables(write_csv: Write, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        tables.read_boxes(write_csv("b.csv", text))


def test_bad_splits(write_csv: Write) -> None:
    table = write_csv("split.csv", "image,label\na.png,with_mask\n")
    with pytest.raises(DataError, match="expected the columns image,label,split"):
        tables.read_folders(table.parent)


def test_tables_of_other_programs(tmp_path: Path) -> None:
    table = tmp_path / "b.csv"
    table.write_bytes("image,xmin,ymin,xmax,ymax,label\na.png,1,2,3,4,with_mask\n".encode("utf-16"))
    with pytest.raises(DataError, match="not a CSV in UTF-8"):
        tables.read_boxes(table)
    table.write_text("image,xmin,ymin,xmax,ymax,label\na.png,1,2,3,4,with_mask\n", encoding="utf-8-sig")
    assert tables.read_boxes(table)[0].name == "a.png"


def test_missing_places(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read this table"):
        tables.read_boxes(tmp_path / "none.csv")
    with pytest.raises(DataError, match="no such folder"):
        tables.read_folders(tmp_path / "none")
    with pytest.raises(DataError, match="expected two or more"):
        tables.read_folders(tmp_path)
    with pytest.raises(DataError, match="cannot be read as a picture"):
        data.read_rgb(tmp_path / "none.png")


def test_pictures_are_rgb_and_boxes_scale_with_them(boxes_table: Path) -> None:
    image, faces = data.load_faces(tables.read_boxes(boxes_table)[1])
    x, y = (int(v) for v in faces[1].box.centre)
    assert image.shape == (120, 160, 3)
    assert image[y, x, 0] > image[y, x, 2]  # skin is red before it is blue


@pytest.mark.parametrize("longest", [64, 20, 500])
def test_shrunk_never_grows(longest: int) -> None:
    image = np.zeros((100, 80, 3), np.uint8)
    assert max(data.shrunk(image, longest).shape) == min(longest, 100)
    assert data.stretched(image, 48).shape == (48, 48, 3)


def test_pictures_whose_names_no_table_can_hold_are_refused(class_folders: Path, tmp_path: Path) -> None:
    for label in ("with_mask", "without_mask"):
        source = next((class_folders / label).iterdir())
        (tmp_path / label).mkdir()
        (tmp_path / label / os.fsdecode(b"T\xfcr.png")).write_bytes(source.read_bytes())
    with pytest.raises(DataError, match=r"T\\udcfcr\.png: the name is not valid UTF-8"):
        tables.read_folders(tmp_path)
