"""A video file as a camera, with the clip's own clock: a frame is captured at its timestamp in the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2

from edge.config import CameraSettings
from edge.contracts import Frame
from edge.drivers.colour import frame_of_bgr
from edge.drivers.container import read_extent
from edge.errors import CameraError, PictureError
from edge.files import MAX_PICTURE_PIXELS, native_name
from edge.inference.picture_file import check_size

ASSUMED_FPS = 25.0
"""Frame rate of files that do not state theirs."""
MISSING_SHARE = 0.02
"""Share of frames that may be missing at the end, as containers round their counts; a file with more is cut short."""
JUMP_S = 1.0
"""Timestamps that go back by more than this begin again (joined recordings); by less, the file's frames are uneven."""
STEP_S = 0.001
"""Least time between two frames, as the pipeline's clock must rise."""


class Clip:
    """Frames of a file in order, none skipped; with ``loop``, repeated on one clock that keeps rising."""

    live = False

    def __init__(self, settings: CameraSettings, name: str, clock: Callable[[], float]) -> None:
        del clock  # a clip brings its own time
        self._path, self._loop = name, settings.loop
        self._capture = _open(name)
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or ASSUMED_FPS
        self._stated = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self._index = self._since_start = 0
        self._captured_s = self._start_s = 0.0
        self._shortest_s = float("inf")
        self._offset_s: float | None = None

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
            self._offset_s, self._start_s = None, self._captured_s + 1 / self.fps
            good, image = self._capture.read()
            if not good:
                raise CameraError(f"{self._path}: no frames in it; check that another player plays it")
        captured_s = self._time()
        if self._since_start:
            self._shortest_s = min(self._shortest_s, captured_s - self._captured_s)
        self._captured_s = captured_s
        frame = frame_of_bgr(image, self._captured_s, self._index)
        self._index += 1
        self._since_start += 1
        return frame

    def _time(self) -> float:
        """Return the time of the frame that was just read: the mean rate is wrong where the rate varies."""
        own_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self._offset_s is None:  # the first frame
            self._offset_s = self._start_s - own_s
            return self._start_s
        if own_s <= 0:  # raw streams have no timestamps
            return self._captured_s + 1 / self.fps
        if own_s + self._offset_s < self._captured_s - JUMP_S:
            self._offset_s = self._captured_s + 1 / self.fps - own_s
        return max(own_s + self._offset_s, self._captured_s + STEP_S)

    def _check_complete(self) -> None:
        if self._since_start == 0:
            raise CameraError(f"{self._path}: no frames in it: the file is cut short or damaged; copy it again")
        extent = read_extent(Path(self._path))
        missing = self._stated - self._since_start if extent.counted else 0
        # Fewer frames than stored are complete if their times reach the end: trimmed clips skip frames of the index.
        duration_s = extent.duration_s or self._stated / self.fps
        played_s = self._captured_s - self._start_s
        # A container of uneven frames may state the rate of its timestamps, which is far above that of its frames.
        frame_s = max(1 / self.fps, self._shortest_s if self._since_start > 1 else 0.0)
        missing_s = duration_s - played_s - frame_s
        if extent.cut_off or (
            missing > max(2, MISSING_SHARE * self._stated) and missing_s > max(2 * frame_s, MISSING_SHARE * duration_s)
        ):
            count = f"{self._since_start} of {self._stated}" if extent.counted else f"{self._since_start}"
            raise CameraError(
                f"{self._path}: ends after {count} frames: the file is cut short or damaged; copy it again"
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
    # Known after opening, before any picture is decoded.
    width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    try:
        check_size(width, height, MAX_PICTURE_PIXELS)
    except PictureError as error:
        raise CameraError(f"{path}: {error}") from error
    return capture
