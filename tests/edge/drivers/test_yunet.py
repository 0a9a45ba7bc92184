from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge import config, service
from edge.contracts import Frame
from edge.drivers.yunet import YuNetDetector
from edge.errors import BundleError
from tests.data_sets import DATA
from tests.edge.parts import texture

FILES = ["yunet_n_dynamic.onnx", "face_detection_yunet_2026may.onnx"]


def yunet(name: str) -> Path:
    path = DATA / "peers" / name
    if not path.is_file():
        pytest.skip(f"needs {path}; set FMD_DATA to the folder of the data sets")
    return path


@pytest.mark.data
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("backwards", [False, True])
def test_a_face_is_found_where_it_is_in_full_frame_pixels(name: str, backwards: bool) -> None:
    portrait = pytest.importorskip("skimage.data").astronaut()[:, :, :3]
    picture = np.full((720, 1280, 3), 200, np.uint8)
    picture[150:662, 500:1012] = portrait
    image = np.ascontiguousarray(picture[:, :, ::-1])[:, :, ::-1] if backwards else picture
    (face,) = YuNetDetector(yunet(name), 0.5).detect(Frame(image, None, 0.0, 0))
    assert face.score > 0.8
    assert face.box.centre == pytest.approx((500 + 222, 150 + 122), abs=20)
    assert 70 <= face.box.width <= 130


@pytest.mark.data
def test_a_picture_of_another_shape_is_no_trouble_and_nobody_is_nobody() -> None:
    detector = YuNetDetector(yunet(FILES[0]), 0.5)
    for shape in ((480, 640), (64, 48), (480, 640), (1, 1)):
        assert detector.detect(Frame(np.full((*shape, 3), 120, np.uint8), None, 0.0, 0)) == ()


@pytest.mark.data
def test_the_settings_take_it_by_its_path() -> None:
    settings = config.load(
        None, {"model.detector": str(yunet(FILES[0])), "detect.min_score": 0.5, "detect.start_score": 0.7}
    )
    assert isinstance(service.open_detector(settings), YuNetDetector)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "only git-lfs's note"),
        (b"no model", "cannot run this as YuNet"),
        (texture(8, 8).tobytes(), "cannot run this as YuNet"),
    ],
)
def test_a_file_that_is_no_yunet_is_told_in_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "yunet.onnx"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=said) as caught:
        YuNetDetector(path, 0.5)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot read the model file"):
        YuNetDetector(tmp_path / "none.onnx", 0.5)
