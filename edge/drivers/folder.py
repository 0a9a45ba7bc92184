"""A folder of pictures as a camera: each picture is a frame, in order of name, at ``camera.fps``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2

from edge.config import CameraSettings
from edge.contracts import PICTURE_SUFFIXES, Frame
from edge.drivers.colour import frame_of_bgr
from edge.errors import CameraError, PictureError
from edge.files import printable
from edge.inference.picture_file import decode_bgr, holds_more, read_content

log = logging.getLogger(__name__)

MAX_NAMED = 5
"""Number of skipped files that one line of the log names."""


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures of a folder, in order of name; log which other files are skipped.

    Raises CameraError if there are none.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    found = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        raise CameraError(f"{folder}: no pictures in this folder; expected some of {', '.join(PICTURE_SUFFIXES)}")
    _report_skipped(folder, [path for path in files if path.suffix.lower() not in PICTURE_SUFFIXES])
    return found


def _report_skipped(folder: Path, skipped: Sequence[Path]) -> None:
    if skipped:
        names = ", ".join(printable(path.name) for path in skipped[:MAX_NAMED])
        more = f" and {len(skipped) - MAX_NAMED} more" if len(skipped) > MAX_NAMED else ""
        log.warning("%s: skipped %s%s: no picture by the suffix of the name", folder, names, more)


class Folder:
    """Camera of the pictures in a folder; ``paths[frame.index % len(paths)]`` is the file of a frame."""

    live = False

    def __init__(self, settings: CameraSettings, name: str, clock: Callable[[], float]) -> None:
        del clock  # pictures bring their own time
        self.paths = pictures_in(Path(name))
        self._fps, self._loop = settings.fps, settings.loop
        self._index = 0

    def read(self) -> Frame | None:
        """Return the next picture, or None after the last. Raises CameraError for one that cannot be read."""
        if self._index >= len(self.paths) and not self._loop:
            return None
        path = self.paths[self._index % len(self.paths)]
        first_round = self._index < len(self.paths)
        frame = read_picture(path, self._index / self._fps, self._index, report_animation=first_round)
        self._index += 1
        return frame

    def close(self) -> None:
        """Do nothing: no file stays open."""


def read_picture(path: Path, captured_s: float = 0.0, index: int = 0, report_animation: bool = False) -> Frame:
    """Return a picture file as a frame. Raises CameraError if OpenCV cannot read it.

    Animations and faxes hold several pictures, of which only the first one is read; ``report_animation`` logs that.
    """
    try:
        data = read_content(path)
        image = decode_bgr(data)
    except PictureError as error:
        raise CameraError(f"{path}: {error}") from error
    except OSError as error:
        raise CameraError(f"{path}: {error.strerror}") from error
    except cv2.error as error:  # larger than OpenCV's limit, or than the free memory
        raise CameraError(f"{path}: not a picture that OpenCV can read, possibly too large ({error.err})") from error
    if image is None:
        raise CameraError(
            f"{path}: not a picture that OpenCV can read: empty, cut short, damaged, or of an unknown format"
        )
    if report_animation and holds_more(data):
        log.warning("%s: holds several pictures; only the first one is evaluated", path)
    return frame_of_bgr(image, captured_s, index)
