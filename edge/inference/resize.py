"""Resizing of pictures, shared by detector, classifier, converter and training."""

from __future__ import annotations

import cv2
import numpy as np

from edge.contracts import Image


def resized(image: Image, width: int, height: int, into: Image | None = None) -> Image:
    """Resize (H, W, 3) RGB uint8 to (height, width, 3): average by whole factors first, then interpolate.

    Averaging by fractional factors costs five times as much and finds no more faces: between 0.5 and 1, interpolation
    misses no pixel. Less than one pixel of the result is cut off at the right and at the bottom.

    Training, calibration and the runtime all use this function, so that a model meets pictures like those it was
    trained on. A view that reads B, G, R memory backwards is converted after the resizing, when there is less to
    convert. ``into`` (height, width, 3) receives the result if it is given, and is returned.
    """
    backwards = image.strides[-1] < 0
    # OpenCV needs memory in its natural order: the reversed view of a reversed view is that memory.
    source = image[:, :, ::-1] if backwards else image
    down, across = max(1, image.shape[0] // height), max(1, image.shape[1] // width)
    if down > 1 or across > 1:
        rows, columns = image.shape[0] // down, image.shape[1] // across
        # INTER_AREA is fast only for whole factors, so that the remainder is cut off first.
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
    """Add ``top`` ... ``right`` pixels to (H, W, 3) that repeat its edges; the order of colours in memory stays."""
    backwards = image.strides[-1] < 0
    source = image[:, :, ::-1] if backwards else image
    made = np.asarray(cv2.copyMakeBorder(source, top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8)
    return made[:, :, ::-1] if backwards else made


def without_pool() -> None:
    """Limit OpenCV to the calling thread, in the whole process.

    For pictures this small, sharing the work takes longer than it saves, and the networks need the cores.
    """
    cv2.setNumThreads(1)
