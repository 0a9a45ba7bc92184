"""The decider with simulated time: observations at known times, and the decisions that follow."""

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
    """A decider and its ticks; people are identified by number."""

    def __init__(self, **changed: Any) -> None:
        self.settings = config.load(None, {f"decide.{key}": value for key, value in changed.items()}).decide
        self.decider = Decider(self.settings, "with_mask")
        self.now_s = 0.0
        self.armed = True
        self.decisions: list[Decision] = []
        self.passages: tuple[Passage, ...] = ()

    def tick(
        self,
        observed: Mapping[int, Mapping[str, float] | None],
        quality: float = 1.0,
        after_s: float = TICK_S,
        score: float = 0.9,
    ) -> tuple[Decision, ...]:
        """Pass the probabilities by person; None for a person who is present but not observed."""
        self.now_s += after_s
        observations = {id_: Observation(p, quality) for id_, p in observed.items() if p is not None}
        tracks = [track(id_, self.now_s, score=score) for id_ in observed]
        found = self.decider.update(tracks, observations, self.now_s, self.armed)
        self.passages = found.passages
        self.decisions += found.decisions
        return found.decisions

    def settled(self, id_: int) -> bool:
        """Whether frequent observations of a person add nothing now."""
        return any(self.now_s > passage.settled_s for passage in self.passages if passage.id == id_)

    def ticks(self, number: int, observations: Mapping[int, Mapping[str, float] | None], **more: Any) -> None:
        for _ in range(number):
            self.tick(observations, **more)

    def changes(self) -> list[tuple[str, str]]:
        """Return change and outcome of every decision so far."""
        return [(d.change.value, d.passage.outcome.value) for d in self.decisions]

    @property
    def alarm(self) -> bool:
        return any(passage.signal.alarming for passage in self.passages)


def test_a_face_without_a_mask_is_a_violation_within_half_a_second() -> None:
    door = Door()
    door.ticks(5, {1: BARE})
    assert door.changes() == [("decided", "violation")]
    assert door.alarm
    passage = door.passages[0]
    assert (passage.label, passage.violated) == ("without_mask", True)


def test_suspicion_is_the_share_of_the_evidence_that_raises_the_alarm() -> None:
    door = Door()
    shares = []
    while not door.alarm:
        shares.append(door.passages[0].suspicion if door.passages else 0.0)
        door.tick({1: BARE})
    assert shares[0] == 0.0
    assert shares == sorted(set(shares))
    assert shares[-1] > 0.5
    assert door.passages[0].suspicion == 0.0


def test_evidence_is_one_at_the_alarm_and_minus_one_where_it_clears() -> None:
    door = Door()
    found = []
    for probabilities in [BARE] * 5 + [MASKED] * 20 + [BARE] * 10:
        door.tick({1: probabilities})
        passage = door.passages[0]
        found.append(passage.evidence)
        assert (passage.outcome is Outcome.VIOLATION) >= (passage.evidence == pytest.approx(1))
    assert all(-1 <= value <= 1 for value in found)
    assert 0 < found[0] < 1, "one observation decides nothing"
    assert found[4] == found[34] == pytest.approx(1)
    assert found[24] == pytest.approx(-1)
    assert sorted(found[4:25], reverse=True) == found[4:25], "it falls evenly while a mask is seen"


def test_who_is_cleared_becomes_suspicious_again_with_the_first_contrary_observation() -> None:
    door = Door()
    door.ticks(3, {1: MASKED})
    assert door.passages[0].suspicion == 0.0
    door.ticks(7, {1: MASKED})
    assert (door.passages[0].outcome, door.passages[0].suspicion) == (Outcome.COMPLIANT, 0.0)
    door.tick({1: BARE})
    assert 0.1 < door.passages[0].suspicion < 0.5


def test_a_mask_is_compliant_and_raises_no_alarm() -> None:
    door = Door()
    door.ticks(20, {1: MASKED})
    assert door.changes() == [("decided", "compliant")]
    assert not door.alarm
    assert not door.passages[0].violated


def test_one_observation_alone_decides_nothing() -> None:
    door = Door()
    assert door.tick({1: BARE}) == ()
    assert door.passages[0].outcome is Outcome.UNDECIDED


