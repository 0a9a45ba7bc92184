"""Decisions as a clock: observations at known times, what comes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from edge import config
from edge.contracts import Box, Change, Decision, Observation, Outcome, Passage, Signal, Track
from edge.stages.decide import Decider
from tests.edge.parts import BARE, MASKED

TICK_S = 0.1
SLOPPY: Mapping[str, float] = {"with_mask": 0.05, "without_mask": 0.05, "with_incorrect_mask": 0.9}
MASKED_WITH_SOME_DOUBT: Mapping[str, float] = {"with_mask": 0.98, "without_mask": 0.0, "with_incorrect_mask": 0.02}
UNCLEAR: Mapping[str, float] = {"with_mask": 0.5, "without_mask": 0.5, "with_incorrect_mask": 0.0}


def track(id_: int, now_s: float, entered_s: float = 0.0, score: float = 0.9) -> Track:
    return Track(id_, Box(0, 0, 40, 40), score, entered_s, now_s, 0)


class Door:
    """A decider and its ticks; people are named by number."""

    def __init__(self, **changed: Any) -> None:
        self.settings = config.load(None, {f"decide.{key}": value for key, value in changed.items()}).decide
        self.decider = Decider(self.settings, "with_mask")
        self.now_s = 0.0
        self.decisions: list[Decision] = []
        self.passages: tuple[Passage, ...] = ()

    def tick(
        self,
        observed: Mapping[int, Mapping[str, float] | None],
        quality: float = 1.0,
        after_s: float = TICK_S,
        score: float = 0.9,
    ) -> tuple[Decision, ...]:
        """Probabilities by person; None for a person who is present and not observed."""
        self.now_s += after_s
        observations = {id_: Observation(p, quality) for id_, p in observed.items() if p is not None}
        tracks = [track(id_, self.now_s, score=score) for id_ in observed]
        self.passages, decisions = self.decider.update(tracks, observations, self.now_s)
        self.decisions += decisions
        return decisions

    def ticks(self, number: int, observations: Mapping[int, Mapping[str, float] | None], **more: Any) -> None:
        for _ in range(number):
            self.tick(observations, **more)

    def told(self) -> list[tuple[str, str]]:
        return [(d.change.value, d.passage.outcome.value) for d in self.decisions]

    @property
    def alarm(self) -> bool:
        return any(passage.signal.alarming for passage in self.passages)


def test_a_bare_face_is_a_violation_within_half_a_second() -> None:
    door = Door()
    door.ticks(5, {1: BARE})
    assert door.told() == [("decided", "violation")]
    assert door.alarm
    passage = door.passages[0]
    assert (passage.label, passage.violated) == ("without_mask", True)
    assert passage.belief > 0.99


def test_a_mask_is_compliant_and_raises_no_alarm() -> None:
    door = Door()
    door.ticks(20, {1: MASKED})
    assert door.told() == [("decided", "compliant")]
    assert not door.alarm
    assert door.passages[0].belief < 0.01
    assert not door.passages[0].violated


def test_one_look_alone_decides_nothing() -> None:
    door = Door()
    assert door.tick({1: BARE}) == ()
    assert door.passages[0].outcome is Outcome.UNDECIDED


@pytest.mark.parametrize(("held", "odd"), [(BARE, MASKED), (MASKED, BARE)])
def test_one_odd_frame_flips_nothing(held: Mapping[str, float], odd: Mapping[str, float]) -> None:
    door = Door()
    door.ticks(10, {1: held})
    for _ in range(5):
        door.tick({1: odd})
        door.ticks(3, {1: held})
    assert len(door.told()) == 1


def test_a_whole_second_of_blurred_looks_flips_nothing() -> None:
    door = Door()
    door.ticks(10, {1: MASKED})
    door.ticks(10, {1: BARE}, quality=0.1)
    assert door.told() == [("decided", "compliant")]


def test_a_mask_taken_off_after_being_cleared_is_noticed_within_a_second() -> None:
    door = Door()
    door.ticks(600, {1: MASKED})  # a minute of mask must not buy a minute of bare face
    off_s = door.now_s
    door.ticks(10, {1: BARE})
    assert door.told() == [("decided", "compliant"), ("revised", "violation")]
    assert door.decisions[-1].at_s - off_s <= 1.0
    assert door.alarm


def test_a_mask_put_on_ends_the_alarm_and_the_violation_stays_known() -> None:
    door = Door()
    door.ticks(50, {1: BARE})
    door.ticks(10, {1: MASKED})
    assert door.told() == [("decided", "violation"), ("revised", "compliant")]
    assert not door.alarm
    assert door.passages[0].violated
    assert door.passages[0].label == "with_mask"


def test_looks_that_clear_anybody_else_do_not_clear_who_is_in_violation() -> None:
    """A mask worn badly observations right in some observations, one after the other."""
    door = Door()
    door.ticks(10, {1: BARE})
    door.ticks(8, {1: MASKED, 2: MASKED})
    assert door.told() == [("decided", "violation"), ("decided", "compliant")]
    assert [decision.passage.id for decision in door.decisions] == [1, 2]
    assert door.alarm


def test_a_mask_put_on_and_taken_off_again_is_noticed_as_soon_as_any() -> None:
    """It takes more to clear them than anybody else, and no more to alarm again."""
    door = Door()
    door.ticks(10, {1: BARE})
    door.ticks(20, {1: MASKED})
    off_s = door.now_s
    door.ticks(10, {1: BARE})
    assert door.told() == [("decided", "violation"), ("revised", "compliant"), ("revised", "violation")]
    assert door.decisions[-1].at_s - off_s <= 1.0


def test_looks_in_quick_succession_weigh_by_time_not_by_number() -> None:
    """The same second, at 10 and at 100 observations: the same evidence."""
    slow, fast = Door(error_rate=0.0001), Door(error_rate=0.0001)
    slow.ticks(3, {1: BARE})
    fast.tick({1: BARE})
    fast.ticks(20, {1: BARE}, after_s=0.01)
    assert fast.passages[0].belief == pytest.approx(slow.passages[0].belief, abs=1e-6)
    assert fast.passages[0].observations == 21


def test_what_was_seen_of_somebody_undecided_long_ago_clears_nobody() -> None:
    """They showed a mask, then the back of their head for ten seconds; one more look is one look."""
    door = Door()
    door.ticks(2, {1: MASKED})
    door.ticks(100, {1: None})
    door.tick({1: MASKED})
    assert door.told() == [("decided", "unsure")]
    door.ticks(5, {1: MASKED})
    assert door.told() == [("decided", "unsure"), ("revised", "compliant")]


def test_poor_looks_of_a_slow_board_add_up_to_an_alarm() -> None:
    door = Door()
    door.ticks(12, {1: BARE}, quality=0.3, after_s=1.5)
    assert ("decided", "violation") in door.told() or ("revised", "violation") in door.told()


def test_a_certain_network_still_needs_several_looks() -> None:
    door = Door()
    certain = {"with_mask": 0.0, "without_mask": 1.0, "with_incorrect_mask": 0.0}
    door.ticks(2, {1: certain})
    assert door.told() == []


@pytest.mark.parametrize(
    ("on_incorrect", "outcome", "signal"),
    [
        ("alarm", "violation", Signal.INCORRECT_MASK),
        ("signal", "violation", Signal.REMINDER),
        ("admit", "compliant", Signal.RUNNING),
    ],
)
def test_a_badly_worn_mask_is_what_the_settings_make_of_it(on_incorrect: str, outcome: str, signal: Signal) -> None:
    door = Door(on_incorrect=on_incorrect)
    door.ticks(10, {1: SLOPPY})
    assert door.told() == [("decided", outcome)]
    assert (door.passages[0].label, door.passages[0].signal) == ("with_incorrect_mask", signal)
    assert door.alarm is (on_incorrect == "alarm")


@pytest.mark.parametrize("on_incorrect", ["alarm", "signal", "admit"])
def test_a_bare_face_is_an_alarm_whatever_becomes_of_badly_worn_masks(on_incorrect: str) -> None:
    door = Door(on_incorrect=on_incorrect)
    door.ticks(10, {1: BARE})
    assert (door.told(), door.passages[0].signal) == ([("decided", "violation")], Signal.NO_MASK)


def test_a_badly_worn_mask_taken_off_is_told_where_only_that_is_an_alarm() -> None:
    door = Door(on_incorrect="signal")
    door.ticks(600, {1: SLOPPY})
    off_s = door.now_s
    assert door.decider.settled(1, door.now_s)
    door.tick({1: BARE})
    assert not door.decider.settled(1, door.now_s)
    door.ticks(9, {1: BARE})
    assert door.told() == [("decided", "violation"), ("revised", "violation")]
    assert door.alarm
    assert door.decisions[-1].at_s - off_s <= 1.0
    door.ticks(10, {1: SLOPPY})
    assert door.told()[2:] == [("revised", "violation")]
    assert not door.alarm


@pytest.mark.parametrize(("held", "odd"), [(BARE, SLOPPY), (SLOPPY, BARE)])
def test_one_odd_frame_turns_no_reminder_into_an_alarm_nor_back(
    held: Mapping[str, float], odd: Mapping[str, float]
) -> None:
    door = Door(on_incorrect="signal")
    door.ticks(10, {1: held})
    for _ in range(5):
        door.tick({1: odd})
        door.ticks(3, {1: held})
    assert len(door.told()) == 1


def test_a_mask_worn_well_for_long_does_not_make_a_bare_face_a_reminder() -> None:
    door = Door(on_incorrect="signal")
    door.ticks(600, {1: MASKED_WITH_SOME_DOUBT})
    door.ticks(10, {1: BARE})
    assert [passage.signal for passage in door.passages] == [Signal.NO_MASK]
    assert door.told() == [("decided", "compliant"), ("revised", "violation")]


def test_a_label_of_ones_own_can_be_as_good_as_the_compliant_one() -> None:
    strict, lenient = Door(), Door(accept=["respirator"])
    for door in (strict, lenient):
        door.ticks(10, {1: {"with_mask": 0.05, "without_mask": 0.05, "respirator": 0.9}})
    assert (strict.told(), lenient.told()) == ([("decided", "violation")], [("decided", "compliant")])


def test_somebody_who_stays_unclear_is_unsure_and_passes() -> None:
    door = Door()
    door.ticks(29, {1: UNCLEAR})
    assert door.told() == []
    door.ticks(2, {1: UNCLEAR})
    assert door.told() == [("decided", "unsure")]
    assert not door.alarm
    door.ticks(10, {1: BARE})
    assert door.told()[1:] == [("revised", "violation")]


@pytest.mark.parametrize(
    ("on_unsure", "signal"), [("alarm", Signal.NO_MASK), ("signal", Signal.UNSURE), ("admit", Signal.RUNNING)]
)
def test_somebody_unclear_is_what_the_settings_make_of_it(on_unsure: str, signal: Signal) -> None:
    door = Door(on_unsure=on_unsure)
    door.ticks(40, {1: UNCLEAR})
    assert door.told() == [("decided", "unsure")]
    assert door.passages[0].signal is signal


def test_nobody_is_unsure_who_was_never_looked_at() -> None:
    door = Door()
    door.ticks(100, {1: None})
    assert door.told() == []


def test_two_people_are_held_apart() -> None:
    door = Door()
    door.ticks(10, {1: BARE, 2: MASKED})
    assert {p.id: p.outcome for p in door.passages} == {1: Outcome.VIOLATION, 2: Outcome.COMPLIANT}
    assert door.alarm
    door.tick({2: MASKED})
    assert [(d.change, d.passage.id) for d in door.decisions[-1:]] == [(Change.LEFT, 1)]
    assert not door.alarm


def test_a_decision_is_told_once_and_the_departure_once() -> None:
    door = Door()
    door.ticks(100, {1: BARE})
    door.ticks(10, {})
    assert door.told() == [("decided", "violation"), ("left", "violation")]
    assert door.passages == ()


def test_who_was_never_decided_leaves_without_a_word() -> None:
    door = Door()
    door.tick({1: BARE})
    door.tick({})
    assert door.told() == []


def test_closing_ends_every_decided_passage() -> None:
    door = Door()
    door.ticks(10, {1: BARE, 2: MASKED, 3: None})
    ended = door.decider.closing(door.now_s)
    assert [(d.change, d.passage.id, d.at_s) for d in ended] == [
        (Change.LEFT, 1, door.now_s),
        (Change.LEFT, 2, door.now_s),
    ]
    assert door.decider.closing(door.now_s) == ()


@pytest.mark.parametrize("certain", [0.0, 1.0])
def test_probabilities_of_nought_and_one_are_finite_evidence(certain: float) -> None:
    door = Door()
    door.ticks(50, {1: {"with_mask": certain, "without_mask": 1 - certain}})
    assert 0 < door.passages[0].belief < 1


def test_what_is_no_face_is_no_look_however_bare_it_seems() -> None:
    door = Door()
    for i in range(50):
        now_s = i * TICK_S
        seen = {1: Observation(BARE, 0.2, background=0.8)}
        door.passages, told = door.decider.update([track(1, now_s, score=0.2)], seen, now_s)
        assert told == ()
    assert (door.passages[0].observations, door.passages[0].outcome) == (0, Outcome.UNDECIDED)


@pytest.mark.parametrize(
    ("score", "background", "observations"),
    [(0.9, 0.6, 5), (0.2, 0.6, 0), (0.2, 0.02, 0), (0.3, 0.02, 5), (0.2, None, 0), (0.3, None, 5)],
)
def test_detector_and_classifier_together_decide_whether_it_is_a_face(
    score: float, background: float | None, observations: int
) -> None:
    door = Door()
    for i in range(5):
        now_s = i * TICK_S
        seen = {1: Observation(BARE, 0.7, background)}
        door.passages, _ = door.decider.update([track(1, now_s, score=score)], seen, now_s)
    assert door.passages[0].observations == observations
    assert (door.passages[0].outcome is Outcome.VIOLATION) is bool(observations)


def test_poor_looks_let_nobody_in_however_many_they_are() -> None:
    """The back of a head: a mask, says the classifier, of what the detector hardly takes for a face."""
    door = Door()
    door.ticks(200, {1: MASKED}, quality=0.4, score=0.4)
    assert door.told() == [("decided", "unsure")]
    door.ticks(1, {1: MASKED}, quality=0.9, score=0.5)
    assert door.told()[1:] == [("revised", "compliant")]


def test_poor_looks_at_what_is_surely_a_face_let_somebody_in() -> None:
    """Blurred all the way, as somebody walking by fast is; the detector has no doubt."""
    door = Door()
    door.ticks(20, {1: MASKED}, quality=0.4, score=0.6)
    assert door.told() == [("decided", "compliant")]


def test_poor_looks_at_a_bare_face_raise_the_alarm_all_the_same() -> None:
    door = Door()
    door.ticks(20, {1: BARE}, quality=0.4)
    assert door.told() == [("decided", "violation")]


def test_looks_that_say_nothing_make_nobody_unsure() -> None:
    door = Door()
    door.ticks(100, {1: UNCLEAR}, quality=0.0)
    assert door.told() == []
    assert door.decider.settled(1, door.now_s)  # but no reason to look often


def test_who_is_decided_and_not_in_doubt_is_settled() -> None:
    door = Door()
    door.tick({1: MASKED})
    assert not door.decider.settled(1, door.now_s)
    door.ticks(5, {1: MASKED})
    assert door.decider.settled(1, door.now_s)
    door.tick({1: BARE})
    assert not door.decider.settled(1, door.now_s)
    assert not door.decider.settled(2, door.now_s)
