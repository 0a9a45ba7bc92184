from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge import config
from edge.contracts import LABELS, Box, Image, Observation
from edge.errors import CameraError, DataError
from edge.reporting.predictor import (
    COLUMNS,
    PredictedFace,
    Predictor,
    named_frames,
    read_picture,
    write_header,
    write_json,
    write_rows,
)
from tests.edge.parts import BARE, MASKED, classifier_of, detector_of, face, texture, write_clip

CAMERA = config.load().camera


def refuse(error: CameraError) -> None:
    raise AssertionError(error)


def save(path: Path, picture: Image) -> Path:
    cv2.imwrite(str(path), picture[:, :, ::-1])
    return path


def predicted(box: Box, score: float, probabilities: Mapping[str, float] | None) -> PredictedFace:
    return PredictedFace(box, score, None if probabilities is None else Observation(probabilities, 1.0))


FACES = [predicted(Box(1.23, 2, 30.06, 40), 0.98765, BARE), predicted(Box(0, 0, 5, 5), 0.3, None)]


def test_rows_read_back_as_they_were_written() -> None:
    out = io.StringIO()
    write_header(out, LABELS)
    write_rows(out, 'a, "quoted" name.jpg', FACES, LABELS)
    sure, faint = csv.DictReader(io.StringIO(out.getvalue()))
    assert [*sure] == [*COLUMNS, "p_with_mask", "p_without_mask", "p_with_incorrect_mask"]
    assert list(sure.values()) == [
        'a, "quoted" name.jpg',
        *("1.2", "2", "30.1", "40", "0.9877", "without_mask"),
        *("0.02", "0.97", "0.01"),
    ]
    assert list(faint.values())[1:] == [*("0", "0", "5", "5", "0.3", ""), *("", "", "")]


def test_columns_of_probabilities_come_after_those_that_readers_know() -> None:
    """In the classifier's order, whatever it is."""
    out = io.StringIO()
    write_header(out, ("bare", "masked"))
    write_rows(out, "a.jpg", [predicted(Box(0, 0, 5, 5), 0.9, {"masked": 0.75, "bare": 0.25})], ("bare", "masked"))
    assert out.getvalue().splitlines() == [
        "image,xmin,ymin,xmax,ymax,score,label,p_bare,p_masked",
        "a.jpg,0,0,5,5,0.9,masked,0.25,0.75",
    ]


def test_a_line_of_json_is_a_picture_with_its_faces() -> None:
    out = io.StringIO()
    write_json(out, "a.jpg", texture(48, 64), FACES)
    write_json(out, "empty.jpg", texture(48, 64), [])
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first == {
        "image": "a.jpg",
        "width": 64,
        "height": 48,
        "faces": [
            {"box": [1.2, 2, 30.1, 40], "score": 0.9877, "label": "without_mask", "probabilities": dict(BARE)},
            {"box": [0, 0, 5, 5], "score": 0.3, "label": None, "probabilities": {}},
        ],
    }
    assert second == {"image": "empty.jpg", "width": 64, "height": 48, "faces": []}


def test_pictures_of_a_folder_come_in_order_of_name_and_in_rgb(tmp_path: Path) -> None:
    first, second = texture(20, 30, 1), texture(20, 30, 2)
    save(tmp_path / "b.png", second)
    save(tmp_path / "a.png", first)
    (tmp_path / "notes.txt").write_text("no picture")
    names, frames = zip(*named_frames(tmp_path, CAMERA, refuse), strict=True)
    assert names == ("a.png", "b.png")
    np.testing.assert_array_equal(frames[0].image, first)


def test_a_picture_that_cannot_be_read_is_told_and_the_next_ones_come(tmp_path: Path) -> None:
    for name in ("a.png", "c.png"):
        save(tmp_path / name, texture(20, 30))
    (tmp_path / "b.png").write_bytes(b"no picture")
    told: list[CameraError] = []
    assert [name for name, _ in named_frames(tmp_path, CAMERA, told.append)] == ["a.png", "c.png"]
    assert [str(error).split(":")[0] for error in told] == [str(tmp_path / "b.png")]
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(CameraError, match="not a picture"):
        named_frames(tmp_path / "a.png", CAMERA, refuse)


