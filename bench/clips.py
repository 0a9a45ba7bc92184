"""Frames of a file as a camera's driver is given them (B, G, R), read ahead so that no decoder is measured."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2

from edge.contracts import Image
from edge.drivers.doorway import FPS, DoorwayCamera
from edge.errors import DataError
from edge.files import native_name

SCENE = "doorway"
"""Name of the built-in scene in ``camera.source``."""


class LoadedClip(NamedTuple):
    """Frames (H, W, 3) uint8 in **B, G, R** order, and their number per second."""

    frames: list[Image]
    fps: float


class Interval(NamedTuple):
    """Part of a clip, in seconds from its start."""

    start_s: float
    end_s: float

    def __str__(self) -> str:
        return f"{self.start_s:g}-{self.end_s:g}"


def intervals_of(text: str) -> list[Interval]:
    """Parse ``"0-5.5,20-23"``. Raises DataError if the text is no list of intervals."""
    try:
        intervals = [Interval(*(float(v) for v in part.split("-"))) for part in text.split(",")]
    except (TypeError, ValueError) as error:
        raise DataError(f"intervals: got {text!r}, expected seconds such as 0-5.5,20-23") from error
    if any(interval.start_s >= interval.end_s for interval in intervals):
        raise DataError(f"intervals: got {text!r}, where one ends before its start")
    return intervals


def read(source: str) -> LoadedClip:
    """Read a whole clip, or the built-in scene for ``doorway``. Raises DataError if it cannot be read."""
    if source == SCENE:
        return LoadedClip(list(scene()), FPS)
    capture = _open(source)
    frames = []
    while (got := capture.read())[0]:
        frames.append(got[1])
    return LoadedClip(frames, float(capture.get(cv2.CAP_PROP_FPS)) or 25.0)


def length(source: str) -> int:
    """Count the frames of a clip one by one, because a container's number may be rounded; hold only one at a time."""
    capture, count = _open(source), 0
    while capture.grab():
        count += 1
    return count


def prolonged(clip: LoadedClip, interval: Interval, seconds: float) -> LoadedClip:
    """Return ``seconds`` of a part of the clip, played forwards and backwards so that no frame jumps."""
    part = clip.frames[int(interval.start_s * clip.fps) : int(interval.end_s * clip.fps)]
    if not part:
        raise DataError(f"intervals: no frame lies in {interval} s")
    frames = itertools.islice(itertools.cycle([*part, *reversed(part)]), int(seconds * clip.fps))
    return LoadedClip(list(frames), clip.fps)


def scene() -> Iterator[Image]:
    """Yield the built-in scene's frames (H, W, 3) uint8 in B, G, R order."""
    from edge import config

    camera = DoorwayCamera(config.load(None).camera, "", lambda: 0.0)
    while (frame := camera.read()) is not None:
        yield frame.image[:, :, ::-1].copy()


def _open(source: str) -> cv2.VideoCapture:
    if not Path(source).is_file():
        raise DataError(f"{source}: no such clip; give a video file, or {SCENE} for the built-in scene")
    # One thread: the threads of a decoder that works ahead would count as the loop's time.
    capture = cv2.VideoCapture(native_name(source, DataError), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise DataError(f"{source}: not a video this machine can read")
    return capture
