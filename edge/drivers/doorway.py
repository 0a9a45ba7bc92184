"""A doorway scene composed at run time: a person without a mask approaches, stops, puts a mask on, and walks away.

The person is the public-domain portrait of Eileen Collins (NASA) in scikit-image. Doorway, mask and walk are drawn
here. :class:`DoorwayCamera` makes each frame when it is read, so no video is stored or shipped.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import cv2
import numpy as np

from edge.config import CameraSettings
from edge.contracts import Frame, Image, luma_of
from edge.drivers.library import import_library, pip_extra
from edge.drivers.sensor_noise import SensorNoise

FPS = 15.0
WIDTH, HEIGHT = 640, 480
# Times of the scene, seconds.
ENTERS_S, ARRIVES_S, MASKED_S, LEAVES_S, GONE_S, ENDS_S = 1.0, 3.0, 5.5, 9.0, 10.5, 13.0

# Landmarks of the portrait (512 x 512), pixels: measured by eye on the picture.
FACE_CENTRE = (222, 118)
MASK_TOP = [(176, 112), (200, 108), (226, 104), (250, 107), (268, 110)]
MASK_OUTLINE = [*MASK_TOP, (268, 140), (256, 166), (232, 184), (206, 176), (186, 154)]
"""Over the bridge of the nose, along both cheeks, under the chin."""
STRAPS = [((178, 114), (165, 96)), ((187, 152), (168, 132)), ((267, 112), (280, 96)), ((262, 152), (279, 130))]


class DoorwayCamera:
    """Camera that gives the scene; see :class:`edge.contracts.Camera`."""

    live = False

    def __init__(self, settings: CameraSettings, name: str, clock: Callable[[], float]) -> None:
        del name, clock  # there is one scene, with its own time
        self._loop, self._index = settings.loop, 0

    def read(self) -> Frame | None:
        """Return the next frame, or None once the doorway has been empty for a while after the person left."""
        now_s = self._index / FPS
        if now_s >= ENDS_S and not self._loop:
            return None
        image = self.picture(now_s % ENDS_S)
        frame = Frame(image, luma_of(image), now_s, self._index)
        self._index += 1
        return frame

    def close(self) -> None:
        """Do nothing: no device is open."""

    def picture(self, now_s: float) -> Image:
        """Return the doorway at a time of the scene, (480, 640, 3) RGB."""
        scene = self._doorway.copy()
        if ENTERS_S <= now_s < GONE_S:
            portrait = self._masked if now_s >= MASKED_S else self._unmasked
            _paste(scene, portrait, self._cutout, *_place(now_s))
        # Determined by the time, so that every run gives the same pictures.
        return self._noise.added(scene, round(now_s * 1000))

    @cached_property
    def _unmasked(self) -> Image:
        return load_portrait()

    @cached_property
    def _masked(self) -> Image:
        return draw_mask(self._unmasked)

    @cached_property
    def _cutout(self) -> Image:
        return _person_cutout(self._unmasked)

    @cached_property
    def _noise(self) -> SensorNoise:
        return SensorNoise(HEIGHT, WIDTH)

    @cached_property
    def _doorway(self) -> Image:
        return draw_doorway()


def load_portrait() -> Image:
    """Return scikit-image's portrait, (512, 512, 3) RGB. Raises RuntimeMissingError without scikit-image."""
    data = import_library("skimage.data", "the demo's portrait", pip_extra("demo"))
    return np.asarray(data.astronaut()[:, :, :3], np.uint8)


def _place(now_s: float) -> tuple[float, float, float]:
    """Return the scale of the portrait and its face centre (x, y) in the scene, for a person who comes and goes."""
    near, far = 0.95, 0.30
    if now_s < ARRIVES_S:
        progress = (now_s - ENTERS_S) / (ARRIVES_S - ENTERS_S)
        bob = 3 * np.sin(now_s * 11)
        return far + (near - far) * progress, 330 - 20 * progress, 200 + bob
    if now_s < LEAVES_S:
        sway = 4 * np.sin(now_s * 2)
        return near, 310 + sway, 200
    progress = (now_s - LEAVES_S) / (GONE_S - LEAVES_S)
    return near, 310 + 500 * progress, 200


