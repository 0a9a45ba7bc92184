"""Faces drawn by code: golden inputs that are nobody's picture, and a calibration set where there is none.

They are crude, on purpose varied in colour: skin, cloth and background of strong and different hue, so that a runtime
that swaps red and blue, or answers the same to everything, gives itself away. Equal seeds draw equal pictures.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge.contracts import LABELS, WITH_MASK, WITHOUT_MASK, Image

Rng = np.random.Generator
Colour = tuple[int, int, int]

SKINS: tuple[Colour, ...] = ((244, 208, 177), (224, 172, 136), (198, 134, 92), (141, 85, 54), (92, 56, 38))
MASKS: tuple[Colour, ...] = ((120, 190, 225), (240, 240, 240), (30, 30, 34), (130, 200, 170), (170, 40, 60))
HAIR: tuple[Colour, ...] = ((30, 22, 18), (86, 54, 30), (180, 140, 80), (150, 150, 150))


def faces(height: int, width: int, count: int, seed: int) -> tuple[Image, tuple[str, ...]]:
    """``count`` crops (count, height, width, 3), each filled by one face as the edge cuts it, and what each shows."""
    rng = np.random.default_rng(seed)
    images, labels = [], []
    for i in range(count):
        kind = LABELS[i % len(LABELS)]
        image = backdrop(height, width, rng)
        side = min(height, width)
        centre = (width / 2 + rng.normal(0, 0.02) * side, height / 2 + rng.normal(0, 0.02) * side)
        face(image, centre, float(rng.uniform(0.62, 0.78)) * side, kind, rng)
        images.append(_photographed(image, rng))
        labels.append(kind)
    return np.stack(images), tuple(labels)


def scenes(height: int, width: int, count: int, seed: int) -> tuple[Image, tuple[str, ...]]:
    """``count`` pictures (count, height, width, 3) of one to four people, near and far; labels are empty."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        image = backdrop(height, width, rng)
        people = int(rng.integers(1, 5))
        for k in range(people):
            size = float(np.exp(rng.uniform(np.log(0.1), np.log(0.9 / people)))) * min(height, width)
            x = (k + 0.5 + rng.uniform(-0.15, 0.15)) * width / people
            centre = (x, float(rng.uniform(0.3, 0.6)) * height)
            body(image, centre, size, rng)
            face(image, centre, size, LABELS[int(rng.integers(len(LABELS)))], rng)
        images.append(_photographed(image, rng))
    return np.stack(images), ("",) * count


def varied(images: Image, seed: int) -> Image:
    """Each of (n, height, width, 3) seen another way: other hues, nearer, turned, out of focus, darker or lighter.

    A trained classifier calls most drawn faces the same; among strange views are some that it calls otherwise.
    """
    rng = np.random.default_rng(seed)
    return np.stack([_seen_otherwise(image, rng) for image in images])


def _seen_otherwise(image: Image, rng: Rng) -> Image:
    height, width = image.shape[:2]
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.int16)
    if rng.random() < 0.5:
        hsv[..., 0] = (hsv[..., 0] + rng.integers(0, 180)) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0, 1.3), 0, 255)
    image = np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, 15)), float(rng.uniform(0.8, 2.2)))
    turn[:, 2] += rng.normal(0, 0.12, 2) * (width, height)
    image = np.asarray(cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REFLECT), np.uint8)
    if rng.random() < 0.5:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 3.0))), np.uint8)
    gain, lift = float(rng.uniform(0.4, 1.6)), float(rng.uniform(-60, 60))
    return np.clip(image * gain + lift, 0, 255).astype(np.uint8)


def backdrop(height: int, width: int, rng: Rng) -> Image:
    """A wall: two colours running into each other, with soft blotches and a few straight edges."""
    top, bottom = rng.integers(0, 256, (2, 3)).astype(np.float32)
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    image = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (height, width, 3)).copy()
    blotches = rng.normal(0, 30, (6, 6, 3)).astype(np.float32)
    image += cv2.resize(blotches, (width, height), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(image, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 4))):
        x0, x1 = sorted(int(v) for v in rng.integers(0, width, 2))
        cv2.rectangle(picture, (x0, int(rng.integers(0, height))), (x1, height), _any_colour(rng), -1)
    return picture


def body(image: Image, centre: tuple[float, float], size: float, rng: Rng) -> None:
    """Neck and shoulders under a face of height ``size`` pixels."""
    x, y = centre
    shirt, skin = _any_colour(rng), SKINS[int(rng.integers(len(SKINS)))]
    _ellipse(image, (x, y + 1.25 * size), (0.85 * size, 0.65 * size), shirt)
    _ellipse(image, (x, y + 0.55 * size), (0.2 * size, 0.25 * size), skin)


