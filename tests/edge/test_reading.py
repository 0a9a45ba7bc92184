"""The loop that reads one camera: what ends it, and that the camera is closed then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge.contracts import Camera, Frame
from edge.errors import CameraError, SourceEndedError
from edge.reading import read_frames
from tests.edge.parts import frame_of, texture


class ThreePictures:
    """A camera that gives three pictures and then ``last``."""

    live = True

    def __init__(self, last: Exception | None) -> None:
        self.closed = False
        self._pictures = self._given(last)

    def _given(self, last: Exception | None) -> Iterator[Frame | None]:
        for index in range(3):
            yield frame_of(texture(4, 4), index=index)
        if last is not None:
            raise last
        yield None

    def read(self) -> Frame | None:
        return next(self._pictures)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("last", [None, CameraError("unplugged"), ZeroDivisionError("a bug in a driver")])
def test_what_ends_it_is_returned_after_the_camera_is_closed(last: Exception | None) -> None:
    camera, seen = ThreePictures(last), list[int]()
    ended = read_frames("the test", lambda: camera, lambda _, frame: seen.append(frame.index), lambda: False)
    assert seen == [0, 1, 2]
    assert camera.closed
    assert (ended is last) if last else isinstance(ended, SourceEndedError)


def test_it_stops_before_the_next_picture() -> None:
    camera, seen = ThreePictures(None), list[Camera]()
    assert read_frames("the test", lambda: camera, lambda given, _: seen.append(given), lambda: len(seen) == 2) is None
    assert seen == [camera, camera]
    assert camera.closed


def test_a_camera_that_cannot_be_opened_is_returned_as_well() -> None:
    def opened() -> Camera:
        raise CameraError("no device")

    assert str(read_frames("the test", opened, lambda *_: None, lambda: False)) == "no device"
