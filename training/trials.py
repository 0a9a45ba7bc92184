"""The models' answers to one face in hard conditions, as a picture that may be shown to anyone.

The portrait is the public-domain one of the built-in scene, the masks are drawn: what fails here fails at a door, but
what succeeds here proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from edge.contracts import LABELS, Image
from edge.drivers import doorway
from edge.reporting.predictor import Predictor
from training import augment, sheet

MASKED, BARE, BADLY = LABELS
UNDER_NOSE, UNDER_MOUTH = 32, 52
FACE = (150, 40, 294, 200)
"""The portrait's head, pixels."""
LOWER_FACE = (186, 128, 262, 188)
WRONG, RIGHT = (230, 40, 40), (60, 200, 90)


class Trial(NamedTuple):
    """A picture, what it shows, and the label it should get."""

    name: str
    image: Image
    wanted: str


def trials(portrait: Image) -> Iterator[Trial]:
    """Yield the portrait (512, 512, 3) RGB with masks worn well, badly and not at all, in each bad condition."""
    worn = {
        "no mask": (portrait, BARE),
        "masked": (doorway.draw_mask(portrait), MASKED),
        "black mask": (doorway.draw_mask(portrait, cloth=(34, 34, 38)), MASKED),
        "white mask": (doorway.draw_mask(portrait, cloth=(236, 236, 232)), MASKED),
        "below nose": (doorway.draw_mask(portrait, UNDER_NOSE), BADLY),
        "below mouth": (doorway.draw_mask(portrait, UNDER_MOUTH), BADLY),
        "hand on mouth": (covered(portrait, (196, 150, 128)), BARE),
        "paper on mouth": (covered(portrait, (240, 240, 236)), BARE),
    }
    for wearing, (picture, wanted) in worn.items():
        for condition, change in CONDITIONS.items():
            yield Trial(f"{wearing}, {condition}", change(picture), wanted)


def covered(portrait: Image, colour: tuple[int, int, int]) -> Image:
    """Return the portrait with something of one colour before the mouth, shaded to its edges."""
    out = portrait.copy()
    x0, y0, x1, y1 = LOWER_FACE
    cv2.ellipse(
        out, ((x0 + x1) // 2, (y0 + y1) // 2), ((x1 - x0) // 2, (y1 - y0) // 2), 0, 0, 360, colour, -1, cv2.LINE_AA
    )
    shaded = cv2.GaussianBlur(out, (0, 0), 2.0)
    shaded[:y0] = portrait[:y0]
    return np.asarray(shaded, np.uint8)


def _small(width: int) -> Callable[[Image], Image]:
    scale = width / (FACE[2] - FACE[0])

    def change(image: Image) -> Image:
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        canvas = np.full((480, 640, 3), 150, np.uint8)
        height, wide = small.shape[:2]
        canvas[200 : 200 + height, 280 : 280 + wide] = small[: 480 - 200, : 640 - 280]
        return canvas

    return change


def _dark(image: Image) -> Image:
    return np.asarray(cv2.convertScaleAbs(image, alpha=0.25), np.uint8)


def _moving(image: Image) -> Image:
    kernel = np.zeros((17, 17), np.float32)
    kernel[8] = 1 / 17
    return np.asarray(cv2.filter2D(image, -1, kernel), np.uint8)


def _tilted(image: Image) -> Image:
    turn = cv2.getRotationMatrix2D(doorway.FACE_CENTRE, 30, 0.9)
    return np.asarray(cv2.warpAffine(image, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE), np.uint8)


CONDITIONS: dict[str, Callable[[Image], Image]] = {
    "near": lambda image: image,
    "24 px wide": _small(24),
    "40 px wide": _small(40),
    "dark": _dark,
    "moving": _moving,
    "tilted": _tilted,
    "half outside": lambda image: np.ascontiguousarray(image[:, 216:]),
    "compressed": lambda image: augment.recompress(image, 8),
}


def draw(predictor: Predictor, out: Path) -> tuple[int, int]:
    """Run the models on every trial and write the sheet; return (right, all)."""
    tiles, right = [], 0
    for trial in trials(doorway.load_portrait()):
        tile, good = _tile(predictor, trial)
        tiles.append(tile)
        right += good
    sheet.write(tiles, out)
    return right, len(tiles)


def _tile(predictor: Predictor, trial: Trial) -> tuple[sheet.Tile, bool]:
    found = [(face, face.observation) for face in predictor.predict(trial.image) if face.observation]
    if not found:
        return sheet.Tile(sheet.whole_tile(trial.image), trial.name, "not found"), False
    face, verdict = found[0]
    good = (verdict.label == MASKED) == (trial.wanted == MASKED)
    image = sheet.face_tile(trial.image, face.box, RIGHT if good else WRONG)
    return sheet.Tile(image, trial.name, f"{verdict.label} {verdict.score:.2f}"), good
