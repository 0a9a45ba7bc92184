"""A clip and what is expected of it: the comparison, the files, and the real command on the built-in scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge import config
from edge.commands import expectation, replay
from edge.commands.expectation import Course, Passed
from edge.contracts import Decision
from edge.errors import SettingsError
from edge.reporting.listener import Callbacks
from tests.edge.parts import fmd, write_clip

BARE = Passed(from_s=1.0, to_s=6.0, outcome="violation", violated=True, decided_s=1.5)
MASKED = Passed(from_s=10.0, to_s=14.0, outcome="compliant", violated=False, decided_s=11.0)
COURSE = Course(alarms=((1.5, 6.0),), passages=(BARE, MASKED))


def changed(passed: Passed, **fields: Any) -> Passed:
    return msgspec.structs.replace(passed, **fields)


def complaints(expected: Course, seen: Course) -> list[str]:
    return [line.text for line in expectation.compared(expected, seen) if not line.good]


def test_what_was_recorded_is_as_expected() -> None:
    lines = list(expectation.compared(COURSE, COURSE))
    assert [line.good for line in lines] == [True, True, True]
    assert str(lines[0]) == "ok    passage 1.0-6.0 s: violation"


def test_times_may_be_off_by_the_tolerance_and_no_more() -> None:
    late = Course(alarms=((1.9, 6.4),), passages=(changed(BARE, from_s=1.4, to_s=6.4, decided_s=1.9), MASKED))
    assert complaints(COURSE, late) == []
    later = Course(alarms=((2.1, 6.0),), passages=(changed(BARE, from_s=1.6, decided_s=2.1), MASKED))
    assert complaints(COURSE, later) == [
        "passage 1.0-6.0 s: violation: from_s got 1.60; decided at 2.10 s, expected by 1.50 s",
        "alarm 1.5-6.0 s: got 2.1-6.0 s",
    ]


def test_another_outcome_is_no_matter_of_tolerance() -> None:
    flipped = Course(alarms=COURSE.alarms, passages=(BARE, changed(MASKED, outcome="violation", violated=True)))
    (difference,) = complaints(COURSE, flipped)
    assert difference.startswith("passage 10.0-14.0 s: compliant: got 10.0-14.0 s: violation")


def test_a_missing_and_an_unexpected_passage_are_reported() -> None:
    other = changed(MASKED, from_s=20.0, to_s=22.0)
    assert complaints(COURSE, Course(alarms=COURSE.alarms, passages=(BARE, other))) == [
        "passage 10.0-14.0 s: compliant: missing",
        "passage 20.0-22.0 s: compliant: not expected",
    ]


def test_a_missing_and_an_unexpected_alarm_are_reported() -> None:
    seen = Course(alarms=((10.0, 11.0),), passages=COURSE.passages)
    assert complaints(COURSE, seen) == [
        "alarm 1.5-6.0 s: missing",
        "alarm 10.0-11.0 s: not expected",
    ]


def test_of_two_people_at_once_each_is_compared_with_the_one_of_the_same_outcome() -> None:
    together = changed(MASKED, from_s=1.0, to_s=6.0)
    assert complaints(Course(passages=(BARE, together)), Course(passages=(together, BARE))) == []


def test_an_empty_expectation_forbids_everything() -> None:
    assert len(complaints(Course(), COURSE)) == 3


@pytest.mark.parametrize("name", ["course.toml", "course.json"])
def test_a_course_is_read_as_it_was_written(tmp_path: Path, name: str) -> None:
    undecided = changed(MASKED, from_s=20.0, to_s=21.0, outcome="unsure", decided_s=None)
    course = Course(alarms=COURSE.alarms, passages=(*COURSE.passages, undecided))
    expectation.write(tmp_path / name, course, "door.mp4")
    assert expectation.read(tmp_path / name) == course


def test_a_clip_of_any_name_is_recorded(tmp_path: Path) -> None:
    expectation.write(tmp_path / "course.toml", COURSE, "d\u00f6or\n= 1\x7f\udcff.mp4")
    assert expectation.read(tmp_path / "course.toml") == COURSE
    assert "d\u00f6or?= 1??.mp4," in (tmp_path / "course.toml").read_text()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("passage = 1", "passage"),
        ("[[passage]]\nfrom_s = 1", "to_s"),
        ("[[passage]]\nfrom_s = 1\nto_s = 2\noutcome = 'good'\nviolated = false", "outcome"),
        ("pasage = []", "pasage"),
        ("format = 2", "format"),
        ("= =", "Invalid"),
    ],
)
def test_a_wrong_expectation_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "e.toml").write_text(text)
    with pytest.raises(SettingsError, match=f"e.toml: .*{named}"):
        expectation.read(tmp_path / "e.toml")


def test_a_missing_expectation_is_named_before_the_clip_runs(tmp_path: Path) -> None:
    found = fmd("replay", write_clip(tmp_path / "clip.mp4"), "--expect", tmp_path / "none.toml")
    assert found.returncode == 1
    assert "none.toml: cannot read the expectation" in found.stderr


def test_a_live_camera_cannot_be_replayed() -> None:
    with pytest.raises(SettingsError, match="a live camera"):
        replay.watched(config.load(None, {"camera.source": "picamera2", "alert.driver": "console"}))


def test_write_needs_a_file_to_write_to(tmp_path: Path) -> None:
    found = fmd("replay", write_clip(tmp_path / "clip.mp4"), "--write")
    assert found.returncode == 2
    assert "--expect" in found.stderr


def test_the_built_in_scene_is_one_passage_and_one_alarm(tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="scikit-image carries the scene's portrait")
    decisions: list[Decision] = []
    settings = replay.settings_for("doorway", None, {"model.threads": 1})
    course, stopped_by = replay.watched(settings, Callbacks(on_decision=decisions.append))
    (passed,) = course.passages
    assert (passed.outcome, passed.violated, len(course.alarms)) == ("compliant", True, 1)
    assert passed.decided_s == pytest.approx(course.alarms[0][0])
    assert (stopped_by, len(decisions)) == (None, 3)
    expectation.write(tmp_path / "doorway.toml", course, "doorway")
    assert complaints(expectation.read(tmp_path / "doorway.toml"), course) == []


def test_an_empty_clip_is_recorded_without_passages_and_differs_from_any_expectation(tmp_path: Path) -> None:
    clip, expect = write_clip(tmp_path / "clip.mp4", frames=5), tmp_path / "clip.toml"
    assert fmd("replay", clip, "--expect", expect, "--write").returncode == 0
    assert expectation.read(expect) == Course()
    expectation.write(expect, COURSE, "clip.mp4")
    missed = fmd("replay", clip, "--expect", expect)
    assert (missed.returncode, missed.stdout.splitlines()[-1]) == (1, "3 of 3 differ")
