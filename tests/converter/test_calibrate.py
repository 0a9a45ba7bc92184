"""Pictures are cut and stretched as training and the door do it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from converter.calibrate import Calibration, Entry, Fit, Pictures, divide, gather, list_entries
from converter.evidence import composed
from converter.job import in_words_of
from converter.noise import ProgressLine
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
    found = gather(tmp_path, Fit(32, 32, False, 0.2), 4, 3, 1, ProgressLine(None), composed)
    names = [name for name in (*found.fit.names, *found.proof.names) if "T" in Path(name).name]
    assert sorted(Path(name).name for name in names) == sorted(2 * [rf"T\udcfcr{i}.png" for i in range(3)])
    assert found.notes[0].encode().endswith(rb"with_mask/\udcfc.png")


def test_a_class_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    for label in ("with_mask", os.fsdecode(b"ohne_\xfc")):
        (tmp_path / label).mkdir()
        write_rgb(tmp_path / label / "a.png", texture(40, 40))
    with pytest.raises(DataError, match="the name is not valid UTF-8"):
        list_entries(tmp_path, detector=False)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        (("a/1.png", "b/2.png"), [("a", ""), ("b", "")]),
        (("faces/a/1.png", "faces/b/2.png"), [("a", ""), ("b", "")]),
        (("x/y/a/1.png", "x/y/b/2.png"), [("a", ""), ("b", "")]),
        (("Test/a/1.png", "Train/b/2.png", "validation/b/3.png"), [("a", "test"), ("b", "train"), ("b", "val")]),
        (("data/test/a/1.png", "data/train/b/2.png"), [("a", "test"), ("b", "train")]),
        (("a/1.png", "a/2.png"), [("", ""), ("", "")]),
        (("1.png", "2.png"), [("", ""), ("", "")]),
        (("test/1.png", "train/2.png"), [("test", ""), ("train", "")]),
        (("a/1.png", "a/more/2.png", "b/3.png"), [("a", ""), ("a", ""), ("b", "")]),
    ],
)
def test_class_folders_are_found_below_others(
    layout: tuple[str, ...], expected: list[tuple[str, str]], tmp_path: Path
) -> None:
    for name in layout:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [(entry.label, entry.split) for entry in list_entries(tmp_path, detector=False)] == expected


def test_a_small_class_is_held_back_too() -> None:
    """Else the recall of 60 faces without a mask beside 600 with one would not be proven at all."""
    entries = [Entry(Path(f"m{i}.png"), "mask", "") for i in range(600)]
    entries += [Entry(Path(f"n{i}.png"), "no_mask", "") for i in range(60)]
    mine, held = divide(entries, 200, 1000, np.random.default_rng(1))
    assert not {e.path for e in mine} & {e.path for e in held}
    assert [sum(e.label == "no_mask" for e in part) for part in (mine, held)] == [40, 20]
    assert (len(mine), len(held)) == (200, 460)


def test_equal_classes_are_divided_as_ever() -> None:
    entries = [Entry(Path(f"{i}.png"), "ab"[i % 2], "") for i in range(90)]
    mine, held = divide(entries, 200, 10, np.random.default_rng(1))
    assert (len(mine), len(held)) == (80, 10)
    assert [sum(e.label == "a" for e in part) for part in (mine, held)] == [40, 5]


def test_names_without_a_meaning_get_the_folders_that_their_outputs_answer() -> None:
    """Else the recall of such labels would be missing in the gate."""
    images = np.zeros((2, 4, 4, 3), np.uint8)
    part = Pictures(images, ("with_mask", "without_mask"), ("1.png", "2.png"))
    pictures = Calibration(part, part, ("with_mask", "without_mask"), False, ())
    outputs = {"with_mask": 1, "without_mask": 0}
    assert in_words_of(("a", "b"), pictures, outputs).proof.labels == ("b", "a")
    assert in_words_of(("NoMask", "Mask"), pictures, outputs).proof.labels == ("Mask", "NoMask")
    assert in_words_of(("a", "b"), pictures).proof.labels == ("with_mask", "without_mask")
