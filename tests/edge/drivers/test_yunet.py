from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converter.tables import read_boxes
from edge import config
from edge.contracts import Box, Face, Frame
from edge.doctor import probes
from edge.drivers.yunet import YuNetDetector
from edge.errors import BundleError
from edge.service import models
from edge.stages.decide import SURE_FACE
from tests.data_sets import DATA
from tests.edge.parts import texture
from training.data import load_faces, of_split

FILES = ["yunet_n_dynamic.onnx", "face_detection_yunet_2026may.onnx"]


def yunet(name: str) -> Path:
    path = DATA / "peers" / name
    if not path.is_file():
        pytest.skip(f"needs {path}; set FMD_DATA to the folder of the data sets")
    return path


@pytest.mark.data
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("backwards", [False, True])
def test_a_face_is_found_in_full_frame_pixels(name: str, backwards: bool) -> None:
    portrait = pytest.importorskip("skimage.data").astronaut()[:, :, :3]
    picture = np.full((720, 1280, 3), 200, np.uint8)
    picture[150:662, 500:1012] = portrait
    image = np.ascontiguousarray(picture[:, :, ::-1])[:, :, ::-1] if backwards else picture
    (face,) = YuNetDetector(yunet(name), 0.5).detect(Frame(image, None, 0.0, 0))
    assert SURE_FACE < face.score < 0.9
    assert face.box.centre == pytest.approx((500 + 222, 150 + 122), abs=20)
    assert 70 <= face.box.width <= 130


@pytest.mark.data
def test_pictures_of_any_shape_work_and_empty_ones_have_no_face() -> None:
    detector = YuNetDetector(yunet(FILES[0]), 0.5)
    for shape in ((480, 640), (64, 48), (480, 640), (1, 1)):
        assert detector.detect(Frame(np.full((*shape, 3), 120, np.uint8), None, 0.0, 0)) == ()


@pytest.mark.data
def test_the_settings_select_it_by_the_path_of_its_file() -> None:
    settings = config.load(None, {"model.detector": str(yunet(FILES[0]))})
    assert isinstance(models.open_detector(settings), YuNetDetector)


@pytest.mark.data
@pytest.mark.parametrize("name", FILES)
def test_a_face_gets_about_the_score_of_fmds_own_detector(name: str) -> None:
    """Photographs of the validation split at half size: uncertain faces stay uncertain, certain ones certain."""
    theirs, ours = YuNetDetector(yunet(name), 0.15), models.open_detector(config.load())
    pairs = []
    for picture in of_split(read_boxes(DATA / "boxes" / "boxes.csv"), "validation"):
        image, labelled = load_faces(picture)
        frame = Frame(np.ascontiguousarray(image[::2, ::2]), None, 0.0, 0)
        found = [detector.detect(frame) for detector in (theirs, ours)]
        for one in labelled:
            small = Box(*(value / 2 for value in one.box))
            best = [
                max((face for face in faces if small.iou(face.box) >= 0.4), default=None, key=score) for faces in found
            ]
            if best[0] and best[1]:
                pairs.append((best[0].score, best[1].score))
    scores = np.sort(np.array(pairs), axis=0)
    for share in (0.2, 0.4, 0.6, 0.8):
        of_theirs, of_ours = scores[int(share * len(scores))]
        assert of_theirs == pytest.approx(of_ours, abs=0.08)


def score(face: Face) -> float:
    return face.score


@pytest.mark.data
def test_no_face_is_returned_below_the_minimum_score() -> None:
    portrait = pytest.importorskip("skimage.data").astronaut()[:, :, :3]
    frame = Frame(portrait, None, 0.0, 0)
    (face,) = YuNetDetector(yunet(FILES[0]), 0.15).detect(frame)
    assert YuNetDetector(yunet(FILES[0]), face.score - 0.01).detect(frame)
    assert YuNetDetector(yunet(FILES[0]), face.score + 0.01).detect(frame) == ()


@pytest.mark.data
def test_the_doctor_measures_it_as_the_service_runs_it() -> None:
    found = probes.models(config.load(None, {"model.detector": str(yunet(FILES[0]))}))
    assert found["detector"]["runtime"].startswith("OpenCV ")
    assert found["detector"]["ms"] > 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a git-lfs pointer"),
        (b"no model", "cannot run this as YuNet"),
        (texture(8, 8).tobytes(), "cannot run this as YuNet"),
    ],
)
def test_a_file_that_is_no_yunet_is_refused_in_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "yunet.onnx"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=said) as caught:
        YuNetDetector(path, 0.5)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot read the model file"):
        YuNetDetector(tmp_path / "none.onnx", 0.5)