@pytest.mark.parametrize(("usual", "odd"), [(BARE, MASKED), (MASKED, BARE)])
def test_one_odd_frame_changes_no_decision(usual: Mapping[str, float], odd: Mapping[str, float]) -> None:
    door = Door()
    door.ticks(10, {1: usual})
    for _ in range(5):
        door.tick({1: odd})
        door.ticks(3, {1: usual})
    assert len(door.changes()) == 1


def test_a_whole_second_of_blurred_observations_changes_no_decision() -> None:
    door = Door()
    door.ticks(10, {1: MASKED})
    door.ticks(10, {1: BARE}, quality=0.1)
    assert door.changes() == [("decided", "compliant")]


def test_a_mask_taken_off_after_being_cleared_is_noticed_within_a_second() -> None:
    door = Door()
    door.ticks(600, {1: MASKED})  # a minute with a mask must not excuse a minute without
    off_s = door.now_s
    door.ticks(10, {1: BARE})
    assert door.changes() == [("decided", "compliant"), ("revised", "violation")]
    assert door.decisions[-1].at_s - off_s <= 1.0
    assert door.alarm


def test_a_mask_put_on_ends_the_alarm_and_the_violation_stays_recorded() -> None:
    door = Door()
    door.ticks(50, {1: BARE})
    door.ticks(10, {1: MASKED})
    assert door.changes() == [("decided", "violation"), ("revised", "compliant")]
    assert not door.alarm
    assert door.passages[0].violated
    assert door.passages[0].label == "with_mask"


def test_evidence_that_clears_a_newcomer_does_not_clear_a_person_in_violation() -> None:
    """A badly worn mask looks right in some observations in a row."""
    door = Door()
    door.ticks(10, {1: BARE})
    door.ticks(8, {1: MASKED, 2: MASKED})
    assert door.changes() == [("decided", "violation"), ("decided", "compliant")]
    assert [decision.passage.id for decision in door.decisions] == [1, 2]
    assert door.alarm


def test_a_mask_put_on_and_taken_off_again_is_noticed_as_soon_as_any_other() -> None:
    """Clearing them takes more evidence than clearing a newcomer; the next alarm does not."""
    door = Door()
    door.ticks(10, {1: BARE})
    door.ticks(20, {1: MASKED})
    off_s = door.now_s
    door.ticks(10, {1: BARE})
    assert door.changes() == [("decided", "violation"), ("revised", "compliant"), ("revised", "violation")]
    assert door.decisions[-1].at_s - off_s <= 1.0


def test_observations_in_quick_succession_weigh_by_time_not_by_number() -> None:
    """The same time, at 10 and at 100 observations a second: the same evidence, so the same moment of decision."""
    slow, fast = Door(error_rate=0.0001), Door(error_rate=0.0001)
    slow.ticks(3, {1: BARE})
    fast.tick({1: BARE})
    fast.ticks(20, {1: BARE}, after_s=0.01)
    assert fast.passages[0].observations == 21
    for door in (slow, fast):
        door.tick({1: BARE})
        assert door.changes() == []
        door.tick({1: BARE})
        assert door.changes() == [("decided", "violation")]


def test_old_evidence_in_favour_of_an_undecided_person_does_not_clear_them() -> None:
    """They showed a mask, then the back of their head for ten seconds; one more observation counts as one."""
    door = Door()
    door.ticks(2, {1: MASKED})
    door.ticks(100, {1: None})
    door.tick({1: MASKED})
    assert door.changes() == [("decided", "unsure")]
    door.ticks(5, {1: MASKED})
    assert door.changes() == [("decided", "unsure"), ("revised", "compliant")]


def test_poor_observations_of_a_slow_board_add_up_to_an_alarm() -> None:
    door = Door()
    door.ticks(12, {1: BARE}, quality=0.3, after_s=1.5)
    assert ("decided", "violation") in door.changes() or ("revised", "violation") in door.changes()


def test_a_certain_network_still_needs_several_observations() -> None:
    door = Door()
    certain = {"with_mask": 0.0, "without_mask": 1.0, "with_incorrect_mask": 0.0}
    door.ticks(2, {1: certain})
    assert door.changes() == []


