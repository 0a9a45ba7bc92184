"""Pictures made smaller and larger: what detector, classifier and training share."""

from __future__ import annotations

import cv2
import numpy as np

from edge.contracts import Image


def resized(image: Image, width: int, height: int) -> Image:
    """(H, W, 3) RGB as (height, width, 3): averaged where it shrinks, interpolated where it grows.

    Either side tells: OpenCV itself interpolates in INTER_AREA where only one of them shrinks.

    Training, calibration and the door all come here, so that a model meets the pictures it was trained on.
    A view that reads B, G, R memory backwards is put right after the resizing, when there is less of it.
    """
    shrinks = width < image.shape[1] or height < image.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    if image.ndim == 3 and image.strides[2] < 0:
        bgr = cv2.resize(image[:, :, ::-1], (width, height), interpolation=interpolation)
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)
