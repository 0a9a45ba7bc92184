"""A USB camera through Video4Linux."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from edge import board, config
from edge.config import CameraSettings
from edge.contracts import Frame
from edge.drivers.colour import frame_of_bgr
from edge.drivers.damage import DamagedPictures, decoded
from edge.errors import CameraError
from edge.files import native_name

log = logging.getLogger(__name__)

MJPG = cv2.VideoWriter.fourcc(*"MJPG")
PI_PARTS = ("bcm2835-", "pispbe", "rpivid", "rpi-hevc", "unicam", "rp1-cfe")
"""Prefixes of the names of a Raspberry Pi's own video devices (their drivers in the Raspberry Pi kernel)."""


class UsbCamera:
    """Camera at ``/dev/videoN``; an empty name takes the first that gives a picture, which ``device`` then names.

    ``open_device`` is OpenCV's. Its read waits in the kernel for up to $OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT seconds (10
    by default; :mod:`edge.commands.main` sets less), so :mod:`edge.camera.supervisor` calls it from its own thread.
    """

    live = True

    def __init__(
        self,
        settings: CameraSettings,
        name: str,
        clock: Callable[[], float],
        open_device: Callable[..., Any] = cv2.VideoCapture,
    ) -> None:
        self._clock, self._index = clock, 0
        # By number: as text, video10 would come before video2.
        found = sorted((str(path) for path in Path("/dev").glob("video*")), key=_number)
        name = f"/dev/video{name}" if name.isdigit() else name
        if name and not Path(name).exists():
            raise CameraError(
                f"camera.source: no device at {name} ({_found(found)}); plug the camera in, or name another one or a "
                "clip with --source"
            )
        for path in [name] if name else [path for path in found if not _is_pi_codec(path)]:
            # Opening also succeeds for devices that give no picture, so one is grabbed.
            capture = open_device(native_name(path, CameraError), cv2.CAP_V4L2)
            if capture.isOpened() and capture.grab():
                self.device, self._capture = path, capture
                self._damaged = DamagedPictures(path, config.stall_s(settings), clock)
                if not name:
                    log.info("camera.source auto: %s gives pictures", path)
                self._configure(settings)
                return
            capture.release()
        ribbon = 'a camera on the Pi\'s ribbon cable needs source = "picamera2"'
        if not found and not name:
            raise CameraError(f"camera.source: there is no /dev/video*; plug a USB camera in; {ribbon}")
        which = f"{name} gives no picture" if name else "no device gives a picture"
        raise CameraError(
            f"camera.source: {which} ({_found(found)}); check that no other program uses it and that this user is in "
            f"the group video; {ribbon}"
        )

    def _configure(self, settings: CameraSettings) -> None:
        # MJPG first: over USB 2, uncompressed video above 640 x 480 drops to a few frames per second.
        self._capture.set(cv2.CAP_PROP_FOURCC, MJPG)
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height)
        self._capture.set(cv2.CAP_PROP_FPS, settings.fps)
        # One buffer: a queue would deliver old pictures while inference is slower than the camera.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        # OpenCV would decode a JPEG that is cut short as well. Last, as other changes set up the conversion again.
        if int(self._capture.get(cv2.CAP_PROP_FOURCC)) == MJPG:
            self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)

    def read(self) -> Frame | None:
        """Return the next complete frame. Raises CameraError if the camera is unplugged or stops responding."""
        while True:
            good, image = self._capture.read()
            if not good:
                raise CameraError(f"{self.device}: the camera stopped giving pictures; check its cable")
            # Compressed pictures are one row of bytes.
            picture = decoded(image.tobytes()) if image.ndim == 2 and 1 in image.shape else image
            if picture is not None:
                self._damaged.good()
                self._index += 1
                return frame_of_bgr(picture, self._clock(), self._index - 1)
            self._damaged.skip()

    def close(self) -> None:
        """Release the device."""
        self._capture.release()


def _number(path: str) -> int:
    digits = path.removeprefix("/dev/video")
    return int(digits) if digits.isdigit() else 1_000_000


def _is_pi_codec(path: str, sysfs: Path = Path("/sys/class/video4linux")) -> bool:
    """Return whether a device is a codec or image processor of the board: it has no picture and fails after 10 s."""
    return (board.text(sysfs / Path(path).name / "name") or "").startswith(PI_PARTS)


def _found(devices: list[str]) -> str:
    return f"found {', '.join(devices)}" if devices else "found no /dev/video*"
