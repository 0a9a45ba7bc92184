"""A camera on the network that answers HTTP: a stream of JPEG pictures (MJPEG), or one picture for each request.

The type of the first answer decides which. Streams of other types go to FFmpeg (:mod:`edge.drivers.stream`). What the
camera sends is bounded in size and in time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from edge import addresses, config
from edge.config import CameraSettings
from edge.contracts import Camera, Frame, Image
from edge.drivers import tls
from edge.drivers.colour import frame_of_bgr
from edge.drivers.damage import DamagedPictures, decoded
from edge.drivers.library import import_library
from edge.drivers.stream import CONNECT_S, REDIRECTS, StreamCamera, check_reachable
from edge.drivers.stream_probe import refused
from edge.errors import CameraError, PictureError

MAX_PICTURE = 16 << 20
"""Largest picture, bytes."""
MAX_HEADERS = 1 << 14
"""Largest headers of a picture in a stream, with whatever is between two pictures, bytes."""
CHUNK = 1 << 16
JPEG = b"\xff\xd8\xff"
INSTALL = "in fmd's folder: pip install ."


class HttpCamera:
    """Camera at ``http://user:password@host/path``; see :class:`edge.contracts.Camera`."""

    live = True

    def __init__(self, settings: CameraSettings, name: str, clock: Callable[[], float]) -> None:
        self._name = addresses.redacted(name)
        self._tunnel = tls.Tunnel(name, settings) if tls.uses_tls(name) else None
        try:
            self._camera = self._opened(settings, name, clock)
        except BaseException:
            self._close_tunnel()
            raise

    def _opened(self, settings: CameraSettings, name: str, clock: Callable[[], float]) -> Camera:
        client = _Client(settings, name, clock, self._tunnel)
        answer = client.get()
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind.startswith("multipart/"):
            return _Stream(client, answer, settings, clock)
        begin = b""
        if kind in ("", "application/octet-stream"):  # simple cameras do not state what they send
            begin = client.read(answer, clock() + client.read_s)
        if kind.startswith("image/") or begin.startswith(JPEG):
            tag = answer.headers.get("ETag", "")
            return _Snapshots(client, begin + client.body(answer), tag, settings, clock)
        answer.close()
        client.close()
        if kind.startswith("text/"):
            raise CameraError(f"{client.name}: the address gives a web page, expected a picture or a stream")
        return StreamCamera(settings, name, clock)

    def read(self) -> Frame | None:
        """Return the next frame. Raises CameraError if the camera gives none."""
        try:
            return self._camera.read()
        except PictureError as error:
            raise CameraError(f"{self._name}: {error}") from error

    def close(self) -> None:
        """Disconnect."""
        self._camera.close()
        self._close_tunnel()

    def _close_tunnel(self) -> None:
        if self._tunnel is not None:
            self._tunnel.close()


