"""Frames of a file as a camera's driver gets them (B, G, R), read ahead so that no decoder is measured."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2

from edge.contracts import Image
from edge.drivers.doorway import FPS, DoorwayCamera
from edge.errors import DataError

SCENE = "doorway"
"""The built-in scene, by the name that ``camera.source`` knows it under."""


class Clip(NamedTuple):
    """Frames (H, W, 3) uint8 **B, G, R**, and how many of them make a second."""

    frames: list[Image]
    fps: float


class Span(NamedTuple):
    """From and to, in seconds of the clip."""

    start_s: float
    end_s: float

    def __str__(self) -> str:
        return f"{self.start_s:g}-{self.end_s:g}"


def spans_of(text: str) -> list[Span]:
    """``"0-5.5,20-23"`` as spans."""
    try:
        spans = [Span(*(float(v) for v in part.split("-"))) for part in text.split(",")]
    except (TypeError, ValueError) as error:
        raise DataError(f"spans: got {text!r}, expected seconds such as 0-5.5,20-23") from error
    if any(span.start_s >= span.end_s for span in spans):
        raise DataError(f"spans: got {text!r}, where one ends before it begins")
    return spans


def read(source: str) -> Clip:
    """A clip whole, or the built-in scene for ``doorway``."""
    if source == SCENE:
        return Clip(list(scene()), FPS)
    capture = _open(source)
    frames = []
    while (got := capture.read())[0]:
        frames.append(got[1])
    return Clip(frames, float(capture.get(cv2.CAP_PROP_FPS)) or 25.0)


def length(source: str) -> int:
    """Frames of a clip, counted one by one: containers round, and no two frames are held at a time."""
    capture, count = _open(source), 0
    while capture.grab():
        count += 1
    return count


def prolonged(clip: Clip, span: Span, seconds: float) -> Clip:
    """A part of the clip played to and fro, so that nothing jumps, until ``seconds`` are full."""
    part = clip.frames[int(span.start_s * clip.fps) : int(span.end_s * clip.fps)]
    if not part:
        raise DataError(f"spans: no frame lies in {span} s")
    frames = itertools.islice(itertools.cycle([*part, *reversed(part)]), int(seconds * clip.fps))
    return Clip(list(frames), clip.fps)


def scene() -> Iterator[Image]:
    """The built-in scene's frames (H, W, 3) uint8 B, G, R."""
    from edge import config

    camera = DoorwayCamera(config.load(None).camera, "", lambda: 0.0)
    while (frame := camera.read()) is not None:
        yield frame.image[:, :, ::-1].copy()


def _open(source: str) -> cv2.VideoCapture:
    if not Path(source).is_file():
        raise DataError(f"{source}: no such clip; give a video file, or {SCENE} for the built-in scene")
    # One thread: those of a decoder that works ahead would count as the loop's.
    capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise DataError(f"{source}: not a video this machine can read")
    return capture
