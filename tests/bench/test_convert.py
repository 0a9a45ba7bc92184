"""Cost of a whole conversion compared with the bare call."""

from __future__ import annotations

import pytest

from bench.convert import ConversionCost, measurements


def test_the_lowest_cost_of_each_side_counts_and_each_bar_is_checked() -> None:
    bare = [ConversionCost(10.0, 15.0, 1000.0), ConversionCost(12.0, 14.0, 1100.0)]
    found = {
        measurement.name: measurement
        for measurement in measurements(bare, [ConversionCost(16.0, 21.0, 1290.0), ConversionCost(14.9, 21.0, 1310.0)])
    }
    time, memory = found["conversion over the bare call"], found["peak memory over that of the bare call"]
    assert (time.value, time.met) == (pytest.approx(1.49), True)
    assert (memory.value, memory.met) == (pytest.approx(1.29), True)
    assert found["whole process over whole process"].value == 1.5


def test_a_bar_can_be_missed() -> None:
    met = [
        measurement.met
        for measurement in measurements([ConversionCost(10.0, 15.0, 1000.0)], [ConversionCost(15.1, 21.0, 1301.0)])
    ]
    assert met == [True, True, False, True, True, False]
