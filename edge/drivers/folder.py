"""A folder of pictures as a camera: one picture a frame, in order of name, at the settings' fps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2

from edge.config import CameraSettings
from edge.contracts import PICTURE_SUFFIXES, Frame
from edge.drivers.colour import frame_of_bgr
from edge.errors import CameraError


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, in order of name; CameraError where there are none."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    if not found:
        raise CameraError(f"{folder}: no pictures in this folder (looked for {', '.join(PICTURE_SUFFIXES)})")
    return found


class Folder:
    """Pictures of a folder; ``paths[frame.index % len(paths)]`` is the file of a frame."""

    live = False

    def __init__(self, settings: CameraSettings, name: str, clock: Callable[[], float]) -> None:
        del clock  # pictures bring their own time
        self.paths = pictures_in(Path(name))
        self._fps, self._loop = settings.fps, settings.loop
        self._index = 0

    def read(self) -> Frame | None:
        """The next picture, or None after the last. Raises CameraError for one that cannot be read."""
        if self._index >= len(self.paths) and not self._loop:
            return None
        path = self.paths[self._index % len(self.paths)]
        frame = read_picture(path, self._index / self._fps, self._index)
        self._index += 1
        return frame

    def close(self) -> None:
        """Nothing to give back."""


def read_picture(path: Path, captured_s: float = 0.0, index: int = 0) -> Frame:
    """One picture file as a frame."""
    try:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error as error:  # beyond OpenCV's largest size, or this machine's memory
        raise CameraError(f"{path}: not a picture this machine can read, perhaps too large ({error.err})") from error
    if image is None:
        raise CameraError(f"{path}: not a picture this machine can read (empty, damaged, or of an unknown kind)")
    return frame_of_bgr(image, captured_s, index)
