"""The teacher, where the data sets and with them a YuNet file are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter import tables
from edge.errors import DataError
from training import teacher


def test_a_missing_teacher(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give the path of a YuNet"):
        teacher.draw_boxes([], tmp_path / "none.onnx", tmp_path / "boxes.csv")


@pytest.mark.data
def test_boxes_on_class_folders_can_be_read_from_anywhere(shared_data: Path, tmp_path: Path) -> None:
    pictures = tables.read_folders(shared_data / "classify")[:12]
    table = tmp_path / "deep" / "boxes.csv"
    table.parent.mkdir()
    kept, faces = teacher.draw_boxes(pictures, shared_data / "peers" / "yunet_n_dynamic.onnx", table)
    assert 6 <= kept <= faces
    read = tables.read_boxes(table)
    assert len(read) == kept
    assert all(picture.path.is_file() for picture in read)
    assert {face.label for picture in read for face in picture.faces} <= {"with_mask", "without_mask", tables.IGNORE}
