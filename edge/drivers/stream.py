"""A camera on the network: RTSP, as most CCTV speaks it, or MJPEG over HTTP.

Decoded by the FFmpeg in OpenCV's wheels. RTSP goes over TCP: over UDP a lost packet is a smeared picture, and faces in
it are judged.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

import cv2

from edge import addresses
from edge.config import CameraSettings
from edge.contracts import Frame
from edge.drivers.colour import frame_of_bgr
from edge.errors import CameraError

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
        self._name = addresses.redacted(name)
        _knock(name)
        # Both bounded, so that a thread comes back and need not be left behind. A read that runs out of its time gives
        # an old picture before it fails; nobody takes it, because by then a stall has long been noticed.
        patience_ms = [int(seconds * 1000) for seconds in (settings.open_s, 2 * settings.stall_s)]
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


def _knock(source: str) -> None:
    """Find out in a second what FFmpeg would take its whole patience for: nobody there."""
    host, port = addresses.place(source)
    try:
        socket.create_connection((host, port), KNOCK_S).close()
    # Beside the system's own: a host that is none in any language (UnicodeError).
    except (OSError, UnicodeError) as error:
        raise CameraError(f"{addresses.redacted(source)}: {_nobody(source, host, port, error)}") from error


def _nobody(source: str, host: str, port: int, error: Exception) -> str:
    if addresses.is_doubtful(source):  # then host and port may be user and password
        return f"nobody answers there; {addresses.HINT}"
    why = getattr(error, "strerror", None) or "no such host"
    return f"nobody answers at {host} port {port} ({why}); is the camera on, and in this network?"