def _paste(scene: Image, portrait: Image, cutout: Image, scale: float, x: float, y: float) -> None:
    """Blend the portrait's person into the scene, with the centre of the face at (x, y)."""
    matrix = np.array([[scale, 0, x - scale * FACE_CENTRE[0]], [0, scale, y - scale * FACE_CENTRE[1]]])
    size = (scene.shape[1], scene.shape[0])
    if scale < 0.6:  # warpAffine does not average, so that small pictures would have aliasing
        portrait, cutout = (cv2.GaussianBlur(p, (0, 0), 0.4 / scale) for p in (portrait, cutout))
    person, shown = cv2.warpAffine(portrait, matrix, size), cv2.warpAffine(cutout, matrix, size)
    left, top, width, height = cv2.boundingRect(shown)
    here = np.s_[top : top + height, left : left + width]
    alpha = shown[here][:, :, None] / np.float32(255)
    scene[here] = person[here] * alpha + scene[here] * (1 - alpha)


def _person_cutout(portrait: Image) -> Image:
    """Return the mask of the person in the portrait, (512, 512) uint8: head and suit, with a soft edge."""
    outline = np.zeros(portrait.shape[:2], np.uint8)
    cv2.ellipse(outline, (222, 112), (78, 108), 0, 0, 360, 255, -1)
    suit = [(150, 190), (300, 190), (400, 260), (470, 420), (490, 512), (0, 512), (10, 380), (60, 270)]
    cv2.fillPoly(outline, [np.array(suit, np.int32)], 255)
    return np.asarray(cv2.GaussianBlur(outline, (0, 0), 4), np.uint8)


def draw_mask(portrait: Image, down: int = 0, cloth: tuple[int, int, int] = (150, 196, 218)) -> Image:
    """Return the portrait with a surgical mask drawn over nose, mouth and chin: folds, shading and straps.

    ``down`` pixels lower, it is badly worn: from 25 on below the nose, from 45 on below the mouth. ``cloth`` is its
    colour, RGB.
    """
    masked = portrait.copy()
    for start, end in STRAPS:
        cv2.line(masked, (start[0], start[1] + down), end, (236, 240, 242), 2, cv2.LINE_AA)
    outline = np.array([(x, y + down) for x, y in MASK_OUTLINE], np.int32)
    folded = masked.copy()
    cv2.fillPoly(folded, [outline], cloth, cv2.LINE_AA)
    (xmin, ymin), (xmax, ymax) = outline.min(axis=0), outline.max(axis=0)
    fold = tuple(int(0.8 * v) for v in cloth)
    for y in (ymin + 22, ymin + 36, ymin + 50):
        middle = ((xmin + xmax) // 2, int(y) + 7)
        cv2.ellipse(folded, middle, ((xmax - xmin) // 2 - 4, 7), 0, 0, 180, fold, 1, cv2.LINE_AA)
    inside = np.zeros(masked.shape[:2], np.uint8)
    cv2.fillPoly(inside, [outline], 255, cv2.LINE_AA)
    # The light decreases to both sides, as on a cheek.
    x = np.linspace(-1, 1, int(xmax - xmin) + 1)
    shade = np.ones(masked.shape[1], np.float32)
    shade[xmin : xmax + 1] = 1 - 0.28 * x**2
    # The smooth edge is less than two pixels wide; outside of it nothing changes.
    here = np.s_[max(0, ymin - 2) : ymax + 3, max(0, xmin - 2) : xmax + 3]
    alpha = inside[here][:, :, None] / 255.0
    masked[here] = masked[here] * (1 - alpha) + folded[here] * shade[here[1]][None, :, None] * alpha
    return masked


def draw_doorway() -> Image:
    """Return an empty corridor with a door frame, (480, 640, 3) RGB."""
    rows = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None, None]
    wall = np.array([206, 200, 188], np.float32) * (1 - 0.25 * rows) + np.zeros((HEIGHT, WIDTH, 3), np.float32)
    scene = wall.astype(np.uint8)
    cv2.rectangle(scene, (120, 20), (520, HEIGHT), (96, 74, 56), 18)
    cv2.rectangle(scene, (130, 30), (510, HEIGHT), (150, 160, 166), -1)
    cv2.fillPoly(scene, [np.array([(130, 480), (510, 480), (420, 330), (220, 330)], np.int32)], (112, 106, 100))
    cv2.rectangle(scene, (220, 90), (420, 330), (172, 180, 184), -1)
    cv2.rectangle(scene, (560, 150), (612, 220), (236, 236, 230), -1)
    return np.asarray(cv2.GaussianBlur(scene, (0, 0), 1.0), np.uint8)