@pytest.mark.parametrize(
    ("on_incorrect", "outcome", "signal"),
    [
        ("alarm", "violation", Signal.INCORRECT_MASK),
        ("signal", "violation", Signal.REMINDER),
        ("admit", "compliant", Signal.RUNNING),
    ],
)
def test_a_badly_worn_mask_gives_the_configured_signal(on_incorrect: str, outcome: str, signal: Signal) -> None:
    door = Door(on_incorrect=on_incorrect)
    door.ticks(10, {1: SLOPPY})
    assert door.changes() == [("decided", outcome)]
    assert (door.passages[0].label, door.passages[0].signal) == ("with_incorrect_mask", signal)
    assert door.alarm is (on_incorrect == "alarm")


@pytest.mark.parametrize("on_incorrect", ["alarm", "signal", "admit"])
def test_a_face_without_a_mask_is_an_alarm_whatever_badly_worn_masks_give(on_incorrect: str) -> None:
    door = Door(on_incorrect=on_incorrect)
    door.ticks(10, {1: BARE})
    assert (door.changes(), door.passages[0].signal) == ([("decided", "violation")], Signal.NO_MASK)


def test_taking_off_a_badly_worn_mask_is_a_decision_where_only_that_is_an_alarm() -> None:
    door = Door(on_incorrect="signal")
    door.ticks(600, {1: SLOPPY})
    off_s = door.now_s
    assert door.settled(1)
    door.tick({1: BARE})
    assert not door.settled(1)
    door.ticks(9, {1: BARE})
    assert door.changes() == [("decided", "violation"), ("revised", "violation")]
    assert door.alarm
    assert door.decisions[-1].at_s - off_s <= 1.0
    door.ticks(10, {1: SLOPPY})
    assert door.changes()[2:] == [("revised", "violation")]
    assert not door.alarm


@pytest.mark.parametrize(("usual", "odd"), [(BARE, SLOPPY), (SLOPPY, BARE)])
def test_one_odd_frame_turns_no_reminder_into_an_alarm_nor_back(
    usual: Mapping[str, float], odd: Mapping[str, float]
) -> None:
    door = Door(on_incorrect="signal")
    door.ticks(10, {1: usual})
    for _ in range(5):
        door.tick({1: odd})
        door.ticks(3, {1: usual})
    assert len(door.changes()) == 1


def test_a_mask_worn_correctly_for_long_does_not_make_a_missing_mask_a_reminder() -> None:
    door = Door(on_incorrect="signal")
    door.ticks(600, {1: MASKED_WITH_SOME_DOUBT})
    door.ticks(10, {1: BARE})
    assert [passage.signal for passage in door.passages] == [Signal.NO_MASK]
    assert door.changes() == [("decided", "compliant"), ("revised", "violation")]


def test_a_users_own_label_can_be_accepted_like_the_compliant_one() -> None:
    strict, lenient = Door(), Door(accept=["respirator"])
    for door in (strict, lenient):
        door.ticks(10, {1: {"with_mask": 0.05, "without_mask": 0.05, "respirator": 0.9}})
    assert (strict.changes(), lenient.changes()) == ([("decided", "violation")], [("decided", "compliant")])


def test_a_person_who_stays_unclear_is_unsure_and_passes() -> None:
    door = Door()
    door.ticks(29, {1: UNCLEAR})
    assert door.changes() == []
    door.ticks(2, {1: UNCLEAR})
    assert door.changes() == [("decided", "unsure")]
    assert not door.alarm
    door.ticks(10, {1: BARE})
    assert door.changes()[1:] == [("revised", "violation")]


@pytest.mark.parametrize(
    ("on_unsure", "signal"), [("alarm", Signal.NO_MASK), ("signal", Signal.UNSURE), ("admit", Signal.RUNNING)]
)
def test_an_unsure_person_gives_the_configured_signal(on_unsure: str, signal: Signal) -> None:
    door = Door(on_unsure=on_unsure)
    door.ticks(40, {1: UNCLEAR})
    assert door.changes() == [("decided", "unsure")]
    assert door.passages[0].signal is signal


def test_a_person_never_observed_is_not_unsure() -> None:
    door = Door()
    door.ticks(100, {1: None})
    assert door.changes() == []


