"""Pictures are cut and stretched as training and the door do it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from converter.calibrate import Fit, gather, list_entries
from converter.noise import Progress
from edge.contracts import Box
from edge.errors import DataError
from edge.inference.picture_file import write_rgb
from edge.stages.classify import crop_face
from edge.stages.detect import letterbox
from tests.edge.parts import texture
from training.data import stretched


@pytest.mark.parametrize(("height", "width"), [(60, 40), (40, 60), (90, 24), (24, 90), (20, 20), (200, 150)])
def test_whole_pictures_are_stretched_as_training_does(height: int, width: int) -> None:
    """Whichever side is the longer: of a picture higher than wide, and narrower than the model, as well."""
    image = texture(height, width)
    np.testing.assert_array_equal(Fit(32, 32, False, 0.2)(image, None), stretched(image, 32))


def test_faces_are_cut_as_at_the_door() -> None:
    image, box = texture(120, 160), Box(30.0, 20.0, 75.0, 90.0)
    np.testing.assert_array_equal(Fit(32, 32, False, 0.2)(image, box), crop_face(image, box, 0.2, (32, 32)))


def test_scenes_are_letterboxed_as_at_the_door() -> None:
    image = texture(120, 160)
    np.testing.assert_array_equal(Fit(64, 96, True, 0.0)(image, None), letterbox(image, 64, 96)[0])


def test_a_byte_order_mark_is_read_past_as_in_training(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("image,label,group,split\na.png,x,1,test\nb.png,y,2,train\n", "utf-8-sig")
    assert [(entry.label, entry.split) for entry in list_entries(tmp_path, detector=False)] == [
        ("x", "test"),
        ("y", "train"),
    ]
    table = tmp_path / "boxes.csv"
    row = "{},train,64,64,0,0,32,32,with_mask\n"
    header = "image,split,width,height,xmin,ymin,xmax,ymax,label\n"
    table.write_text(header + row.format("a.png") + row.format("b.png"), "utf-8-sig")
    assert [entry.label for entry in list_entries(table, detector=False)] == ["with_mask", "with_mask"]


def test_pictures_whose_names_are_not_utf_8_are_read_and_named_escaped(tmp_path: Path) -> None:
    for label in ("with_mask", "without_mask"):
        for seed in range(3):
            path = tmp_path / label / os.fsdecode(b"T\xfcr%d.png" % seed)
            path.parent.mkdir(exist_ok=True)
            write_rgb(path, texture(40, 40, seed))
    (tmp_path / "with_mask" / os.fsdecode(b"\xfc.png")).write_bytes(b"no picture")
    found = gather(tmp_path, Fit(32, 32, False, 0.2), 4, 3, 1, Progress(None))
    names = [name for name in (*found.fit.names, *found.proof.names) if "T" in Path(name).name]
    assert sorted(Path(name).name for name in names) == sorted(2 * [rf"T\udcfcr{i}.png" for i in range(3)])
    assert found.notes[0].encode().endswith(rb"with_mask/\udcfc.png")


def test_a_class_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    for label in ("with_mask", os.fsdecode(b"ohne_\xfc")):
        (tmp_path / label).mkdir()
        write_rgb(tmp_path / label / "a.png", texture(40, 40))
    with pytest.raises(DataError, match="the name is not valid UTF-8"):
        list_entries(tmp_path, detector=False)