class _Client:
    """Requests to one address. ``name`` is the address without its secrets; a picture may take ``read_s``."""

    def __init__(
        self, settings: CameraSettings, source: str, clock: Callable[[], float], tunnel: tls.Tunnel | None
    ) -> None:
        self._tunnel = tunnel
        self.name, self.read_s, self.clock = addresses.redacted(source), 2 * config.stall_s(settings), clock
        self._requests = import_library("requests", "camera.source", INSTALL, CameraError)
        self._urllib3 = import_library("urllib3", "camera.source", INSTALL, CameraError)
        if tunnel is None:
            check_reachable(source)
        parts = urlsplit(source if tunnel is None else tunnel.address)
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._login = unquote(parts.username or ""), unquote(parts.password or "")
        self._session = self._requests.Session()
        # Neither a proxy nor ~/.netrc has anything to do with a camera. A compressed answer could be of any size.
        self._session.trust_env = False
        self._session.headers["Accept-Encoding"] = "identity"
        if tunnel is not None:
            self._session.headers["Host"] = urlsplit(source).netloc.rpartition("@")[2]

    def get(self, headers: dict[str, str] | None = None) -> Any:
        """Return the answer to a request, its body not read yet. Raises CameraError unless the status is good."""
        answer = self._send(headers)
        if answer.status_code == 401 and self._login[0] and self._session.auth is None:
            # Which way the camera wants user and password; a later request sends them at once.
            digest = "digest" in answer.headers.get("WWW-Authenticate", "").lower()
            auth = self._requests.auth
            self._session.auth = (auth.HTTPDigestAuth if digest else auth.HTTPBasicAuth)(*self._login)
            answer.close()
            answer = self._send(headers)
        if answer.status_code in (200, 304):
            return answer
        answer.close()
        if answer.is_redirect:
            raise CameraError(f"{self.name}: {REDIRECTS}")
        raise CameraError(f"{self.name}: {refused(answer.status_code, self._login[0])}")

    def _send(self, headers: dict[str, str] | None) -> Any:
        try:
            return self._session.get(
                self._url, headers=headers, timeout=(CONNECT_S, self.read_s), stream=True, allow_redirects=False
            )
        except (self._requests.RequestException, ValueError) as error:
            raise CameraError(f"{self.name}: {self._why(error)}") from None  # its text may show the address

    def _why(self, error: Exception) -> str:
        if self._tunnel is not None and self._tunnel.redirected:
            return REDIRECTS
        if isinstance(error, self._requests.exceptions.Timeout):
            return f"the camera does not answer within {self.read_s:g} s"
        return "the camera hangs up, or does not speak HTTP"

    def body(self, answer: Any) -> bytes:
        """Return the body of an answer, as far as it came. Raises CameraError for more than a picture can have."""
        data, until_s = bytearray(), self.clock() + self.read_s
        while chunk := self.read(answer, until_s):
            data += chunk
            if len(data) > MAX_PICTURE:
                raise CameraError(f"{self.name}: the answer has more than {MAX_PICTURE >> 20} MB, expected a picture")
        answer.close()
        return bytes(data)

    def read(self, answer: Any, until_s: float) -> bytes:
        """Return the next bytes of an answer, empty at its end. Raises CameraError if it is slower than ``until_s``."""
        try:
            # What has come, without waiting for more.
            chunk: bytes = answer.raw.read1(CHUNK)
        except (OSError, ValueError, self._urllib3.exceptions.HTTPError):  # cut off, or not as HTTP demands
            chunk = b""
        if self.clock() >= until_s:
            raise CameraError(
                f"{self.name}: no picture for {self.read_s:g} s; check the camera's network. A camera that gives "
                "pictures more rarely than that needs its rate as camera.fps, or a larger camera.stall_s"
            )
        return chunk

    def close(self) -> None:
        """Disconnect."""
        self._session.close()


class _Stream:
    """MJPEG: parts of a multipart answer, each with a picture."""

    live = True

    def __init__(self, client: _Client, answer: Any, settings: CameraSettings, clock: Callable[[], float]) -> None:
        self._client, self._answer, self._clock, self._index = client, answer, clock, 0
        self._damaged = DamagedPictures(client.name, config.stall_s(settings), clock)
        self._parts = PartReader(self._more)
        self._until_s = 0.0

    def read(self) -> Frame | None:
        """Return the next complete picture. Raises CameraError if the stream has broken off."""
        while True:
            self._until_s = self._clock() + self._client.read_s
            data = self._parts.read()
            if data is None:
                raise CameraError(
                    f"{self._client.name}: the stream broke off; check that the camera is on and its network is up"
                )
            image = decoded(data)
            if image is not None:
                self._damaged.good()
                self._index += 1
                return frame_of_bgr(image, self._clock(), self._index - 1)
            self._damaged.skip()

    def _more(self) -> bytes:
        return self._client.read(self._answer, self._until_s)

    def close(self) -> None:
        """Disconnect."""
        self._answer.close()
        self._client.close()


