"""A live camera watched over: on a clock of the test's own, and with real threads where threads are the matter."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from edge import config
from edge.camera.picture import LOOKS
from edge.camera.supervisor import MAX_STUCK, CameraSupervisor, ThreadReader
from edge.contracts import CameraState, Frame, Image
from edge.errors import CameraError, SourceEndedError
from tests.edge.parts import frame_of, texture

PATIENCE_S = 10.0
"""Far longer than anything here takes; only a failing test waits that long."""
TURN_S = 0.1


def frame(index: int, image: Image | None = None) -> Frame:
    return frame_of(texture(24, 32, index) if image is None else image, float(index), index)


class Device:
    """A camera as of one moment: what reading it brings (None: nothing comes), or what opening it raises."""

    def __init__(self) -> None:
        self.brings: Callable[[], Frame | None] = self.fresh
        self.error: Exception | None = None
        self.hangs = False
        self.opened = 0
        self.frames = 0
        self.readers: list[DeviceReader] = []

    def fresh(self) -> Frame:
        self.frames += 1
        return frame(self.frames)

    def start(self) -> DeviceReader:
        self.readers.append(DeviceReader(self))
        return self.readers[-1]


class DeviceReader:
    """A reader without a thread: takes from the device what it brings at that moment."""

    dropped = 0

    def __init__(self, device: Device) -> None:
        self._device, self._stopped, self._failed = device, False, False
        self.hangs_for_ever = False

    def take(self) -> Frame | None:
        assert not self._stopped
        if self._device.error is not None:
            self._failed = True
            raise self._device.error
        return self._device.brings()

    @property
    def running(self) -> bool:
        return not self._failed and (self.hangs_for_ever or self._device.hangs or not self._stopped)

    def stop(self) -> None:
        self._stopped = True

    def join(self, timeout_s: float) -> None:
        pass


class Rig:
    """A capture polled ten times a second."""

    def __init__(self, **changed: Any) -> None:
        changed = {"stall_s": 1.5, "frozen_s": 1.5, "open_s": 10.0, "give_up_s": 30.0, **changed}
        self.settings = config.load(None, {f"camera.{key}": value for key, value in changed.items()}).camera
        self.device, self.now_s, self.got = Device(), 0.0, 0
        self.capture = CameraSupervisor(self.settings, self.device.start, 0.0, self.settings.frozen_s, "door")

    @property
    def state(self) -> CameraState:
        return self.capture.health.state

    def after(self, seconds: float) -> CameraState:
        """Let time pass; what the state is then."""
        for _ in range(round(seconds / TURN_S)):
            self.now_s += TURN_S
            self.got += self.capture.poll(self.now_s) is not None
        return self.state

    def until(self, state: CameraState, at_most_s: float = 60.0) -> float:
        """Let time pass until the state is this; how long it took."""
        started_s = self.now_s
        while self.state is not state:
            assert self.now_s - started_s < at_most_s, self.capture.health
            self.after(TURN_S)
        return self.now_s - started_s

    def seeing(self) -> Rig:
        self.until(CameraState.STREAMING)
        self.after(1.0)
        return self

    def hanging_for_ever(self, reader: DeviceReader, for_s: float) -> None:
        """The device stalls, and is back after ``for_s`` but for the one thread that read it."""
        self.device.brings, self.device.hangs = nothing, True
        self.until(CameraState.STALLED)
        self.after(for_s)
        reader.hangs_for_ever = True
        self.device.brings, self.device.hangs = self.device.fresh, False
        self.seeing()


def nothing() -> None:
    return None


def test_a_camera_is_starting_until_its_first_picture() -> None:
    rig = Rig()
    rig.device.brings = nothing
    assert rig.after(5.0) is CameraState.STARTING
    assert rig.capture.given_up(rig.now_s) is None
    rig.device.brings = rig.device.fresh
    assert rig.after(TURN_S) is CameraState.STREAMING


def test_one_that_never_gives_a_picture_is_given_up_when_opening_took_too_long() -> None:
    rig = Rig(open_s=4.0)
    rig.device.brings = nothing
    assert rig.until(CameraState.STALLED) == pytest.approx(4.0, abs=2 * TURN_S)
    assert str(rig.capture.given_up(rig.now_s)) == ("the camera gave no picture for 4 s; check its cable and power")


def test_one_that_cannot_be_opened_is_given_up_at_once_with_its_own_error() -> None:
    rig = Rig()
    rig.device.error = CameraError("camera.source: no device at /dev/video3")
    assert rig.after(TURN_S) is CameraState.LOST
    assert rig.capture.given_up(rig.now_s) is rig.device.error


def test_a_stall_is_named_in_time_and_the_camera_opened_again() -> None:
    rig = Rig().seeing()
    rig.device.brings = nothing
    assert rig.until(CameraState.STALLED) <= 1.5 + 2 * TURN_S
    assert "gave no picture for 1.5 s" in rig.capture.health.reason
    rig.after(0.5)
    assert len(rig.device.readers) == 2


def test_a_stall_that_ends_is_over_within_a_second() -> None:
    rig = Rig().seeing()
    rig.device.brings = nothing
    rig.after(8.0)
    rig.device.brings = rig.device.fresh
    assert rig.until(CameraState.STREAMING) <= 1.0


def test_a_camera_that_gives_one_picture_at_each_opening_is_not_called_seeing() -> None:
    rig = Rig().seeing()
    rig.device.brings = nothing
    rig.until(CameraState.STALLED)
    since_s, gave = rig.capture.health.since_s, {rig.device.readers[0]}

    def bring() -> Frame | None:
        reader = rig.device.readers[-1]
        if reader in gave:
            return None
        gave.add(reader)
        return rig.device.fresh()

    rig.device.brings = bring
    got = rig.got
    rig.after(20.0)
    assert (rig.state, rig.capture.health.since_s) == (CameraState.STALLED, since_s)
    assert rig.got - got >= 10  # somebody may be in them
    rig.after(10.0)
    assert isinstance(rig.capture.given_up(rig.now_s), CameraError)
    rig.device.brings = rig.device.fresh
    assert rig.until(CameraState.STREAMING) <= 1.0


def test_an_unplugged_camera_is_tried_again_until_it_is_back() -> None:
    rig = Rig().seeing()
    rig.device.error = CameraError("/dev/video0: the camera stopped giving pictures; is it unplugged?")
    assert rig.until(CameraState.LOST) <= 2 * TURN_S
    assert rig.capture.health.reason.startswith("/dev/video0: the camera stopped")
    rig.after(10.0)
    tried = len(rig.device.readers)
    assert 15 <= tried <= 40  # neither a storm nor so rarely that its return goes unnoticed
    rig.device.error = None
    assert rig.until(CameraState.STREAMING) <= 1.0


def test_a_drivers_own_defect_is_a_fault_as_any_other() -> None:
    rig = Rig().seeing()
    rig.device.error = ZeroDivisionError("in the driver")
    assert rig.after(0.5) is CameraState.LOST
    assert "ZeroDivisionError" in rig.capture.health.reason
    rig.device.error = None
    assert rig.until(CameraState.STREAMING) <= 1.0


def test_a_frozen_picture_is_withheld_and_the_camera_opened_again_ever_more_rarely() -> None:
    rig = Rig().seeing()
    still = texture(24, 32, 1000)
    rig.device.brings = lambda: frame(0, still)
    assert rig.until(CameraState.FROZEN) <= 1.5 + 3 * TURN_S
    got = rig.got
    rig.after(5.0)
    assert len(rig.device.readers) == 2
    rig.after(60.0)
    assert len(rig.device.readers) == 4  # 10 s and 30 s after the second
    assert rig.got == got
    rig.device.brings = rig.device.fresh
    assert rig.until(CameraState.STREAMING) <= 2 * TURN_S


def test_a_frozen_camera_that_gives_one_new_picture_at_each_opening_is_not_called_seeing() -> None:
    rig = Rig().seeing()
    rig.device.brings = lambda: frame(0, texture(24, 32, 1000 + len(rig.device.readers)))
    rig.until(CameraState.FROZEN)
    got, since_s = rig.got, rig.capture.health.since_s
    rig.after(29.0)
    assert rig.capture.given_up(rig.now_s) is None
    rig.after(300.0)
    assert (rig.state, rig.capture.health.since_s, rig.got) == (CameraState.FROZEN, since_s, got)
    assert len(rig.device.readers) <= 7
    assert isinstance(rig.capture.given_up(rig.now_s), CameraError)
    rig.device.brings = rig.device.fresh
    assert rig.after(2 * TURN_S) is CameraState.STREAMING


def test_a_camera_that_freezes_soon_after_each_opening_is_opened_ever_more_rarely() -> None:
    rig = Rig().seeing()

    def bring() -> Frame:
        rig.device.frames += rig.device.frames < 1000 * len(rig.device.readers)
        return frame(0, texture(24, 32, rig.device.frames))

    rig.device.frames, rig.device.brings = 980, bring  # 20 pictures more
    for _ in range(6):
        rig.until(CameraState.FROZEN, 1000.0)
        rig.device.frames = 1000 * (len(rig.device.readers) + 1) - 20
        rig.until(CameraState.STREAMING, 1000.0)
    assert rig.now_s > 10 + 20 + 40 + 80 + 160
    rig.device.brings = rig.device.fresh
    rig.after(400.0)
    still = frame(0)
    rig.device.brings = lambda: still
    rig.until(CameraState.FROZEN)
    opened = len(rig.device.readers)
    rig.after(1.0)
    assert len(rig.device.readers) == opened + 1


def test_dark_pictures_are_passed_on_but_not_called_seeing() -> None:
    rig = Rig(dark_s=1.0).seeing()
    rig.device.brings = lambda: frame(0, np.zeros((24, 32, 3), np.uint8))
    assert rig.until(CameraState.DARK) <= 1.0 + 1 / LOOKS + 2 * TURN_S
    assert rig.capture.health.blind
    got = rig.got
    assert rig.after(100.0) is CameraState.DARK
    assert rig.got - got > 900
    assert rig.capture.given_up(rig.now_s) is None
    rig.device.brings = rig.device.fresh
    assert rig.until(CameraState.STREAMING) <= TURN_S * 1.5


def test_a_dark_camera_that_stalls_is_no_longer_called_dark() -> None:
    rig = Rig().seeing()
    rig.device.brings = lambda: frame(0, np.zeros((24, 32, 3), np.uint8))
    rig.until(CameraState.DARK)
    rig.device.brings = nothing
    assert rig.until(CameraState.STALLED) <= 2.0
    rig.after(30.0)
    assert rig.capture.given_up(rig.now_s) is not None


def test_one_that_was_away_before_is_given_up_when_patience_ends() -> None:
    rig = Rig(give_up_s=20.0)
    rig.device.error = CameraError("gone")
    rig.after(599.0)
    assert rig.capture.given_up(rig.now_s, 600.0) is None
    rig.after(2.0)
    assert isinstance(rig.capture.given_up(rig.now_s, 600.0), CameraError)
    rig.device.error = None
    rig.seeing()
    rig.device.error = CameraError("gone again")
    rig.after(19.0)
    assert rig.capture.given_up(rig.now_s, 600.0) is None
    rig.after(2.0)
    assert isinstance(rig.capture.given_up(rig.now_s, 600.0), CameraError)


@pytest.mark.parametrize("state", [CameraState.STALLED, CameraState.LOST, CameraState.FROZEN])
def test_a_blind_camera_is_given_up_when_its_time_is_over_and_not_before(state: CameraState) -> None:
    rig = Rig(give_up_s=20.0).seeing()
    still = frame(0)
    if state is CameraState.LOST:
        rig.device.error = CameraError("gone")
    else:
        rig.device.brings = nothing if state is CameraState.STALLED else lambda: still
    rig.until(state)
    rig.after(17.0)
    assert rig.capture.given_up(rig.now_s) is None
    rig.after(4.0)
    assert isinstance(rig.capture.given_up(rig.now_s), CameraError)
    assert rig.state is state


def test_since_when_it_is_blind_does_not_begin_anew_with_every_try() -> None:
    rig = Rig().seeing()
    rig.device.error = CameraError("gone")
    rig.until(CameraState.LOST)
    since_s = rig.capture.health.since_s
    rig.device.error = CameraError("gone in another way")
    rig.after(5.0)
    assert (rig.capture.health.since_s, rig.capture.health.reason) == (since_s, "gone in another way")


def test_reads_that_hang_do_not_cost_a_thread_a_try_for_ever() -> None:
    rig = Rig(open_s=1.0, give_up_s=1000.0).seeing()
    rig.device.brings, rig.device.hangs = nothing, True
    rig.after(200.0)
    assert len(rig.device.readers) <= MAX_STUCK + 1
    rig.device.brings, rig.device.hangs = rig.device.fresh, False
    assert rig.until(CameraState.STREAMING) <= 1.0


def test_a_dark_camera_is_not_let_go_of_when_too_many_threads_hang_to_open_it_again() -> None:
    rig = Rig(open_s=1.0).seeing()
    for _ in range(MAX_STUCK):
        rig.hanging_for_ever(rig.device.readers[-1], 0.2)
    opened = len(rig.device.readers)
    rig.device.brings = lambda: frame(0, np.zeros((24, 32, 3), np.uint8))
    rig.until(CameraState.DARK)
    got = rig.got
    rig.after(60.0)
    assert len(rig.device.readers) == opened
    assert rig.got - got == 600


def test_a_camera_we_still_hold_ourselves_is_not_called_gone() -> None:
    """Opening fails as long as the stalled read before it has not come back: "device or resource busy"."""
    rig = Rig().seeing()
    rig.device.brings, rig.device.hangs = nothing, True
    rig.until(CameraState.STALLED)
    rig.device.error = CameraError("busy")
    assert rig.after(8.0) is CameraState.STALLED


def test_one_thread_that_hangs_for_ever_hides_no_later_fault() -> None:
    rig = Rig().seeing()
    rig.hanging_for_ever(rig.device.readers[0], 1.0)
    rig.device.error = CameraError("unplugged")
    assert rig.until(CameraState.LOST) <= 2 * TURN_S
    rig.after(3.0)
    rig.device.error = None
    assert rig.until(CameraState.STREAMING) <= 1.0


class Scripted:
    """A live camera whose every read is one step of a script; hangs at its end until closed."""

    live = True

    def __init__(self, *script: Callable[[], Frame | None]) -> None:
        self._script: Iterator[Callable[[], Frame | None]] = iter(script)
        self.at_end, self.let_go, self.closed = threading.Event(), threading.Event(), threading.Event()

    def read(self) -> Frame | None:
        step = next(self._script, None)
        if step is None:
            self.at_end.set()
            self.let_go.wait()
            raise CameraError("came back at last")
        return step()

    def close(self) -> None:
        self.closed.set()


def giving(index: int) -> Callable[[], Frame | None]:
    return lambda: frame(index)


def failing(error: Exception) -> Callable[[], Frame | None]:
    def fail() -> Frame | None:
        raise error

    return fail


class Ring(threading.Event):
    """What a reader rings; the test waits for it."""

    def heard(self) -> None:
        assert self.wait(PATIENCE_S)
        self.clear()


def test_only_the_newest_frame_is_given_and_the_stale_are_counted() -> None:
    camera = Scripted(giving(0), giving(1), giving(2))
    reader = ThreadReader(lambda: camera, lambda: None)
    assert camera.at_end.wait(PATIENCE_S)
    got = reader.take()
    assert got is not None
    assert got.index == 2
    assert reader.dropped == 2
    assert reader.take() is None
    camera.let_go.set()


@pytest.mark.parametrize("error", [CameraError("unplugged"), RuntimeError("driver bug")])
def test_what_breaks_in_the_thread_is_raised_where_frames_are_taken_and_the_camera_closed(error: Exception) -> None:
    camera, ring = Scripted(failing(error)), Ring()
    reader = ThreadReader(lambda: camera, ring.set)
    ring.heard()
    assert camera.closed.is_set()
    with pytest.raises(type(error), match=str(error)):
        reader.take()
    reader.join(PATIENCE_S)
    assert not reader.running


def test_opening_happens_in_the_thread_too_and_what_it_raises_is_told() -> None:
    held, ring = threading.Event(), Ring()

    def opening() -> Scripted:
        held.wait(PATIENCE_S)
        raise CameraError("nothing there")

    reader = ThreadReader(opening, ring.set)
    assert reader.take() is None
    held.set()
    ring.heard()
    with pytest.raises(CameraError, match="nothing there"):
        reader.take()


def test_a_recording_that_is_over_ends_and_is_not_opened_again() -> None:
    rig = Rig().seeing()
    rig.device.error = SourceEndedError("the source has ended")
    rig.after(TURN_S)
    rig.device.error, rig.device.brings = None, nothing
    rig.after(5.0)
    assert rig.capture.ended
    assert rig.state is CameraState.STREAMING
    assert len(rig.device.readers) == 1


def test_a_source_without_a_next_frame_has_ended() -> None:
    ring = Ring()
    reader = ThreadReader(lambda: Scripted(lambda: None), ring.set)
    ring.heard()
    with pytest.raises(SourceEndedError):
        reader.take()


def test_stopping_gives_the_camera_back() -> None:
    camera = Scripted(*[giving(i) for i in range(10_000)])
    reader = ThreadReader(lambda: camera, lambda: None)
    reader.stop()
    camera.let_go.set()
    reader.join(PATIENCE_S)
    assert camera.closed.is_set()
    assert not reader.running


def test_a_read_that_hangs_does_not_hang_the_close_and_closes_its_camera_when_it_comes_back() -> None:
    camera = Scripted()
    settings = config.load().camera
    readers: list[ThreadReader] = []

    def start() -> ThreadReader:
        readers.append(ThreadReader(lambda: camera, lambda: None))
        return readers[-1]

    capture = CameraSupervisor(settings, start, 0.0, 1.5)
    assert camera.at_end.wait(PATIENCE_S)
    capture.close(0.05)
    assert readers[0].running
    assert not camera.closed.is_set()
    camera.let_go.set()
    assert camera.closed.wait(PATIENCE_S)
