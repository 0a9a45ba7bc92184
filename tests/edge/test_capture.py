from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edge.capture import Capture
from edge.contracts import Frame
from edge.errors import CameraError
from tests.edge.parts import frame_of

PATIENCE_S = 10.0
"""Far longer than anything here takes; only a failing test waits that long."""


def frame(index: int) -> Frame:
    return frame_of(np.zeros((4, 4, 3), np.uint8), float(index), index)


class Scripted:
    """A live camera whose every read is one step of a script; hangs at its end until closed."""

    live = True

    def __init__(self, *script: Callable[[], Frame | None]) -> None:
        self._script: Iterator[Callable[[], Frame | None]] = iter(script)
        self.at_end, self.closed = threading.Event(), threading.Event()

    def read(self) -> Frame | None:
        step = next(self._script, None)
        if step is None:
            self.at_end.set()
            self.closed.wait()
            raise CameraError("closed while reading")
        return step()

    def close(self) -> None:
        self.closed.set()


class Hanging(Scripted):
    """A camera whose read never comes back, not even when closed."""

    def close(self) -> None:
        raise AssertionError("a driver must not be closed under a hanging read")


def giving(index: int) -> Callable[[], Frame | None]:
    return lambda: frame(index)


def failing(error: Exception) -> Callable[[], Frame | None]:
    def fail() -> Frame | None:
        raise error

    return fail


def test_only_the_newest_frame_is_given_and_the_stale_are_counted() -> None:
    camera = Scripted(giving(0), giving(1), giving(2))
    capture = Capture(camera, PATIENCE_S)
    assert camera.at_end.wait(PATIENCE_S)
    got = capture.read()
    assert got is not None
    assert got.index == 2
    assert capture.dropped == 2
    camera.close()
    capture.close()


def test_no_frame_is_given_twice() -> None:
    camera = Scripted(giving(0))
    capture = Capture(camera, 0.05)
    assert capture.read() is not None
    with pytest.raises(CameraError, match=r"no picture for 0\.05 s; check its cable"):
        capture.read()
    camera.close()
    capture.close()


def test_a_camera_that_never_gives_a_picture_is_an_error() -> None:
    camera = Scripted()
    capture = Capture(camera, 0.05)
    with pytest.raises(CameraError, match="gave no picture"):
        capture.read()
    camera.close()
    capture.close()


@pytest.mark.parametrize("error", [CameraError("unplugged"), RuntimeError("driver bug")])
def test_what_breaks_in_the_thread_is_told_in_the_loop(error: Exception) -> None:
    camera = Scripted(giving(0), failing(error))
    capture = Capture(camera, PATIENCE_S)
    with pytest.raises(type(error), match=str(error)):
        list(iter(capture.read, None))
    capture.close()


def test_a_live_camera_that_ends_is_broken() -> None:
    capture = Capture(Scripted(lambda: None), PATIENCE_S)
    with pytest.raises(CameraError, match="ended its stream"):
        capture.read()
    capture.close()


def test_closing_gives_the_camera_back() -> None:
    camera = Scripted(failing(CameraError("done")))
    Capture(camera, PATIENCE_S).close()
    assert camera.closed.is_set()


def test_a_read_that_hangs_does_not_hang_the_close() -> None:
    camera = Hanging()
    capture = Capture(camera, 0.05)
    assert camera.at_end.wait(PATIENCE_S)
    capture.close()
    assert not camera.closed.is_set()
    camera.closed.set()  # lets the thread end


class Clip:
    """A source that waits to be read."""

    live = False

    def __init__(self) -> None:
        self.reads, self.closed = 0, False

    def read(self) -> Frame | None:
        self.reads += 1
        return frame(self.reads) if self.reads <= 3 else None

    def close(self) -> None:
        self.closed = True


def test_a_clip_is_read_frame_by_frame_and_never_ahead() -> None:
    clip = Clip()
    capture = Capture(clip, PATIENCE_S)
    assert not capture.live
    assert clip.reads == 0
    indices = [got.index for got in iter(capture.read, None)]
    assert indices == [1, 2, 3]
    assert capture.dropped == 0
    capture.close()
    assert clip.closed
