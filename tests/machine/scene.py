"""The passage the emulated board watches: nobody, a bare face, nobody again.

Drawn from fmd's built-in doorway scene, at few frames a second: the board is about a hundred times slower than a real
one, and fmd goes by a clip's own clock.
"""

from __future__ import annotations

from pathlib import Path

import cv2

from edge import config
from edge.drivers.doorway import ARRIVES_S, ENTERS_S, DoorwayCamera

FPS = 4.0
SIZE = (320, 240)
EMPTY_S = 0.5


def write_clip(path: Path, bare_s: float = 3.0, after_s: float = 3.0) -> Path:
    """The passage as a video file, to be shown again and again: a bare face for ``bare_s``, nobody for ``after_s``.

    ``after_s`` must be longer than track.lost_s, for the passage to end.
    """
    scene = DoorwayCamera(config.load().camera, "", lambda: 0.0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, SIZE)
    for index in range(round((EMPTY_S + bare_s + after_s) * FPS)):
        picture = scene.picture(_scene_time_s(index / FPS, bare_s))
        writer.write(cv2.resize(picture[:, :, ::-1], SIZE, interpolation=cv2.INTER_AREA))
    writer.release()
    return path


def _scene_time_s(clip_s: float, bare_s: float) -> float:
    """When of the built-in scene a moment of the clip is: its empty doorway, or somebody standing there bare-faced."""
    bare = EMPTY_S <= clip_s < EMPTY_S + bare_s
    return ARRIVES_S if bare else ENTERS_S / 2
