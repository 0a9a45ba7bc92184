"""The thread that reads a presence sensor: faults are reported, end by themselves, and never leave an old reading."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge import state_file
from edge.contracts import Floats, Sensed
from edge.drivers.doorway import draw_doorway
from edge.errors import SensorError
from edge.service import sensor as service
from edge.service.sensor import AGAIN_S, SILENT_S, STUCK_S, Learned, SensorReader
from edge.stages.presence import Counts
from tests.edge.drivers.i2c_devices import sensor_settings
from tests.edge.parts import fmd


class Stub:
    """A sensor that gives the next of ``answers``; a reading takes 0.1 s of the simulated clock."""

    sensed, field_deg = Sensed.WARMTH, (55.0, 35.0)

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    def read(self) -> Floats:
        self._rig.now_s += 0.1
        answer = self._rig.answers.pop(0) if self._rig.answers else SensorError("no more")
        if isinstance(answer, Exception):
            raise answer
        return np.asarray(answer, np.float32)

    def close(self) -> None:
        self._rig.closed += 1


class Rig:
    """A reader on a simulated clock. ``look`` is called before each reading and each pause."""

    def __init__(self, answers: list[Any], opens: list[Exception] | None = None, **more: Any) -> None:
        self.now_s, self.answers, self.failures = 0.0, answers, opens or []
        self.closed, self.pauses, self.faults = 0, 0.0, list[str]()
        settings = more.pop("settings", sensor_settings())
        self.reader = SensorReader(settings, self._open, lambda: self.now_s, self._wait, **more)

    def _open(self) -> Stub:
        if self.failures:
            raise self.failures.pop(0)
        return Stub(self)

    def _wait(self, seconds: float) -> bool:
        if not self.answers and not self.failures:
            return True
        self.now_s += seconds
        self.pauses += seconds
        if self.reader.fault and self.reader.fault not in self.faults:
            self.faults.append(self.reader.fault)
            assert self.reader.newest is None
        return False

    def run(self) -> SensorReader:
        self.reader.run()
        return self.reader


def grids(count: int) -> list[Any]:
    return list(np.random.default_rng(0).normal(21, 1, (count, 2, 3)))


def test_the_newest_reading_is_as_the_camera_sees_it() -> None:
    rig = Rig([[[1, 2, 3], [4, 5, 6]]], settings=sensor_settings(rotate=90, mirror=True))
    newest = rig.run().newest
    assert newest is not None
    # Turned clockwise: 4 1, 5 2, 6 3; then mirrored.
    assert newest.values.tolist() == [[1, 4], [2, 5], [3, 6]]
    assert newest.field_deg == (35.0, 55.0)
    assert (newest.began_s, newest.ended_s) == pytest.approx((0.0, 0.1))


def test_a_sensor_that_fails_is_closed_opened_again_and_works(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rig = Rig([*grids(2), SensorError("unplugged"), *grids(3)], [SensorError("no bus"), SensorError("no bus")])
    reader = rig.run()
    assert rig.faults == ["no bus", "unplugged"]
    assert rig.pauses >= 3 * AGAIN_S
    assert rig.closed == 2
    assert reader.newest is not None
    said = [record.getMessage() for record in caplog.records]
    assert said.count("presence sensor: no bus; alarms are as without it") == 1
    assert said.count("presence sensor works again") == 2


def test_a_sensor_that_hangs_is_silent() -> None:
    rig = Rig(grids(1))
    reader = rig.run()
    assert reader.fault == ""
    rig.now_s += SILENT_S + 1
    assert reader.fault == "no reading for more than 3 s"
    assert reader.newest is None


def test_a_sensor_that_repeats_itself_is_stuck_unless_it_may() -> None:
    same = [grids(1)[0]] * (int(STUCK_S * 10) + 20)
    assert Rig(list(same)).run() is not None
    rig = Rig(list(same))
    rig.run()
    assert rig.faults == ["the same values for 10 s; switch its supply off and on"]
    rig = Rig(list(same), repeats=True)
    rig.run()
    assert rig.faults == []


def test_a_sensor_that_measures_nothing_is_a_fault() -> None:
    rig = Rig([np.full((2, 2), np.nan), *grids(1)])
    rig.run()
    assert rig.faults == ["it measures nothing at all; check its wires and its lens"]


def test_what_it_has_learned_outlives_a_restart_while_it_hangs_as_before(tmp_path: Path) -> None:
    file = tmp_path / service.NAME
    rig = Rig(grids(3), file=file)
    rig.reader.keep(Counts(1.0, 12.0))
    rig.run()
    assert Rig([], file=file).reader.counts == Counts(1.0, 12.0)
    assert Rig([], file=file, settings=sensor_settings(rotate=180)).reader.counts == Counts()
    file.write_bytes(b"{")
    assert Rig([], file=file).reader.counts == Counts()


def test_a_folder_that_cannot_be_written_is_only_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(grids(3), file=tmp_path / "none" / service.NAME)
    rig.reader.keep(Counts(1.0, 12.0))
    assert rig.run().newest is not None
    assert "learns again after a restart" in caplog.text


def test_the_thread_reads_until_the_end(tmp_path: Path) -> None:
    grid = tmp_path / "grid.txt"
    grid.write_text("warmth 60 60\n20 21\n22 23\n")
    clock: Callable[[], float] = lambda: 0.0  # noqa: E731
    with service.reading(sensor_settings(driver=f"file:{grid}"), clock, tmp_path) as reader:
        assert reader is not None
        reader.wait_for_first()
        assert reader.newest is not None
        assert reader.newest.values.tolist() == [[20, 21], [22, 23]]
    assert not any(thread.name == "sensor" for thread in threading.enumerate())
    with service.reading(sensor_settings(), clock, None) as none:
        assert none is None


def poster_clip(path: Path) -> Path:
    """Write four seconds of a portrait that hangs in the doorway, with a camera's noise."""
    portrait = pytest.importorskip("skimage.data").astronaut()[:260, 90:360]
    view = draw_doorway().copy()
    view[120:312, 220:420] = cv2.resize(portrait, (200, 192))
    writer, chance = (
        cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (640, 480)),
        np.random.default_rng(1),
    )
    for _ in range(40):
        noisy = np.clip(view + chance.normal(0, 3, view.shape), 0, 255).astype(np.uint8)
        writer.write(noisy[:, :, ::-1])
    writer.release()
    return path