def test_two_people_are_decided_separately() -> None:
    door = Door()
    door.ticks(10, {1: BARE, 2: MASKED})
    assert {p.id: p.outcome for p in door.passages} == {1: Outcome.VIOLATION, 2: Outcome.COMPLIANT}
    assert door.alarm
    door.tick({2: MASKED})
    assert [(d.change, d.passage.id) for d in door.decisions[-1:]] == [(Change.LEFT, 1)]
    assert not door.alarm


def test_a_decision_is_reported_once_and_the_departure_once() -> None:
    door = Door()
    door.ticks(100, {1: BARE})
    door.ticks(10, {})
    assert door.changes() == [("decided", "violation"), ("left", "violation")]
    assert door.passages == ()


def test_a_person_never_decided_leaves_without_a_decision() -> None:
    door = Door()
    door.tick({1: BARE})
    door.tick({})
    assert door.changes() == []


def test_closing_ends_every_decided_passage() -> None:
    door = Door()
    door.ticks(10, {1: BARE, 2: MASKED, 3: None})
    ended = door.decider.closing(door.now_s)
    assert [(d.change, d.passage.id, d.at_s) for d in ended] == [
        (Change.LEFT, 1, door.now_s),
        (Change.LEFT, 2, door.now_s),
    ]
    assert door.decider.closing(door.now_s) == ()


@pytest.mark.parametrize(
    ("certain", "first", "second"), [(0.0, "violation", "compliant"), (1.0, "compliant", "violation")]
)
def test_probabilities_of_zero_and_one_are_finite_evidence(certain: float, first: str, second: str) -> None:
    """However long they last, a second of the opposite changes the decision."""
    door = Door()
    door.ticks(50, {1: {"with_mask": certain, "without_mask": 1 - certain}})
    door.ticks(12, {1: {"with_mask": 1 - certain, "without_mask": certain}})
    assert door.changes() == [("decided", first), ("revised", second)]


def test_what_is_no_face_gives_no_evidence_however_bare_it_seems() -> None:
    door = Door()
    for i in range(50):
        now_s = i * TICK_S
        seen = {1: Observation(BARE, 0.2, background=0.8)}
        door.passages, decisions, *_ = door.decider.update([track(1, now_s, score=0.2)], seen, now_s)
        assert decisions == ()
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
        door.passages, *_ = door.decider.update([track(1, now_s, score=score)], seen, now_s)
    assert door.passages[0].observations == observations
    assert (door.passages[0].outcome is Outcome.VIOLATION) is bool(observations)


def test_poor_observations_clear_no_person_however_many_they_are() -> None:
    """The back of a head: the classifier sees a mask on what the detector hardly takes for a face."""
    door = Door()
    door.ticks(200, {1: MASKED}, quality=0.4, score=0.4)
    assert door.changes() == [("decided", "unsure")]
    door.ticks(1, {1: MASKED}, quality=0.9, score=0.5)
    assert door.changes()[1:] == [("revised", "compliant")]


def test_poor_observations_of_a_sure_face_clear_a_person() -> None:
    """Blurred from first to last, as of a person who walks by fast; the detector is sure."""
    door = Door()
    door.ticks(20, {1: MASKED}, quality=0.4, score=0.6)
    assert door.changes() == [("decided", "compliant")]


def test_poor_observations_of_a_face_without_a_mask_still_raise_the_alarm() -> None:
    door = Door()
    door.ticks(20, {1: BARE}, quality=0.4)
    assert door.changes() == [("decided", "violation")]


def test_observations_without_quality_do_not_make_a_person_unsure() -> None:
    door = Door()
    door.ticks(100, {1: UNCLEAR}, quality=0.0)
    assert door.changes() == []
    assert door.settled(1)  # but frequent observations add nothing either


def test_a_person_decided_without_doubt_is_settled() -> None:
    door = Door()
    door.tick({1: MASKED})
    assert not door.settled(1)
    door.ticks(5, {1: MASKED})
    assert door.settled(1)
    door.tick({1: BARE})
    assert not door.settled(1)
    assert not door.settled(2)


@pytest.mark.parametrize(
    ("incorrect", "signal"), [(0.48, Signal.NO_MASK), (0.5, Signal.INCORRECT_MASK)], ids=["no mask", "badly worn"]
)
def test_the_first_alarm_shows_the_likelier_violation_however_close_both_are(incorrect: float, signal: Signal) -> None:
    door = Door()
    door.ticks(10, {1: {"with_mask": 0.02, "without_mask": 0.98 - incorrect, "with_incorrect_mask": incorrect}})
    assert door.passages[0].signal is signal


