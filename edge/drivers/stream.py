"""A camera on the network: RTSP, as most CCTV cameras provide it, or another stream that FFmpeg knows.

The FFmpeg in OpenCV's wheels decodes it. RTSP uses TCP if the camera offers it: over UDP a lost packet smears the
picture, and fmd would classify the faces in it.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2

from edge import addresses, config
from edge.config import CameraSettings
from edge.contracts import Frame
from edge.drivers import ffmpeg_memory, stream_probe, tls
from edge.drivers.colour import frame_of_bgr
from edge.errors import CameraError, PictureError
from edge.files import MAX_LIVE_PIXELS, native_name
from edge.inference.picture_file import check_size

log = logging.getLogger(__name__)

CONNECT_S = 1.0
"""Time that a server on the same network has to accept a connection."""
OPTIONS = "rtsp_transport;{transport}|fflags;nobuffer|flags;low_delay|analyzeduration;200000|tls_verify;1"
"""Options of FFmpeg, in OpenCV's form. FFmpeg must not buffer, because only the newest picture counts. Without
``analyzeduration`` it examines a stream for two seconds or more before the first picture; 0.2 s suffice. fmd itself
connects to cameras with TLS (:mod:`edge.drivers.tls`); if a stream leads FFmpeg to another, it must verify that."""
REDIRECTS = "the camera refers to another address; give that address"
PROBE_S = 2.0
"""Time that the server has for each answer to the question why there is no stream."""
SLOW_SHARE = 0.8
"""A read that fails after this share of its limit has waited in vain; one that fails sooner was cut off."""
NO_STREAM = (
    "the server answers, but gives no stream; check path, user and password with: ffplay -rtsp_transport tcp ADDRESS"
)
UDP_ONLY = "the camera offers its stream over UDP only"
PICTURE_TIME: int | None = getattr(cv2, "CAP_PROP_PTS", None)
"""OpenCV's property with the time of a picture, in pictures at the stream's rate."""
MIN_RATE, MAX_RATE = 5, 120
"""Rates at which that time is exact enough, frames per second; cameras that state another one are guessing."""
TCP_FIX = "switch TCP on in the camera"


class _Options:
    """Sets OPTIONS in OpenCV's variable, only while streams are being opened: opening files reads it as well."""

    VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"

    def __init__(self) -> None:
        # Several cameras may open streams at the same time, each in its thread; those of one transport share the value.
        self._changed, self._opening, self._ours = threading.Condition(), 0, ""

    @contextmanager
    def set(self, transport: str) -> Iterator[None]:
        """Set the options for ``transport``, "tcp" or "udp"; waits for streams of the other one to be open."""
        wanted = OPTIONS.format(transport=transport)
        with self._changed:
            self._changed.wait_for(lambda: self._ours in ("", wanted))
            self._opening += 1
            if self.VARIABLE not in os.environ:  # a value set by the user has priority
                os.environ[self.VARIABLE] = self._ours = wanted
        try:
            yield
        finally:
            with self._changed:
                self._opening -= 1
                if self._ours and not self._opening:
                    del os.environ[self.VARIABLE]
                    self._ours = ""
                    self._changed.notify_all()


_options = _Options()
_udp_only: set[str] = set()
"""Addresses of cameras that refused TCP, so that reopening one takes a single attempt."""


