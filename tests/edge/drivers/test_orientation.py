"""camera.rotate and camera.mirror: every picture of a frame is turned, whoever turns it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edge import config, drivers
from edge.contracts import Frame, Image, luma_of
from edge.drivers import fake_picamera2
from edge.drivers.colour import frame_of_bgr
from edge.drivers.orientation import turned, turned_frame
from edge.drivers.pi_camera import PiCamera
from tests.edge.parts import texture

CASES = [(rotate, mirror) for rotate in (0, 90, 180, 270) for mirror in (False, True)]
QUARTERS = np.full((480, 640, 3), 60, np.uint8)
QUARTERS[:240, :320], QUARTERS[:240, 320:] = (200, 40, 40), (40, 200, 40)
"""Red above left, green above right, grey below: it differs from each of its turned and mirrored forms."""


def expected(image: Image, rotate: int, mirror: bool) -> Image:
    """Return NumPy's answer: rot90 counts anticlockwise."""
    made = np.rot90(image, -rotate // 90)
    return np.ascontiguousarray(np.fliplr(made) if mirror else made)


def settings_of(rotate: int, mirror: bool, **more: Any) -> config.CameraSettings:
    given = {"rotate": rotate, "mirror": mirror, **more}
    return config.load(None, {f"camera.{key}": value for key, value in given.items()}).camera


def assert_shows(image: Image, picture: Image) -> None:
    """Compare after strong shrinking, which codecs and colour conversion survive."""
    assert (image.shape[0] > image.shape[1]) == (picture.shape[0] > picture.shape[1])
    few = [cv2.resize(np.ascontiguousarray(one), (8, 8), interpolation=cv2.INTER_AREA) for one in (image, picture)]
    assert np.abs(few[0].astype(int) - few[1].astype(int)).max() < 45


@pytest.mark.parametrize(("rotate", "mirror"), CASES)
@pytest.mark.parametrize(
    "view", [lambda p: p, lambda p: p[:, :, ::-1], lambda p: p[:, :, 1]], ids=["rgb", "bgr", "grey"]
)
def test_every_layout_is_turned_as_numpy_does(rotate: int, mirror: bool, view: Callable[[Image], Image]) -> None:
    picture = view(texture(6, 8))
    given = np.ascontiguousarray(picture) if picture.ndim == 2 else picture
    np.testing.assert_array_equal(turned(given, rotate, mirror), expected(picture, rotate, mirror))


def test_bgr_memory_stays_a_view_so_that_crops_alone_are_converted() -> None:
    frame = turned_frame(frame_of_bgr(texture(6, 8), 1.5, 7), 90, True)
    assert frame.image.strides[-1] == -1
    assert (frame.captured_s, frame.index) == (1.5, 7)


@pytest.mark.parametrize(("rotate", "mirror"), CASES)
def test_brightness_and_small_picture_show_the_same_view(rotate: int, mirror: bool) -> None:
    picture, small = texture(48, 64), texture(24, 32)
    frame = Frame(picture, luma_of(picture), 0.0, 0, small=lambda: small)
    made = turned_frame(frame, rotate, mirror)
    assert made.small is not None
    np.testing.assert_array_equal(made.luma, expected(frame.luma, rotate, mirror))
    np.testing.assert_array_equal(made.small(), expected(small, rotate, mirror))
    np.testing.assert_array_equal(
        turned_frame(replace(frame, given_luma=None), rotate, mirror).luma, luma_of(made.image)
    )


@pytest.mark.parametrize(("rotate", "mirror"), CASES)
def test_a_pi_camera_is_turned_by_libcamera_if_it_can_and_otherwise_here(rotate: int, mirror: bool) -> None:
    configurations: list[dict[str, Any]] = []

    class Camera(fake_picamera2.Picamera2):
        pictures = [QUARTERS]  # noqa: RUF012

        def configure(self, configuration: dict[str, Any]) -> None:
            super().configure(configuration)
            configurations.append(configuration)

    module = SimpleNamespace(Picamera2=Camera, Transform=fake_picamera2.Transform)
    frame = PiCamera(settings_of(rotate, mirror), "", lambda: 0.0, module=module).read()
    assert frame is not None
    assert frame.small is not None
    for picture in (frame.image, frame.small()):
        assert_shows(picture, expected(QUARTERS, rotate, mirror))
    grey = np.asarray(cv2.cvtColor(frame.small(), cv2.COLOR_RGB2GRAY), np.uint8)
    assert_shows(np.stack([frame.luma] * 3, axis=-1), np.stack([grey] * 3, axis=-1))
    assert (configurations[0]["transform"] is not None) is ((rotate, mirror) != (0, False) and rotate in (0, 180))


def clip_of(folder: Path, picture: Image, frames: int = 3) -> Path:
    path = folder / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 15.0, (picture.shape[1], picture.shape[0]))
    for _ in range(frames):
        writer.write(picture[:, :, ::-1])
    writer.release()
    return path


