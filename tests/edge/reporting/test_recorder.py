"""From a run to the rows of its record, through the real pipeline and the real command."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from edge import config
from edge.contracts import Box, CameraState, Change, Decision, Delivery, Health, Outcome, Passage, Signal, Step, Track
from edge.messages import ArmingMessage, DriftMessage
from edge.record import database, events, hours, replay
from edge.record.notes import Finding
from edge.record.rows import RunRow
from edge.reporting.listener import Listener
from edge.reporting.recorder import DriftReport, Recorder
from tests.edge.parts import fmd, frame_of, texture
from tests.edge.record.parts import Clock


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the state directory of a run of the built-in scene: one person, without and then with a mask."""
    pytest.importorskip("skimage", reason="scikit-image is not installed: it has the scene's portrait")
    folder = tmp_path_factory.mktemp("state")
    found = fmd("run", "--source", "doorway", "--set", "alert.driver=console", STATE_DIRECTORY=str(folder))
    assert found.returncode == 0, found.stderr
    return folder


def row(folder: Path) -> dict[str, object]:
    with closing(sqlite3.connect(folder / database.NAME)) as connection:
        connection.row_factory = sqlite3.Row
        [found] = connection.execute("SELECT * FROM passages").fetchall()
        return dict(found)


def test_a_passage_is_recorded_with_what_led_to_its_decision(state: Path) -> None:
    found = row(state)
    assert (found["outcome"], found["violated"], found["label"]) == ("compliant", 1, "with_mask")
    assert found["entered"] < found["decided"] == found["alarm"] < found["cleared"] < found["ended"]
    assert found["observations"] > 10
    assert 24 < found["width"] < 640
    assert 20 < found["brightness"] < 235
    assert 0.25 < found["score"] <= 1
    assert found["sharpness"] > 1
    assert 0 <= found["disagreement"] < 0.5
    assert 0 < found["place_x"] < 1
    assert 0 < len(found["evidence"]) < 1000


def test_the_record_knows_models_settings_and_labels(state: Path) -> None:
    with closing(sqlite3.connect(state / database.NAME)) as connection:
        [(classifier, detector, settings, labels, compliant)] = connection.execute(
            "SELECT classifier, detector, settings, labels, compliant FROM runs"
        ).fetchall()
    assert [len(each) for each in (classifier, detector, settings)] == [12, 12, 12]
    assert compliant == "with_mask"
    assert "without_mask" in labels


def test_the_recorded_evidence_gives_the_recorded_decision_again(state: Path) -> None:
    with closing(database.open_for_reading(state)) as connection:
        [passage] = replay.recorded(connection, 0, 1 << 60)
    again, settings = replay.replay(passage, config.load().decide), config.load().decide
    assert (again.outcome.value, again.violated) == (passage.outcome, passage.violated)
    assert again.observations == passage.observations
    assert again.alarm_s == pytest.approx((passage.alarm - passage.entered) / 1000, abs=0.0015)
    # A stricter target decides later, from the same evidence.
    strict = replay.replay(passage, config.load(None, {"decide.error_rate": 1e-6}).decide)
    assert strict.alarm_s > again.alarm_s
    assert settings.error_rate > 1e-6


