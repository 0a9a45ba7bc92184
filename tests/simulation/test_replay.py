"""The record of a whole run, decided again: the same decisions at the same times, passage by passage."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge import config
from edge.contracts import ENDS, Decision, Delivery, Outcome, Step
from edge.record import database, replay
from edge.record.rows import RunRow
from edge.reporting.listener import Listener
from edge.reporting.recorder import Recorder
from edge.service import models
from simulation.passages import ComposedPassage, cutouts_of, passages_of, run_passages
from tests.data_sets import DATA
from tests.edge.parts import fmd
from tests.edge.record.parts import EPOCH_S, Clock

BOXES = DATA / "boxes" / "boxes.csv"
ROUNDED_S = 0.0016
"""Times are recorded in milliseconds, those of observations in tenths of one."""


@dataclass
class Decided:
    """What the door decided about one person, in the record's terms."""

    span_ms: tuple[int, int] = (0, 0)
    outcome: Outcome = Outcome.UNDECIDED
    violated: bool = False
    observations: int = 0
    decided_s: float | None = None
    alarm_s: float | None = None


class AtTheDoor(Listener):
    """Keeps the door's decisions about everyone who has left; turns the record's clock with the frames."""

    def __init__(self, clock: Clock, recorder: Recorder) -> None:
        self._clock, self._recorder = clock, recorder
        self._open: dict[int, Decided] = {}
        self.left: list[Decided] = []

    def on_step(self, step: Step, delivery: Delivery) -> None:
        self._recorder.on_step(step, delivery)

    def on_decision(self, decision: Decision) -> None:
        self._clock.now_s, self._clock.wall_s = decision.at_s, EPOCH_S + decision.at_s
        self._recorder.on_decision(decision)
        passage, since_s = decision.passage, decision.at_s - decision.passage.entered_s
        person = self._open.setdefault(passage.id, Decided())
        if decision.change in ENDS:
            person.outcome, person.violated, person.observations = (
                *(passage.outcome, passage.violated, passage.observations),
            )
            person.span_ms = _ms(passage.entered_s), _ms(passage.seen_s)
            self.left.append(self._open.pop(passage.id))
            return
        if passage.outcome is not Outcome.UNSURE and person.decided_s is None:
            person.decided_s = since_s
        if passage.outcome is Outcome.VIOLATION and person.alarm_s is None:
            person.alarm_s = since_s


def _ms(at_s: float) -> int:
    return round(1000 * (EPOCH_S + at_s))


def door_and_replay(passages: Sequence[ComposedPassage], folder: Path) -> tuple[list[Decided], list[replay.Replayed]]:
    """Return what the door decided about each person of a run, and what its record gives when it is replayed.

    Both are in the order in which people came and left.
    """
    settings, clock = config.load(), Clock()
    classifier = models.open_classifier(settings)
    labels = models.load_model(settings.model, "classifier").contract.worn
    record = clock.record(folder, mb_a_day=1000)
    recorder = Recorder(record, lambda _: RunRow(labels=labels, compliant=classifier.compliant))
    recorder.on_settings(settings)
    door = AtTheDoor(clock, recorder)
    run_passages(passages, settings, door)
    record.close()
    with closing(database.open_for_reading(folder)) as connection:
        recorded = sorted(replay.recorded(connection, 0, 1 << 60), key=lambda each: (each.entered, each.ended))
    people = sorted(door.left, key=lambda each: each.span_ms)
    for person, row in zip(people, recorded, strict=True):
        assert (row.entered, row.ended) == pytest.approx(person.span_ms, abs=2)
    return people, [replay.replay(each, settings.decide) for each in recorded]


def check_alike(people: Sequence[Decided], replayed: Sequence[replay.Replayed]) -> None:
    for person, again in zip(people, replayed, strict=True):
        assert (again.outcome, again.violated) == (person.outcome, person.violated)
        assert again.observations == person.observations
        assert again.decided_s == pytest.approx(person.decided_s, abs=ROUNDED_S)
        assert again.alarm_s == pytest.approx(person.alarm_s, abs=ROUNDED_S)


def test_the_record_of_a_run_gives_its_decisions_again(day: list[ComposedPassage], tmp_path: Path) -> None:
    people, replayed = door_and_replay(day, tmp_path)
    assert len(people) == 6
    check_alike(people, replayed)
    found = fmd("tune", "decide.error_rate=0.002", "--state", tmp_path, "--from", "2027-01-01", "--to", "2027-02-01")
    assert "6 passages with evidence" in found.stdout
    assert "0 of 6 would have been decided otherwise" in found.stdout


@pytest.mark.slow
@pytest.mark.skipif(not BOXES.is_file(), reason=f"needs {BOXES}; set FMD_DATA to the folder of the data")
def test_the_record_of_220_passages_gives_every_decision_again(tmp_path: Path) -> None:
    people, replayed = door_and_replay(list(passages_of(cutouts_of(BOXES, "test"), 220)), tmp_path)
    assert len(people) > 200
    check_alike(people, replayed)
