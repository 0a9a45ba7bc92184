"""Figures against their bars; slopes that know how sure they are."""

from __future__ import annotations

import numpy as np
import pytest

from bench.measure import Figure, report, slope


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


def test_noise_with_a_memory_is_seldom_taken_for_a_rise() -> None:
    """An AR(1) series of 0.8: the textbook's interval takes half of these for a slope."""
    wrong = 0
    for seed in range(200):
        shocks = np.random.default_rng(seed).normal(0, 1, 200)
        series = [0.0]
        for shock in shocks:
            series.append(0.8 * series[-1] + shock)
        wrong += not slope(np.array(series)).indistinguishable_from_zero
    assert wrong <= 30


def test_a_few_readings_are_no_series() -> None:
    with pytest.raises(ValueError, match="20 readings"):
        slope(np.ones(19))
