"""Simulated faults of a camera, on a clock of the test's own where nothing waits."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from edge import faults
from edge.contracts import Frame
from edge.drivers.faulty import Faults, FaultyCamera, Paced
from edge.errors import CameraError
from tests.edge.parts import frame_of, texture

PATIENCE_S = 10.0


class Steady:
    """A camera that works."""

    live = True

    def __init__(self, most: int = 1000) -> None:
        self.frames, self.most, self.closed = 0, most, False

    def read(self) -> Frame | None:
        self.frames += 1
        return (
            frame_of(texture(48, 64, self.frames), self.frames / 10, self.frames) if self.frames <= self.most else None
        )

    def close(self) -> None:
        self.closed = True


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def opened(text: str) -> tuple[FaultyCamera, Clock, Faults]:
    clock = Clock()
    simulated = Faults(faults.parse(text), clock, stall_s=1.5)
    return simulated.open(Steady), clock, simulated


def picture(camera: FaultyCamera) -> Frame:
    frame = camera.read()
    assert frame is not None
    return frame


def test_without_a_fault_frames_pass_unchanged() -> None:
    camera, _, _ = opened("dark@5")
    np.testing.assert_array_equal(picture(camera).image, texture(48, 64, 1))


def test_an_unplugged_camera_can_neither_be_read_nor_opened() -> None:
    camera, clock, simulated = opened("unplug@5+3")
    clock.now_s = 5.0
    with pytest.raises(CameraError, match=r"unplugged \(simulated\)"):
        camera.read()
    with pytest.raises(CameraError, match="unplugged"):
        simulated.open(Steady)
    clock.now_s = 8.0
    assert picture(simulated.open(Steady)).index == 1


def test_a_frozen_camera_repeats_one_picture_with_rising_time() -> None:
    camera, clock, _ = opened("freeze@5+3")
    clock.now_s = 5.0
    first, second = picture(camera), picture(camera)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.luma, second.luma)
    assert second.captured_s > first.captured_s
    clock.now_s = 8.0
    assert (picture(camera).image != first.image).any()


@pytest.mark.parametrize(("kind", "levels"), [("dark", (17, 17)), ("cover", (57, 97))])
def test_dark_and_covered_pictures_hold_only_sensor_noise(kind: str, levels: tuple[int, int]) -> None:
    camera, clock, _ = opened(f"{kind}@5")
    clock.now_s = 6.0
    one, other = picture(camera), picture(camera)
    columns = one.image.mean(axis=(0, 2))
    np.testing.assert_allclose(columns, np.linspace(*levels, 64), atol=5)
    assert 9 < (one.image - columns[:, np.newaxis]).std() < 11
    assert (one.luma != other.luma).any()


def test_a_crash_happens_once() -> None:
    camera, clock, simulated = opened("crash@5+3")
    clock.now_s = 5.5
    with pytest.raises(RuntimeError, match="crashed"):
        camera.read()
    assert picture(simulated.open(Steady)).index == 1


@pytest.mark.parametrize("kind", ["stall", "hang"])
def test_a_stalled_read_does_not_return(kind: str) -> None:
    camera, clock, simulated = opened(f"{kind}@5+3600")
    clock.now_s = 5.0
    came_back = threading.Event()

    def read() -> None:
        camera.read()
        came_back.set()

    threading.Thread(target=read, daemon=True).start()
    assert not came_back.wait(0.1)
    clock.now_s = 4000.0
    simulated.over.set()
    assert came_back.wait(PATIENCE_S)


def test_a_camera_can_be_reopened_after_a_hanging_read() -> None:
    _, clock, simulated = opened("hang@5")
    clock.now_s = 5.0
    hanging = simulated.open(Steady)
    threading.Thread(target=hanging.read, daemon=True).start()
    while not simulated.happened:
        threading.Event().wait(0.01)
    assert picture(simulated.open(Steady)).index == 1
    simulated.over.set()


def test_a_paced_recording_is_live_and_timed_by_the_clock() -> None:
    clock = Clock()
    clock.now_s = 100.0
    recording = Steady(most=1)
    camera = Paced(recording, clock)
    clock.now_s = 107.0
    frame = camera.read()
    assert camera.live
    assert frame is not None
    assert frame.captured_s == 107.0
    assert camera.read() is None
    camera.close()
    assert recording.closed


class Ticking(Steady):
    """A camera of ten pictures a second, on the clock of the test."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def read(self) -> Frame | None:
        self._clock.now_s += 0.1
        return super().read()


def test_damaged_pictures_are_skipped_until_none_came_for_too_long() -> None:
    _, clock, simulated = opened("damage@1+1,damage@5+5")
    camera = simulated.open(lambda: Ticking(clock))
    indices = [picture(camera).index for _ in range(12)]
    assert max(np.diff(indices)) in (10, 11)  # those of the first second of damage
    with pytest.raises(CameraError, match=r"all pictures of the last 1\.[5-7] s are cut short or damaged"):
        [camera.read() for _ in range(60)]
    assert 6.4 < clock.now_s < 6.8
    clock.now_s = 10.0
    assert picture(camera).image.shape == (48, 64, 3)
