"""What is wrong with the picture, in plain sentences, for the person who aims the camera.

A hint is worth showing only if it holds: of the newest samples of a camera at least half must agree. Samples are taken
only while someone asks, in the thread of the page's socket.

The limits were measured with the shipped models on 182 faces of the test split that are at least 40 pixels wide, with
added noise of standard deviation 4. At a face's brightness of 60, 95% of the faces are found and 91% of these judged
right; at 21 it is 92% and 91%, at 14 it is 87% and 86%, at 9 it is 69% and 82%. Before a background of 115 it is 95%
and 90% at 32, 92% and 85% at 23, 91% and 78% at 16. Out of focus it is 95% and 88% at a sharpness of 15, and 85% and
88% at 8.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from enum import Enum

import numpy as np

from edge.config import Settings
from edge.contracts import Box, Frame, Step
from edge.page_service.live import CameraSteps
from edge.reporting.listener import Listener
from edge.stages.classify import CROP_MARGIN, GOOD_WIDTH, SHARP_SIDE, crop_face, sharpness_of

DARK, BACKLIT = 18.0, 28.0
"""Mean brightness, 0 to 255, below which a picture is too dark, and a face before a bright background."""
BACKGROUND = 2.5
"""Factor by which the surroundings of a backlit face are brighter than the face."""
BLURRED = 12.0
"""Sharpness (:func:`edge.stages.classify.sharpness_of`) below which a face is blurred."""
SAMPLES, MIN_SAMPLES = 8, 3
"""Newest samples of a camera, and how many of them there must be."""
SAMPLE_S, OLD_S = 0.4, 15.0
"""Shortest time between two samples, and the age at which one no longer counts."""
LOW, HIGH = 0.85, 0.12
"""Height in the picture, as a share of it, below which the middle of a face is too low, and above which too high."""
CROP = round(SHARP_SIDE * (1 + 2 * CROP_MARGIN))
"""Side of the crop whose sharpness is measured, pixels."""


class Doubt(Enum):
    """What may be wrong, and the sentence that says so."""

    DARK = "The picture is too dark: add light at the door."
    BACKLIT = (
        "Faces are dark against a bright background: turn the camera away from the light, or add light from its side."
    )
    BLURRED = "Faces are blurred: clean or focus the lens; in dim light, add light."
    SMALL = "Faces are too small to be judged: mount the camera closer, or increase camera.width and camera.height."
    FAR = "Faces are small, so that decisions are later and less certain: mount the camera closer."
    LARGE = "Faces are too large: mount the camera further away."
    LEFT = "Faces are cut off at the left edge: turn the camera so that people are in the middle."
    RIGHT = "Faces are cut off at the right edge: turn the camera so that people are in the middle."
    LOW = "Faces are at the lower edge: tilt the camera down. If it hangs far above the faces, mount it lower."
    HIGH = "Faces are at the upper edge: tilt the camera up."


OF_FACES = frozenset(Doubt) - {Doubt.DARK}
"""Doubts that a picture without a face says nothing of."""


class Hints(Listener):
    """Hints about the pictures of each camera. ``clock`` gives the seconds in which samples age."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._settings: Settings | None = None
        self._cameras: dict[str, _Samples] = {}

    def on_settings(self, settings: Settings) -> None:
        """Begin again: cameras and their places may be other ones."""
        self._settings, self._cameras = settings, {}

    def of(self, camera: str, steps: CameraSteps) -> tuple[str, ...]:
        """Take a sample, if it is time, and return what holds about a camera."""
        settings, now_s = self._settings, self._clock()
        if settings is None:
            return ()
        samples = self._cameras.setdefault(camera, _Samples())
        seen = steps.inspected
        if seen is not None and seen.number != samples.number and now_s - samples.taken_s >= SAMPLE_S:
            samples.add(seen.number, seen.step, settings.detect.min_face_px, settings.detect.start_score, now_s)
        return tuple(doubt.value for doubt in samples.holding(now_s))


