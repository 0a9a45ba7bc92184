"""Masks drawn onto bare faces by their landmarks: badly worn masks are rare in every public set.

A network that sees drawn masks only when they are badly worn learns to recognise drawings. So :func:`put_on` draws
well-worn masks, visors and caps by the same means, and the caller degrades all of them like real pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edge.contracts import WITH_INCORRECT_MASK, WITH_MASK, WITHOUT_MASK, Image
from training.augment import Rng

Points = npt.NDArray[np.float64]
"""(n, 2) x, y. Landmarks are five: the eyes from left to right in the picture, nose tip, corners of the mouth."""

KINDS = {
    "correct": (0.29, WITH_MASK),
    "under_nose": (0.25, WITH_INCORRECT_MASK),
    "on_chin": (0.14, WITH_INCORRECT_MASK),
    "from_one_ear": (0.09, WITH_INCORRECT_MASK),
    "over_eyes": (0.15, WITH_INCORRECT_MASK),
    "visor": (0.08, WITHOUT_MASK),
}
"""How a mask is worn: the chance that it is drawn so, and the label that it gives the face."""
CAPS = 0.15
"""Chance of a cap or a hood."""
MAX_TURN = 0.35
"""Units that the nose tip may be off the middle. In profile a real mask stands out from the face, which a drawn one
does not: networks taught with those took well-worn masks in profile for badly worn ones."""
MIN_UNIT = 6.0
"""Pixels from eyes to mouth below which landmarks are too uncertain to draw by."""
CLOTHS = (
    (120, 170, 210),
    (150, 195, 225),
    (236, 236, 232),
    (225, 225, 225),
    (34, 34, 38),
    (20, 20, 22),
    (60, 60, 70),
    (205, 150, 170),
    (120, 175, 150),
    (40, 60, 110),
    (150, 30, 40),
    (110, 110, 112),
)
"""RGB of common masks: surgical blue, white, black, gray, pink, green, navy, red."""


class Frontal(NamedTuple):
    """A face's own axes: ``origin`` between the eyes, ``across`` and ``down`` of length 1, ``unit`` pixels from eyes to
    mouth, ``left`` and ``right`` the face's edges, ``nose`` its tip, the last three in units."""

    origin: Points
    across: Points
    down: Points
    unit: float
    left: float
    right: float
    nose: tuple[float, float]

    def place(self, points: Sequence[tuple[float, float]]) -> Points:
        """Return points (n, 2) of the picture, given across and down in units."""
        given = np.asarray(points, np.float64) * self.unit
        return np.asarray(self.origin + given[:, :1] * self.across + given[:, 1:] * self.down)


def frontal(landmarks: Points) -> Frontal | None:
    """Return the axes of a face with these landmarks (5, 2), or None where they make no face."""
    left_eye, right_eye, nose, mouth = landmarks[0], landmarks[1], landmarks[2], landmarks[3:].mean(axis=0)
    origin = (left_eye + right_eye) / 2
    between = float(np.linalg.norm(right_eye - left_eye))
    if between < MIN_UNIT / 3:
        return None
    across = (right_eye - left_eye) / between
    down = np.array([-across[1], across[0]])
    height = float((mouth - origin) @ down)
    unit = max(height, 0.8 * between)
    if unit < MIN_UNIT or height < 0.4 * between:
        return None
    turn = float(np.clip((nose - origin) @ across / unit, -0.6, 0.6))
    tip = (turn, float(np.clip((nose - origin) @ down / unit, 0.35, 0.8)))
    wide = 0.88
    left = -max(wide + 0.35 * turn if turn > 0 else wide + 0.85 * turn, 0.12 - turn)
    right = max(wide - 0.35 * turn if turn < 0 else wide - 0.85 * turn, turn + 0.12)
    return Frontal(origin, across, down, unit, left, right, tip)


def put_on(image: Image, landmarks: Points, rng: Rng) -> tuple[Image, str] | None:
    """Draw a mask or a visor onto the bare face of (H, W, 3) RGB; return the picture and the face's new label.

    ``landmarks`` (5, 2) are in its pixels. Returns None where the face is too small or too far turned.
    """
    face = frontal(landmarks)
    if face is None or abs(face.nose[0]) > MAX_TURN:
        return None
    if rng.random() < CAPS:
        image = _cap(image, face, rng)
    kinds = list(KINDS)
    kind = kinds[int(rng.choice(len(kinds), p=[KINDS[name][0] for name in kinds]))]
    drawn = _visor(image, face, rng) if kind == "visor" else _mask(image, face, kind, rng)
    return drawn, KINDS[kind][1]