def test_nothing_in_the_record_identifies_a_person(state: Path) -> None:
    """Every column is listed here, so that none is added without a thought about privacy."""
    with closing(sqlite3.connect(state / database.NAME)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert tables == {"runs", "passages", "events", "spans", "hours", "notes"}
        columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(passages)")]
    row_columns = "id run camera clock entered decided alarm cleared ended outcome label violated observations"
    face_columns = "width brightness score sharpness disagreement place_x place_y evidence"
    assert " ".join(columns) == f"{row_columns} {face_columns}"
    # Evidence holds times, qualities and probabilities; a picture or a template of a face would not fit.
    assert len(row(state)["evidence"]) < 10 * row(state)["observations"]


def test_health_becomes_spans(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path)
    recorder = Recorder(record, lambda settings: RunRow())
    recorder.on_settings(config.load())
    for state in (CameraState.STARTING, CameraState.STREAMING, CameraState.DARK, CameraState.LOST):
        recorder.on_health(Health("", state, clock.now_s))
        clock.forward(10)
    record.close()
    with closing(sqlite3.connect(tmp_path / database.NAME)) as connection:
        found = connection.execute("SELECT state, ended - began FROM spans ORDER BY id").fetchall()
    assert found == [("blind", 10000), ("watching", 10000), ("dark", 10000), ("blind", 10000)]


def test_a_picture_is_no_passage_of_a_person(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path)
    recorder = Recorder(record, lambda settings: RunRow(classifier="abc", labels=("without_mask",)))
    recorder.on_settings(config.load())
    person = Track(1, Box(2, 2, 40, 40), 0.9, 0.0, 0.0, 0)
    passage = Passage(1, Outcome.VIOLATION, "without_mask", 5, True, 0.0, 1.0, 20.0, Signal.NO_MASK)
    for change, at_s in ((Change.DECIDED, 1.0), (Change.PICTURE, 20.0)):
        decision = Decision(change, passage, at_s)
        recorder.on_decision(decision)
        left = change is Change.PICTURE
        tracks, passages = ((), ()) if left else ((person,), (passage,))
        step = Step(
            frame_of(texture(48, 64), at_s), True, True, (), tracks, {}, passages, (decision,), Signal.RUNNING, {}
        )
        recorder.on_step(step, Delivery())
    clock.forward(30)
    record.close()
    found = row(tmp_path)
    assert (found["outcome"], found["violated"], found["evidence"]) == ("picture", 0, b"")
    assert found["ended"] is not None
    with closing(database.open_for_reading(tmp_path)) as connection:
        assert list(replay.recorded(connection, 0, 1 << 60)) == []
        sums = hours.sums_between(connection, 0, 1 << 60)
    assert sum(one.compliant + one.violated + one.unsure for one in sums.values()) == 0


def test_a_disarmed_camera_that_sees_is_recorded_as_such(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path)
    recorder = Recorder(record, lambda settings: RunRow())
    recorder.on_health(Health("", CameraState.STREAMING, clock.now_s))
    for armed, state in ((False, None), (False, CameraState.DARK), (True, None), (True, CameraState.STREAMING)):
        clock.forward(10)
        recorder.on_arming(ArmingMessage(armed, "command"))
        if state is not None:
            recorder.on_health(Health("", state, clock.now_s))
    clock.forward(10)
    record.close()
    with closing(sqlite3.connect(tmp_path / database.NAME)) as connection:
        found = connection.execute("SELECT state, ended - began FROM spans ORDER BY id").fetchall()
    assert found == [("watching", 10000), ("disarmed", 10000), ("dark", 20000), ("watching", 10000)]


class Followed(Listener):
    """Keeps hints and changes."""

    def __init__(self) -> None:
        self.hints: list[tuple[str, str, str]] = []
        self.drifts: list[tuple[str, DriftMessage]] = []

    def on_hint(self, camera: str, kind: str, hint: str) -> None:
        self.hints.append((camera, kind, hint))

    def on_drift(self, camera: str, drift: DriftMessage) -> None:
        self.drifts.append((camera, drift))


def test_changes_of_a_camera_and_of_behaviour_are_reported_apart_and_end(tmp_path: Path) -> None:
    record, followed = Clock().record(tmp_path), Followed()
    report = DriftReport(record, followed)
    report.on_settings(config.load(None, {"camera.sources": {"in": "doorway", "out": "doorway"}}))
    seen = Step(frame_of(texture(24, 32), 0.0), True, True, (), (), {}, (), (), Signal.RUNNING, {}, "in")
    smaller = Finding("in", "width", True, 1_800_000_000_000, "faces are 30% smaller")
    fewer = Finding("in", "violated", False, 1_800_000_060_000, "fewer people wear masks")
    for findings in ((), (smaller,), (smaller, fewer), (smaller, fewer), (fewer,)):
        record.findings = findings
        report.on_step(seen, Delivery())
    record.close()
    assert [camera for camera, _ in followed.drifts] == ["in", "out", "in", "in", "in"]
    assert [drift for _, drift in followed.drifts][:2] == [DriftMessage()] * 2
    assert followed.drifts[3][1] == DriftMessage(
        *(True, "faces are 30% smaller", "2027-01-15T08:00:00+00:00"),
        *(True, "fewer people wear masks", "2027-01-15T08:01:00+00:00"),
    )
    assert (followed.drifts[4][1].changed, followed.drifts[4][1].behaviour_changed) == (False, True)
    assert [hint for _, _, hint in followed.hints] == ["faces are 30% smaller", "faces are 30% smaller", ""]


def test_a_camera_that_was_turned_is_reported(tmp_path: Path) -> None:
    """Two hours of an empty doorway, then the same with the picture shifted by a fifth."""
    clock = Clock()
    record = clock.record(tmp_path, mb_a_day=1000)
    recorder = Recorder(record, lambda settings: RunRow())
    followed = Followed()
    report = DriftReport(record, followed)
    report.on_settings(config.load())
    recorder.on_health(Health("", CameraState.STREAMING, 0.0))
    picture = texture(240, 480)
    for minute in range(90):
        left = 64 if minute >= 70 else 0
        step = Step(
            frame_of(picture[:, left : left + 320], clock.now_s), True, True, (), (), {}, (), (), Signal.RUNNING, {}
        )
        recorder.on_step(step, Delivery())
        report.on_step(step, Delivery())
        clock.forward(60)
        record.keep()
    record.close()
    assert [(camera, kind) for camera, kind, _ in followed.hints] == [("", "drift")]
    assert followed.hints[0][2].endswith("the camera was moved or turned")
    (first_camera, before), (camera, after) = followed.drifts
    assert (first_camera, before) == ("", DriftMessage())
    assert (camera, after.changed, after.behaviour_changed) == ("", True, False)
    assert after.message == followed.hints[0][2]
    assert datetime.fromisoformat(after.since).timestamp() < clock.wall_s
    assert [event["event"] for event in events.read(tmp_path)] == ["drift"]