@contextmanager
def measuring(path: Path) -> Iterator[None]:
    """Write what a thermal sensor measures of a wall, ten times a second, as another program would."""
    done, chance = threading.Event(), np.random.default_rng(2)

    def write() -> None:
        while not done.wait(0.1):
            rows = chance.normal(21, 0.2, (24, 32))
            text = "\n".join(" ".join(f"{cell:.2f}" for cell in row) for row in rows)
            path.with_suffix(".new").write_text(f"warmth 55 35\n{text}\n")
            path.with_suffix(".new").replace(path)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.slow
def test_a_poster_at_a_real_run_gives_an_alarm_only_without_the_sensor(tmp_path: Path) -> None:
    clip, grid = poster_clip(tmp_path / "poster.avi"), tmp_path / "grid.txt"
    driver = f"file:{grid}"
    state_file.write_state(tmp_path / service.NAME, Learned(sensor_settings(driver=driver), 0.0, 20.0))
    plain = ("run", "--source", clip, "--set", "camera.live=true", "--set", "alert.driver=console", "--state", tmp_path)
    with measuring(grid):
        sensed = fmd(*plain, "--set", f"sensor.driver={driver}")
    assert "ALARM" not in sensed.stdout
    assert "is as warm, or as far, as the wall behind it" in sensed.stderr
    assert "ALARM" in fmd(*plain).stdout