def test_one_picture_comes_by_its_name(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", texture(20, 30))
    assert [name for name, _ in named_frames(path, CAMERA, refuse)] == ["a.png"]


def test_frames_of_a_clip_come_numbered_and_once_even_where_the_settings_loop(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=4)
    looping = config.load(None, {"camera.loop": True}).camera
    assert [name for name, _ in named_frames(path, looping, refuse)] == [f"clip.mp4#{i}" for i in range(4)]


@pytest.mark.parametrize("name", ["clip.ts", "clip.flv", "clip.dav", "clip"])
def test_the_content_of_a_file_decides_whether_it_is_a_clip(tmp_path: Path, name: str) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=2).rename(tmp_path / name)
    assert [frame for frame, _ in named_frames(path, CAMERA, refuse)] == [f"{name}#0", f"{name}#1"]
    picture = save(tmp_path / "a.png", texture(20, 30)).rename(tmp_path / "picture")
    assert [frame for frame, _ in named_frames(picture, CAMERA, refuse)] == ["picture"]
    (tmp_path / "text.ts").write_text("text")
    with pytest.raises(CameraError, match=r"text\.ts: neither a picture nor a video that OpenCV can read"):
        named_frames(tmp_path / "text.ts", CAMERA, refuse)


def test_a_source_that_is_not_there_is_told_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="no such file or folder"):
        named_frames(tmp_path / "nowhere.jpg", CAMERA, refuse)
    with pytest.raises(CameraError, match="no pictures in this folder"):
        named_frames(tmp_path, CAMERA, refuse)


def test_faint_faces_are_found_but_not_judged() -> None:
    predictor = Predictor(detector_of([face(16, 16, 12), face(48, 48, 12, 0.2)]), classifier_of(BARE))
    sure, faint = predictor.predict(texture(64, 64))
    assert (round(sure.score, 2), round(faint.score, 2)) == (0.9, 0.2)
    assert (sure.label, faint.label) == ("without_mask", None)
    assert sure.probabilities == pytest.approx(dict(BARE))
    assert (faint.observation, dict(faint.probabilities)) == (None, {})


def test_a_picture_of_another_type_or_shape_is_refused() -> None:
    predictor = Predictor(detector_of([]), classifier_of(BARE))
    picture = texture(64, 64)
    for wrong, got in [
        (picture / 255, "float64 (64, 64, 3)"),
        (picture[:, :, 0], "uint8 (64, 64)"),
        (np.zeros((64, 64, 4), np.uint8), "uint8 (64, 64, 4)"),
        (np.zeros((0, 64, 3), np.uint8), "uint8 (0, 64, 3)"),
        ("door.jpg", "str"),
    ]:
        with pytest.raises(DataError, match=re.escape(f"picture: got {got}, expected uint8 (height, width, 3)")):
            predictor.predict(wrong)  # type: ignore[arg-type]


def test_a_picture_is_read_in_rgb_whatever_names_it(tmp_path: Path) -> None:
    image = texture(20, 30)
    path = save(tmp_path / "a.png", image)
    for name in (path, str(path)):
        picture = read_picture(name)
        assert (picture.dtype, picture.flags.c_contiguous) == (np.uint8, True)
        np.testing.assert_array_equal(picture, image)
    with pytest.raises(CameraError, match=r"nowhere\.jpg: No such file"):
        read_picture(tmp_path / "nowhere.jpg")


def test_what_may_be_no_face_gets_no_label_and_no_box_but_is_blurred() -> None:
    no_face = classifier_of({"with_mask": 0.1, "without_mask": 0.1, "not_a_face": 0.8}, background="not_a_face")
    predictor = Predictor(detector_of([face(32, 32, 24, 0.2)]), no_face)
    image = texture(128, 128)
    found = predictor.predict(image)
    assert [face.observation for face in found] == [None]
    out = io.StringIO()
    write_rows(out, "a.jpg", found, ("with_mask", "without_mask"))
    assert out.getvalue().endswith("0.2,,,\r\n")
    np.testing.assert_array_equal(predictor.annotated(image, found, show_faces=True), image)
    blurred = predictor.annotated(image, found, show_faces=False)
    assert len(np.unique(blurred[50:80, 50:80].reshape(-1, 3), axis=0)) <= 36


@pytest.mark.parametrize(("probabilities", "colour"), [(BARE, [220, 40, 40]), (MASKED, [40, 180, 60])])
def test_marked_pictures_are_blurred_unless_asked_not_to(probabilities: dict[str, float], colour: list[int]) -> None:
    image = texture(128, 128)
    predictor = Predictor(detector_of([face(32, 32, 24)]), classifier_of(probabilities))
    found = predictor.predict(image)
    inner = np.s_[50:80, 50:80]
    np.testing.assert_array_equal(predictor.annotated(image, found, show_faces=True)[inner], image[inner])
    blurred = predictor.annotated(image, found, show_faces=False)
    assert len(np.unique(blurred[inner].reshape(-1, 3), axis=0)) <= 36
    assert blurred[64, 40].tolist() == colour
