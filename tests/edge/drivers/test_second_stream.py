"""The second stream of a network camera: pictures paired by time, and no fault of it makes the camera blind."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from edge import config, drivers
from edge.contracts import Camera, Frame, Image
from edge.drivers.orientation import TurnedCamera
from edge.drivers.second_stream import FROZEN_S, KEPT, MISSES, REPEAT_S, PairedCamera
from edge.errors import CameraError
from tests.edge.parts import PATIENCE_S, texture

MAIN, SMALL = (240, 320), (120, 160)
BROKE_OFF = CameraError("rtsp://camera/small: the stream broke off")
NAME = "rtsp://camera/small"


class Feed:
    """A camera that gives what the test puts in: pictures, their time by the camera's clock, or an error."""

    live = True

    def __init__(self) -> None:
        self._given: queue.SimpleQueue[tuple[Frame | Exception | None, float | None]] = queue.SimpleQueue()
        self._asked = threading.Semaphore(0)
        self.sent_s: float | None = None
        self.opened = self.closed = 0

    def open(self) -> Camera:
        self.opened += 1
        return self

    def put(self, one: Frame | Exception | None, sent_s: float | None = None) -> None:
        self._given.put((one, sent_s))

    def give(self, one: Frame | Exception, sent_s: float | None = None) -> None:
        """Give it, and wait until the reader has used it, and asks for the next one."""
        assert self._asked.acquire(timeout=PATIENCE_S)
        self.put(one, sent_s)
        assert self._asked.acquire(timeout=PATIENCE_S)
        self._asked.release()

    def read(self) -> Frame | None:
        self._asked.release()
        one, self.sent_s = self._given.get(timeout=PATIENCE_S)
        if isinstance(one, Exception):
            raise one
        return one

    def close(self) -> None:
        self.closed += 1


class Pair:
    """The camera under test, on two feeds."""

    def __init__(self) -> None:
        self.main, self.second, self.now_s = Feed(), Feed(), 0.0
        self.camera = PairedCamera(self.main, self.second.open, NAME, lambda: self.now_s, retry_s=(0.001, 0.002))

    def step(self, at_s: float, image: Image | None = None, sent_s: float | None = None) -> Frame:
        """Return the camera's frame for a picture of the main stream."""
        self.main.put(picture(at_s, MAIN, 1) if image is None else Frame(image, None, at_s, 0), sent_s)
        frame = self.camera.read()
        assert frame is not None
        return frame


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.second.put(None)
    made.camera.close()
    assert made.second.closed == made.second.opened
    assert made.main.closed == 1


def picture(at_s: float, size: tuple[int, int] = SMALL, seed: int | None = None) -> Frame:
    return Frame(texture(*size, seed=round(at_s * 1000) if seed is None else seed), None, at_s, 0)


def detected(frame: Frame) -> Image:
    """Return what the detector gets."""
    return frame.image if frame.small is None else frame.small()


def test_the_detector_gets_the_small_picture_that_is_nearest_in_time(pair: Pair) -> None:
    early, late = picture(9.93), picture(10.02)
    pair.second.give(early)
    frame = pair.step(10.0)
    assert detected(frame) is early.image
    pair.second.give(late)  # comes while the frame waits for the detector
    assert detected(frame) is late.image
    assert frame.image.shape == (*MAIN, 3)
    assert frame.hint == ""


@pytest.mark.parametrize(("apart_s", "paired"), [(0.099, True), (-0.099, True), (0.101, False), (-0.101, False)])
def test_a_small_picture_of_another_time_is_not_used(pair: Pair, apart_s: float, paired: bool) -> None:
    small = picture(10.0 + apart_s)
    pair.second.give(small)
    frame = pair.step(10.0)
    assert detected(frame) is (small.image if paired else frame.image)


