"""A reading and a face -> log odds of a person: warm and cold faces, near and far, warm walls, and the camera's map."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.contracts import Box, Floats, Reading, Sensed
from edge.inference.presence import MOST, NOTHING, SensorView, evidence

SIZE = (640, 480)
MISSED = 0.02
FLOOR = math.log(MISSED)


def reading(values: Floats, sensed: Sensed = Sensed.WARMTH, field_deg: tuple[float, float] = (60.0, 60.0)) -> Reading:
    return Reading(sensed, np.asarray(values, np.float32), field_deg, 0.0, 0.1)


def wall(celsius: float = 21.0, shape: tuple[int, int] = (24, 32)) -> Floats:
    """Return a wall that is not equally warm everywhere."""
    return np.asarray(celsius + np.random.default_rng(1).normal(0, 0.3, shape), np.float32)


FACE = Box(14, 9, 18, 14)


def with_face(celsius: float, wall_c: float = 21.0) -> Floats:
    values = wall(wall_c)
    values[9:14, 14:18] = celsius
    return values


def odds(values: Floats, face: Box = FACE, sensed: Sensed = Sensed.WARMTH) -> float:
    return evidence(reading(values, sensed), face, (), MISSED).odds


def test_a_warm_face_is_a_person_and_one_like_its_wall_a_picture() -> None:
    assert odds(with_face(33.0)) == MOST
    assert odds(with_face(28.0)) > 2
    assert FLOOR <= odds(wall()) < FLOOR + 0.3


def test_a_cold_face_counts_at_most_as_much_as_the_sensor_is_trusted() -> None:
    for missed in (0.02, 0.1, 0.5):
        found = evidence(reading(wall()), FACE, (), missed).odds
        assert math.log(missed) <= found < math.log(missed) + 0.4


def test_before_a_wall_as_warm_as_skin_the_sensor_says_nothing() -> None:
    for celsius in (31.0, 32.0, 33.0, 34.0):
        assert -2 < odds(wall(celsius)) < 0.5
        assert odds(with_face(34.5, celsius)) > -2


def test_a_hot_wall_shows_a_person_as_well() -> None:
    assert odds(with_face(34.0, 48.0)) > 2
    assert odds(wall(48.0)) < -2


def test_a_face_far_away_fills_too_little_of_a_cell() -> None:
    far = Box(15.6, 11.5, 15.8, 11.7)
    assert abs(odds(wall(), far)) < 0.5


def test_where_too_little_surrounds_a_face_there_is_no_evidence() -> None:
    everything = Box(-10, -10, 40, 40)
    assert evidence(reading(wall()), everything, (), MISSED) == NOTHING
    assert evidence(reading(wall()), Box(40, 9, 44, 14), (), MISSED) == NOTHING
    nothing = np.full((24, 32), np.nan, np.float32)
    assert evidence(reading(nothing), FACE, (), MISSED) == NOTHING


def test_other_people_are_no_background() -> None:
    values = wall()
    values[8:, 6:26] = 31.0  # a row of people
    values[9:14, 14:18] = 33.0
    people = [Box(8, 9, 12, 14), Box(20, 9, 24, 14)]
    assert evidence(reading(values), FACE, people, MISSED).odds == MOST
    assert evidence(reading(values), FACE, (), MISSED).odds < 2


def test_distance_shows_a_face_before_the_wall_and_none_in_it() -> None:
    flat = np.full((8, 8), 2.0, np.float32)
    before = flat.copy()
    before[2:5, 3:5] = 1.2
    face = Box(3, 2, 5, 5)
    assert odds(before, face, Sensed.DISTANCE) > 1
    assert odds(flat, face, Sensed.DISTANCE) < -2.5
    before[before == 2.0] = np.nan  # nothing within reach behind the face
    assert odds(before, face, Sensed.DISTANCE) > 1
    before[2:5, 3:5] = np.nan
    assert odds(before, face, Sensed.DISTANCE) == 0


def test_the_camera_s_picture_is_mapped_by_angles() -> None:
    view, empty = SensorView(60.0), reading(wall(shape=(8, 8)))
    assert view.place(Box(0, 0, 640, 480), SIZE, empty) == pytest.approx(Box(0, 1, 8, 7), abs=0.01)
    # A sensor that looks 15 degrees to the right sees the middle of the picture left of its own middle.
    aside = SensorView(60.0, (15.0, -5.0)).place(Box(310, 230, 330, 250), SIZE, empty)
    assert aside.centre[0] == pytest.approx(4 - 4 * math.tan(math.radians(15)) / math.tan(math.radians(30)), abs=0.05)
    assert aside.centre[1] == pytest.approx(4 + 4 * math.tan(math.radians(5)) / math.tan(math.radians(30)), abs=0.05)


def test_extreme_places_stay_finite() -> None:
    place = SensorView(150.0, (90.0, -90.0)).place(Box(-1e6, -1e6, 1e6, 1e6), SIZE, reading(wall()))
    assert all(map(math.isfinite, place))
