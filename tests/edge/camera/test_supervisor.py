"""The supervisor of a live camera: with simulated time, and with real threads where threads matter."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from edge import config
from edge.camera.picture import DARK_CHECKS
from edge.camera.supervisor import CLOSE_WAIT_S, MAX_STUCK, CameraSupervisor, ThreadReader
from edge.contracts import CameraState, Frame, Image
from edge.errors import CameraError, SourceEndedError
from tests.edge.parts import frame_of, texture

PATIENCE_S = 10.0
"""Far longer than any step here takes; only a failing test waits that long."""
TURN_S = 0.1


def frame(index: int, image: Image | None = None) -> Frame:
    return frame_of(texture(24, 32, index) if image is None else image, float(index), index)


class Device:
    """A camera at one moment: what reading it gives (None: nothing), or what opening it raises."""

    def __init__(self) -> None:
        self.gives: Callable[[], Frame | None] = self.fresh
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
    """A reader without a thread, which takes what the device gives at that moment."""

    dropped = 0

    def __init__(self, device: Device) -> None:
        self._device, self._stopped, self._failed = device, False, False
        self.hangs_forever = False

    def take(self) -> Frame | None:
        assert not self._stopped
        if self._device.error is not None:
            self._failed = True
            raise self._device.error
        return self._device.gives()

    @property
    def running(self) -> bool:
        return not self._failed and (self.hangs_forever or self._device.hangs or not self._stopped)

    def stop(self) -> None:
        self._stopped = True

    def join(self, timeout_s: float) -> None:
        pass


class Rig:
    """A supervisor that is polled ten times a second."""

    def __init__(self, **changed: Any) -> None:
        changed = {"stall_s": 1.5, "frozen_s": 1.5, "open_s": 10.0, "give_up_s": 30.0, **changed}
        self.settings = config.load(None, {f"camera.{key}": value for key, value in changed.items()}).camera
        self.device, self.now_s, self.got = Device(), 0.0, 0
        self.supervisor = CameraSupervisor(self.settings, self.device.start, 0.0, self.settings.frozen_s, "door")

    @property
    def state(self) -> CameraState:
        return self.supervisor.health.state

    def after(self, seconds: float) -> CameraState:
        """Let time pass and return the state at its end."""
        for _ in range(round(seconds / TURN_S)):
            self.now_s += TURN_S
            self.got += self.supervisor.poll(self.now_s) is not None
        return self.state

    def until(self, state: CameraState, at_most_s: float = 60.0) -> float:
        """Let time pass until the camera is in ``state``, and return how long it took."""
        started_s = self.now_s
        while self.state is not state:
            assert self.now_s - started_s < at_most_s, self.supervisor.health
            self.after(TURN_S)
        return self.now_s - started_s

    def streaming(self) -> Rig:
        self.until(CameraState.STREAMING)
        self.after(1.0)
        return self

    def hang_forever(self, reader: DeviceReader, for_s: float) -> None:
        """Stall the device for ``for_s``; the thread that read it then never returns."""
        self.device.gives, self.device.hangs = nothing, True
        self.until(CameraState.STALLED)
        self.after(for_s)
        reader.hangs_forever = True
        self.device.gives, self.device.hangs = self.device.fresh, False
        self.streaming()


def nothing() -> None:
    return None


def test_a_camera_is_starting_until_its_first_picture() -> None:
    rig = Rig()
    rig.device.gives = nothing
    assert rig.after(5.0) is CameraState.STARTING
    assert rig.supervisor.given_up(rig.now_s) is None
    rig.device.gives = rig.device.fresh
    assert rig.after(TURN_S) is CameraState.STREAMING


def test_a_camera_without_a_first_picture_is_given_up_after_open_s() -> None:
    rig = Rig(open_s=4.0)
    rig.device.gives = nothing
    assert rig.until(CameraState.STALLED) == pytest.approx(4.0, abs=2 * TURN_S)
    assert str(rig.supervisor.given_up(rig.now_s)) == ("the camera gave no picture for 4 s; check its cable and power")


def test_a_camera_that_cannot_be_opened_is_given_up_at_once_with_its_error() -> None:
    rig = Rig()
    rig.device.error = CameraError("camera.source: no device at /dev/video3")
    assert rig.after(TURN_S) is CameraState.LOST
    assert rig.supervisor.given_up(rig.now_s) is rig.device.error


def test_a_stall_is_reported_after_its_time_and_the_camera_is_opened_again() -> None:
    rig = Rig().streaming()
    rig.device.gives = nothing
    assert rig.until(CameraState.STALLED) <= 1.5 + 2 * TURN_S
    assert "gave no picture for 1.5 s" in rig.supervisor.health.reason
    rig.after(0.5)
    assert len(rig.device.readers) == 2


def test_the_end_of_a_stall_is_noticed_within_a_second() -> None:
    rig = Rig().streaming()
    rig.device.gives = nothing
    rig.after(8.0)
    rig.device.gives = rig.device.fresh
    assert rig.until(CameraState.STREAMING) <= 1.0


def every(seconds: float, rig: Rig) -> Callable[[], Frame | None]:
    """Return what a slow camera gives: a picture when it is opened, and then one in every ``seconds``."""

    def gives() -> Frame | None:
        reader = rig.device.readers[-1]
        if rig.now_s < getattr(reader, "due_s", 0.0) - TURN_S / 2:
            return None
        reader.due_s = rig.now_s + seconds  # type: ignore[attr-defined]
        return rig.device.fresh()

    return gives


def test_a_camera_slower_than_stall_s_is_named_as_such() -> None:
    rig = Rig()
    rig.device.gives = every(2.0, rig)
    assert rig.after(6.0) is CameraState.STALLED
    assert "one picture whenever it is opened, and no second one within 1.5 s" in rig.supervisor.health.reason
    assert "camera.fps, or increase camera.stall_s" in rig.supervisor.health.reason
    rig.device.gives = rig.device.fresh
    assert rig.streaming().supervisor.health.reason == ""
    rig.device.gives = nothing
    rig.until(CameraState.STALLED)
    assert "gave no picture for 1.5 s" in rig.supervisor.health.reason


@pytest.mark.parametrize(("fps", "limit_s"), [(15.0, 1.5), (0.5, 4.0), (0.1, 5.0)])
def test_a_camera_asked_for_rare_pictures_may_give_them_rarely(fps: float, limit_s: float) -> None:
    rig = Rig(fps=fps).streaming()
    rig.device.gives = nothing
    assert rig.until(CameraState.STALLED) == pytest.approx(limit_s, abs=2.5 * TURN_S)


def test_a_camera_of_half_a_picture_per_second_streams() -> None:
    rig = Rig(fps=0.5)
    rig.device.gives = every(2.0, rig)
    assert rig.after(30.0) is CameraState.STREAMING
    assert len(rig.device.readers) == 1


def test_a_camera_that_gives_one_picture_whenever_opened_is_not_reported_as_streaming() -> None:
    rig = Rig().streaming()
    rig.device.gives = nothing
    rig.until(CameraState.STALLED)
    since_s, gave = rig.supervisor.health.since_s, {rig.device.readers[0]}

    def give() -> Frame | None:
        reader = rig.device.readers[-1]
        if reader in gave:
            return None
        gave.add(reader)
        return rig.device.fresh()

    rig.device.gives = give
    got = rig.got
    rig.after(20.0)
    assert (rig.state, rig.supervisor.health.since_s) == (CameraState.STALLED, since_s)
    assert rig.got - got >= 10  # there may be people in them
    rig.after(10.0)
    assert isinstance(rig.supervisor.given_up(rig.now_s), CameraError)
    rig.device.gives = rig.device.fresh
    assert rig.until(CameraState.STREAMING) <= 1.0


def test_an_unplugged_camera_is_tried_again_until_it_is_back() -> None:
    rig = Rig().streaming()
    rig.device.error = CameraError("/dev/video0: the camera stopped giving pictures; is it unplugged?")
    assert rig.until(CameraState.LOST) <= 2 * TURN_S
    assert rig.supervisor.health.reason.startswith("/dev/video0: the camera stopped")
    rig.after(10.0)
    tried = len(rig.device.readers)
    assert 15 <= tried <= 40  # neither a storm, nor too rare to notice its return
    rig.device.error = None
    assert rig.until(CameraState.STREAMING) <= 1.0


def test_a_bug_in_a_driver_is_a_fault_like_any_other() -> None:
    rig = Rig().streaming()
    rig.device.error = ZeroDivisionError("in the driver")
    assert rig.after(0.5) is CameraState.LOST
    assert "ZeroDivisionError" in rig.supervisor.health.reason
    rig.device.error = None
    assert rig.until(CameraState.STREAMING) <= 1.0


def test_a_frozen_picture_is_withheld_and_the_camera_opened_again_ever_more_rarely() -> None:
    rig = Rig().streaming()
    still = texture(24, 32, 1000)
    rig.device.gives = lambda: frame(0, still)
    assert rig.until(CameraState.FROZEN) <= 1.5 + 3 * TURN_S
    got = rig.got
    rig.after(5.0)
    assert len(rig.device.readers) == 2
    rig.after(60.0)
    assert len(rig.device.readers) == 4  # 10 s and 30 s after the second
    assert rig.got == got
    rig.device.gives = rig.device.fresh
    assert rig.until(CameraState.STREAMING) <= 2 * TURN_S


def test_a_frozen_camera_that_gives_one_new_picture_whenever_opened_is_not_reported_as_streaming() -> None:
    rig = Rig().streaming()
    rig.device.gives = lambda: frame(0, texture(24, 32, 1000 + len(rig.device.readers)))
    rig.until(CameraState.FROZEN)
    got, since_s = rig.got, rig.supervisor.health.since_s
    rig.after(29.0)
    assert rig.supervisor.given_up(rig.now_s) is None
    rig.after(300.0)
    assert (rig.state, rig.supervisor.health.since_s, rig.got) == (CameraState.FROZEN, since_s, got)
    assert len(rig.device.readers) <= 7
    assert isinstance(rig.supervisor.given_up(rig.now_s), CameraError)
    rig.device.gives = rig.device.fresh
    assert rig.after(2 * TURN_S) is CameraState.STREAMING


def test_a_camera_that_freezes_soon_after_it_is_opened_is_opened_ever_more_rarely() -> None:
    rig = Rig().streaming()

    def give() -> Frame:
        rig.device.frames += rig.device.frames < 1000 * len(rig.device.readers)
        return frame(0, texture(24, 32, rig.device.frames))

    rig.device.frames, rig.device.gives = 980, give  # 20 pictures more
    for _ in range(6):
        rig.until(CameraState.FROZEN, 1000.0)
        rig.device.frames = 1000 * (len(rig.device.readers) + 1) - 20
        rig.until(CameraState.STREAMING, 1000.0)
    assert rig.now_s > 10 + 20 + 40 + 80 + 160
    rig.device.gives = rig.device.fresh
    rig.after(400.0)
    still = frame(0)
    rig.device.gives = lambda: still
    rig.until(CameraState.FROZEN)
    opened = len(rig.device.readers)
    rig.after(1.0)
    assert len(rig.device.readers) == opened + 1


def test_dark_pictures_are_passed_on_and_the_camera_stays_dark() -> None:
    rig = Rig(dark_s=1.0).streaming()
    rig.device.gives = lambda: frame(0, np.zeros((24, 32, 3), np.uint8))
    assert rig.until(CameraState.DARK) <= 1.0 + 1 / DARK_CHECKS + 2 * TURN_S
    assert rig.supervisor.health.blind
    got = rig.got
    assert rig.after(100.0) is CameraState.DARK
    assert rig.got - got > 900
    assert rig.supervisor.given_up(rig.now_s) is None
    rig.device.gives = rig.device.fresh
    assert rig.until(CameraState.STREAMING) <= TURN_S * 1.5


def test_a_dark_camera_that_stalls_is_reported_as_stalled() -> None:
    rig = Rig().streaming()
    rig.device.gives = lambda: frame(0, np.zeros((24, 32, 3), np.uint8))
    rig.until(CameraState.DARK)
    rig.device.gives = nothing
    assert rig.until(CameraState.STALLED) <= 2.0
    rig.after(30.0)
    assert rig.supervisor.given_up(rig.now_s) is not None


def test_a_camera_that_was_away_before_is_given_up_when_patience_ends() -> None:
    rig = Rig(give_up_s=20.0)
    rig.device.error = CameraError("gone")
    rig.after(599.0)
    assert rig.supervisor.given_up(rig.now_s, 600.0) is None
    rig.after(2.0)
    assert isinstance(rig.supervisor.given_up(rig.now_s, 600.0), CameraError)
    rig.device.error = None
    rig.streaming()
    rig.device.error = CameraError("gone again")
    rig.after(19.0)
    assert rig.supervisor.given_up(rig.now_s, 600.0) is None
    rig.after(2.0)
    assert isinstance(rig.supervisor.given_up(rig.now_s, 600.0), CameraError)


@pytest.mark.parametrize("state", [CameraState.STALLED, CameraState.LOST, CameraState.FROZEN])
def test_a_blind_camera_is_given_up_after_its_time_and_not_before(state: CameraState) -> None:
    rig = Rig(give_up_s=20.0).streaming()
    still = frame(0)
    if state is CameraState.LOST:
        rig.device.error = CameraError("gone")
    else:
        rig.device.gives = nothing if state is CameraState.STALLED else lambda: still
    rig.until(state)
    rig.after(17.0)
    assert rig.supervisor.given_up(rig.now_s) is None
    rig.after(4.0)
    assert isinstance(rig.supervisor.given_up(rig.now_s), CameraError)
    assert rig.state is state


def test_an_attempt_to_open_a_lost_camera_does_not_reset_the_start_of_its_blindness() -> None:
    rig = Rig().streaming()
    rig.device.error = CameraError("gone")
    rig.until(CameraState.LOST)
    since_s = rig.supervisor.health.since_s
    rig.device.error = CameraError("gone in another way")
    rig.after(5.0)
    assert (rig.supervisor.health.since_s, rig.supervisor.health.reason) == (since_s, "gone in another way")


def test_reads_that_hang_do_not_cost_a_thread_per_attempt_forever() -> None:
    rig = Rig(open_s=1.0, give_up_s=1000.0).streaming()
    rig.device.gives, rig.device.hangs = nothing, True
    rig.after(200.0)
    assert len(rig.device.readers) <= MAX_STUCK + 1
    rig.device.gives, rig.device.hangs = rig.device.fresh, False
    assert rig.until(CameraState.STREAMING) <= 1.0


def test_a_dark_camera_is_kept_open_while_too_many_threads_hang() -> None:
    rig = Rig(open_s=1.0).streaming()
    for _ in range(MAX_STUCK):
        rig.hang_forever(rig.device.readers[-1], 0.2)
    opened = len(rig.device.readers)
    rig.device.gives = lambda: frame(0, np.zeros((24, 32, 3), np.uint8))
    rig.until(CameraState.DARK)
    got = rig.got
    rig.after(60.0)
    assert len(rig.device.readers) == opened
    assert rig.got - got == 600


def test_a_camera_that_a_hanging_read_still_holds_is_not_lost() -> None:
    """Opening fails until the stalled read before it returns: "device or resource busy"."""
    rig = Rig().streaming()
    rig.device.gives, rig.device.hangs = nothing, True
    rig.until(CameraState.STALLED)
    rig.device.error = CameraError("busy")
    assert rig.after(8.0) is CameraState.STALLED


def test_a_thread_that_hangs_forever_hides_no_later_fault() -> None:
    rig = Rig().streaming()
    rig.hang_forever(rig.device.readers[0], 1.0)
    rig.device.error = CameraError("unplugged")
    assert rig.until(CameraState.LOST) <= 2 * TURN_S
    rig.after(3.0)
    rig.device.error = None
    assert rig.until(CameraState.STREAMING) <= 1.0


class Scripted:
    """A live camera that executes one step of a script per read; at its end the read hangs until the test frees it."""

    live = True

    def __init__(self, *script: Callable[[], Frame | None]) -> None:
        self._script: Iterator[Callable[[], Frame | None]] = iter(script)
        self.at_end, self.let_go, self.closed = threading.Event(), threading.Event(), threading.Event()

    def read(self) -> Frame | None:
        step = next(self._script, None)
        if step is None:
            self.at_end.set()
            self.let_go.wait()
            raise CameraError("returned at last")
        return step()

    def close(self) -> None:
        self.closed.set()


class Endless:
    """A live camera that gives the same picture again and again, until it is closed."""

    live = True

    def __init__(self) -> None:
        self.works, self.closed, self._frame = threading.Event(), threading.Event(), frame(0)

    def read(self) -> Frame | None:
        self.works.set()
        return self._frame

    def close(self) -> None:
        self.closed.set()


def giving(index: int) -> Callable[[], Frame | None]:
    return lambda: frame(index)


def failing(error: Exception) -> Callable[[], Frame | None]:
    def fail() -> Frame | None:
        raise error

    return fail


class Notification(threading.Event):
    """An event that a reader sets and the test waits for."""

    def arrived(self) -> None:
        assert self.wait(PATIENCE_S)
        self.clear()


def test_only_the_newest_frame_is_given_and_stale_ones_are_counted() -> None:
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
def test_an_error_in_the_thread_is_raised_by_take_and_closes_the_camera(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    camera, notified = Scripted(failing(error)), Notification()
    reader = ThreadReader(lambda: camera, notified.set)
    notified.arrived()
    assert camera.closed.is_set()
    with pytest.raises(type(error), match=str(error)):
        reader.take()
    reader.join(PATIENCE_S)
    assert not reader.running
    # The thread of an earlier test may end, and log so, meanwhile.
    [ended] = (record for record in caplog.records if record.getMessage().endswith(str(error)))
    assert bool(ended.exc_info) is isinstance(error, RuntimeError)  # an expected loss is one line


def test_the_thread_opens_the_camera_and_take_raises_its_error() -> None:
    held, notified = threading.Event(), Notification()

    def opening() -> Scripted:
        held.wait(PATIENCE_S)
        raise CameraError("nothing there")

    reader = ThreadReader(opening, notified.set)
    assert reader.take() is None
    held.set()
    notified.arrived()
    with pytest.raises(CameraError, match="nothing there"):
        reader.take()


def test_a_recording_ends_and_is_not_opened_again() -> None:
    rig = Rig().streaming()
    rig.device.error = SourceEndedError("the source has ended")
    rig.after(TURN_S)
    rig.device.error, rig.device.gives = None, nothing
    rig.after(5.0)
    assert rig.supervisor.ended
    assert rig.state is CameraState.STREAMING
    assert len(rig.device.readers) == 1


def test_a_source_without_a_next_frame_has_ended() -> None:
    notified = Notification()
    reader = ThreadReader(lambda: Scripted(lambda: None), notified.set)
    notified.arrived()
    with pytest.raises(SourceEndedError):
        reader.take()


def test_stopping_closes_the_camera() -> None:
    camera = Scripted(*[giving(i) for i in range(10_000)])
    reader = ThreadReader(lambda: camera, lambda: None)
    reader.stop()
    camera.let_go.set()
    reader.join(PATIENCE_S)
    assert camera.closed.is_set()
    assert not reader.running


def test_close_does_not_wait_for_a_hanging_read_which_closes_its_camera_when_it_returns() -> None:
    camera = Scripted()
    settings = config.load().camera
    readers: list[ThreadReader] = []

    def start() -> ThreadReader:
        readers.append(ThreadReader(lambda: camera, lambda: None))
        return readers[-1]

    supervisor = CameraSupervisor(settings, start, 0.0, 1.5)
    assert camera.at_end.wait(PATIENCE_S)
    supervisor.close(0.05)
    assert readers[0].running
    assert not camera.closed.is_set()
    camera.let_go.set()
    assert camera.closed.wait(PATIENCE_S)


def test_closing_stops_the_thread_and_waits_until_the_camera_is_closed() -> None:
    camera = Endless()
    supervisor = CameraSupervisor(config.load().camera, lambda: ThreadReader(lambda: camera, lambda: None), 0.0, 1.5)
    assert camera.works.wait(PATIENCE_S)
    assert not camera.closed.is_set()
    supervisor.close(PATIENCE_S)
    assert camera.closed.is_set()


def test_a_reader_notifies_of_every_frame() -> None:
    camera, notified = Scripted(giving(0)), Notification()
    reader = ThreadReader(lambda: camera, notified.set)
    notified.arrived()
    got = reader.take()
    assert got is not None
    assert got.index == 0
    camera.let_go.set()


def test_dropped_frames_are_counted_over_all_attempts() -> None:
    rig = Rig().streaming()
    rig.device.readers[0].dropped = 3
    rig.device.error = CameraError("gone")
    rig.until(CameraState.LOST)
    rig.device.error = None
    rig.streaming()
    rig.device.readers[-1].dropped = 2
    assert rig.supervisor.dropped == 5


def test_an_unplugged_dark_camera_is_lost_even_if_an_old_thread_still_hangs() -> None:
    """It gave pictures since it was opened again, so that the hanging read does not hold it."""
    rig = Rig().streaming()
    rig.hang_forever(rig.device.readers[0], 1.0)
    rig.device.gives = lambda: frame(0, np.zeros((24, 32, 3), np.uint8))
    rig.until(CameraState.DARK)
    rig.after(11.0)
    rig.device.error = CameraError("unplugged")
    assert rig.until(CameraState.LOST) <= 2 * TURN_S


def test_a_frozen_camera_whose_lens_is_then_covered_is_dark() -> None:
    """A black picture is the same to the last bit as the one before, but the cause is now the lens."""
    rig = Rig(dark_s=1.0).streaming()
    still = texture(24, 32, 1000)
    rig.device.gives = lambda: frame(0, still)
    rig.until(CameraState.FROZEN)
    rig.device.gives = lambda: frame(0, np.zeros((24, 32, 3), np.uint8))
    assert rig.until(CameraState.DARK) <= 1.0 + 1 / DARK_CHECKS + 2 * TURN_S


def test_a_pause_shorter_than_stall_s_is_no_stall() -> None:
    rig = Rig(stall_s=1.5).streaming()
    rig.device.gives = nothing
    assert rig.after(1.3) is CameraState.STREAMING
    rig.device.gives = rig.device.fresh
    assert rig.after(2.0) is CameraState.STREAMING
    assert len(rig.device.readers) == 1


def test_a_camera_that_opens_without_a_picture_is_opened_again_and_again() -> None:
    rig = Rig(open_s=1.0)
    rig.device.gives = nothing
    rig.until(CameraState.STALLED)
    rig.after(6.0)
    assert 4 <= len(rig.device.readers) <= 7


@pytest.mark.parametrize(("closes_after_s", "opened_after_s"), [(0.4, 0.4), (10.0, CLOSE_WAIT_S)])
def test_a_camera_is_opened_again_once_it_is_closed_or_its_time_for_that_is_over(
    closes_after_s: float, opened_after_s: float
) -> None:
    rig = Rig().streaming()
    rig.device.gives, rig.device.hangs = nothing, True
    rig.until(CameraState.STALLED)
    stalled_s = rig.now_s
    while len(rig.device.readers) == 1:
        rig.after(TURN_S)
        rig.device.hangs = rig.now_s - stalled_s < closes_after_s
    assert rig.now_s - stalled_s == pytest.approx(opened_after_s, abs=2.5 * TURN_S)
