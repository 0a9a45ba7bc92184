"""Noise of a sensor: the same for the same number, another for each other, as strong as asked, within 0 to 255."""

from __future__ import annotations

import numpy as np
import pytest

from edge.drivers.sensor_noise import SensorNoise


def test_a_number_determines_the_picture() -> None:
    grey = np.full((48, 64, 3), 128, np.uint8)
    first, again = (SensorNoise(48, 64).added(grey, 7) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    noise = SensorNoise(48, 64)
    assert len({noise.added(grey, number).tobytes() for number in range(50)}) == 50
    assert (grey == 128).all()


@pytest.mark.parametrize("strength", [2.0, 10.0])
def test_noise_is_as_strong_as_asked(strength: float) -> None:
    added = SensorNoise(120, 160, strength).added(np.full((120, 160, 3), 128, np.uint8), 3).astype(float) - 128
    assert abs(added.mean()) < 0.05 * strength
    assert added.std() == pytest.approx(strength, rel=0.05)


@pytest.mark.parametrize("level", [0, 255])
def test_noise_stays_within_the_range_of_a_picture(level: int) -> None:
    added = SensorNoise(48, 64, 10.0).added(np.full((48, 64, 3), level, np.uint8), 3)
    assert abs(added.astype(float) - level).max() < 80
