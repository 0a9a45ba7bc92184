"""Figures against their bars; slopes that know how sure they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from bench.measure import Figure, Series, report, slope


def test_a_figure_meets_its_bar_up_to_equality() -> None:
    assert Figure("ratio", 1.1, "", 1.1).met
    assert not Figure("ratio", 1.11, "", 1.1).met
    assert not Figure("ratio", float("nan"), "", 1.1).met
    assert Figure("for information", 1e9, "ms").met


def test_a_report_tells_each_figure_and_fails_where_one_misses(capsys: pytest.CaptureFixture[str]) -> None:
    met, missed = Figure("one", 1.0, "ms", 2.0), Figure("other", 3.0, "ms", 2.0)
    assert report([met]) == 0
    assert report([met, missed]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [("met" in line, "MISSED" in line) for line in lines] == [(True, False), (True, False), (False, True)]


def test_a_flat_series_has_no_slope() -> None:
    assert slope(np.full(50, 5.0)) == (0.0, 0.0, 0.0)
    assert slope(np.full(50, 5.0)).indistinguishable_from_zero


@pytest.mark.parametrize("seed", range(5))
def test_noise_around_a_rise_is_seen_as_a_rise(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 10, 200)
    found = slope(0.5 * np.arange(200) + noise)
    assert found.value == pytest.approx(0.5, abs=0.05)
    assert not found.indistinguishable_from_zero


def pages(steps: npt.NDArray[np.float64]) -> Series:
    """Kilobytes of a process that was given pages (or gave them back) at these readings."""
    return np.asarray(100_000 + 4 * np.cumsum(steps), np.float64)


def rising(make: Callable[[np.random.Generator], Series]) -> float:
    """Share of 200 such series that are taken to rise."""
    return sum(slope(make(np.random.default_rng(seed))).low > 0 for seed in range(200)) / 200


def test_a_single_page_is_no_rise() -> None:
    for at in range(200):
        assert slope(pages(np.eye(200)[at])).indistinguishable_from_zero


@pytest.mark.parametrize("share", [0.01, 0.1, 1.0])
def test_pages_that_come_and_go_are_seldom_taken_for_a_rise(share: float) -> None:
    """2.5 of 100 by the interval's promise; the least squares line takes 30."""
    assert rising(lambda rng: pages((rng.random(200) < share) * rng.choice([-1, 1], 200))) <= 0.06


def test_noise_with_a_memory_is_seldom_taken_for_a_rise() -> None:
    def remembering(rng: np.random.Generator) -> Series:
        series = [0.0]
        for shock in rng.normal(0, 1, 200):
            series.append(0.8 * series[-1] + shock)
        return np.array(series)

    assert rising(remembering) <= 0.06


@pytest.mark.parametrize("leaked", [5, 20, 200])
def test_pages_that_keep_coming_are_a_rise(leaked: int) -> None:
    """Five pages in the last four fifths of 100,000 frames are 50 bytes a person of the built-in scene."""
    for start in np.linspace(0, 1, 20, endpoint=False):
        assert slope(pages(np.diff(np.floor(start + leaked * np.arange(201) / 200)))).low > 0


def test_a_few_readings_are_no_series() -> None:
    with pytest.raises(ValueError, match="20 readings"):
        slope(np.ones(19))
