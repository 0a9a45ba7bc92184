"""Cameras over HTTP: streams of JPEG pictures and snapshots, against real servers that answer as cameras do."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge import config, drivers
from edge.camera.supervisor import CameraSupervisor
from edge.contracts import CameraState, Frame
from edge.drivers.http_camera import MAX_PICTURE, HttpCamera, PartReader
from edge.errors import CameraError
from edge.inference.picture_file import decode_bgr, encode
from tests.edge.parts import texture, write_clip

PICTURES = [encode(".jpg", texture(48, 64, seed)) for seed in range(4)]
Answer = Callable[[BaseHTTPRequestHandler], None]


def cut(picture: bytes) -> bytes:
    return picture[: len(picture) * 35 // 100]


@contextmanager
def camera_at(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/door"
    finally:
        server.shutdown()
        server.server_close()


def send(
    handler: BaseHTTPRequestHandler, body: bytes, kind: str = "image/jpeg", status: int = 200, **more: str
) -> None:
    handler.send_response(status)
    if kind:
        handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in more.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def stream(
    parts: Sequence[bytes], stated: str = "boundary=next", mark: bytes = b"--next", length: bool = True
) -> Answer:
    """Return an answer with one part for each picture; ``length`` states its length."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", f"multipart/x-mixed-replace; {stated}")
        handler.send_header("Connection", "close")
        handler.end_headers()
        for part in parts:
            stated_length = f"Content-Length: {len(part)}\r\n".encode() if length else b""
            head = mark + b"\r\nContent-Type: image/jpeg\r\n" + stated_length + b"\r\n"
            handler.wfile.write(head + part + b"\r\n")
        handler.wfile.write(mark + b"--\r\n")
        handler.close_connection = True

    return answer


def opened(address: str, **changed: Any) -> HttpCamera:
    settings = config.load(None, {"camera.source": address, **{f"camera.{k}": v for k, v in changed.items()}})
    return HttpCamera(settings.camera, address, time.monotonic)


def frames_of(address: str, count: int, **changed: Any) -> list[Frame]:
    with closing(opened(address, **changed)) as camera:
        return [frame for frame in (camera.read() for _ in range(count)) if frame is not None]


def check(frames: Sequence[Frame], pictures: Sequence[bytes]) -> None:
    for frame, picture in zip(frames, pictures, strict=True):
        expected = decode_bgr(picture)
        assert expected is not None
        np.testing.assert_array_equal(frame.image, expected[:, :, ::-1])
    assert [frame.index for frame in frames] == list(range(len(frames)))


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize(
    ("stated", "mark"),
    [
        ("boundary=next", b"--next"),
        ('boundary="next"', b"--next"),
        ("boundary=--next", b"--next"),
        ("boundary=--next", b"----next"),
        ("boundary=other", b"--next"),
        ("x=y", b"--next"),
    ],
)
def test_a_stream_gives_its_pictures_whatever_delimiter_it_states(stated: str, mark: bytes, length: bool) -> None:
    with camera_at(stream(PICTURES, stated, mark, length)) as address:
        check(frames_of(address, 4), PICTURES)