def test_the_clock_of_the_camera_counts_where_both_streams_state_it(pair: Pair) -> None:
    # The small picture that arrives with the frame was taken 0.3 s before it; its own arrived 0.3 s ago.
    right, delayed = picture(9.7), picture(10.0)
    pair.second.give(right, sent_s=1_000_000.0)
    pair.second.give(delayed, sent_s=999_999.7)
    assert detected(pair.step(10.0, sent_s=1_000_000.0)) is right.image
    assert detected(pair.step(10.0)) is delayed.image  # only one of both states it


def test_clocks_that_contradict_the_arrival_are_not_believed(pair: Pair) -> None:
    small = picture(10.0)
    pair.second.give(small, sent_s=5.0)  # the clock of a camera that was not set yet
    assert detected(pair.step(10.0, sent_s=1_800_000_000.0)) is small.image


def test_streams_that_never_fit_in_time_are_a_hint(pair: Pair) -> None:
    for number in range(MISSES + 1):
        pair.second.give(picture(10.0 + number), sent_s=10.0 + number)
        frame = pair.step(10.0 + number, sent_s=10.3 + number)
        assert detected(frame) is frame.image
        assert ("more than 100 ms before or after" in frame.hint) == (number == MISSES)
    pair.second.give(picture(90.0), sent_s=90.0)
    detected(pair.step(90.0, sent_s=90.0))
    assert pair.step(90.0, sent_s=90.0).hint == ""


def test_only_the_newest_pictures_are_kept(pair: Pair) -> None:
    first = picture(10.0)
    pair.second.give(first)
    for number in range(KEPT):
        pair.second.give(picture(10.01 + number / 100))
    assert detected(pair.step(10.0)) is not first.image


def test_a_stream_that_breaks_off_is_logged_once_and_opened_again(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "edge.drivers")
    pair.second.give(picture(10.0))
    assert pair.step(10.0).hint == ""
    pair.second.give(BROKE_OFF)
    pair.second.give(BROKE_OFF)
    for number in range(3):
        frame = pair.step(10.1 + number / 10)
        assert detected(frame) is frame.image
        assert frame.hint == f"camera.detect_source: {BROKE_OFF}; the detector uses the main stream"
    small = picture(11.0)
    pair.second.give(small)
    frame = pair.step(11.0)
    assert detected(frame) is small.image
    assert frame.hint == ""
    assert pair.second.opened == 3
    assert [record.getMessage() for record in caplog.records] == [
        f"camera.detect_source: {BROKE_OFF}; the detector uses the main stream",
        f"camera.detect_source: {NAME} is used again",
    ]


def test_a_stream_that_cannot_be_opened_leaves_the_main_stream() -> None:
    refused = threading.Semaphore(0)

    def refuse() -> Camera:
        refused.release()
        raise RuntimeError("a bug in the driver")

    main = Feed()
    camera = PairedCamera(main, refuse, NAME, lambda: 0.0, retry_s=(0.001, 0.002))
    for _ in range(3):
        assert refused.acquire(timeout=PATIENCE_S)
    main.put(picture(1.0, MAIN))
    frame = camera.read()
    camera.close()
    assert frame is not None
    assert frame.small is None
    assert "RuntimeError('a bug in the driver'); the detector uses the main stream" in frame.hint


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((120, 200), "other proportions than the main stream (200 x 120, the main stream 320 x 240)"),
        ((480, 640), "larger than the main stream (640 x 480, the main stream 320 x 240); exchange both addresses"),
    ],
)
def test_a_stream_of_another_view_is_not_used(pair: Pair, size: tuple[int, int], said: str) -> None:
    pair.second.give(picture(10.0, size))
    frame = pair.step(10.0)
    assert detected(frame) is frame.image
    assert said in frame.hint
    pair.second.give(picture(10.1, (120, 160)))
    assert pair.step(10.1).hint == ""


def test_sizes_that_an_encoder_rounded_up_are_of_one_view(pair: Pair) -> None:
    small = picture(10.0, (360, 640))
    pair.second.give(small)
    assert detected(pair.step(10.0, texture(1088, 1920))) is small.image


