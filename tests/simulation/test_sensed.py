"""Doors with simulated sensors: posters give no alarm, people give it as early as without a sensor."""

from __future__ import annotations

import pytest

from simulation.sensed import SCENES, SENSORS, measured

DOORS = 4
PEOPLE = ("walks in", "stands there", "far away, 4 m", "warm wall, 32 C", "10 degrees aside, new")


@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("scene", PEOPLE)
def test_people_give_an_alarm_as_early_as_without_a_sensor(sensor: str, scene: str) -> None:
    trusted = not scene.endswith("new")
    assert measured(SCENES[scene], SENSORS[sensor], DOORS, trusted) == (DOORS, DOORS, 0, 0.0)


@pytest.mark.parametrize("sensor", ["mlx90640", "vl53l5cx"])
def test_a_poster_gives_no_alarm(sensor: str) -> None:
    assert measured(SCENES["poster, 1.5 m"], SENSORS[sensor], DOORS).alarmed == 0


def test_before_a_wall_as_warm_as_skin_a_poster_gives_an_alarm_as_without_a_sensor() -> None:
    assert measured(SCENES["poster, warm wall"], SENSORS["mlx90640"], DOORS) == (DOORS, DOORS, 0, 0.0)
    assert measured(SCENES["poster, warm wall"], SENSORS["vl53l5cx"], DOORS).alarmed == 0


def test_a_poster_gives_an_alarm_once_the_sensor_is_unplugged() -> None:
    found = measured(SCENES["poster, sensor unplugged"], SENSORS["mlx90640"], DOORS)
    assert found.alarmed == found.later == DOORS
    # Unplugged 4 s after the start; the decider then needs its observations.
    assert 3.8 <= found.longest_s < 4.5


def test_cold_faces_wait_until_they_have_walked_a_few_steps() -> None:
    found = measured(SCENES["cold face, winter"], SENSORS["mlx90640"], 20)
    assert found.alarmed == 20
    assert found.later <= 3
    assert found.longest_s < 1.0
