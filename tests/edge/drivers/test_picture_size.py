"""Pictures that claim more pixels than the board has memory for are refused before they are decoded."""

from __future__ import annotations

import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge import config, drivers
from edge.drivers import ffmpeg_memory
from edge.drivers.clip import Clip
from edge.drivers.folder import read_picture
from edge.drivers.stream import StreamCamera
from edge.errors import CameraError, PictureError
from edge.inference import picture_file
from edge.inference.picture_file import decode_bgr, encode, stated_size
from tests.edge.parts import command, environment, texture

HUGE = 10_000


def claiming(suffix: str, width: int = HUGE, height: int = HUGE) -> bytes:
    """Return a small picture whose header claims another size."""
    data = bytearray(encode(suffix, texture(48, 64)))
    if suffix == ".jpg":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", height, width)
    elif suffix == ".png":
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif suffix == ".webp":
        assert data[12:16] == b"VP8L"
        data[21:25] = struct.pack("<I", (width - 1) | (height - 1) << 14)
    return bytes(data)


@pytest.fixture(scope="module")
def huge() -> bytes:
    """A whole JPEG of that size; FFmpeg does not take one whose header alone claims it."""
    return bytes(cv2.imencode(".jpg", np.full((HUGE, HUGE), 90, np.uint8))[1])


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_size_is_read_from_the_header(suffix: str) -> None:
    assert stated_size(encode(suffix, texture(48, 64))) == (64, 48)
    assert stated_size(claiming(suffix)) == (HUGE, HUGE)
    with pytest.raises(PictureError, match="10000 x 10000 pixels, expected at most 50 million"):
        decode_bgr(claiming(suffix))


def test_all_kinds_of_webp_state_their_size() -> None:
    lossless = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + struct.pack("<I", (HUGE - 1) | (300 - 1) << 14)
    plain = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a" + struct.pack("<HH", HUGE, 300)
    extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + struct.pack("<I", HUGE - 1)[:3] + struct.pack("<I", 299)[:3]
    assert stated_size(lossless) == stated_size(plain) == stated_size(extended) == (HUGE, 300)


def test_a_second_header_counts_as_well() -> None:
    large = claiming(".jpg")
    at = large.index(b"\xff\xc0")
    frame = large[at : at + 2 + int.from_bytes(large[at + 2 : at + 4], "big")]
    small = encode(".jpg", texture(48, 64))
    at = small.index(b"\xff\xc0")
    assert stated_size(small[:at] + frame + small[at:]) == (HUGE, HUGE)
    end = small.index(b"\xff\xda")
    assert stated_size(small[:end] + frame + small[end:]) == (HUGE, HUGE)


@pytest.mark.parametrize(
    "data", [b"\xff\xd8", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"RIFF\0\0\0\0WEBPVP8X", b"no", b"\xff\xd8\xff\xc0"]
)
def test_a_header_that_is_cut_off_is_no_picture(data: bytes) -> None:
    assert decode_bgr(data) is None


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_folder_and_predict_refuse_it_in_one_line(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(claiming(suffix))
    with pytest.raises(CameraError, match=f"a{suffix}: a picture of 10000 x 10000 pixels"):
        read_picture(path)
    done = subprocess.run(command("predict", str(path)), capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 1
    assert "10000 x 10000" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("suffix", [".bmp", ".tiff", ".gif"])
def test_opencv_limits_the_other_formats(suffix: str, tmp_path: Path) -> None:
    data = bytearray(encode(suffix, texture(48, 64)))
    if suffix == ".bmp":
        data[18:26] = struct.pack("<ii", HUGE, HUGE)
    elif suffix == ".gif":
        data[6:10] = struct.pack("<HH", HUGE, HUGE)
    else:
        for tag, value in ((256, 64), (257, 48)):
            data = data.replace(struct.pack("<HHIHH", tag, 3, 1, value, 0), struct.pack("<HHIHH", tag, 3, 1, HUGE, 0))
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    done = subprocess.run(command("predict", str(path)), capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 1
    assert "possibly too large" in done.stderr or "not a picture" in done.stderr


def test_a_file_of_more_bytes_than_any_picture_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_file, "MAX_BYTES", 100)
    path = tmp_path / "a.png"
    path.write_bytes(encode(".png", texture(48, 64)))
    with pytest.raises(CameraError, match="expected a picture"):
        read_picture(path)


def test_a_clip_of_such_pictures_is_refused(huge: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mjpeg"
    path.write_bytes(huge * 2)
    with pytest.raises(CameraError, match="a picture of 10000 x 10000 pixels"):
        Clip(config.load().camera, str(path), time.monotonic)


@contextmanager
def camera_with(pictures: list[bytes]) -> Iterator[str]:
    """Serve MJPEG: these pictures, the last one again and again."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
            self.end_headers()
            try:
                for number in range(300):
                    picture = pictures[min(number, len(pictures) - 1)]
                    head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                    self.wfile.write(head.encode() + picture + b"\r\n")
                    time.sleep(0.005)
            except OSError:
                return

        def log_message(self, *_: Any) -> None: ...

    ThreadingHTTPServer.daemon_threads = True
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/mjpeg"
        server.shutdown()


def test_a_stream_that_begins_with_it_is_refused(huge: bytes) -> None:
    with camera_with([huge]) as address:
        settings = config.load(None, {"camera.source": address}).camera
        with pytest.raises(CameraError, match="a picture of 10000 x 10000 pixels, expected at most 9 million"):
            StreamCamera(settings, address, time.monotonic)


@pytest.mark.parametrize("before", [0, 3])
def test_a_camera_over_http_never_gives_it(before: int, huge: bytes) -> None:
    with camera_with([encode(".jpg", texture(48, 64))] * before + [huge]) as address:
        camera = drivers.open_camera(config.load(None, {"camera.source": address}).camera, time.monotonic)
        for _ in range(before):
            camera.read()
        with pytest.raises(CameraError, match="a picture of 10000 x 10000 pixels, expected at most 9 million"):
            camera.read()
        camera.close()


WATCH = """
import sys, time
from edge import config
from edge.drivers.stream import StreamCamera
from edge.errors import CameraError
from pathlib import Path

def peak_mb():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024

settings = config.load(None, {"camera.source": sys.argv[1]}).camera
camera = StreamCamera(settings, sys.argv[1], time.monotonic)
before = peak_mb()
try:
    for number in range(8):
        assert camera.read().image.shape == (48, 64, 3)
except CameraError as error:  # the service opens the stream again
    print(number, error, file=sys.stderr)
print(round(peak_mb() - before))
"""


def test_a_stream_that_grows_later_costs_no_memory(huge: bytes) -> None:
    small = encode(".jpg", texture(48, 64))
    with camera_with([small] * 3 + [huge] * 2 + [small]) as address:
        done = subprocess.run(
            [sys.executable, "-c", WATCH, address], capture_output=True, text=True, env=environment(), check=True
        )
    assert int(done.stdout) < 40, done.stderr


def test_ffmpeg_has_a_limit() -> None:
    assert cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG)
    assert ffmpeg_memory.limit()
