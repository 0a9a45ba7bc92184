"""Measurements and their bars; slopes and their confidence intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from bench.measure import Measurement, Series, report, slope


def test_a_measurement_meets_its_bar_up_to_equality() -> None:
    assert Measurement("ratio", 1.1, "", 1.1).met
    assert not Measurement("ratio", 1.11, "", 1.1).met
    assert not Measurement("ratio", float("nan"), "", 1.1).met
    assert Measurement("for information", 1e9, "ms").met


def test_a_report_prints_each_measurement_and_fails_if_one_misses(capsys: pytest.CaptureFixture[str]) -> None:
    met, missed = Measurement("one", 1.0, "ms", 2.0), Measurement("other", 3.0, "ms", 2.0)
    assert report([met]) == 0
    assert report([met, missed]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [("met" in line, "MISSED" in line) for line in lines] == [(True, False), (True, False), (False, True)]


def test_a_flat_series_has_no_slope() -> None:
    assert slope(np.full(50, 5.0)) == (0.0, 0.0, 0.0)
    assert slope(np.full(50, 5.0)).indistinguishable_from_zero


@pytest.mark.parametrize("seed", range(5))
def test_a_rise_is_found_in_noise(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 10, 200)
    found = slope(0.5 * np.arange(200) + noise)
    assert found.value == pytest.approx(0.5, abs=0.05)
    assert not found.indistinguishable_from_zero


def pages(steps: npt.NDArray[np.float64]) -> Series:
    """Return kilobytes of a process that gained pages (or released them) at these readings."""
    return np.asarray(100_000 + 4 * np.cumsum(steps), np.float64)


def rising(make: Callable[[np.random.Generator], Series]) -> float:
    """Return the share of 200 such series that are found to rise."""
    return sum(slope(make(np.random.default_rng(seed))).low > 0 for seed in range(200)) / 200


def test_a_single_page_is_no_rise() -> None:
    for at in range(200):
        assert slope(pages(np.eye(200)[at])).indistinguishable_from_zero


@pytest.mark.parametrize("share", [0.01, 0.1, 1.0])
def test_pages_that_come_and_go_are_rarely_a_rise(share: float) -> None:
    """The interval promises 2.5 of 100; a least squares line would find 30."""
    assert rising(lambda rng: pages((rng.random(200) < share) * rng.choice([-1, 1], 200))) <= 0.06


def test_noise_with_a_memory_is_rarely_a_rise() -> None:
    def remembering(rng: np.random.Generator) -> Series:
        series = [0.0]
        for shock in rng.normal(0, 1, 200):
            series.append(0.8 * series[-1] + shock)
        return np.array(series)

    assert rising(remembering) <= 0.06


@pytest.mark.parametrize("leaked", [5, 20, 200])
def test_pages_that_keep_coming_are_a_rise(leaked: int) -> None:
    """Five pages in the last four fifths of 100,000 frames are 50 bytes per person of the built-in scene."""
    for start in np.linspace(0, 1, 20, endpoint=False):
        assert slope(pages(np.diff(np.floor(start + leaked * np.arange(201) / 200)))).low > 0


def test_too_few_readings_are_refused() -> None:
    with pytest.raises(ValueError, match="20 readings"):
        slope(np.ones(19))
