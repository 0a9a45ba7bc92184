"""What a whole conversion costs beside the bare call."""

from __future__ import annotations

import pytest

from bench.convert import Cost, figures


def test_the_cheapest_of_each_counts_and_each_bar_stands_for_itself() -> None:
    bare = [Cost(10.0, 15.0, 1000.0), Cost(12.0, 14.0, 1100.0)]
    found = {figure.name: figure for figure in figures(bare, [Cost(16.0, 21.0, 1290.0), Cost(14.9, 21.0, 1310.0)])}
    time, memory = found["conversion over the bare call"], found["peak memory over that of the bare call"]
    assert (time.value, time.met) == (pytest.approx(1.49), True)
    assert (memory.value, memory.met) == (pytest.approx(1.29), True)
    assert found["whole process over whole process"].value == 1.5


def test_a_bar_may_be_missed() -> None:
    met = [figure.met for figure in figures([Cost(10.0, 15.0, 1000.0)], [Cost(15.1, 21.0, 1301.0)])]
    assert met == [True, True, False, True, True, False]