@pytest.mark.parametrize("length", [True, False])
def test_a_picture_that_is_cut_short_is_skipped_and_reported_once(
    length: bool, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = [
        cut(PICTURES[0]),
        PICTURES[1],
        cut(PICTURES[1]) + b"\xff\xd9",
        PICTURES[2],
        b"",
        b"nonsense",
        PICTURES[3],
    ]
    with camera_at(stream(damaged, length=length)) as address, caplog.at_level(logging.WARNING):
        check(frames_of(address, 3), PICTURES[1:])
    (line,) = [record.message for record in caplog.records]
    assert line == f"{address}: skipped a picture, cut short or damaged"


def test_a_part_that_is_shorter_than_it_states_does_not_swallow_the_next() -> None:
    parts = [
        b"--n\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(p), cut(p) if i == 1 else p) for i, p in enumerate(PICTURES)
    ]
    chunks = iter([b"".join(parts), b""])
    reader = PartReader(lambda: next(chunks, b""))
    read = list(iter(reader.read, None))
    assert read[0] == PICTURES[0]
    assert read[2:] == PICTURES[2:]
    assert decode_bgr(read[1]) is None


def test_parts_arrive_in_pieces_of_any_size() -> None:
    data = b"".join(b"\r\n--n\r\nX: y\r\n\r\n" + picture for picture in PICTURES) + b"\r\n--n--\r\n"
    for size in (1, 7, 1000):
        pieces = iter([data[at : at + size] for at in range(0, len(data), size)])
        reader = PartReader(lambda pieces=pieces: next(pieces, b""))  # type: ignore[misc]
        assert list(iter(reader.read, None)) == PICTURES


def test_a_stream_without_an_end_in_its_headers_is_bounded() -> None:
    taken = 0

    def more() -> bytes:
        nonlocal taken
        taken += 1 << 16
        return b"x" * (1 << 16)

    assert PartReader(more).read() is None
    assert taken < 2 * MAX_PICTURE


def test_a_stream_of_damaged_pictures_only_is_an_error_that_says_so() -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        with suppress(OSError):  # the client has gone
            while True:
                stream([cut(PICTURES[0])] * 10)(handler)

    with (
        camera_at(endless) as address,
        closing(opened(address, stall_s=0.05, fps=100)) as camera,
        pytest.raises(CameraError, match=r"all pictures of the last .* are cut short or damaged"),
    ):
        camera.read()


def test_a_stream_that_ends_is_an_error() -> None:
    with camera_at(stream(PICTURES[:1])) as address, pytest.raises(CameraError, match="the stream broke off"):
        frames_of(address, 2)


def test_a_stream_that_drips_is_an_error() -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.02)

    with (
        camera_at(drip) as address,
        closing(opened(address, stall_s=0.1, fps=100)) as camera,
        pytest.raises(CameraError, match=r"no picture for 0\.2 s"),
    ):
        camera.read()


def test_snapshots_are_requested_as_often_as_the_settings_ask_for() -> None:
    served: list[float] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        served.append(time.monotonic())
        send(handler, PICTURES[(len(served) - 1) % 4])

    with camera_at(answer) as address:
        check(frames_of(address, 4, fps=20), PICTURES)
    # Without the limit they follow each other within milliseconds; a busy machine shifts single ones by tens of them.
    assert np.diff(served[1:]).mean() >= 0.02


@pytest.mark.parametrize("kind", ["image/jpeg", "application/octet-stream", ""])
def test_a_snapshot_is_recognised_without_its_type(kind: str) -> None:
    with camera_at(lambda handler: send(handler, PICTURES[0], kind)) as address:
        check(frames_of(address, 2, fps=100), PICTURES[:1] * 2)


def test_an_unchanged_snapshot_is_not_sent_again_and_is_a_frame() -> None:
    statuses: list[int] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        same = handler.headers.get("If-None-Match") == '"1"'
        statuses.append(304 if same else 200)
        send(handler, b"" if same else PICTURES[0], status=statuses[-1], ETag='"1"')

    with camera_at(answer) as address:
        check(frames_of(address, 3, fps=100), PICTURES[:1] * 3)
    assert statuses == [200, 304, 304]


def test_a_snapshot_that_never_changes_is_a_frozen_camera() -> None:
    settings = config.load(None, {"camera.source": "http://host/shot.jpg"}).camera
    assert drivers.frozen_s(settings) == settings.frozen_stream_s
    frame = Frame(texture(48, 64), None, 0.0, 0)

    class Reader:
        dropped, running = 0, True
        take, stop, join = (lambda self: frame), (lambda self: None), (lambda self, _: None)

    supervisor = CameraSupervisor(settings, Reader, 0.0, drivers.frozen_s(settings))
    for tenth in range(150):
        supervisor.poll(tenth / 10)
    assert supervisor.health.state is CameraState.FROZEN


def test_a_damaged_snapshot_is_skipped() -> None:
    sent = iter([PICTURES[0], cut(PICTURES[1]), PICTURES[2]])
    with camera_at(lambda handler: send(handler, next(sent))) as address:
        check(frames_of(address, 2, fps=100), [PICTURES[0], PICTURES[2]])


