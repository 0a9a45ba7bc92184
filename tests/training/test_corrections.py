"""Wrong labels put right, in the training split and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from converter import tables
from edge.contracts import LABELS
from edge.errors import DataError
from training import corrections

HEADER = "image,xmin,ymin,label_was,label_is,why\n"
Write = Callable[[str, str], Path]


def test_a_face_is_relabelled_and_the_rest_left(boxes_table: Path, write_csv: Write) -> None:
    file = write_csv("c.csv", HEADER + "000.png,12.4,20,with_mask,without_mask,the mouth is bare\n")
    pictures = tables.read_boxes(boxes_table)
    changed = corrections.apply(pictures, corrections.read(file))
    assert [face.label for face in changed[0].faces] == ["without_mask", "without_mask"]
    assert changed[0].faces[0].box == pictures[0].faces[0].box
    assert changed[1:] == pictures[1:]


def test_a_whole_picture_is_relabelled(class_folders: Path, write_csv: Write) -> None:
    file = write_csv("c.csv", HEADER + "with_mask/000.png,,,with_mask,without_mask,holds it in the hand\n")
    changed = corrections.apply(tables.read_folders(class_folders), corrections.read(file))
    assert changed[0].label == "without_mask"


def test_a_face_may_be_ignored(boxes_table: Path, write_csv: Write) -> None:
    file = write_csv("c.csv", HEADER + "000.png,12,20,with_mask,ignore,a statue\n")
    wanted = corrections.read(file)
    corrections.check(wanted, LABELS, ["000.png"])
    assert corrections.apply(tables.read_boxes(boxes_table), wanted)[0].faces[0].label == "ignore"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("020.png,32,20,with_incorrect_mask,with_mask,why", "only train may be corrected"),
        ("000.png,12,20,without_mask,with_mask,why", "0 faces of 000.png are labelled without_mask"),
        ("000.png,77,20,with_mask,without_mask,why", "0 faces"),
        ("000.png,12,x,with_mask,without_mask,why", "numbers"),
        ("000.png,12,20,with_mask,without_mask, ", "gives no reason"),
        ("000.png,12,20", "expected the columns"),
    ],
)
def test_what_cannot_be_made_is_told(boxes_table: Path, write_csv: Write, row: str, words: str) -> None:
    file = write_csv("c.csv", HEADER + row + "\n")
    with pytest.raises(DataError, match=words) as told:
        corrections.apply(tables.read_boxes(boxes_table), corrections.read(file))
    assert f"{file}:2" in str(told.value)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("000.png,12,20,with_mask,masked,why", "is no label"),
        ("gone.png,1,1,with_mask,ignore,why", "no picture gone.png"),
    ],
)
def test_unknown_labels_and_pictures(write_csv: Write, row: str, words: str) -> None:
    wanted = corrections.read(write_csv("c.csv", HEADER + row + "\n"))
    with pytest.raises(DataError, match=words):
        corrections.check(wanted, LABELS, ["000.png"])


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read this table"):
        corrections.read(tmp_path / "none.csv")


@pytest.mark.data
def test_the_shipped_corrections_fit_the_table_they_were_written_for(shared_data: Path) -> None:
    wanted = corrections.read(Path(corrections.__file__).with_name("train-label-corrections.csv"))
    pictures = tables.read_boxes(shared_data / "boxes" / "boxes.csv")
    corrections.check(wanted, LABELS, [picture.name for picture in pictures])
    changed = corrections.apply(pictures, wanted)
    differing = sum(a.faces != b.faces for a, b in zip(pictures, changed, strict=True))
    assert differing == len({correction.image for correction in wanted})
    assert all(a == b for a, b in zip(pictures, changed, strict=True) if a.split == "test")
