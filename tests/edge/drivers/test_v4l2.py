"""USB cameras with MJPEG, against a stand-in that keeps the contract of OpenCV's capture: bytes instead of pictures."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge import config
from edge.contracts import Image
from edge.drivers.v4l2 import MJPG, UsbCamera
from edge.errors import CameraError
from edge.inference.picture_file import decode_bgr, encode
from tests.edge.parts import texture

YUYV = float(cv2.VideoWriter.fourcc(*"YUYV"))


class Capture:
    """OpenCV's capture of a V4L2 device that ``gives`` JPEG files; ``only`` is the one format that the device has."""

    def __init__(self, gives: Sequence[bytes], only: float = MJPG) -> None:
        self._gives, self._only = iter(gives), only
        self._converts = True

    def __call__(self, path: str, backend: int) -> Capture:
        assert Path(path).exists()
        assert backend == cv2.CAP_V4L2
        return self

    def isOpened(self) -> bool:  # noqa: N802 (the name in OpenCV)
        return True

    def grab(self) -> bool:
        return True

    def set(self, key: int, value: float) -> bool:
        # Every other change sets the device up again.
        self._converts = key != cv2.CAP_PROP_CONVERT_RGB or bool(value)
        return True

    def get(self, key: int) -> float:
        return self._only if key == cv2.CAP_PROP_FOURCC else 0.0

    def read(self) -> tuple[bool, Image | None]:
        data = next(self._gives, None)
        if data is None:
            return False, None
        raw = np.frombuffer(data, np.uint8)
        return True, raw.reshape(1, -1) if not self._converts else np.asarray(cv2.imdecode(raw, cv2.IMREAD_COLOR))

    def release(self) -> None: ...


def opened(capture: Capture, **changed: Any) -> UsbCamera:
    settings = config.load(None, {f"camera.{key}": value for key, value in changed.items()}).camera
    return UsbCamera(settings, os.devnull, iter(np.arange(0.0, 1e6, 0.1)).__next__, capture)


PICTURES = [encode(".jpg", texture(48, 64, seed)) for seed in range(3)]


@pytest.mark.parametrize("padding", [b"", bytes(1000)])  # some drivers state the size of their buffer
def test_pictures_that_are_cut_short_are_skipped(padding: bytes, caplog: pytest.LogCaptureFixture) -> None:
    cut = PICTURES[0][: len(PICTURES[0]) * 35 // 100]
    stray = PICTURES[1][:-2] + b"\x12\x34" + PICTURES[1][-2:]
    camera = opened(Capture([each + padding for each in (cut, stray, b"", cut + b"\xff\xd9", PICTURES[2])]))
    with caplog.at_level(logging.WARNING):
        frames = [camera.read() for _ in range(2)]
    for frame, picture in zip(frames, PICTURES[1:], strict=True):
        expected = decode_bgr(picture)
        assert frame is not None
        assert expected is not None
        np.testing.assert_array_equal(frame.image, expected[:, :, ::-1])
    assert [record.message for record in caplog.records] == ["/dev/null: skipped a picture, cut short or damaged"]


def test_damaged_pictures_without_end_are_an_error() -> None:
    camera = opened(Capture([PICTURES[0], *itertools.repeat(PICTURES[0][:99], 100)]))
    camera.read()
    with pytest.raises(CameraError, match=r"/dev/null: all pictures of the last 1\.[56] s are cut short or damaged"):
        camera.read()


def test_a_camera_without_mjpeg_gives_its_pictures() -> None:
    frame = opened(Capture(PICTURES, only=YUYV)).read()
    assert frame is not None
    assert frame.image.shape == (48, 64, 3)


def test_a_camera_that_stops_is_an_error() -> None:
    camera = opened(Capture(PICTURES[:1]))
    camera.read()
    with pytest.raises(CameraError, match="stopped giving pictures; check its cable"):
        camera.read()