def face(image: Image, centre: tuple[float, float], size: float, kind: str, rng: Rng) -> None:
    """A face of height ``size`` pixels around ``centre`` (x, y), drawn into ``image``; ``kind`` is one of LABELS."""
    x, y = centre
    skin = _shaded(SKINS[int(rng.integers(len(SKINS)))], float(rng.uniform(0.85, 1.1)))
    hair = HAIR[int(rng.integers(len(HAIR)))]
    half_width, half_height = 0.39 * size, 0.5 * size
    _ellipse(image, (x, y - 0.1 * size), (half_width * 1.18, half_height * 1.08), hair)
    for side in (-1, 1):
        _ellipse(image, (x + side * half_width, y), (0.06 * size, 0.11 * size), _shaded(skin, 0.9))
    _ellipse(image, (x, y), (half_width, half_height), skin)
    _ellipse(image, (x, y - 0.62 * half_height), (half_width * 0.95, half_height * 0.42), hair)
    _eyes(image, x, y, size, hair, rng)
    _nose_and_mouth(image, x, y, size, skin)
    if kind != WITHOUT_MASK:
        _mask(image, x, y, size, kind, rng)


def _eyes(image: Image, x: float, y: float, size: float, hair: Colour, rng: Rng) -> None:
    gaze = float(rng.uniform(-0.015, 0.015)) * size
    for side in (-1, 1):
        eye = (x + side * 0.16 * size, y - 0.07 * size)
        _ellipse(image, eye, (0.075 * size, 0.038 * size), (245, 245, 245))
        _ellipse(image, (eye[0] + gaze, eye[1]), (0.034 * size, 0.036 * size), (50, 35, 25))
        _ellipse(image, (eye[0], eye[1] - 0.075 * size), (0.09 * size, 0.016 * size), hair)


def _nose_and_mouth(image: Image, x: float, y: float, size: float, skin: Colour) -> None:
    _ellipse(image, (x, y + 0.07 * size), (0.05 * size, 0.1 * size), _shaded(skin, 0.88))
    for side in (-1, 1):
        _ellipse(image, (x + side * 0.025 * size, y + 0.15 * size), (0.014 * size, 0.01 * size), _shaded(skin, 0.45))
    _ellipse(image, (x, y + 0.28 * size), (0.13 * size, 0.04 * size), (168, 62, 66))
    _ellipse(image, (x, y + 0.275 * size), (0.11 * size, 0.008 * size), (90, 25, 30))


def _mask(image: Image, x: float, y: float, size: float, kind: str, rng: Rng) -> None:
    """Cloth from the bridge of the nose to under the chin; worn wrongly it starts under the nose."""
    cloth = MASKS[int(rng.integers(len(MASKS)))]
    top = y + (0.02 if kind == WITH_MASK else 0.19) * size
    outline = np.array(
        [
            (x - 0.37 * size, top + 0.08 * size),
            (x, top),
            (x + 0.37 * size, top + 0.08 * size),
            (x + 0.28 * size, y + 0.42 * size),
            (x, y + 0.53 * size),
            (x - 0.28 * size, y + 0.42 * size),
        ]
    )
    cv2.fillPoly(image, [np.rint(outline).astype(np.int32)], cloth, cv2.LINE_AA)
    for fold in (0.4, 0.6, 0.8):
        level = top + fold * (y + 0.5 * size - top)
        ends = [(round(x + side * 0.27 * size), round(level)) for side in (-1, 1)]
        cv2.line(image, ends[0], ends[1], _shaded(cloth, 0.8), max(1, round(0.012 * size)), cv2.LINE_AA)
    for side in (-1, 1):
        start = (round(x + side * 0.36 * size), round(top + 0.09 * size))
        end = (round(x + side * 0.4 * size), round(y - 0.04 * size))
        cv2.line(image, start, end, _shaded(cloth, 0.9), max(1, round(0.015 * size)), cv2.LINE_AA)


def _ellipse(image: Image, centre: tuple[float, float], axes: tuple[float, float], colour: Colour) -> None:
    whole = (round(centre[0]), round(centre[1])), (max(1, round(axes[0])), max(1, round(axes[1])))
    cv2.ellipse(image, whole[0], whole[1], 0, 0, 360, colour, -1, cv2.LINE_AA)


def _shaded(colour: Colour, by: float) -> Colour:
    red, green, blue = (min(255, round(v * by)) for v in colour)
    return red, green, blue


def _any_colour(rng: Rng) -> Colour:
    red, green, blue = (int(v) for v in rng.integers(0, 256, 3))
    return red, green, blue


def _photographed(image: Image, rng: Rng) -> Image:
    """Light from one side, softness and a lens's uneven exposure: flat colour alone is far from any photograph."""
    height, width = image.shape[:2]
    light = np.linspace(float(rng.uniform(0.6, 1.1)), float(rng.uniform(0.8, 1.25)), width, dtype=np.float32)
    lit = image.astype(np.float32) * light[None, :, None]
    soft = cv2.GaussianBlur(lit, (0, 0), max(0.5, 0.006 * min(height, width)))
    return np.clip(soft, 0, 255).astype(np.uint8)
