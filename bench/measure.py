"""Measurements against their bars, and the statistics behind them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]

STRETCHES, END_READINGS = 10, 5
"""Number of parts of a series, and of readings at the end of a part whose median is the level there."""
STUDENT_T = 2.306
"""Two-sided 95% of Student's t with STRETCHES - 2 degrees of freedom."""


@dataclass(frozen=True)
class Measurement:
    """A measured value and its bar, the highest value allowed; ``bar`` is None if the value only informs."""

    name: str
    value: float
    unit: str
    bar: float | None = None

    @property
    def met(self) -> bool:
        """Whether the value is at most the bar; NaN never is."""
        return self.bar is None or self.value <= self.bar

    def __str__(self) -> str:
        line = f"{self.name:<58}{self.value:>10.4g} {self.unit}"
        if self.bar is None:
            return line
        return f"{line:<78}  {'met' if self.met else 'MISSED'}, bar {self.bar:.4g}"


def report(measurements: Sequence[Measurement]) -> int:
    """Print the measurements, a line each; return 0 if every bar is met, else 1."""
    for measurement in measurements:
        print(measurement, flush=True)
    return int(not all(measurement.met for measurement in measurements))


class Slope(NamedTuple):
    """Rise of a series in units per step, with its 95% confidence interval."""

    value: float
    low: float
    high: float

    @property
    def indistinguishable_from_zero(self) -> bool:
        return self.low <= 0 <= self.high


def slope(series: Series) -> Slope:
    """Return the mean rise per step, with an interval that holds for a series that accumulates.

    A process keeps the pages it was once given. So its memory does not vary around a line: one more page lifts all
    later readings. A line fitted to such a series finds a rise in one page (74 of 100 simulated series, with the
    interval of batch means). It finds one in 30 of 100 random walks.

    The trend of a series that accumulates is the mean of its differences (Nelson and Plosser, Journal of Monetary
    Economics 10, 1982). The series is cut into ten parts. The level at the end of each is subtracted from that of the
    next, and the interval is Student's t interval of these nine rises. It excludes zero for 6 of 100 random walks, up
    and down together. A series that does vary around a line has a wider interval than it needs.

    Raises ValueError if the series has fewer than 2 * STRETCHES readings.
    """
    if len(series) < 2 * STRETCHES:
        raise ValueError(f"a slope needs {2 * STRETCHES} readings or more, got {len(series)}")
    size = len(series) // STRETCHES
    # The newest readings count: those that do not fill the parts are cut off at the front.
    ends = np.median(series[-size * STRETCHES :].reshape(STRETCHES, size)[:, -END_READINGS:], axis=1)
    rises = np.diff(ends) / size
    value = float(rises.mean())
    # ddof=1: the rises are a sample.
    reach = STUDENT_T * float(rises.std(ddof=1)) / math.sqrt(len(rises))
    return Slope(value, value - reach, value + reach)
