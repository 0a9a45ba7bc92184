"""Pictures made smaller and larger: what detector, classifier and training share."""

from __future__ import annotations

import cv2
import numpy as np

from edge.contracts import Image


def resized(image: Image, width: int, height: int, into: Image | None = None) -> Image:
    """(H, W, 3) RGB as (height, width, 3): averaged by whole factors where it shrinks, the rest interpolated.

    Averaging by broken factors costs five times as much and finds no face more: of 0.5 to 1, interpolation misses no
    pixel. Less than a pixel of the result is cut off at the right and below.

    Training, calibration and the door all come here, so that a model meets the pictures it was trained on.
    A view that reads B, G, R memory backwards is put right after the resizing, when there is less of it.
    ``into`` (height, width, 3) is written and returned where it is given.
    """
    backwards = image.strides[-1] < 0
    source = image[:, :, ::-1] if backwards else image
    down, across = max(1, image.shape[0] // height), max(1, image.shape[1] // width)
    if down > 1 or across > 1:
        rows, columns = image.shape[0] // down, image.shape[1] // across
        whole = source[: rows * down, : columns * across]
        source = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    made = np.empty((height, width, 3), np.uint8) if into is None else into
    if source.shape[:2] != (height, width):
        source = cv2.resize(source, (width, height), made, interpolation=cv2.INTER_LINEAR)
    if backwards:
        cv2.cvtColor(source, cv2.COLOR_BGR2RGB, made)
    elif source is not made:
        np.copyto(made, source)
    return made


def bordered(image: Image, top: int, bottom: int, left: int, right: int) -> Image:
    """(H, W, 3) with so many pixels more on each side that repeat its edges; colours lie in memory as they did."""
    backwards = image.strides[-1] < 0
    source = image[:, :, ::-1] if backwards else image
    made = np.asarray(cv2.copyMakeBorder(source, top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8)
    return made[:, :, ::-1] if backwards else made


def without_pool() -> None:
    """Keep OpenCV to the calling thread, in the whole process: of pictures this small, sharing takes longer than it
    saves, and the cores are the networks'."""
    cv2.setNumThreads(1)