class _Snapshots:
    """A picture per request, ``camera.fps`` times a second."""

    live = True

    def __init__(
        self, client: _Client, first: bytes, tag: str, settings: CameraSettings, clock: Callable[[], float]
    ) -> None:
        self._client, self._clock, self._index = client, clock, 0
        self._damaged = DamagedPictures(client.name, config.stall_s(settings), clock)
        self._interval_s, self._due_s = 1 / settings.fps, clock()
        self._next: bytes | None = first
        self._data, self._tag = b"", tag
        self._image: Image | None = None
        self._closed = threading.Event()

    def read(self) -> Frame | None:
        """Wait until a picture is due, and request it. Raises CameraError if the camera gives none."""
        while True:
            self._closed.wait(max(0.0, self._due_s - self._clock()))
            self._due_s = max(self._due_s, self._clock()) + self._interval_s
            data, self._next = self._next or self._request(), None
            if data != self._data:
                self._data, self._image = data, decoded(data)
            # The same picture again is a frame as well: if it stays the same for long, the camera is frozen.
            if self._image is not None:
                self._damaged.good()
                self._index += 1
                return frame_of_bgr(self._image, self._clock(), self._index - 1)
            self._damaged.skip()

    def _request(self) -> bytes:
        """Return the camera's picture, or the last one if it states that this is unchanged."""
        answer = self._client.get({"If-None-Match": self._tag} if self._tag else None)
        self._tag = answer.headers.get("ETag", "")
        if answer.status_code == 304:
            answer.close()
            return self._data
        return self._client.body(answer)

    def close(self) -> None:
        """Disconnect."""
        self._closed.set()
        self._client.close()


class PartReader:
    """Splits a multipart stream into its parts. ``more`` returns the next bytes of the stream, none at its end.

    Many cameras state another delimiter than they send, so the first line that begins with ``--`` counts. A part ends
    after its ``Content-Length``, or else in front of the delimiter.
    """

    def __init__(self, more: Callable[[], bytes]) -> None:
        self._more = more
        self._buffer = bytearray()
        self._delimiter = b""

    def read(self) -> bytes | None:
        """Return the content of the next part, None at the end of the stream."""
        length = self._headers()
        if length is None:
            return None
        if length:
            self._fill(length)  # what came of it is a damaged picture, if the stream ended within it
            data, self._buffer = bytes(self._buffer[:length]), self._buffer[length:]
            # A part that is shorter than it states must not swallow the next one.
            if (at := data.find(b"\n" + self._delimiter)) >= 0:
                self._buffer[:0] = data[at + 1 :]
                data = data[:at]
            return data
        return self._until_delimiter()

    def _headers(self) -> int | None:
        """Skip to the next delimiter and read the headers after it; return the stated length or 0, None at the end."""
        skipped, within, length = 0, False, 0
        while (line := self._line()) is not None:
            skipped += len(line) + 1
            if skipped > MAX_PICTURE if not within else skipped > MAX_HEADERS:
                return None
            if line.startswith(self._delimiter or b"--") and len(line) > 2:
                self._delimiter, skipped, within, length = self._delimiter or line.rstrip(), 0, True, 0
            elif within and not line.strip():
                return length
            elif within and line[:15].lower() == b"content-length:":
                stated = line[15:].strip()
                length = int(stated) if stated.isdigit() and int(stated) <= MAX_PICTURE else 0
        return None

    def _line(self) -> bytes | None:
        begin = 0
        while (end := self._buffer.find(b"\n", begin)) < 0:
            begin = len(self._buffer)
            if begin > MAX_PICTURE or not self._extend():
                return None
        line, self._buffer = bytes(self._buffer[:end]), self._buffer[end + 1 :]
        return line

    def _fill(self, length: int) -> None:
        while len(self._buffer) < length and self._extend():
            pass

    def _until_delimiter(self) -> bytes | None:
        mark, begin = b"\n" + self._delimiter, 0
        while (end := self._buffer.find(mark, begin)) < 0:
            begin = max(0, len(self._buffer) - len(mark))
            if len(self._buffer) > MAX_PICTURE or not self._extend():
                return None
        data, self._buffer = bytes(self._buffer[:end]), self._buffer[end + 1 :]
        return data.removesuffix(b"\r")

    def _extend(self) -> bool:
        chunk = self._more()
        self._buffer += chunk
        return bool(chunk)
