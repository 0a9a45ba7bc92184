"""A camera on the network: RTSP, as most CCTV cameras provide it, or MJPEG over HTTP.

The FFmpeg in OpenCV's wheels decodes it. RTSP uses TCP: over UDP a lost packet smears the picture, and fmd would
classify the faces in it.
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
from edge.drivers import stream_probe
from edge.drivers.colour import frame_of_bgr
from edge.errors import CameraError
from edge.files import native_name

CONNECT_S = 1.0
"""Time that a server on the same network has to accept a connection."""
OPTIONS = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay|analyzeduration;200000"
"""Options of FFmpeg, in OpenCV's form. FFmpeg must not buffer, because only the newest picture counts. Without
``analyzeduration`` it examines a stream for two seconds or more before the first picture; 0.2 s suffice."""


PROBE_S = 2.0
"""Time that the server has for each answer to the question why there is no stream."""
SLOW_SHARE = 0.8
"""A read that fails after this share of its limit has waited in vain; one that fails sooner was cut off."""
NO_STREAM = (
    "the server answers, but gives no stream; check path, user and password with: ffplay -rtsp_transport tcp ADDRESS"
)


class _Options:
    """Sets OPTIONS in OpenCV's variable, only while streams are being opened: opening files reads it as well."""

    VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"

    def __init__(self) -> None:
        # Several cameras may open streams at the same time, each in its thread.
        self._lock, self._opening, self._ours = threading.Lock(), 0, False

    def __enter__(self) -> None:
        with self._lock:
            self._opening += 1
            if self.VARIABLE not in os.environ:  # a value set by the user has priority
                os.environ[self.VARIABLE], self._ours = OPTIONS, True

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._opening -= 1
            if self._ours and not self._opening:
                del os.environ[self.VARIABLE]
                self._ours = False


_options = _Options()


class StreamCamera:
    """Camera at an address, ``rtsp://user:password@host/path``; see :class:`edge.contracts.Camera`."""

    live = True

    def __init__(self, settings: CameraSettings, name: str, clock: Callable[[], float]) -> None:
        self._clock, self._index = clock, 0
        self._name, self._address = addresses.redacted(name), name
        self._is_http, self._read_s = name.startswith("http"), 2 * settings.stall_s
        native_name(self._name, CameraError)
        _check_reachable(name)
        # Both are bounded, so that the thread returns and need not be abandoned. A read that times out returns an old
        # picture before it fails. No stage gets it, because the supervisor has reported the stall by then.
        open_ms, read_ms = (int(seconds * 1000) for seconds in (settings.open_s, self._read_s))
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, open_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, read_ms]
        with _options:
            self._capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, limits)
        if not self._capture.isOpened():
            raise CameraError(f"{self._name}: {stream_probe.reason(name, PROBE_S) or NO_STREAM}")

    def read(self) -> Frame | None:
        """Return the next frame. Raises CameraError if the stream has broken off."""
        began_s = self._clock()
        good, image = self._capture.read()
        if not good:
            raise CameraError(f"{self._name}: {self._why_ended(self._clock() - began_s)}")
        frame = frame_of_bgr(image, self._clock(), self._index)
        self._index += 1
        return frame

    def _why_ended(self, waited_s: float) -> str:
        if waited_s >= SLOW_SHARE * self._read_s:
            return (
                f"no picture for {waited_s:.0f} s; check the camera's network. A camera that gives pictures more "
                "rarely than every camera.stall_s needs a larger value"
            )
        # FFmpeg takes a snapshot for a stream with one picture.
        snapshot = stream_probe.reason(self._address, PROBE_S) if self._index <= 1 and self._is_http else ""
        return snapshot or "the stream broke off; check that the camera is on and its network is up"

    def close(self) -> None:
        """Disconnect."""
        self._capture.release()


def _check_reachable(source: str) -> None:
    """Raise CameraError if no server answers: this takes a second, where FFmpeg would use up its whole time-out."""
    host, port = addresses.place(source)
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    # UnicodeError: a host name that cannot be encoded.
    except (OSError, UnicodeError) as error:
        raise CameraError(f"{addresses.redacted(source)}: {_unreachable(source, host, port, error)}") from error


def _unreachable(source: str, host: str, port: int, error: Exception) -> str:
    if addresses.is_doubtful(source):  # then host and port may be user and password, which no message may show
        return f"no camera answers there; {addresses.HINT}"
    why = getattr(error, "strerror", None) or "no such host"
    return f"no camera answers at {host} port {port} ({why}); check that it is on and in this network"
