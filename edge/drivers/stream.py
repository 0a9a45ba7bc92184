"""A camera on the network: RTSP, as most CCTV speaks it, or MJPEG over HTTP.

Decoded by the FFmpeg in OpenCV's wheels. RTSP goes over TCP: over UDP a lost packet is a smeared picture, and faces in
it are judged. Passwords in the address are never told.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

import cv2

from edge.config import CameraSettings
from edge.contracts import Frame
from edge.drivers.pixels import frame_of_bgr
from edge.errors import CameraError

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""Where a server listens that the address names no port of; also all the schemes there are."""
KNOCK_S = 1.0
"""How long a server on the same network may take to answer at all."""
OPTIONS = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay|analyzeduration;200000"
"""For FFmpeg, in OpenCV's form. Nothing is buffered: what counts is the newest picture. Left to itself FFmpeg looks at
a stream for two seconds and more before it gives the first picture; a fifth of a second (in microseconds) does."""


class _Options:
    """OPTIONS where OpenCV looks for them, while streams are being opened: files are opened by the same variable."""

    VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"

    def __init__(self) -> None:
        self._lock, self._opening, self._ours = threading.Lock(), 0, False

    def __enter__(self) -> None:
        with self._lock:
            self._opening += 1
            if self.VARIABLE not in os.environ:  # what the user set there stands
                os.environ[self.VARIABLE], self._ours = OPTIONS, True

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._opening -= 1
            if self._ours and not self._opening:
                del os.environ[self.VARIABLE]
                self._ours = False


_options = _Options()


class StreamCamera:
    """A stream by its address, ``rtsp://user:password@host/path``; see :class:`edge.contracts.Camera`."""

    live = True

    def __init__(self, settings: CameraSettings, name: str, clock: Callable[[], float]) -> None:
        self._clock, self._index = clock, 0
        address = urlsplit(name)
        self._name = without_password(name)
        _knock(address, self._name)
        # Both bounded, so that a thread comes back and need not be left behind.
        patience_ms = [int(seconds * 1000) for seconds in (settings.open_s, settings.stall_s)]
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, patience_ms[0], cv2.CAP_PROP_READ_TIMEOUT_MSEC, patience_ms[1]]
        with _options:
            self._capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, limits)
        if not self._capture.isOpened():
            raise CameraError(
                f"{self._name}: the server answers, but gives no stream; are path, user and password right, and does "
                "it play elsewhere: ffplay -rtsp_transport tcp ADDRESS"
            )

    def read(self) -> Frame | None:
        """The next frame. Raises CameraError where the stream has broken off."""
        good, image = self._capture.read()
        if not good:
            raise CameraError(f"{self._name}: the stream broke off; is the camera on, and its network up?")
        frame = frame_of_bgr(image, self._clock(), self._index)
        self._index += 1
        return frame

    def close(self) -> None:
        """Hang up."""
        self._capture.release()


def without_password(address: str) -> str:
    """The address as it may be told: what stands before the @ is dropped but for the user's name."""
    parts = urlsplit(address)
    who, sign, where = parts.netloc.rpartition("@")
    user = who.partition(":")[0]
    return parts._replace(netloc=f"{user}:***@{where}" if sign else where, query="", fragment="").geturl()


def _knock(address: SplitResult, name: str) -> None:
    """Find out in a second what FFmpeg would take its whole patience for: nobody there."""
    try:
        port = address.port or PORTS[address.scheme]
        if not address.hostname:
            raise ValueError("no host in it")
    except (ValueError, KeyError) as error:
        raise CameraError(f"camera.source: {name}: not an address ({error}); as in rtsp://host:554/path") from error
    try:
        socket.create_connection((address.hostname, port), KNOCK_S).close()
    except OSError as error:
        raise CameraError(
            f"{name}: nobody answers at {address.hostname} port {port} ({error.strerror or error}); is the camera on, "
            "and in this network?"
        ) from error