def test_a_shown_reminder_becomes_an_alarm_only_on_full_evidence() -> None:
    """After four observations no mask is the likelier violation; it takes six to change the signal."""
    door = Door(on_incorrect="signal")
    door.ticks(10, {1: SLOPPY})
    door.ticks(4, {1: BARE})
    assert door.passages[0].signal is Signal.REMINDER
    door.ticks(2, {1: BARE})
    assert door.passages[0].signal is Signal.NO_MASK


def test_evidence_for_a_cleared_person_does_not_fade() -> None:
    """They show the back of their head for ten seconds; three observations, enough for a newcomer, change nothing."""
    door = Door()
    door.ticks(10, {1: MASKED})
    door.tick({1: None}, after_s=10.0)
    door.ticks(3, {1: BARE})
    assert door.changes() == [("decided", "compliant")]
    door.ticks(3, {1: BARE})
    assert door.changes() == [("decided", "compliant"), ("revised", "violation")]


def test_a_person_in_violation_is_not_settled_after_contrary_evidence() -> None:
    door = Door()
    door.ticks(10, {1: BARE})
    assert door.settled(1)
    door.tick({1: MASKED})
    assert not door.settled(1)


@pytest.mark.parametrize(("on_incorrect", "settled"), [("alarm", True), ("signal", False)])
def test_which_violation_it_is_matters_only_if_one_of_them_is_no_alarm(on_incorrect: str, settled: bool) -> None:
    door = Door(on_incorrect=on_incorrect)
    door.ticks(10, {1: {"with_mask": 0.02, "without_mask": 0.5, "with_incorrect_mask": 0.48}})
    assert door.passages[0].outcome is Outcome.VIOLATION
    assert door.settled(1) is settled


def test_a_violation_that_comes_and_goes_while_disarmed_is_reported_by_nothing() -> None:
    door = Door()
    door.armed = False
    door.ticks(20, {1: BARE})
    door.tick({})
    assert door.decisions == []
    door.armed = True
    door.ticks(5, {})
    assert door.decisions == []


def test_arming_reports_who_is_there_as_they_are_now() -> None:
    door = Door()
    door.armed = False
    door.ticks(20, {1: BARE, 2: MASKED})
    door.armed = True
    (one, two) = door.tick({1: None, 2: None})
    assert [(d.change, d.passage.outcome, d.passage.violated) for d in (one, two)] == [
        (Change.DECIDED, Outcome.VIOLATION, True),
        (Change.DECIDED, Outcome.COMPLIANT, False),
    ]
    door.ticks(5, {1: BARE, 2: MASKED})
    assert len(door.decisions) == 2


def test_a_person_who_puts_the_mask_on_before_arming_has_violated_nothing() -> None:
    door = Door()
    door.armed = False
    door.ticks(20, {1: BARE})
    door.ticks(60, {1: MASKED})
    door.armed = True
    door.tick({1: MASKED})
    door.tick({})
    assert door.changes() == [("decided", "compliant"), ("left", "compliant")]
    assert not any(decision.passage.violated for decision in door.decisions)


def test_a_violation_that_was_reported_ends_with_a_report_also_while_disarmed() -> None:
    """Counters of passages would lose it otherwise; what changes in between is reported when armed again."""
    door = Door()
    door.ticks(20, {1: BARE, 2: BARE})
    door.armed = False
    door.ticks(60, {1: MASKED, 2: BARE})
    assert len(door.decisions) == 2
    door.tick({1: MASKED})
    assert door.changes()[2:] == [("left", "violation")]
    door.armed = True
    door.tick({1: MASKED})
    assert door.changes()[3:] == [("revised", "compliant")]
    assert door.decisions[-1].passage.violated


def test_disarmed_who_is_cleared_is_cleared_once() -> None:
    """A door strike opens as before."""
    door = Door()
    cleared = []
    for tick in range(40):
        found = door.decider.update(
            [track(1, tick * TICK_S)], {1: Observation(MASKED, 1.0)}, tick * TICK_S, armed=tick > 30
        )
        cleared.append(found.cleared)
    assert cleared.count(True) == 1
    assert True in cleared[:30]
