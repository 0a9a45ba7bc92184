"""Pictures of unclear faces: which are kept, how many, for how long, and who may read them."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest

from edge import config
from edge.contracts import (
    Box,
    Change,
    Decision,
    Delivery,
    Observation,
    Outcome,
    Passage,
    Signal,
    Step,
    Track,
)
from edge.errors import SettingsError
from edge.inference import picture_file
from edge.record.examples import DRIFT, FOLDER, REVISED, UNSURE, Example, cost, pictures_of
from edge.record.notes import Finding
from edge.record.rows import RunRow
from edge.reporting.recorder import DRIFT_EVERY_S, EXAMPLES_HINT, ExampleHints, Recorder
from tests.edge.parts import fmd, frame_of, texture
from tests.edge.record.parts import Clock, settings

PICTURE = texture(60, 60)


def example(clock: Clock, count: int = 1, camera: str = "") -> Example:
    return Example(round(clock.wall_s * 1000), camera, UNSURE, (PICTURE,) * count)


def kept(folder: Path) -> list[Path]:
    return list(pictures_of(folder))


def test_only_the_service_can_read_the_pictures(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path)
    record.add_example(example(clock, 2, "hall"))
    assert record.keep()
    record.close()
    assert stat.S_IMODE((tmp_path / FOLDER).stat().st_mode) == 0o700
    assert [path.name for path in kept(tmp_path)] == [f"1800000000000-{n}-unsure-hall.jpg" for n in (0, 1)]
    for path in kept(tmp_path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        found = picture_file.read_bgr(path)
        assert found is not None
        assert found.shape == PICTURE.shape


def test_they_are_limited_in_number_and_age(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path, mb_a_day=1000, examples_kept=5, examples_days=2)
    for _ in range(8):
        record.add_example(example(clock))
        clock.forward(6 * 3600)
        assert record.keep()
    assert [int(path.name[:13]) - 1_800_000_000_000 for path in kept(tmp_path)] == [
        n * 6 * 3_600_000 for n in (3, 4, 5, 6, 7)
    ]
    (tmp_path / FOLDER / "1800000000000-0-unsure.jpg.part").touch()
    clock.forward(86_400)
    assert record.keep()
    assert len(kept(tmp_path)) == 4  # not the one of 54 hours
    clock.forward(86_400)
    assert record.keep()
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_a_wrong_clock_keeps_no_picture_and_deletes_none(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path, examples_days=2)
    record.add_example(example(clock))
    record.keep()
    record.close()
    later = Clock(wall_s=clock.wall_s + 100 * 86_400, right=False)
    record = later.record(tmp_path, examples_days=2)
    record.add_example(example(later))
    assert record.keep()
    assert len(kept(tmp_path)) == 1
    later.right = True
    later.forward(3600)
    assert record.keep()
    assert kept(tmp_path) == []


def test_their_cost_is_part_of_the_daily_budget_and_leaves_room_for_rows(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path, mb_a_day=3)
    spent: list[float] = []
    spend = record._budget.spend
    record._budget.spend = lambda amount: (spent.append(amount), spend(amount))[1]  # type: ignore[method-assign]
    big = Example(round(clock.wall_s * 1000), "", UNSURE, (texture(224, 224),) * 3)
    assert record.keep()
    before = list(spent)
    record.add_example(big)
    clock.forward(300)
    assert record.keep()
    assert kept(tmp_path) == []  # noise of 224 x 224 pixels: more than half of the 125 kB that may be written at once
    record.add_example(example(clock))
    clock.forward(600)
    assert record.keep()
    [path] = kept(tmp_path)
    assert sum(spent) - sum(before) > cost(path.stat().st_size)


def test_a_folder_that_cannot_be_written_costs_only_the_pictures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    (tmp_path / FOLDER).write_bytes(b"")
    record = clock.record(tmp_path)
    for _ in range(2):
        record.add("started")
        record.add_example(example(clock))
        clock.forward(300)
        assert record.keep()
    assert record.kept == 2
    assert sum("this picture is left out" in line for line in caplog.messages) >= 1


LABELS = ("with_mask", "without_mask")
PERSON = Track(1, Box(20, 20, 60, 60), 0.9, 0.0, 0.0, 0)


class Door:
    """A recorder, a clock and one person."""

    def __init__(self, folder: Path, **changed: object) -> None:
        self.clock, self.folder = Clock(), folder
        self.record = self.clock.record(folder)
        self.recorder = Recorder(self.record, lambda settings: RunRow(labels=LABELS, compliant="with_mask"))
        over = {f"record.{key}": value for key, value in {"examples": "unsure", **changed}.items()}
        self.recorder.on_settings(config.load(None, over))

    def walk(self, *outcomes: Outcome, end: Change = Change.LEFT, masked: tuple[float, ...] = (0.4, 0.6)) -> None:
        """Have a person observed, decided as ``outcomes``, and leave."""
        began_s = self.clock.now_s
        passage = Passage(1, Outcome.UNDECIDED, "", 0, False, began_s, began_s, began_s, Signal.RUNNING)
        track = Track(1, PERSON.box, 0.9, began_s, began_s, 0)
        for share in masked:
            self.clock.forward(0.1)
            seen = {1: Observation({"with_mask": share, "without_mask": 1 - share}, 0.8, None)}
            self._step((track,), seen, (passage,), ())
        for i, outcome in enumerate(outcomes):
            self.clock.forward(0.1)
            violated = Outcome.VIOLATION in outcomes[: i + 1]
            passage = Passage(1, outcome, "with_mask", 2, violated, began_s, 0.0, self.clock.now_s, Signal.RUNNING)
            decided = Decision(Change.REVISED if i else Change.DECIDED, passage, self.clock.now_s)
            self._step((track,), {}, (passage,), (decided,))
        self.clock.forward(0.1)
        self._step((), {}, (), (Decision(end, passage, self.clock.now_s),))

    def _step(
        self,
        tracks: tuple[Track, ...],
        seen: dict[int, Observation],
        passages: tuple[Passage, ...],
        decisions: tuple[Decision, ...],
    ) -> None:
        for decision in decisions:
            self.recorder.on_decision(decision)
        frame = frame_of(texture(96, 128), self.clock.now_s)
        self.recorder.on_step(
            Step(frame, True, True, (), tracks, seen, passages, decisions, Signal.RUNNING, {}), Delivery()
        )

    def reasons(self) -> list[str]:
        self.clock.forward(300)
        self.record.keep()
        return [path.stem.split("-")[2] for path in kept(self.folder)]


@pytest.mark.parametrize(
    ("outcomes", "masked", "reasons"),
    [
        ((Outcome.UNSURE,), (0.4, 0.6), [UNSURE, UNSURE]),  # the best picture for each label
        ((Outcome.UNSURE,), (0.4, 0.3, 0.2), [UNSURE]),
        ((Outcome.COMPLIANT, Outcome.VIOLATION), (0.9, 0.2), [REVISED, REVISED]),
        ((Outcome.COMPLIANT,), (0.9, 0.9), []),
        ((Outcome.UNSURE, Outcome.COMPLIANT), (0.6, 0.9), []),  # only slow
    ],
)
def test_unsure_and_contradictory_passages_are_kept(
    tmp_path: Path, outcomes: tuple[Outcome, ...], masked: tuple[float, ...], reasons: list[str]
) -> None:
    door = Door(tmp_path)
    door.walk(*outcomes, masked=masked)
    assert door.reasons() == reasons


def test_by_default_and_of_pictures_on_walls_nothing_is_kept(tmp_path: Path) -> None:
    door = Door(tmp_path, examples="none")
    door.walk(Outcome.UNSURE)
    assert door.reasons() == []
    assert not (tmp_path / FOLDER).exists()
    door = Door(tmp_path)
    door.walk(Outcome.UNSURE, end=Change.PICTURE)
    assert door.reasons() == []


def test_after_a_change_of_the_camera_some_clear_passages_are_kept(tmp_path: Path) -> None:
    door = Door(tmp_path)
    assert door.reasons() == []  # opens the record, which may have findings of an earlier process
    door.record.findings = (Finding("", "width", True, 0, "faces are 30% smaller"),)
    for _ in range(3):
        door.walk(Outcome.COMPLIANT, masked=(0.9,))
    assert door.reasons() == [DRIFT]
    door.clock.forward(DRIFT_EVERY_S)
    door.walk(Outcome.COMPLIANT, masked=(0.9,))
    assert door.reasons() == [DRIFT, DRIFT]


def test_the_picture_shows_the_face_with_the_models_margin(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.walk(Outcome.UNSURE, masked=(0.4,))
    door.reasons()
    found = picture_file.read_bgr(kept(tmp_path)[0])
    assert found is not None
    # 40 pixels of face and a fifth on each side; JPEG changes noise, but not where it is.
    expected = texture(96, 128)[12:68, 12:68, ::-1]
    assert found.shape == expected.shape
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.5
    assert np.corrcoef(found.ravel(), np.roll(expected, 1, axis=1).ravel())[0, 1] < 0.3


def test_health_says_that_pictures_are_kept() -> None:
    said: list[tuple[str, str, str]] = []
    hints = ExampleHints(lambda *hint: said.append(hint))
    hints.on_settings(config.load())
    assert said == []
    hints.on_settings(config.load(None, {"record.examples": "unsure"}))
    assert said == [("", "examples", EXAMPLES_HINT)]


def test_pictures_without_a_record_are_an_error() -> None:
    with pytest.raises(SettingsError, match=r"record.examples: got 'unsure' while record.keep is false"):
        settings(examples="unsure", keep=False)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the state directory of a run of the built-in scene, whose person puts a mask on during the alarm."""
    pytest.importorskip("skimage", reason="scikit-image is not installed: it has the scene's portrait")
    folder = tmp_path_factory.mktemp("state")
    # A machine without a time server: fmd keeps no pictures until its clock is set, unless it is trusted.
    over = ("alert.driver=console", "record.examples=unsure", "arm.trust_clock=true")
    options = [word for each in over for word in ("--set", each)]
    found = fmd("run", "--source", "doorway", *options, STATE_DIRECTORY=str(folder))
    assert found.returncode == 0, found.stderr
    return folder


