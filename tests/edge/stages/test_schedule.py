"""Scheduler: who is classified in a frame, how often, and in which view."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest

from edge import config
from edge.contracts import Box, Outcome, Passage, Presence, Signal, Track
from edge.stages.schedule import Scheduler

BOX = Box(10, 10, 50, 50)
SETTINGS = config.load().classify


def scheduler(**changed: float) -> Scheduler:
    return Scheduler(msgspec.structs.replace(SETTINGS, **changed))


def track(id_: int, missed: int = 0) -> Track:
    return Track(id_, BOX, 0.9, 0.0, 0.0, missed)


def passages(settled_s: float, ids: Iterable[int] = (1,)) -> dict[int, Passage]:
    return {
        id_: Passage(id_, Outcome.COMPLIANT, "with_mask", 9, False, 0.0, 0.0, 0.0, Signal.RUNNING, settled_s)
        for id_ in ids
    }


def suspected(**suspicions: float) -> dict[int, Passage]:
    """Undecided passages of people a, b, c, ... (1, 2, 3, ...) with these suspicions."""
    return {
        id_: Passage(id_, Outcome.UNDECIDED, "", 1, False, 0.0, 0.0, 0.0, Signal.RUNNING, suspicion=suspicions[name])
        for name in suspicions
        for id_ in [ord(name) - ord("a") + 1]
    }


def times(scheduler: Scheduler, seconds: float, fps: float, known: dict[int, Passage]) -> list[float]:
    """The times at which person 1 is classified."""
    frames = [i / fps for i in range(round(seconds * fps))]
    return [now_s for now_s in frames if scheduler.select([track(1)], known, now_s)]


def test_an_undecided_person_is_observed_every_interval() -> None:
    assert times(scheduler(every_s=0.2), 1.0, 10.0, {}) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])


def test_an_interval_of_one_frame_takes_every_frame_in_spite_of_rounding() -> None:
    assert len(times(scheduler(every_s=0.1), 3.0, 10.0, {})) == 30


def test_a_settled_person_is_observed_rarely() -> None:
    chosen = scheduler(every_s=0.1, settled_s=1.0)
    assert times(chosen, 3.0, 10.0, passages(float("-inf"))) == pytest.approx([0.0, 1.0, 2.0])
    assert len(times(scheduler(every_s=0.1, settled_s=1.0), 3.0, 10.0, passages(float("inf")))) == 30


def test_a_settled_interval_below_the_ordinary_one_does_not_speed_it_up() -> None:
    assert len(times(scheduler(every_s=0.5, settled_s=0.1), 2.0, 10.0, passages(float("-inf")))) == 4


def test_a_person_who_stays_unsure_settles_after_their_time() -> None:
    chosen = scheduler(every_s=0.1, settled_s=1.0)
    assert times(chosen, 3.0, 10.0, passages(1.0)) == pytest.approx([i / 10 for i in range(11)] + [2.0])


def test_views_alternate_between_the_face_and_its_mirror_image() -> None:
    chosen = scheduler(every_s=0.0)
    views = [chosen.select([track(1), track(2)], {}, i / 10) for i in range(4)]
    assert [view[1].mirrored for view in views] == [False, True, False, True]
    assert [view[2].mirrored for view in views] == [False, True, False, True]
    assert views[0][1].face.box == BOX


def test_a_person_who_comes_back_with_another_id_starts_with_a_plain_view() -> None:
    chosen = scheduler(every_s=0.0)
    chosen.select([track(1)], {}, 0.0)
    assert not chosen.select([track(2)], {}, 0.1)[2].mirrored


def test_a_face_that_this_frame_does_not_show_is_not_classified() -> None:
    assert scheduler().select([track(1, missed=1), track(2)], {}, 0.0).keys() == {2}


def test_those_who_waited_longest_come_first() -> None:
    chosen = scheduler(every_s=0.0, at_once=2)
    people = [track(id_) for id_ in range(1, 6)]
    order = [list(chosen.select(people, {}, i / 10)) for i in range(5)]
    assert order == [[1, 2], [3, 4], [5, 1], [2, 3], [4, 1]]


def test_half_of_the_observations_of_a_crowd_are_of_those_closest_to_an_alarm() -> None:
    chosen = scheduler(every_s=0.0, at_once=2)
    people = [track(id_) for id_ in range(1, 7)]
    known = suspected(a=0.0, b=0.3, c=0.6, d=0.0, e=0.1, f=0.0)
    order = [list(chosen.select(people, known, i / 10)) for i in range(5)]
    assert order == [[3, 1], [3, 2], [3, 4], [3, 5], [3, 6]]


def test_one_observation_a_frame_goes_to_suspects_in_every_other_frame() -> None:
    chosen = scheduler(every_s=0.0, at_once=1)
    people = [track(id_) for id_ in range(1, 4)]
    order = [list(chosen.select(people, suspected(c=0.5), i / 10)) for i in range(6)]
    assert order == [[1], [3], [2], [3], [1], [3]]


def test_without_a_crowd_suspicion_changes_nothing() -> None:
    chosen = scheduler(every_s=0.0, at_once=3)
    people = [track(id_) for id_ in range(1, 4)]
    assert all(list(chosen.select(people, suspected(c=0.5), i / 10)) == [1, 2, 3] for i in range(3))


def test_people_who_left_are_forgotten() -> None:
    chosen = scheduler(every_s=10.0)
    assert chosen.select([track(1)], {}, 0.0)
    assert not chosen.select([track(1)], {}, 1.0)
    chosen.select([], {}, 2.0)
    assert chosen.select([track(1)], {}, 3.0)


@pytest.mark.parametrize(
    ("ids", "known", "presence"),
    [
        ((), {}, Presence.NOBODY),
        ((), passages(float("-inf")), Presence.NOBODY),
        ((1,), {}, Presence.OPEN),
        ((1,), passages(float("inf")), Presence.OPEN),
        ((1,), passages(float("-inf")), Presence.SETTLED),
        ((1, 2), passages(float("-inf")), Presence.OPEN),
        ((1, 2), passages(float("-inf"), (1, 2)), Presence.SETTLED),
        ((1,), passages(5.0), Presence.OPEN),
        ((1,), passages(4.9), Presence.SETTLED),
    ],
)
def test_the_door_needs_attention_until_everybody_is_settled(
    ids: tuple[int, ...], known: dict[int, Passage], presence: Presence
) -> None:
    assert scheduler().presence([track(id_) for id_ in ids], known, 5.0) is presence
