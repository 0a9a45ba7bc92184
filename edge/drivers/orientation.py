"""Rotation and mirroring of pictures, for cameras that cannot turn their own: ``camera.rotate``, ``camera.mirror``."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from edge.config import CameraSettings
from edge.contracts import Camera, Frame, Image

ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
"""OpenCV's code of each value of ``camera.rotate``, in degrees clockwise."""


class TurnedCamera:
    """Camera whose pictures are turned upright, once per frame; see :class:`edge.contracts.Camera`."""

    def __init__(self, camera: Camera, settings: CameraSettings) -> None:
        self._camera, self._settings = camera, settings

    @property
    def live(self) -> bool:
        """See :class:`edge.contracts.Camera`."""
        return self._camera.live

    def read(self) -> Frame | None:
        """Return the next frame, turned; None at the end. Raises what the camera raises."""
        frame = self._camera.read()
        return None if frame is None else turned_frame(frame, self._settings.rotate, self._settings.mirror)

    def close(self) -> None:
        """Close the camera."""
        self._camera.close()


def is_turned(settings: CameraSettings) -> bool:
    """Return whether the settings ask for pictures other than the camera gives them."""
    return settings.rotate != 0 or settings.mirror


def turned_frame(frame: Frame, rotate: int, mirror: bool) -> Frame:
    """Return a frame with all its pictures rotated clockwise by ``rotate`` degrees, then mirrored left to right."""
    luma, small = frame.given_luma, frame.small
    return replace(
        frame,
        image=turned(frame.image, rotate, mirror),
        given_luma=None if luma is None else turned(luma, rotate, mirror),
        # Turned when it is made: most frames of an empty doorway never need the small picture.
        small=None if small is None else lambda: turned(small(), rotate, mirror),
    )


def turned(image: Image, rotate: int, mirror: bool) -> Image:
    """Return (H, W, 3) or (H, W) uint8, rotated and mirrored; the order of colours in memory stays."""
    backwards = image.ndim == 3 and image.strides[-1] < 0
    # OpenCV needs memory in its natural order: the reversed view of a reversed view is that memory.
    made = image[:, :, ::-1] if backwards else image
    if rotate == 180 and mirror:
        made = np.asarray(cv2.flip(made, 0), np.uint8)  # the same in one step
    else:
        if rotate:
            made = np.asarray(cv2.rotate(made, ROTATIONS[rotate]), np.uint8)
        if mirror:
            made = np.asarray(cv2.flip(made, 1), np.uint8)
    return made[:, :, ::-1] if backwards else made