def outline(face: Frontal, kind: str, rng: Rng) -> Points:
    """Return the corners (n, 2) of a mask worn as ``kind`` says, before they are rounded."""
    left, right, (x, tip) = face.left, face.right, face.nose
    jitter = float(rng.normal(0, 0.03))
    if kind == "from_one_ear":
        edge = (left, right)[int(rng.integers(2))]
        out = np.sign(edge)
        lean, top, wide = rng.normal(0.0, 0.15), rng.uniform(0.5, 0.9), rng.uniform(0.25, 0.5)
        bottom = top + rng.uniform(0.6, 1.1)
        inner, outer = edge - out * wide * 0.6, edge + out * wide * 0.6
        return face.place(
            [
                (inner, top),
                (outer, top),
                (outer + lean, bottom),
                ((inner + outer) / 2 + lean, bottom + 0.1),
                (inner + lean, bottom),
            ]
        )
    if kind == "correct":
        top, side, low, wide = rng.uniform(0.15, 0.36), rng.uniform(0.4, 0.62), rng.uniform(1.5, 1.75), 1.0
    elif kind == "under_nose":
        top, side = min(0.95, tip + rng.uniform(0.08, 0.3)), rng.uniform(0.6, 0.9)
        low, wide = rng.uniform(1.55, 1.85), 1.0
    elif kind == "on_chin":
        top, side = rng.uniform(1.15, 1.42), rng.uniform(0.85, 1.2)
        low, wide = rng.uniform(1.75, 2.15), 0.92
    else:
        top, side = rng.uniform(-0.6, -0.25), rng.uniform(-0.3, 0.0)
        low, wide = rng.uniform(0.35, 0.75), 1.0
    middle = (side + top) / 2
    under = side + 0.55 * (low - side)
    return face.place(
        [
            (left * wide, side + jitter),
            ((left + x) / 2, middle),
            (x, top),
            ((right + x) / 2, middle),
            (right * wide, side - jitter),
            (right * 0.97 * wide, under),
            (right * 0.6 * wide + 0.1 * x, low - 0.14),
            (0.6 * x, low),
            (left * 0.6 * wide + 0.1 * x, low - 0.14),
            (left * 0.97 * wide, under),
        ]
    )


def rounded(corners: Points, times: int = 2) -> Points:
    """Cut the corners of a closed outline (Chaikin 1974), each time to twice as many."""
    for _ in range(times):
        after = np.roll(corners, -1, axis=0)
        corners = np.stack([0.75 * corners + 0.25 * after, 0.25 * corners + 0.75 * after], axis=1).reshape(-1, 2)
    return corners


def _mask(image: Image, face: Frontal, kind: str, rng: Rng) -> Image:
    corners = rounded(outline(face, kind, rng), int(rng.integers(1, 4)))
    cloth = _cloth(image, face, corners, rng)
    cover = _filled(image.shape[:2], corners, 0.035 * face.unit)
    shadow = _filled(image.shape[:2], corners + face.down * 0.05 * face.unit, 0.08 * face.unit)
    out = image * (1 - 0.35 * float(rng.random()) * np.maximum(shadow - cover, 0)[..., None])
    out = _loops(out, face, corners, kind, rng)
    if rng.random() < 0.06:  # a transparent window, or a thin cloth against the light
        cover = cover * rng.uniform(0.35, 0.6)
    return np.clip(out + (cloth - out) * cover[..., None], 0, 255).astype(np.uint8)


def _cloth(image: Image, face: Frontal, corners: Points, rng: Rng) -> npt.NDArray[np.float64]:
    """Return the mask's cloth (H, W, 3) 0..255 over the whole picture, lit as the face is."""
    height, width = image.shape[:2]
    tone = np.array(CLOTHS[int(rng.integers(len(CLOTHS)))], float) if rng.random() < 0.8 else rng.uniform(0, 255, 3)
    cloth = np.clip(tone + rng.normal(0, 10, 3), 0, 255) * np.ones((height, width, 1))
    if rng.random() < 0.22:
        cells = int(rng.integers(5, 24))
        print_ = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
        how = (cv2.INTER_NEAREST, cv2.INTER_CUBIC)[int(rng.integers(2))]
        cloth += (cv2.resize(print_, (width, height), interpolation=how) - 128) * rng.uniform(0.2, 0.9)
    y, x = np.mgrid[:height, :width].astype(float)
    across = ((x - face.origin[0]) * face.across[0] + (y - face.origin[1]) * face.across[1]) / face.unit
    down = ((x - face.origin[0]) * face.down[0] + (y - face.origin[1]) * face.down[1]) / face.unit
    shade = 1 + rng.normal(0, 0.18) * across - rng.uniform(0.05, 0.3) * (across - face.nose[0]) ** 2
    style = rng.random()
    if style < 0.45:  # the pleats of a surgical mask
        shade += rng.uniform(0.04, 0.12) * np.sin(2 * np.pi * (down * rng.uniform(3, 5) + rng.random()))
    elif style < 0.7:  # the dome and the seam of an N95
        shade += 0.15 - 0.35 * np.abs(down - 0.9) - rng.uniform(0, 0.25) * (np.abs(across - face.nose[0]) < 0.04)
    inside = image[np.clip(corners[:, 1].astype(int), 0, height - 1), np.clip(corners[:, 0].astype(int), 0, width - 1)]
    light = float(np.clip(np.mean(inside) / 140, 0.35, 1.2)) * rng.uniform(0.85, 1.15)
    cloth = cloth * shade[..., None] * light
    if rng.random() < 0.05:  # a printed mouth
        middle = face.place([(face.nose[0] * 0.8, 1.0)])[0]
        cv2.ellipse(
            cloth, (int(middle[0]), int(middle[1])), (int(0.3 * face.unit), int(0.1 * face.unit)), 0, 0, 360,
            tuple(float(v) for v in (rng.uniform(120, 220), 40, 50)), -1, cv2.LINE_AA,
        )  # fmt: skip
    if float(np.ptp(image.astype(np.int16).mean(axis=(0, 1)))) < 2 and (image[..., 0] == image[..., 2]).mean() > 0.9:
        cloth = cloth.mean(axis=2, keepdims=True) * np.ones(3)
    return np.asarray(cloth)


