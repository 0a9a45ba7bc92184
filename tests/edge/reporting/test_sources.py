"""What the first frames of a camera say: its size and rate, and faces that are all too small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from edge import config
from edge.contracts import Box, Change, Decision, Delivery, Face, Outcome, Passage, Signal, Step, Track, Turned
from edge.reporting.sources import (
    HINT_DETECTIONS,
    FaceSizeMonitor,
    PictureReport,
    SourceLog,
    TurnReport,
    driver_hints,
    sensor_hints,
)
from tests.edge.parts import face, frame_of, texture

LIVE = Delivery(0, 0.01)
PICTURE = texture(48, 64)


def step_of(index: int, at_s: float, camera: str = "", faces: Sequence[Face] = (), tracked: bool = False) -> Step:
    tracks = tuple(Track(1, one.box, one.score, 0.0, at_s, 0) for one in faces) if tracked else ()
    frame = frame_of(PICTURE, at_s, index)
    return Step(frame, True, True, tuple(faces), tracks, {}, (), (), Signal.RUNNING, {}, camera)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "edge")


def test_a_live_camera_gets_one_line_with_its_measured_rate(caplog: pytest.LogCaptureFixture) -> None:
    log = SourceLog()
    log.on_settings(config.load(None, {"camera.source": "rtsp://me:secret@10.0.0.1/door"}))
    # Every second frame was outdated before its turn: the camera gave it all the same.
    for k in range(60):
        log.on_step(step_of(2 * k, 100 + k / 6), LIVE)
    assert lines(caplog) == [
        "camera is rtsp://***@10.0.0.1/door: 64 x 48, 12.0 frames per second (requested: 640 x 480, 15)"
    ]


def test_the_line_names_the_camera_that_auto_found(caplog: pytest.LogCaptureFixture) -> None:
    log = SourceLog()
    log.on_settings(config.load(None, {"camera.source": "auto"}))
    for k in range(30):
        step = step_of(k, k / 10)
        log.on_step(replace(step, frame=replace(step.frame, device="/dev/video2")), LIVE)
    assert lines(caplog)[0].startswith("camera is /dev/video2: 64 x 48")


def test_a_recording_gets_none(caplog: pytest.LogCaptureFixture) -> None:
    log = SourceLog()
    log.on_settings(config.load())
    for k in range(60):
        log.on_step(step_of(k, k / 15), Delivery())
    assert lines(caplog) == []


def test_each_camera_gets_its_line_and_a_reload_repeats_none(caplog: pytest.LogCaptureFixture) -> None:
    log = SourceLog()
    two = config.load(None, {"camera.sources": {"in": "/dev/video0", "out": "/dev/video2"}})
    for _ in range(2):
        log.on_settings(two)
        for k in range(60):
            for camera in ("in", "out"):
                log.on_step(step_of(k, k / 10, camera), LIVE)
    assert [line.partition(":")[0] for line in lines(caplog)] == [
        "camera in is /dev/video0",
        "camera out is /dev/video2",
    ]


def test_a_camera_that_is_opened_again_is_measured_again(caplog: pytest.LogCaptureFixture) -> None:
    log = SourceLog()
    log.on_settings(config.load(None, {"camera.source": "/dev/video0"}))
    for k in range(10):
        log.on_step(step_of(k, k / 10), LIVE)
    for k in range(30):
        log.on_step(step_of(k, 50 + k / 10), LIVE)
    assert [line.partition(" frames")[0] for line in lines(caplog)] == ["camera is /dev/video0: 64 x 48, 10.0"]


class Passing:
    """A monitor and people who pass its camera, 10 detections a second."""

    def __init__(self) -> None:
        self.hints: list[tuple[str, str]] = []
        self.monitor = FaceSizeMonitor(lambda camera, kind, hint: self.hints.append((camera, hint)))
        self.monitor.on_settings(config.load())
        self.index = 0

    def pass_by(self, detections: int, width: float = 15.0, step: float = 10.0, score: float = 0.9) -> None:
        for _ in range(detections):
            self.index += 1
            faces = [face(self.index % 60 * step, width=width, score=score)]
            tracked = width >= 24 and score >= 0.25
            self.monitor.on_step(step_of(self.index, self.index / 10, "door", faces, tracked), LIVE)


def test_people_who_are_all_too_small_are_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    passing = Passing()
    passing.pass_by(3 * HINT_DETECTIONS)
    ((camera, hint),) = passing.hints
    assert camera == "door"
    assert hint.startswith("faces too small: all are narrower than detect.min_face_px (24 pixels)")
    assert lines(caplog) == [f"camera door: {hint}"]


def test_a_person_who_is_tracked_ends_the_hint_and_the_count(caplog: pytest.LogCaptureFixture) -> None:
    passing = Passing()
    passing.pass_by(HINT_DETECTIONS - 5)
    passing.pass_by(1, width=40)
    passing.pass_by(HINT_DETECTIONS - 5)
    assert passing.hints == []
    passing.pass_by(10)
    passing.pass_by(1, width=40)
    assert [bool(hint) for _, hint in passing.hints] == [True, False]
    passing.pass_by(2 * HINT_DETECTIONS)
    assert [bool(hint) for _, hint in passing.hints] == [True, False, True]
    assert len(lines(caplog)) == 1


@pytest.mark.parametrize("why", [{"step": 0.0}, {"score": 0.2}, {"step": 1.0}])
def test_a_poster_and_a_doubtful_face_are_no_people_who_pass(why: dict[str, float]) -> None:
    passing = Passing()
    passing.pass_by(3 * HINT_DETECTIONS, **why)
    assert passing.hints == []


class Poster:
    """A report about pictures, and what it reported."""

    def __init__(self) -> None:
        self.hints: list[tuple[str, str, str]] = []
        self.report = PictureReport(lambda *hint: self.hints.append(hint))
        self.report.on_settings(config.load())

    def step(
        self,
        new: Sequence[int] = (),
        pictures: Sequence[int] = (),
        people: Sequence[int] = (),
        measured: Sequence[int] = (),
    ) -> None:
        """A step in which ``new`` are found to be pictures; each face is at 10 times its number.

        ``measured`` are pictures by a presence sensor.
        """
        passages = [Passage(i, Outcome.VIOLATION, "without_mask", 5, True, 0, 0, 0, Signal.NO_MASK) for i in new]
        decisions = tuple(Decision(Change.PICTURE, passage, 1.0, "hall") for passage in passages)
        seen = tuple(track(i) for i in (*new, *pictures, *measured))
        tracks = tuple(track(i) for i in people)
        frame = frame_of(texture(48, 64))
        self.report.on_step(
            Step(
                *(frame, True, True, (), tracks, {}, (), decisions, Signal.RUNNING, {}, "hall", (), seen),
                measured=frozenset(measured),
            ),
            LIVE,
        )


def track(id_: int) -> Track:
    return Track(id_, face(10.0 * id_, 12, 8).box, 0.9, 0.0, 0.0, 0)


def test_a_picture_is_reported_where_it_is_until_it_moves(caplog: pytest.LogCaptureFixture) -> None:
    poster = Poster()
    poster.step(people=[1, 2])
    poster.step(new=[1], people=[2])
    poster.step(pictures=[1], people=[2])
    poster.step(pictures=[7])  # hidden for a while, and known again
    poster.step(new=[2], pictures=[7])
    assert [hint[:2] for hint in poster.hints] == [("hall", "picture")] * 2
    assert poster.hints[0][2].startswith("a face counts as a picture, at [0.16, 0.25]; to leave")
    assert poster.hints[1][2].startswith("faces count as pictures, at [0.16, 0.25], [0.31, 0.25]; to")
    poster.step(people=[1, 2])
    assert poster.hints[-1] == ("hall", "picture", "")
    assert lines(caplog) == [
        f"camera hall: the face at {place} does not move: it counts as a picture, and gives no alarm until it moves"
        for place in ("[0.16, 0.25]", "[0.31, 0.25]")
    ]


def test_a_picture_that_a_sensor_shows_is_reported_without_a_decision_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    poster = Poster()
    poster.step(measured=[1])
    poster.step(measured=[1])
    poster.step(people=[1])
    poster.step(measured=[1])
    assert [bool(hint) for _, _, hint in poster.hints] == [True, False, True]
    assert lines(caplog) == [
        "camera hall: the face at [0.16, 0.25] is as warm, or as far, as the wall behind it: it counts as a picture, "
        "and gives no alarm until it moves"
    ]


def test_a_fault_of_the_sensor_is_a_hint_until_it_ends() -> None:
    hints: list[tuple[str, str, str]] = []
    report = sensor_hints(lambda *hint: hints.append(hint))
    for fault in ("", "broken", "broken", ""):
        step = Step(frame_of(texture(48, 64)), True, True, (), (), {}, (), (), Signal.RUNNING, {}, "hall", sensor=fault)
        report.on_step(step, LIVE)
    report.on_settings(config.load())
    report.on_step(step, LIVE)
    assert hints == [("hall", "sensor", "broken"), ("hall", "sensor", "")]


class Turning:
    """A report about turned pictures, and its hints."""

    def __init__(self, **camera: Any) -> None:
        self.hints: list[str] = []
        self.report = TurnReport(lambda camera, kind, hint: self.hints.append(hint))
        self.report.on_settings(config.load(None, {f"camera.{key}": value for key, value in camera.items()}))
        self.index = 0

    def faces(self, *degrees: int, step: float = 30.0) -> None:
        for each in degrees:
            self.index += 1
            x = self.index * step
            turned = Turned(each, Box(x, 10, x + 40, 50))
            self.report.on_step(replace(step_of(self.index, self.index * 2.0, "", [], False), turned=turned), LIVE)


@pytest.mark.parametrize(
    ("degrees", "camera", "rotate"),
    [
        (180, {}, 180),
        (90, {}, 90),
        (180, {"rotate": 90}, 270),
        (270, {"rotate": 90}, 0),
        (90, {"mirror": True}, 270),
        (180, {"rotate": 180, "mirror": True}, 0),
    ],
)
def test_a_turned_camera_is_reported_with_the_setting_that_turns_it_back(
    degrees: int, camera: dict[str, Any], rotate: int, caplog: pytest.LogCaptureFixture
) -> None:
    turning = Turning(**camera)
    turning.faces(*[degrees] * 20)
    (hint,) = turning.hints
    assert hint.endswith(f"turn the camera, or set camera.rotate = {rotate}")
    assert hint.startswith("faces are upside down" if degrees == 180 else "faces are on their side")
    assert lines(caplog) == [f"camera: {hint}"]
    assert turning.report.rotations == {"": rotate}
    turning.faces(*[0] * 10)
    assert turning.hints == [hint, ""]
    assert turning.report.rotations == {}


def test_upright_faces_and_a_mark_on_the_wall_are_no_turned_camera() -> None:
    turning = Turning()
    for _ in range(10):
        turning.faces(0, 0, 180, 0)
    turning.faces(180, 90, 180, 270, 180, 90)
    turning.faces(*[180] * 30, step=0.0)
    assert turning.hints == []


def test_a_hint_of_a_driver_is_reported_when_it_changes() -> None:
    told: list[tuple[str, str, str]] = []
    hints = driver_hints(lambda *hint: told.append(hint))
    for index, hint in enumerate(("", "the second stream broke off", "the second stream broke off", "")):
        step = step_of(index, index / 10, "door")
        hints.on_step(replace(step, frame=replace(step.frame, hint=hint)), LIVE)
    hints.on_step(step_of(0, 1.0, "hall"), LIVE)
    assert told == [("door", "driver", "the second stream broke off"), ("door", "driver", "")]
