"""A figure against its bar, and the little statistics that need doing right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]

STRETCHES, END = 10, 5
"""So many stretches of a series; where it is at the end of one is the median of so many readings."""
STUDENT = 2.306
"""Two-sided 95% of Student's t with STRETCHES - 2 degrees of freedom."""


@dataclass(frozen=True)
class Figure:
    """What was measured, and the most it may be; ``bar`` None where it only informs."""

    name: str
    value: float
    unit: str
    bar: float | None = None

    @property
    def met(self) -> bool:
        """NaN meets no bar."""
        return self.bar is None or self.value <= self.bar

    def __str__(self) -> str:
        line = f"{self.name:<58}{self.value:>10.4g} {self.unit}"
        if self.bar is None:
            return line
        return f"{line:<78}  {'met' if self.met else 'MISSED'}, bar {self.bar:.4g}"


def report(figures: Sequence[Figure]) -> int:
    """Print the figures, a line each; 0 where every bar is met, else 1."""
    for figure in figures:
        print(figure, flush=True)
    return int(not all(figure.met for figure in figures))


class Slope(NamedTuple):
    """How fast a series rises, in units a step, and the 95% confidence interval of that."""

    value: float
    low: float
    high: float

    @property
    def indistinguishable_from_zero(self) -> bool:
        return self.low <= 0 <= self.high


def slope(series: Series) -> Slope:
    """Mean rise a step, with an interval that holds for a series that accumulates.

    A process keeps the pages it was once given: its memory does not waver around a line but goes on from where it is,
    and a single page more lifts all readings after it. A line laid through such a series takes one page for a rise (74
    of 100 simulated ones, though the interval was that of batch means), and 30 of 100 that walk up and down at random.
    The trend of what accumulates is the mean of its differences (Nelson and Plosser, Journal of Monetary Economics 10,
    1982): the series is cut into ten stretches, where it is at the end of each is subtracted from where it is at the
    end of the next, and the interval is Student's of these nine rises; of the walks 6 of 100 lie outside, up and down
    together. A series that does waver around a line has a wider interval than it need have.
    """
    if len(series) < 2 * STRETCHES:
        raise ValueError(f"a slope needs {2 * STRETCHES} readings or more, got {len(series)}")
    size = len(series) // STRETCHES
    # The newest readings count; what does not fill the stretches is cut off at the front.
    ends = np.median(series[-size * STRETCHES :].reshape(STRETCHES, size)[:, -END:], axis=1)
    rises = np.diff(ends) / size
    value = float(rises.mean())
    reach = STUDENT * float(rises.std(ddof=1)) / math.sqrt(len(rises))
    return Slope(value, value - reach, value + reach)