def _loops(
    image: npt.NDArray[np.float64], face: Frontal, corners: Points, kind: str, rng: Rng
) -> npt.NDArray[np.float64]:
    """Draw the bands from the mask's sides to the ears."""
    if rng.random() < 0.35:
        return image
    tone = tuple(float(v) for v in np.full(3, (225, 40)[int(rng.random() < 0.25)]) + rng.normal(0, 8, 3))
    thick = max(1, round(face.unit * 0.03))
    out = np.ascontiguousarray(image)
    sides = [corners[np.argmin(corners @ face.across)], corners[np.argmax(corners @ face.across)]]
    ears = face.place([(face.left * 1.08, 0.3), (face.right * 1.08, 0.3)])
    if kind == "from_one_ear":
        near = int(np.linalg.norm(ears[1] - corners.mean(axis=0)) < np.linalg.norm(ears[0] - corners.mean(axis=0)))
        sides, ears = [corners[np.argmin(corners @ face.down)]], ears[near : near + 1]
    for start, end in zip(sides, ears, strict=True):
        cv2.line(out, _pixel(start), _pixel(end), tone, thick, cv2.LINE_AA)
    return out


def _visor(image: Image, face: Frontal, rng: Rng) -> Image:
    corners = rounded(
        face.place(
            [(face.left * 1.15, -0.75), (face.right * 1.15, -0.75), (face.right * 1.1, 1.9), (face.left * 1.1, 1.9)]
        ),
        1,
    )
    cover = _filled(image.shape[:2], corners, 0.04 * face.unit)
    out = image + (235 - image.astype(float)) * (cover * rng.uniform(0.05, 0.3))[..., None]
    band = face.place([(face.left * 1.15, -0.85), (face.right * 1.15, -0.85), (face.right * 1.15, -0.6)])
    band = np.vstack([band, face.place([(face.left * 1.15, -0.6)])])
    solid = _filled(image.shape[:2], band, 0.04 * face.unit)[..., None]
    out = out + (rng.uniform(20, 240) - out) * solid
    x = rng.uniform(face.left, face.right)
    streak = face.place([(x, -0.5), (x + 0.12, -0.5), (x + rng.normal(0.1, 0.2), 1.7), (x - 0.1, 1.7)])
    out += (250 - out) * (_filled(image.shape[:2], streak, 0.1 * face.unit) * rng.uniform(0.0, 0.5))[..., None]
    return np.clip(out, 0, 255).astype(np.uint8)


def _cap(image: Image, face: Frontal, rng: Rng) -> Image:
    """Draw a cap or a hood down to the brows: what hides the hair must not decide how a mask is worn."""
    brim = rng.uniform(-0.6, -0.32)
    corners = [(face.left * 1.1, brim + 0.1), (0.0, brim), (face.right * 1.1, brim + 0.1)]
    corners += [(face.right * 1.2, -1.9), (face.left * 1.2, -1.9)]
    if rng.random() < 0.4:  # a hood also comes down the sides
        corners = [(face.left, 1.2), (face.left * 0.95, brim), (face.right * 0.95, brim), (face.right, 1.2)]
        corners += [(face.right * 1.7, 1.8), (face.right * 1.7, -1.9), (face.left * 1.7, -1.9), (face.left * 1.7, 1.8)]
    cover = _filled(image.shape[:2], rounded(face.place(corners), 1), 0.03 * face.unit)[..., None]
    tone = rng.uniform(10, 235, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(10, 60))
    return np.clip(image + (tone - image.astype(float)) * cover, 0, 255).astype(np.uint8)


def _filled(shape: tuple[int, int], corners: Points, softness: float) -> npt.NDArray[np.float64]:
    """Return how much of each pixel (H, W) lies inside an outline, 0..1, its edge blurred by ``softness`` pixels."""
    cover = np.zeros(shape, np.uint8)
    cv2.fillPoly(cover, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(cover.astype(np.float64) / 255, (0, 0), max(0.4, softness)))


def _pixel(point: Points) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