def test_a_snapshot_that_breaks_off_is_skipped() -> None:
    sent = iter([len(PICTURES[0])] * 2)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "image/jpeg")
        handler.send_header("Content-Length", str(len(PICTURES[0])))
        handler.end_headers()
        handler.wfile.write(PICTURES[0] if next(sent, 0) else cut(PICTURES[0]))
        handler.close_connection = True

    with camera_at(answer) as address, closing(opened(address, fps=100, stall_s=0.1)) as camera:
        assert camera.read() is not None
        assert camera.read() is not None
        with pytest.raises(CameraError, match="cut short or damaged"):
            camera.read()


def test_an_answer_beyond_any_picture_is_refused() -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "image/jpeg")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        for _ in range(MAX_PICTURE // (1 << 20) + 2):
            handler.wfile.write(bytes(1 << 20))

    with camera_at(answer) as address, pytest.raises(CameraError, match="more than 16 MB, expected a picture"):
        opened(address)


def basic(handler: BaseHTTPRequestHandler) -> None:
    if handler.headers.get("Authorization") != "Basic " + base64.b64encode(b"me:p@ss").decode():
        send(handler, b"", "", 401, WWW_Authenticate='Basic realm="cam"')
    else:
        send(handler, PICTURES[0])


def digest(handler: BaseHTTPRequestHandler) -> None:
    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    given = dict(re.findall(r'(\w+)="?([^",]+)', handler.headers.get("Authorization", "")))
    ha2 = md5(f"GET:{given.get('uri')}")
    middle = ":".join(given.get(key, "") for key in ("nonce", "nc", "cnonce", "qop"))
    if given.get("response") != md5(f"{md5('me:cam:p@ss')}:{middle}:{ha2}"):
        send(handler, b"", "", 401, WWW_Authenticate='Digest realm="cam", nonce="abc", qop="auth"')
    else:
        send(handler, PICTURES[0])


@pytest.mark.parametrize("answer", [basic, digest])
def test_user_and_password_are_sent_as_the_camera_wants(answer: Answer) -> None:
    with camera_at(answer) as address:
        check(frames_of(address.replace("//", "//me:p%40ss@"), 3, fps=100), PICTURES[:1] * 3)
        with pytest.raises(CameraError, match="401: user or password is wrong") as caught:
            opened(address.replace("//", "//me:secret@"))
        assert "secret" not in str(caught.value)
        with pytest.raises(CameraError, match="401: it wants user and password"):
            opened(address)


@pytest.mark.parametrize(
    ("kind", "status", "wanted"),
    [
        ("text/html; charset=utf-8", 200, "the address gives a web page, expected a picture or a stream"),
        ("text/html", 404, "the camera answers 404: the path is wrong"),
        ("text/html", 503, "the camera answers 503"),
    ],
)
def test_an_address_of_something_else_gives_the_reason(kind: str, status: int, wanted: str) -> None:
    answer: Answer = lambda handler: send(handler, b"<html>", kind, status)  # noqa: E731
    with camera_at(answer) as address, pytest.raises(CameraError) as caught:
        opened(address)
    assert str(caught.value).endswith(f": {wanted}")


def test_a_redirection_is_not_followed() -> None:
    answer: Answer = lambda handler: send(handler, b"", "", 302, Location="http://192.0.2.1/other")  # noqa: E731
    with camera_at(answer) as address, pytest.raises(CameraError, match="refers to another address; give that"):
        opened(address)


def test_a_server_that_talks_nonsense_is_reported() -> None:
    def nonsense(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"what?\r\n\r\n")

    with camera_at(nonsense) as address, pytest.raises(CameraError, match="hangs up, or does not speak HTTP"):
        opened(address)


def test_a_server_that_does_not_answer_is_reported() -> None:
    over = threading.Event()

    def silent(handler: BaseHTTPRequestHandler) -> None:
        over.wait(20)

    with camera_at(silent) as address:
        with pytest.raises(CameraError, match=r"does not answer within 0\.2 s"):
            opened(address, stall_s=0.1, fps=100)
        over.set()


def test_another_video_over_http_goes_to_ffmpeg(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", frames=30).read_bytes()
    with camera_at(lambda handler: send(handler, clip, "video/avi")) as address:
        frames = frames_of(address, 3)
    assert [frame.index for frame in frames] == [0, 1, 2]
