"""A fake of picamera2 that keeps its contract and records its calls.

For tests and rehearsals on machines without a Pi camera: ``PiCamera(..., module=fake_picamera2)``. Pictures come from
:attr:`Picamera2.pictures`, RGB. Its arrays are laid out as the real ones: "RGB888" as B, G, R in memory, "YUV420" as
one plane of (height * 3 / 2, width).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np

from edge.contracts import Image


@dataclass(frozen=True)
class Transform:
    """Fake of ``libcamera.Transform``: what the camera does to its pictures."""

    hflip: bool = False
    vflip: bool = False


class Request:
    """Completed request: arrays can be made of it until it is released."""

    def __init__(self, picture: Image, configuration: dict[str, Any]) -> None:
        self._picture, self._configuration = picture, configuration
        self.released = False

    def make_array(self, stream: str) -> Image:
        """Return the stream's bytes as picamera2 lays them out."""
        if self.released:
            raise RuntimeError("request used after release")
        wanted = self._configuration[stream]
        transform = self._configuration.get("transform") or Transform()
        picture = self._picture[:: -1 if transform.vflip else 1, :: -1 if transform.hflip else 1]
        resized = cv2.resize(np.ascontiguousarray(picture), wanted["size"], interpolation=cv2.INTER_AREA)
        if wanted["format"] == "YUV420":
            return np.asarray(cv2.cvtColor(resized, cv2.COLOR_RGB2YUV_I420), np.uint8)
        if wanted["format"] == "RGB888":
            return np.ascontiguousarray(resized[:, :, ::-1])
        raise RuntimeError(f"format {wanted['format']} is not one that the fake supports")

    def release(self) -> None:
        """Return the buffer to the camera."""
        self.released = True


class Picamera2:
    """Fake of ``picamera2.Picamera2``: the part that :mod:`edge.drivers.pi_camera` uses."""

    cameras: ClassVar[list[dict[str, Any]]] = [{"Model": "stand-in", "Num": 0}]
    pictures: ClassVar[list[Image]] = []
    """Pictures that the camera gives; after the last one it stalls."""
    sensor_modes: ClassVar[list[dict[str, Any]]] = [
        {"size": (640, 480), "bit_depth": 10, "fps": 103.3, "crop_limits": (1000, 752, 1280, 960)},
        {"size": (1640, 1232), "bit_depth": 8, "fps": 41.8, "crop_limits": (0, 0, 3280, 2464)},
        {"size": (1640, 1232), "bit_depth": 10, "fps": 41.8, "crop_limits": (0, 0, 3280, 2464)},
        {"size": (1920, 1080), "bit_depth": 10, "fps": 47.6, "crop_limits": (680, 692, 1920, 1080)},
        {"size": (3280, 2464), "bit_depth": 10, "fps": 21.2, "crop_limits": (0, 0, 3280, 2464)},
    ]
    """Sensor modes of a Camera Module 2, each with the part of its 3280 x 2464 pixels that it shows."""

    def __init__(self, camera_num: int = 0) -> None:
        self.calls: list[str] = [f"open {camera_num}"]
        self.requests: list[Request] = []
        self.configuration: dict[str, Any] = {}
        self._left: Iterator[Image] = iter(self.pictures)
        self._running = False

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        """Return one entry per camera."""
        return Picamera2.cameras

    def create_video_configuration(
        self,
        main: dict[str, Any],
        lores: dict[str, Any],
        controls: dict[str, Any],
        sensor: dict[str, Any] | None = None,
        transform: Transform | None = None,
    ) -> dict[str, Any]:
        """Return a configuration as a dictionary, like the real one."""
        return {"main": main, "lores": lores, "controls": controls, "sensor": sensor, "transform": transform}

    def configure(self, configuration: dict[str, Any]) -> None:
        """Accept a configuration. Raises RuntimeError unless the camera is stopped."""
        if self._running:
            raise RuntimeError("Camera must be stopped before configuring")
        self.configuration = configuration
        self.calls.append("configure")

    def start(self) -> None:
        """Start giving requests."""
        self._running = True
        self.calls.append("start")

    def capture_request(self, wait: float | None = None) -> Request:
        """Return the next request. Raises TimeoutError if there is none, here without waiting for ``wait`` seconds."""
        picture = next(self._left, None)
        if not self._running or picture is None:
            raise TimeoutError(f"no request within {wait} s")
        self.requests.append(Request(picture, self.configuration))
        return self.requests[-1]

    def stop(self) -> None:
        """Stop giving requests."""
        self._running = False
        self.calls.append("stop")

    def close(self) -> None:
        """Release the camera."""
        self.calls.append("close")
