"""The passage that the emulated board watches: an empty doorway, a person without a mask, the empty doorway again.

It is drawn from fmd's built-in scene at few frames a second: the board is about a hundred times slower than a real one,
and fmd uses the clip's own clock.
"""

from __future__ import annotations

from pathlib import Path

import cv2

from edge import config
from edge.drivers.doorway import ARRIVES_S, ENTERS_S, DoorwayCamera

FPS = 4.0
SIZE = (320, 240)
EMPTY_S = 0.5


def write_clip(path: Path, person_s: float = 3.0, after_s: float = 3.0, inverted: bool = False) -> Path:
    """Write the passage as a video file to play in a loop, and return its path.

    It shows a person without a mask for ``person_s``, then the empty doorway for ``after_s``. That must be longer than
    track.lost_s, so that the passage ends. ``inverted`` turns the pictures upside down.
    """
    scene = DoorwayCamera(config.load().camera, "", lambda: 0.0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, SIZE)
    for index in range(round((EMPTY_S + person_s + after_s) * FPS)):
        picture = scene.picture(_scene_time_s(index / FPS, person_s))
        small = cv2.resize(picture[:, :, ::-1], SIZE, interpolation=cv2.INTER_AREA)
        writer.write(cv2.rotate(small, cv2.ROTATE_180) if inverted else small)
    writer.release()
    return path


def _scene_time_s(clip_s: float, person_s: float) -> float:
    """Return the time in the built-in scene that a moment of the clip shows."""
    present = EMPTY_S <= clip_s < EMPTY_S + person_s
    return ARRIVES_S if present else ENTERS_S / 2