class _Samples:
    """Newest samples of one camera: of its pictures, and of those that show a face."""

    def __init__(self) -> None:
        self.number, self.taken_s = 0, float("-inf")
        self._pictures: deque[tuple[float, frozenset[Doubt]]] = deque(maxlen=SAMPLES)
        self._faces: deque[tuple[float, frozenset[Doubt]]] = deque(maxlen=SAMPLES)

    def add(self, number: int, step: Step, min_face_px: int, start_score: float, now_s: float) -> None:
        self.number, self.taken_s = number, now_s
        self._pictures.append((now_s, frozenset(of_picture(step.frame))))
        boxes = [face.box for face in step.faces if face.score >= start_score]
        if boxes:
            self._faces.append((now_s, frozenset(of_faces(step.frame, boxes, min_face_px))))

    def holding(self, now_s: float) -> Iterator[Doubt]:
        """Yield what at least half of the samples agree on."""
        for samples in (self._pictures, self._faces):
            fresh = [doubts for at_s, doubts in samples if now_s - at_s < OLD_S]
            counts = Counter(doubt for doubts in fresh for doubt in doubts)
            if len(fresh) >= MIN_SAMPLES:
                yield from (doubt for doubt in Doubt if 2 * counts[doubt] >= len(fresh))


def of_picture(frame: Frame) -> Iterator[Doubt]:
    """Yield what is wrong with a picture, with or without people."""
    if float(frame.luma.mean()) < DARK:
        yield Doubt.DARK


def of_faces(frame: Frame, boxes: Sequence[Box], min_face_px: int) -> Iterator[Doubt]:
    """Yield what is wrong with the faces of a picture; the largest one counts."""
    height, width = frame.image.shape[:2]
    box = max(boxes, key=lambda box: box.width * box.height)
    if box.width < min_face_px:
        yield Doubt.SMALL
        return  # so few pixels allow no other statement
    if box.width < GOOD_WIDTH * 0.8:
        yield Doubt.FAR
    elif box.width > 0.8 * width:
        yield Doubt.LARGE
    if is_backlit(frame, box):
        yield Doubt.BACKLIT
    elif box.width >= GOOD_WIDTH:
        sharpness = sharpness_of(crop_face(frame.image, box, CROP_MARGIN, (CROP, CROP)), CROP_MARGIN)
        if sharpness < BLURRED:
            yield Doubt.BLURRED
    if box.xmin < 1:
        yield Doubt.LEFT
    if box.xmax >= width - 1:
        yield Doubt.RIGHT
    middle = box.centre[1] / height
    if middle > LOW or box.ymax >= height - 1:
        yield Doubt.LOW
    elif middle < HIGH or box.ymin < 1:
        yield Doubt.HIGH


def is_backlit(frame: Frame, box: Box) -> bool:
    """Return whether a face is dark and its surroundings are far brighter."""
    across, down = (frame.luma.shape[1] / frame.image.shape[1], frame.luma.shape[0] / frame.image.shape[0])
    face = _part(frame, box, across, down)
    around = _part(
        frame, Box(box.xmin - box.width, box.ymin - box.height, box.xmax + box.width, box.ymax), across, down
    )
    if not face.size or around.size <= face.size:
        return False
    inner = float(face.mean())
    outer = (float(around.sum(dtype=np.float64)) - float(face.sum(dtype=np.float64))) / (around.size - face.size)
    return inner < BACKLIT and outer > max(1.0, inner) * BACKGROUND


def _part(frame: Frame, box: Box, across: float, down: float) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the part of the brightness plane that a box covers."""
    rows = slice(max(0, int(box.ymin * down)), max(0, int(np.ceil(box.ymax * down))))
    return frame.luma[rows, max(0, int(box.xmin * across)) : max(0, int(np.ceil(box.xmax * across)))]
