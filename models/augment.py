"""Augmentation: what a door does to a picture, and what kills the data sets' shortcuts.

In the papers' picture set resolution, blur and colour alone tell the classes apart, so both classes are shrunk,
blurred, recompressed and recoloured alike. All functions take and give (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge.contracts import Image
from models.data import shrunk

Rng = np.random.Generator


def photometric(image: Image, rng: Rng) -> Image:
    """Light, colour, motion, noise and compression, each with its own chance."""
    if rng.random() < 0.8:
        gain, lift = rng.uniform(0.65, 1.35), rng.uniform(-25, 25)
        image = cv2.convertScaleAbs(image, alpha=gain, beta=lift)
    if rng.random() < 0.5:
        image = _shift_colour(image, rng)
    if rng.random() < 0.2:
        table = (255 * (np.arange(256) / 255) ** rng.uniform(0.6, 1.6)).astype(np.uint8)
        image = cv2.LUT(image, table)
    if rng.random() < 0.08:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    if rng.random() < 0.12:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.6))
    if rng.random() < 0.12:
        image = motion_blur(image, rng)
    if rng.random() < 0.15:
        noise = rng.normal(0, rng.uniform(3, 14), image.shape).astype(np.float32)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        image = recompress(image, int(rng.integers(25, 85)))
    return np.asarray(image, np.uint8)


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
    """Through JPEG and back."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def shrink(image: Image, longest: int) -> Image:
    """Throw detail away: down to ``longest`` pixels and back up to the size it had."""
    small = shrunk(image, longest)
    if small is image:
        return image
    height, width = image.shape[:2]
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def occlude(image: Image, rng: Rng, box: tuple[float, float, float, float]) -> Image:
    """Something held before part of ``box``: a flat or noisy patch, as a hand, a phone or paper would be."""
    xmin, ymin, xmax, ymax = box
    width, height = (xmax - xmin) * rng.uniform(0.15, 0.45), (ymax - ymin) * rng.uniform(0.15, 0.4)
    x, y = rng.uniform(xmin, max(xmin + 1, xmax - width)), rng.uniform(ymin, max(ymin + 1, ymax - height))
    image = image.copy()
    region = image[max(0, int(y)) : max(0, int(y + height)), max(0, int(x)) : max(0, int(x + width))]
    colour = rng.integers(0, 256, 3)
    region[:] = np.clip(colour + rng.normal(0, rng.uniform(0, 25), region.shape), 0, 255)
    return image
