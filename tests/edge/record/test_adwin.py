"""Changes of a mean, found when there is enough evidence and not before; compared with river's ADWIN."""

from __future__ import annotations

import random

import pytest

from edge.record.adwin import Adwin, Change


def changes(values: list[float], delta: float = 1e-4) -> list[tuple[int, Change]]:
    found, window = [], Adwin(delta)
    for number, value in enumerate(values):
        if (change := window.add(value, number)) is not None:
            found.append((number, change))
    return found


def noise(seed: int, count: int, mean: float = 0.0, deviation: float = 1.0) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(mean, deviation) for _ in range(count)]


def test_a_mean_that_stays_is_no_change() -> None:
    assert sum(len(changes(noise(seed, 20_000), 1e-5)) for seed in range(5)) == 0


@pytest.mark.parametrize(("shift", "soon"), [(2.0, 48), (1.0, 160), (0.5, 300), (0.33, 500)])
def test_a_change_is_found_soon_with_its_time_and_size(shift: float, soon: int) -> None:
    [(found_at, change)] = changes(noise(1, 3000) + noise(2, 3000, shift), 1e-4)[:1]
    assert 3000 < found_at <= 3000 + soon
    assert abs(change.at - 3000) < soon
    assert change.before == pytest.approx(0, abs=0.1)
    assert 0.4 * shift < change.after < 1.3 * shift


def test_two_changes_are_two() -> None:
    found = changes(noise(1, 2000) + noise(2, 2000, 2.0) + noise(3, 2000))
    assert [round(change.after) for _, change in found] == [2, 0]


def test_a_constant_signal_and_its_first_other_values() -> None:
    assert not changes([1.0] * 5000)
    assert len(changes([1.0] * 5000 + [0.0] * 200)) == 1


def test_memory_grows_with_the_logarithm() -> None:
    window = Adwin(1e-6)
    for number, value in enumerate(noise(1, 100_000)):
        window.add(value, number)
    assert len(window) == 100_000
    assert len(window.buckets) < 100


def test_it_finds_what_river_finds() -> None:
    """river tests with another bound at other times, so only the finding and its place are compared."""
    drift = pytest.importorskip("river.drift", reason="river is not installed")
    for shift in (0.5, 1.0, 3.0):
        values = noise(7, 2000) + noise(8, 2000, shift)
        other, theirs = drift.ADWIN(delta=1e-4), []
        for number, value in enumerate(values):
            other.update(value)
            if other.drift_detected:
                theirs.append(number)
        ours = [number for number, _ in changes(values, 1e-4)]
        assert ours
        assert theirs
        assert abs(ours[0] - theirs[0]) <= 150