def test_a_run_keeps_the_faces_of_a_person_who_was_judged_differently(state: Path) -> None:
    names = [path.name for path in kept(state)]
    assert len(names) >= 2
    assert all("-revised" in name for name in names)


def test_export_makes_folders_to_sort_into_and_copies_each_picture_once(state: Path, tmp_path: Path) -> None:
    faces = tmp_path / "faces"
    found = fmd("examples", "export", faces, "--state", state)
    assert found.returncode == 0, found.stderr
    names = sorted(path.name for path in kept(state))
    assert sorted(path.name for path in (faces / "unsorted").iterdir()) == names
    assert sorted(path.name for path in (faces / "sorted").iterdir()) == [
        "with_incorrect_mask",
        "with_mask",
        "without_mask",
    ]
    assert stat.S_IMODE(faces.stat().st_mode) == 0o700
    # What was sorted meanwhile is not copied again.
    (faces / "unsorted" / names[0]).rename(faces / "sorted/with_mask" / names[0])
    found = fmd("examples", "export", faces, "--state", state)
    assert f"0 pictures, {len(names)} were there before" in found.stdout
    assert not (faces / "unsorted" / names[0]).exists()


@pytest.mark.parametrize("where", ["no pictures", "no folder", "a file"])
def test_export_says_what_is_missing(state: Path, tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    target, source, expected = {
        "no pictures": (tmp_path / "faces", tmp_path, 'no pictures yet; set record.examples = "unsure"'),
        "no folder": (tmp_path / "no/faces", state, f"no folder {tmp_path / 'no'}; make it first"),
        "a file": (tmp_path / "file", state, "File exists"),
    }[where]
    found = fmd("examples", "export", target, "--state", source)
    assert found.returncode == 1
    assert expected in found.stderr
    assert "Traceback" not in found.stderr