@pytest.mark.parametrize(("rotate", "mirror"), CASES)
def test_a_clip_and_a_folder_are_turned(tmp_path: Path, rotate: int, mirror: bool) -> None:
    clip = clip_of(tmp_path, QUARTERS)
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "1.png"), QUARTERS[:, :, ::-1])
    for source in (clip, tmp_path / "pictures"):
        camera = drivers.open_camera(settings_of(rotate, mirror, source=str(source)), lambda: 0.0)
        frame = camera.read()
        assert frame is not None
        assert not camera.live
        assert_shows(frame.image, expected(QUARTERS, rotate, mirror))
        camera.close()


def test_a_clip_played_live_and_with_faults_is_turned_and_ends(tmp_path: Path) -> None:
    settings = settings_of(90, False, source=str(clip_of(tmp_path, QUARTERS)), simulate="dark@60")
    camera = drivers.camera_opener(settings, lambda: 1e6)()
    assert camera.live
    frames = list(iter(camera.read, None))
    assert [frame.image.shape for frame in frames] == [(640, 480, 3)] * 3


@pytest.mark.parametrize("rotate", [0, 180])
def test_rotation_metadata_of_a_clip_keeps_working_and_comes_first(tmp_path: Path, rotate: int) -> None:
    path = tmp_path / "phone.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 15.0, (640, 480))
    for _ in range(3):
        writer.write(np.ascontiguousarray(QUARTERS[:, :, ::-1]))
    writer.release()
    data = bytearray(path.read_bytes())
    # The matrix of a track header (ISO 14496-12), 40 bytes after its name: a quarter clockwise, as phones write it.
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 480 << 16, 0, 1 << 30)
    path.write_bytes(data)
    frame = drivers.open_camera(settings_of(rotate, False, source=str(path)), lambda: 0.0).read()
    assert frame is not None
    assert_shows(frame.image, expected(expected(QUARTERS, 90, False), rotate, False))


def test_exif_orientation_keeps_working_and_comes_first(tmp_path: Path) -> None:
    upright = tmp_path / "upright"
    upright.mkdir()
    good, data = cv2.imencode(".jpg", np.rot90(QUARTERS, 1)[:, :, ::-1])
    assert good
    # A TIFF header with one entry, orientation 6: turn clockwise by a quarter to see it upright.
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    marker = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (upright / "1.jpg").write_bytes(data.tobytes()[:2] + marker + data.tobytes()[2:])
    for rotate in (0, 180):
        frame = drivers.open_camera(settings_of(rotate, False, source=str(upright)), lambda: 0.0).read()
        assert frame is not None
        assert_shows(frame.image, expected(QUARTERS, rotate, False))


def test_a_camera_that_needs_no_turn_is_not_wrapped(tmp_path: Path) -> None:
    camera = drivers.open_camera(settings_of(0, False, source=str(clip_of(tmp_path, QUARTERS))), lambda: 0.0)
    assert type(camera).__name__ == "Clip"
