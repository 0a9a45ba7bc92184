"""A video file as a camera. It has the clip's own clock: frame n is captured at n / fps seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2

from edge.config import CameraSettings
from edge.contracts import Frame
from edge.drivers.colour import frame_of_bgr
from edge.errors import CameraError
from edge.files import native_name

ASSUMED_FPS = 25.0
"""Frame rate of files that do not state theirs."""
MISSING_SHARE = 0.02
"""Share of frames that may be missing at the end, as containers round their counts; a file with more is cut short."""


class Clip:
    """Frames of a file in order, none skipped; with ``loop``, repeated on one clock that keeps rising."""

    live = False

    def __init__(self, settings: CameraSettings, name: str, clock: Callable[[], float]) -> None:
        del clock  # a clip brings its own time
        self._path, self._loop = name, settings.loop
        self._capture = _open(name)
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or ASSUMED_FPS
        self._expected = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self._index = self._since_start = 0

    def read(self) -> Frame | None:
        """Return the next frame, or None at the end. Raises CameraError if the file ends before its stated length."""
        good, image = self._capture.read()
        if not good:
            self._check_complete()
            if not self._loop:
                return None
            # Reopened and not rewound: with many codecs OpenCV does not find frame 0 again exactly.
            self._capture.release()
            self._capture, self._since_start = _open(self._path), 0
            good, image = self._capture.read()
            if not good:
                raise CameraError(f"{self._path}: no frames in it; check that another player plays it")
        frame = frame_of_bgr(image, self._index / self.fps, self._index)
        self._index += 1
        self._since_start += 1
        return frame

    def _check_complete(self) -> None:
        missing = self._expected - self._since_start
        if self._since_start == 0 or missing > max(2, MISSING_SHARE * self._expected):
            raise CameraError(
                f"{self._path}: ends after {self._since_start} of {self._expected} frames: the file is cut short or "
                "damaged; copy it again"
            )

    def close(self) -> None:
        """Close the file."""
        self._capture.release()


def _open(path: str) -> cv2.VideoCapture:
    if not Path(path).is_file():
        raise CameraError(f"camera.source: no such file: {path}")
    # Without a named backend, OpenCV may take a file name with digits or % for a sequence of pictures.
    capture = cv2.VideoCapture(native_name(path, CameraError), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise CameraError(f"{path}: not a video that OpenCV can read: empty, damaged, or of an unknown format")
    return capture
