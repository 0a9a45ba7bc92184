"""Passages through the whole pipeline: each person is decided once and right, with and without the gate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edge import config
from edge.contracts import WITH_MASK, WITHOUT_MASK, Decision
from edge.drivers.clip import Clip
from edge.drivers.console import ConsoleOutput
from edge.service import run as service
from edge.stages.alert import Alert
from simulation.passages import (
    ComposedPassage,
    Cutout,
    Walker,
    WalkerResult,
    confusion,
    cutouts_of,
    passages_of,
    run_passages,
    summary,
    walking_past,
)
from tests.data_sets import DATA

BOXES = DATA / "boxes" / "boxes.csv"
needs_faces = pytest.mark.skipif(not BOXES.is_file(), reason=f"needs {BOXES}; set FMD_DATA to the folder of the data")


CLIPS = DATA / "video"
needs_clips = pytest.mark.skipif(not CLIPS.is_dir(), reason=f"needs {CLIPS}; set FMD_DATA to the folder of the data")


ALL = range(1_000_000)


def decisions_on(clip: Path, frames: range = ALL, **changed: Any) -> list[tuple[str, str]]:
    """Return change and outcome of every decision on these frames of a clip, in order."""
    settings = config.load(None, {key.replace("__", "."): value for key, value in changed.items()})
    led, buzzer = ConsoleOutput("led", 17, True), ConsoleOutput("buzzer", 27, True)
    pipeline = service.build_pipeline(settings, Alert(settings.alert, led, buzzer))
    camera = Clip(settings.camera, str(clip), lambda: 0.0)
    decisions: list[Decision] = []
    while (frame := camera.read()) is not None and frame.index < frames.stop:
        if frame.index in frames:
            decisions += pipeline.step(frame).decisions
    return [(d.change.value, d.passage.outcome.value) for d in decisions]


def run(day: list[ComposedPassage], **changed: Any) -> tuple[list[WalkerResult], int]:
    return run_passages(
        day,
        config.load(None, {key.replace("__", "."): value for key, value in changed.items()}),
    )


@pytest.fixture(scope="module")
def gated(day: list[ComposedPassage]) -> tuple[list[WalkerResult], int]:
    return run(day)


def test_every_person_is_decided_once_and_right(
    gated: tuple[list[WalkerResult], int],
) -> None:
    results, spurious = gated
    assert [result.right for result in results] == [True] * 6, summary(results)
    assert [result.alarms for result in results] == [1, 0, 1, 0, 1, 1]
    assert [result.flips for result in results] == [0] * 6
    assert spurious == 0


def test_decided_passages_are_counted_by_true_and_decided_label(gated: tuple[list[WalkerResult], int]) -> None:
    """Who takes the mask off has two labels and does not count."""
    assert confusion(gated[0], (WITH_MASK, WITHOUT_MASK)).tolist() == [[2, 0], [0, 3]]


def test_the_alarm_comes_within_a_second_of_the_first_usable_face(
    gated: tuple[list[WalkerResult], int],
) -> None:
    waits = [result.alarm_after_s for result in gated[0] if result.person.violates]
    assert all(wait is not None and wait <= 1.0 for wait in waits), waits


def test_the_gate_misses_no_person(gated: tuple[list[WalkerResult], int], day: list[ComposedPassage]) -> None:
    """Without the gate the detector inspects every frame that is due: same people, same outcomes, same alarms."""
    ungated, spurious = run(day[::3], watch__gate=False)
    assert [_summary_of(result) for result in ungated] == [
        _summary_of(result) for result in gated[0] if result.manner in ("pair", "off")
    ]
    assert spurious == 0


def test_a_person_who_comes_in_where_another_has_just_gone_out_has_their_own_alarm(drawn: Mapping[str, Cutout]) -> None:
    without, back = [(0.0, drawn[WITHOUT_MASK])], walking_past(90, -1.0, 2.4)
    entering = Walker(without, lambda at_s: back(at_s - 2.4))
    results, _ = run([ComposedPassage("counter", [Walker(without, walking_past(90, 1.0, 2.4)), entering], 4.8)])
    assert [_summary_of(result) for result in results] == [("violation", 1, 0), ("violation", 1, 0)], summary(results)


def _summary_of(result: WalkerResult) -> tuple[str, int, int]:
    return result.outcome, result.alarms, result.flips


@needs_clips
@pytest.mark.data
@pytest.mark.parametrize(
    ("clip", "frames"),
    [
        ("three_people_approach", ALL),
        ("cctv_entry", ALL),
        ("classroom", ALL),
        ("two_heads_tilting", ALL),
        ("empty_room_then_people", range(600, 880)),  # from an empty room until people have come and gone
        pytest.param("empty_room_then_people", ALL, marks=pytest.mark.slow),
    ],
)
def test_the_gate_changes_no_decision_on_real_clips(clip: str, frames: range) -> None:
    gated, ungated = (decisions_on(CLIPS / f"{clip}.mp4", frames, watch__gate=gate) for gate in (True, False))
    assert gated == ungated


@needs_clips
@pytest.mark.data
@pytest.mark.slow
def test_alarms_end_as_masks_are_put_on_and_one_comes_back() -> None:
    """Four people put masks on; one takes his off again, and puts it on."""
    decisions = decisions_on(CLIPS / "four_people_put_masks_on.mp4")
    assert decisions.count(("decided", "violation")) == 4
    assert decisions.count(("revised", "violation")) == 1
    assert decisions.count(("revised", "compliant")) == 5


@needs_clips
@pytest.mark.data
@pytest.mark.slow
def test_a_man_with_a_mask_in_a_shop_raises_no_alarm() -> None:
    decisions = decisions_on(CLIPS / "masked_man_in_shop.mp4")
    assert ("decided", "compliant") in decisions
    assert "violation" not in {outcome for _, outcome in decisions}


@needs_faces
@pytest.mark.data
def test_cards_are_cut_around_the_face_alone() -> None:
    cutouts = cutouts_of(BOXES, "test")
    assert {label: len(found) > 30 for label, found in cutouts.items()} == dict.fromkeys(cutouts, True)
    for cutout in cutouts[WITH_MASK]:
        assert cutout.image.shape[:2] == cutout.outline.shape
        assert cutout.outline[int(cutout.face.centre[1]), int(cutout.face.centre[0])] > 200


@needs_faces
@pytest.mark.data
@pytest.mark.slow
def test_220_passages_of_the_test_split() -> None:
    """Goal: alarms per violation 1, flips 0. Measured: right 0.923, alarms 1.016, flips 0.008, 2 for no person."""
    results, spurious = run_passages(list(passages_of(cutouts_of(BOXES, "test"), 220)), config.load())
    table = summary(results)
    raised = [result.alarms for result in results if result.person.violates and result.alarms]
    assert sum(result.right for result in results) >= 0.89 * len(results), table
    assert sum(raised) <= 1.02 * len(raised), table
    assert sum(result.flips for result in results) <= 0.01 * len(results), table
    assert spurious <= 4
