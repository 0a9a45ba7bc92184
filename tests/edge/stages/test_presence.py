"""People and pictures by a presence sensor: what it needs to unmask a picture, and that it never stops an alarm."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edge.contracts import Box, Frame, Reading, Sensed, Track
from edge.inference.presence import SensorView
from edge.stages.presence import AT_ONCE, HINT_MISSES, WINDOW_S, Counts, PresenceCheck

TRUSTED = Counts(0.0, 20.0)
IMAGE = np.zeros((480, 640, 3), np.uint8)
PLACE = Box(290, 190, 350, 270)
FPS = 10.0


@dataclass
class Door:
    """A camera and a thermal sensor of 32 x 24 cells with the same view; the wall has 21 degrees."""

    counts: Counts = TRUSTED
    newest: Reading | None = None
    fault: str = ""
    now_s: float = 0.0
    kept: list[Counts] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.check = PresenceCheck(SensorView(60.0), self, self.counts, self.kept.append)
        self._chance = np.random.default_rng(1)

    def measure(self, *warm: Box, began_s: float | None = None) -> None:
        values = np.asarray(self._chance.normal(21.0, 0.3, (24, 32)), np.float32)
        for box in warm:
            xmin, ymin, xmax, ymax = (round(v / 20) for v in box)
            values[ymin:ymax, xmin:xmax] = 33.0
        began_s = self.now_s - 1 / FPS if began_s is None else began_s
        self.newest = Reading(Sensed.WARMTH, values, (60.0, 46.8), began_s, self.now_s)

    def step(self, *boxes: Box, warm: bool = False, measures: bool = True, first: int = 1) -> list[int]:
        """Return the ids of the pictures in the next frame."""
        self.now_s += 1 / FPS
        if measures:
            self.measure(*(boxes if warm else ()))
        tracks = tuple(Track(first + i, box, 0.9, self.now_s, self.now_s, 0) for i, box in enumerate(boxes))
        people, pictures = self.check.split(tracks, Frame(IMAGE, None, self.now_s, 0), True)
        assert {track.id for track in (*people, *pictures)} == {track.id for track in tracks}
        self.people = people
        return [track.id for track in pictures]


def moved(box: Box, x: float) -> Box:
    return Box(box.xmin + x, box.ymin, box.xmax + x, box.ymax)


def test_a_cold_face_that_hangs_there_is_a_picture_from_the_first_frame_on() -> None:
    door = Door()
    assert all(door.step(PLACE) == [1] for _ in range(50))


def test_a_warm_face_is_a_person_at_once_and_stays_one() -> None:
    door = Door()
    assert not any(door.step(PLACE, warm=True) for _ in range(50))


def test_a_reading_from_before_a_face_came_says_nothing_of_it() -> None:
    door = Door()
    for _ in range(20):
        door.step()
    door.now_s += 0.05
    door.measure()  # the empty wall
    assert door.step(PLACE, measures=False) == []


def test_a_sensor_without_a_record_unmasks_nothing_until_it_has_seen_people_walk() -> None:
    door = Door(Counts())
    assert not any(door.step(PLACE) for _ in range(30))
    for person in range(10, 18):
        for x in (0, 20, 40, 40, 40):
            door.step(moved(PLACE, x), warm=True, first=person)
    assert door.check.counts.trusted
    assert door.kept == [door.kept[0]]
    assert door.kept[0].seen > 4
    assert [door.step(PLACE, first=99) for _ in range(5)][-1] == [99]


def test_a_cold_person_who_walks_is_a_person() -> None:
    door = Door()
    found = [door.step(moved(PLACE, min(4 * i, 80))) for i in range(60)]
    assert found[0] == [1]
    assert not any(found[12:])


def test_a_person_who_was_a_picture_enters_when_they_move() -> None:
    door = Door()
    for _ in range(30):
        door.step(PLACE)
    door.step(moved(PLACE, 40))
    assert [track.entered_s for track in door.people] == [door.now_s]


def test_a_sensor_that_falls_silent_counts_for_nothing() -> None:
    door = Door()
    for _ in range(30):
        assert door.step(PLACE) == [1]
    silent = [door.step(PLACE, measures=False) for _ in range(int(WINDOW_S * FPS) + 3)]
    assert silent[0] == [1]
    assert silent[-1] == []
    # Also for a face that comes to the place of a picture.
    assert door.step(PLACE, measures=False, first=2) == []


def test_a_sensor_with_a_fault_counts_for_nothing_at_once_and_is_reported() -> None:
    door = Door()
    door.step(PLACE)
    door.newest, door.fault = None, "unplugged"
    assert door.step(PLACE, measures=False) == []
    assert door.check.hint == "the presence sensor counts for nothing: unplugged"


def test_a_picture_s_place_is_remembered_but_not_held_against_a_person() -> None:
    door = Door()
    for _ in range(30):
        door.step(PLACE)
    for _ in range(30):
        door.step()
    assert door.step(PLACE, measures=False, first=2) == [2]
    assert [door.step(PLACE, warm=True, first=2) for _ in range(3)][-1] == []


def test_a_sensor_that_looks_elsewhere_loses_its_say_and_is_reported() -> None:
    door = Door()
    for person in range(10, 40):
        for x in range(0, 160, 20):
            door.step(moved(PLACE, x), first=person)
        for _ in range(5):
            door.step(moved(PLACE, 140), first=person)
    assert door.check.counts.missed >= HINT_MISSES
    assert "does not see many of the people" in door.check.hint
    assert "sensor.offset_deg" in door.check.hint
    assert not any(door.step(PLACE, first=99) for _ in range(30))
    assert [counts.trusted for counts in door.kept] == [False]


def test_people_and_posters_in_one_picture_are_kept_apart() -> None:
    door = Door()
    person = Box(100, 190, 160, 270)
    for _ in range(20):
        door.now_s += 1 / FPS
        door.measure(person)
        tracks = tuple(Track(i, box, 0.9, door.now_s, door.now_s, 0) for i, box in ((1, PLACE), (2, person)))
        people, pictures = door.check.split(tracks, Frame(IMAGE, None, door.now_s, 0), True)
    assert [track.id for track in pictures] == [1]
    assert [track.id for track in people] == [2]


def test_a_track_that_the_detector_missed_keeps_what_it_is() -> None:
    door = Door()
    door.step(PLACE)
    door.now_s += 1 / FPS
    missed = Track(1, PLACE, 0.9, 0.0, door.now_s, 1)
    assert door.check.split((missed,), Frame(IMAGE, None, door.now_s, 0), False)[1] == (missed,)


def test_in_a_crowd_each_face_has_its_turn() -> None:
    door = Door()
    crowd = [Box(20 + 60 * i, 20 + 80 * j, 40 + 60 * i, 48 + 80 * j) for i in range(10) for j in range(5)]
    assert len(door.step(*crowd)) == AT_ONCE
    for _ in range(len(crowd) // AT_ONCE):
        last = door.step(*crowd)
    assert last == list(range(1, len(crowd) + 1))