class StreamCamera:
    """Camera at an address, ``rtsp://user:password@host/path``; see :class:`edge.contracts.Camera`."""

    live = True

    def __init__(self, settings: CameraSettings, name: str, clock: Callable[[], float]) -> None:
        self._clock, self._index = clock, 0
        self._name, self._address = addresses.redacted(name), name
        self._read_s = 2 * config.stall_s(settings)
        native_name(self._name, CameraError)
        ffmpeg_memory.limit()
        self._tunnel = tls.Tunnel(name, settings) if tls.uses_tls(name) else None
        if self._tunnel is not None:
            self._address = self._tunnel.address
        else:
            check_reachable(name)
        try:
            self._capture = self._opened(settings)
            self._check_size()
        except BaseException:
            self._close_tunnel()
            raise

    def _opened(self, settings: CameraSettings) -> cv2.VideoCapture:
        """Open the stream over TCP, or over UDP if the settings allow that and the camera refuses TCP."""
        name, transport = self._address, settings.rtsp_transport
        # Through the tunnel comes TCP alone; pictures over UDP would be neither encrypted nor verified.
        if transport == "auto" or self._tunnel is not None:
            transport = "udp" if name in _udp_only else "tcp"
        capture = self._over(transport, settings.open_s)
        if capture.isOpened():
            return capture
        _udp_only.discard(name)
        found = stream_probe.examine(name, PROBE_S)
        if self._tunnel is not None and self._tunnel.redirected:
            raise CameraError(f"{self._name}: {REDIRECTS}")
        if not found.refuses_tcp or transport == "udp":
            raise CameraError(f"{self._name}: {found.reason or NO_STREAM}")
        if self._tunnel is not None:
            raise CameraError(f"{self._name}: {UDP_ONLY}, which TLS does not protect; {TCP_FIX}")
        if settings.rtsp_transport == "tcp":
            raise CameraError(f'{self._name}: {UDP_ONLY}; {TCP_FIX}, or set camera.rtsp_transport = "auto"')
        log.warning("%s: %s; lost packets smear its pictures", self._name, UDP_ONLY)
        _udp_only.add(name)
        capture = self._over("udp", settings.open_s)
        if not capture.isOpened():
            raise CameraError(f"{self._name}: {UDP_ONLY}, and none arrives over UDP; check firewalls, or {TCP_FIX}")
        return capture

    def _over(self, transport: str, open_s: float) -> cv2.VideoCapture:
        # Both are bounded, so that the thread returns and need not be abandoned. A read that times out returns an old
        # picture before it fails. No stage gets it, because the supervisor has reported the stall by then.
        open_ms, read_ms = (int(seconds * 1000) for seconds in (open_s, self._read_s))
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, open_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, read_ms]
        with _options.set(transport):
            return cv2.VideoCapture(self._address, cv2.CAP_FFMPEG, limits)

    def _check_size(self) -> None:
        """Raise CameraError for pictures that are too large; their size is known before one is decoded."""
        width, height = (self._capture.get(side) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        try:
            check_size(int(width), int(height), MAX_LIVE_PIXELS)
        except PictureError as error:
            raise CameraError(f"{self._name}: {error}") from error

    def read(self) -> Frame | None:
        """Return the next frame. Raises CameraError if the stream has broken off."""
        began_s = self._clock()
        good, image = self._capture.read()
        if not good:
            raise CameraError(f"{self._name}: {self._why_ended(self._clock() - began_s)}")
        frame = frame_of_bgr(image, self._clock(), self._index)
        self._index += 1
        return frame

    @property
    def sent_s(self) -> float | None:
        """When the camera took the last picture, by its own clock in Unix seconds; None if it has not stated that.

        RTSP cameras state it some seconds after the beginning, most of them at least.
        """
        began_us, rate = (self._capture.get(key) for key in (cv2.CAP_PROP_STREAM_OPEN_TIME_USEC, cv2.CAP_PROP_FPS))
        # Older OpenCV does not give the time of a picture in the stream, only the one since the first picture.
        if began_us <= 0 or PICTURE_TIME is None or not MIN_RATE <= rate <= MAX_RATE:
            return None
        return began_us / 1e6 + float(self._capture.get(PICTURE_TIME)) / rate

    def _why_ended(self, waited_s: float) -> str:
        if waited_s >= SLOW_SHARE * self._read_s:
            return (
                f"no picture for {waited_s:.0f} s; check the camera's network. A camera that gives pictures more "
                "rarely than that needs its rate as camera.fps, or a larger camera.stall_s"
            )
        return "the stream broke off; check that the camera is on and its network is up"

    def close(self) -> None:
        """Disconnect."""
        self._capture.release()
        self._close_tunnel()

    def _close_tunnel(self) -> None:
        if self._tunnel is not None:
            self._tunnel.close()


def check_reachable(source: str) -> None:
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
