"""Augmentation: the effects of a door on a picture, and countermeasures against the data sets' shortcuts.

In the papers' picture set resolution, blur and colour alone separate the classes, so both classes are shrunk,
blurred, recompressed and recoloured alike. All functions take and return (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge.contracts import Image
from training.data import shrunk

Rng = np.random.Generator
Matrix = npt.NDArray[np.float64]


def photometric(image: Image, rng: Rng) -> Image:
    """Change light, colour, motion, noise and compression, each with its own chance."""
    if rng.random() < 0.8:
        gain, lift = rng.uniform(0.65, 1.35), rng.uniform(-25, 25)
        image = cv2.convertScaleAbs(image, alpha=gain, beta=lift)
    if rng.random() < 0.5:
        image = _shift_colour(image, rng)
    if rng.random() < 0.2:
        table = (255 * (np.arange(256) / 255) ** rng.uniform(0.6, 1.6)).astype(np.uint8)
        image = cv2.LUT(image, table)
    if rng.random() < 0.08:
        image = dim(image, rng.uniform(0.15, 0.5))
    if rng.random() < 0.06:
        image = haze(image, rng.uniform(0.3, 0.7), rng.uniform(120, 230))
    if rng.random() < 0.08:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    if rng.random() < 0.08:
        image = night(image, rng)
    if rng.random() < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.0))
    if rng.random() < 0.12:
        image = motion_blur(image, rng)
    if rng.random() < 0.15:
        noise = rng.normal(0, rng.uniform(3, 14), image.shape).astype(np.float32)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        image = recompress(image, int(rng.integers(25, 85)))
    return np.asarray(image, np.uint8)


def dim(image: Image, gain: float) -> Image:
    """Return the picture at ``gain`` of its light, shadows crushed as a sensor in the dark does."""
    return np.asarray(cv2.convertScaleAbs(image, alpha=gain), np.uint8)


def haze(image: Image, share: float, level: float) -> Image:
    """Return the picture with ``share`` of its light replaced by an even ``level`` 0..255: fog, glare, a dirty lens."""
    return np.asarray(cv2.convertScaleAbs(image, alpha=1 - share, beta=share * level), np.uint8)


def night(image: Image, rng: Rng) -> Image:
    """Return the picture about as a camera gives it under infrared light: gray, flat, grainy.

    Infrared light is closest to red: skin and cloth get brighter, lips and brows paler.
    """
    shares = rng.dirichlet((4.0, 1.0, 0.5))
    gray = image.astype(np.float32) @ shares.astype(np.float32)
    gain, lift = rng.uniform(0.4, 0.9), rng.uniform(10, 110)
    grain = rng.normal(0, rng.uniform(2, 10), gray.shape)
    return np.repeat(np.clip(gain * gray + lift + grain, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def tilt(rng: Rng, usual: float) -> float:
    """Return an angle in degrees: normal with deviation ``usual``, and for one picture in six anything up to 35."""
    return float(rng.uniform(-35, 35)) if rng.random() < 1 / 6 else float(rng.normal(0, usual))


def _shift_colour(image: Image, rng: Rng) -> Image:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.int16)
    hsv[..., 0] = (hsv[..., 0] + rng.integers(-8, 9)) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.5, 1.5), 0, 255)
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)


def motion_blur(image: Image, rng: Rng) -> Image:
    """Blur along a random direction, as of someone walking past a slow shutter."""
    length = int(rng.integers(3, max(4, min(image.shape[:2]) // 14)))
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    turn = cv2.getRotationMatrix2D(((length - 1) / 2, (length - 1) / 2), float(rng.uniform(0, 180)), 1.0)
    kernel = cv2.warpAffine(kernel, turn, (length, length))
    return np.asarray(cv2.filter2D(image, -1, kernel / max(float(kernel.sum()), 1e-6)), np.uint8)


def recompress(image: Image, jpeg_quality: int) -> Image:
    """Compress as JPEG and decompress."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def shrink(image: Image, longest: int) -> Image:
    """Remove detail: shrink to ``longest`` pixels and enlarge to the original size."""
    small = shrunk(image, longest)
    if small is image:
        return image
    height, width = image.shape[:2]
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def occlude(image: Image, rng: Rng, box: tuple[float, float, float, float]) -> Image:
    """Cover part of ``box`` by a flat or noisy patch, as a hand, a phone or paper does."""
    xmin, ymin, xmax, ymax = box
    width, height = (xmax - xmin) * rng.uniform(0.15, 0.45), (ymax - ymin) * rng.uniform(0.15, 0.4)
    x, y = rng.uniform(xmin, max(xmin + 1, xmax - width)), rng.uniform(ymin, max(ymin + 1, ymax - height))
    image = image.copy()
    region = image[max(0, int(y)) : max(0, int(y + height)), max(0, int(x)) : max(0, int(x + width))]
    colour = rng.integers(0, 256, 3)
    region[:] = np.clip(colour + rng.normal(0, rng.uniform(0, 25), region.shape), 0, 255)
    return image


def hand(image: Image, rng: Rng, box: tuple[float, float, float, float]) -> Image:
    """Draw a hand of any skin tone over ``box``: a palm and four fingers, lit from one side."""
    xmin, ymin, xmax, ymax = box
    palm = max(3.0, (xmax - xmin) * rng.uniform(0.25, 0.45))
    centre = np.array([rng.uniform(xmin, xmax), rng.uniform(ymin, ymax) + palm / 2])
    tone = np.array([70, 45, 35]) + rng.uniform(0, 1) * np.array([170, 150, 140]) + rng.normal(0, 8, 3)
    colour = tuple(float(v) for v in np.clip(tone, 0, 255))
    shade = tuple(0.75 * v for v in colour)
    turn = rng.normal(0, 0.6)
    along, across = np.array([np.sin(turn), -np.cos(turn)]), np.array([np.cos(turn), np.sin(turn)])
    image = image.copy()
    for finger in range(4):
        root = centre + across * palm * (finger - 1.5) * 0.45
        tip = root + along * palm * rng.uniform(0.9, 1.4) + across * palm * rng.normal(0, 0.08)
        ends = [(int(x), int(y)) for x, y in (root, tip)]
        cv2.line(image, ends[0], ends[1], shade, max(2, int(palm * 0.42)), cv2.LINE_AA)
        cv2.line(image, ends[0], ends[1], colour, max(1, int(palm * 0.34)), cv2.LINE_AA)
    middle, axes = (int(centre[0]), int(centre[1])), (int(palm), int(palm * 0.9))
    cv2.ellipse(image, middle, axes, float(np.degrees(turn)), 0, 360, colour, -1, cv2.LINE_AA)
    return image


def from_above(size: int, rng: Rng) -> Matrix:
    """Return the homography (3, 3) of a square of ``size`` pixels seen from above: brow wide, chin narrow."""
    lean, short = rng.uniform(0.0, 0.22), rng.uniform(0.8, 1.0)
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    top, bottom = size * (1 - short) / 2, size * (1 + short) / 2
    inward = size * lean / 2
    seen = np.array([[0, top], [size, top], [size - inward, bottom], [inward, bottom]], np.float32)
    return np.asarray(cv2.getPerspectiveTransform(corners, seen), np.float64)
