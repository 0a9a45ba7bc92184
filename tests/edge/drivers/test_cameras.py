"""Cameras that are files, and what every camera promises."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge import config, drivers
from edge.config import CameraSettings
from edge.contracts import LUMA_WIDTH, Camera, Frame, Image, luma_of
from edge.drivers import fake_picamera2
from edge.drivers.clip import Clip
from edge.drivers.colour import frame_of_bgr
from edge.drivers.folder import Folder
from edge.drivers.v4l2 import UsbCamera
from edge.errors import CameraError
from edge.inference.picture_file import write_rgb
from tests.edge.parts import texture, write_clip


def settings_of(**changed: Any) -> CameraSettings:
    return config.load(None, {f"camera.{key}": value for key, value in changed.items()}).camera


def no_clock() -> float:
    raise AssertionError("a file brings its own time")


def frames_of(camera: Camera) -> list[Frame]:
    return list(iter(camera.read, None))


def folder_of(path: Path, *pictures: Image) -> Path:
    path.mkdir(exist_ok=True)
    for i, picture in enumerate(pictures):
        write_rgb(path / f"{i}.png", picture)
    return path


def clip_camera(folder: Path, **changed: Any) -> Camera:
    return Clip(settings_of(**changed), str(write_clip(folder / "clip.mp4", frames=6, fps=10)), no_clock)


def folder_camera(folder: Path, **changed: Any) -> Camera:
    pictures = [texture(48, 64, seed) for seed in range(6)]
    return Folder(settings_of(fps=10.0, **changed), str(folder_of(folder / "pictures", *pictures)), no_clock)


CAMERAS = [clip_camera, folder_camera]


@pytest.mark.parametrize("make", CAMERAS)
def test_every_recording_keeps_the_cameras_contract(tmp_path: Path, make: Callable[..., Camera]) -> None:
    camera = make(tmp_path)
    assert not camera.live
    frames = frames_of(camera)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    times = np.array([frame.captured_s for frame in frames])
    assert times[0] == 0
    np.testing.assert_allclose(np.diff(times), times[1])
    for frame in frames[:: max(1, len(frames) // 5)]:
        assert (frame.image.dtype, frame.image.ndim, frame.image.shape[2]) == (np.uint8, 3, 3)
        assert (frame.luma.dtype, frame.luma.ndim) == (np.uint8, 2)
    assert camera.read() is None
    camera.close()
    camera.close()


@pytest.mark.parametrize("make", CAMERAS)
def test_a_loop_repeats_with_rising_time(tmp_path: Path, make: Callable[..., Camera]) -> None:
    once = len(frames_of(make(tmp_path)))
    camera = make(tmp_path, loop=True)
    frames = [camera.read() for _ in range(once + 3)]
    again, first = frames[once], frames[0]
    assert again is not None
    assert first is not None
    assert again.index == once
    assert again.captured_s > frames[once - 1].captured_s  # type: ignore[union-attr]
    np.testing.assert_array_equal(again.image, first.image)
    camera.close()


def test_a_clip_gives_rgb(tmp_path: Path) -> None:
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 15.0, (64, 48))
    writer.write(np.full((48, 64, 3), (20, 60, 220), np.uint8))  # B, G, R
    writer.release()
    frame = Clip(settings_of(), str(path), no_clock).read()
    assert frame is not None
    np.testing.assert_allclose(frame.image.mean(axis=(0, 1)), (220, 60, 20), atol=4)
    np.testing.assert_allclose(frame.luma.mean(), 60, atol=4)


def test_a_clip_that_stops_before_its_stated_end_is_damaged(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", frames=30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    camera = Clip(settings_of(), str(path), no_clock)
    with pytest.raises(CameraError, match=r"ends after \d+ of 30 frames: the file is cut short or damaged"):
        frames_of(camera)


def test_a_clip_cut_short_is_an_error_even_in_a_loop(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", frames=30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    camera = Clip(settings_of(loop=True), str(path), no_clock)
    with pytest.raises(CameraError, match="cut short"):
        [camera.read() for _ in range(31)]


@pytest.mark.parametrize("content", [b"", b"no video", b"\0" * 5000])
def test_a_file_that_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(CameraError, match="not a video that OpenCV can read"):
        Clip(settings_of(), str(path), no_clock)


def test_a_clip_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=3).rename(tmp_path / os.fsdecode(b"\xfc.mp4"))
    with pytest.raises(CameraError, match="the name is not valid UTF-8"):
        Clip(settings_of(), str(path), no_clock)


def test_a_picture_whose_name_is_not_utf_8_is_read(tmp_path: Path) -> None:
    picture = texture(48, 64)
    folder = folder_of(tmp_path / os.fsdecode(b"\xfc"), picture)
    (folder / "0.png").rename(folder / os.fsdecode(b"T\xfcr.png"))
    (frame,) = frames_of(Folder(settings_of(), str(folder), no_clock))
    np.testing.assert_array_equal(frame.image, picture)


def test_pictures_of_a_folder_come_in_order_and_unchanged(tmp_path: Path) -> None:
    pictures = [texture(48, 64, seed) for seed in range(3)]
    camera = Folder(settings_of(), str(folder_of(tmp_path / "pictures", *pictures)), no_clock)
    for picture, frame in zip(pictures, frames_of(camera), strict=True):
        np.testing.assert_array_equal(frame.image, picture)


def test_a_folder_named_like_a_picture_is_skipped(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pictures", texture(48, 64))
    (folder / "0.jpg").mkdir()
    assert len(frames_of(Folder(settings_of(), str(folder), no_clock))) == 1


def test_a_picture_beyond_opencvs_limit_is_refused(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    made = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(made))
    with pytest.raises(CameraError, match=r"1\.png: a picture of 60000 x 60000 pixels, expected at most 50 million"):
        frames_of(Folder(settings_of(), str(tmp_path), no_clock))


def test_a_corrupt_picture_is_reported_by_name(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pictures", texture(48, 64))
    (folder / "1.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(CameraError, match=r"1\.jpg: not a picture"):
        frames_of(Folder(settings_of(), str(folder), no_clock))


def test_grey_pictures_become_rgb() -> None:
    frame = frame_of_bgr(np.full((48, 64), 77, np.uint8), 0.0, 0)
    assert frame.image.shape == (48, 64, 3)
    assert (frame.image == 77).all()


@pytest.mark.parametrize("width", [1, 100, LUMA_WIDTH, 640, 1920])
def test_the_brightness_plane_is_small_for_any_picture(width: int) -> None:
    luma = luma_of(texture(10, width))
    assert luma.shape[1] <= max(width % LUMA_WIDTH, 2 * LUMA_WIDTH)
    assert luma.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("auto", ("auto", "")),
        ("picamera2", ("picamera2", "")),
        ("picamera2:1", ("picamera2", "1")),
        ("/dev/video3", ("v4l2", "/dev/video3")),
        ("2", ("v4l2", "/dev/video2")),
        ("/dev/v4l/by-id/usb-cam", ("v4l2", "/dev/v4l/by-id/usb-cam")),
        ("csi", ("csi", "")),
        ("csi:1", ("csi", "1")),
        ("rtsp://me:pw@host/door", ("stream", "rtsp://me:pw@host/door")),
        ("doorway", ("doorway", "")),
        (str(Path(__file__)), ("file", str(Path(__file__)))),
        (str(Path(__file__).parent), ("folder", str(Path(__file__).parent))),
    ],
)
def test_a_source_selects_a_kind_and_a_name(source: str, wanted: tuple[str, str]) -> None:
    assert drivers.camera_kind(source) == wanted


def test_a_missing_usb_camera_is_reported_with_those_present() -> None:
    with pytest.raises(CameraError, match=r"camera\.source: no device at /dev/video99 \(found "):
        UsbCamera(settings_of(), "/dev/video99", no_clock)


def test_a_usb_camera_without_pictures_is_reported(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.write_bytes(b"")
    with pytest.raises(CameraError, match="gives no picture"):
        UsbCamera(settings_of(), str(device), no_clock)


def test_frames_name_the_camera_that_auto_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", fake_picamera2)
    monkeypatch.setattr(fake_picamera2.Picamera2, "pictures", [texture(480, 640)])
    for source, device in (("auto", "picamera2"), ("picamera2", "")):
        camera = drivers.open_camera(settings_of(source=source, rotate=90), lambda: 1.0)
        frame = camera.read()
        camera.close()
        assert frame is not None
        assert frame.device == device


def test_auto_logs_why_it_falls_back_and_never_selects_a_fake(caplog: pytest.LogCaptureFixture) -> None:
    if any(Path("/dev").glob("video*")):
        pytest.skip("this machine has a camera")
    with caplog.at_level("INFO", "edge.drivers"), pytest.raises(CameraError) as caught:
        drivers.open_camera(settings_of(source="auto"), no_clock)
    first, _, reasons = str(caught.value).partition(" (")
    assert first == "camera.source: auto found no camera; plug one in, or name a clip with --source FILE"
    assert reasons.startswith("picamera2: picamera2 cannot be imported")
    assert "; v4l2: there is no /dev/video*)" in reasons
    assert len(str(caught.value)) < 350
    assert [record.args[0] for record in caplog.records if record.args] == ["picamera2", "csi", "v4l2"]  # type: ignore[index]