def test_a_frozen_stream_never_hides_a_person_and_is_opened_again(pair: Pair) -> None:
    empty = np.full((*MAIN, 3), 90, np.uint8)
    person = empty.copy()
    person[80:200, 100:160] = 200
    at_s, frozen = 10.0, texture(*SMALL)
    while at_s < 10.0 + REPEAT_S + FROZEN_S + 0.5 and pair.second.opened == 1:
        pair.second.give(Frame(frozen, None, at_s, 0))
        frame = pair.step(at_s, person if at_s > 10.0 else empty)
        if at_s > 10.0 + REPEAT_S:
            assert detected(frame) is frame.image
        at_s += 0.1
    assert pair.second.opened == 2
    frame = pair.step(at_s, person)
    assert "it repeats one picture" in frame.hint
    # Opened again it still gives the same picture: the fault stays reported.
    pair.second.give(Frame(frozen, None, at_s, 0))
    frame = pair.step(at_s, person)
    assert detected(frame) is frame.image
    assert "it repeats one picture" in frame.hint
    alive = picture(at_s)
    pair.second.give(alive)
    frame = pair.step(at_s, person)
    assert detected(frame) is alive.image
    assert frame.hint == ""


def test_a_stream_that_repeats_a_still_view_is_no_fault(pair: Pair) -> None:
    still = np.full((*MAIN, 3), 90, np.uint8)
    for number in range(60):
        noise = np.random.default_rng(number).integers(-8, 9, still.shape)
        small = Frame(texture(*SMALL), None, 10 + number / 10, 0)
        pair.second.give(small)
        frame = pair.step(10 + number / 10, (still + noise).astype(np.uint8))
        assert detected(frame) is small.image
        assert frame.hint == ""
    assert pair.second.opened == 1


def test_a_stream_that_hangs_is_not_taken_for_a_frozen_one(pair: Pair) -> None:
    pair.second.give(picture(10.0))
    for number in range(40):
        frame = pair.step(10.2 + number / 10, texture(*MAIN, seed=number))
        assert detected(frame) is frame.image
        assert frame.hint == ""  # its read fails by itself, and says why
    assert pair.second.opened == 1


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_rotation_and_mirror_apply_to_both_pictures(pair: Pair, rotate: int) -> None:
    settings = config.load(None, {"camera.rotate": rotate, "camera.mirror": True}).camera
    camera = TurnedCamera(pair.camera, settings)
    small = picture(10.0)
    pair.second.give(small)
    pair.main.put(picture(10.0, MAIN, 1))
    frame = camera.read()
    assert frame is not None
    expected = np.rot90(small.image, -rotate // 90)[:, ::-1]
    np.testing.assert_array_equal(detected(frame), expected)
    if rotate in (90, 270):
        assert frame.image.shape == (MAIN[1], MAIN[0], 3)
    # Without a small picture of that time, the main one: turned once, not twice.
    pair.main.put(picture(20.0, MAIN, 1))
    frame = camera.read()
    assert frame is not None
    np.testing.assert_array_equal(detected(frame), frame.image)


def test_the_end_and_the_errors_of_the_main_stream_pass_through(pair: Pair) -> None:
    pair.main.put(CameraError("lost"))
    with pytest.raises(CameraError, match="lost"):
        pair.camera.read()
    pair.main.put(None)
    assert pair.camera.read() is None


def test_the_second_stream_is_checked_like_the_first(tmp_path: object) -> None:
    one = {"camera.source": "rtsps://camera/main", "camera.detect_source": "rtsps://camera/small"}
    settings = config.load(None, one).camera
    drivers.check_camera(settings)
    wrong = config.load(None, {**one, "camera.source": "rtsp://camera/main", "camera.ca_file": f"{tmp_path}/no"})
    with pytest.raises(CameraError, match=r"camera\.ca_file"):
        drivers.check_camera(wrong.camera)
