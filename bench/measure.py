"""A figure against its bar, and the little statistics that need doing right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]

BATCHES = 10
STUDENT = 2.306
"""Two-sided 95% of Student's t with BATCHES - 2 degrees of freedom."""


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
    """A straight line through a series, in units a step, and the 95% confidence interval of its slope."""

    value: float
    low: float
    high: float

    @property
    def indistinguishable_from_zero(self) -> bool:
        return self.low <= 0 <= self.high


def slope(series: Series) -> Slope:
    """Least squares over 0, 1, 2, ..., with an interval that holds for a series that remembers.

    Memory moves in steps: neighbouring readings are no independent evidence, and the textbook's interval would be far
    too narrow. So the line is laid through the means of ten batches (Schmeiser, Operations Research 30, 1982), and the
    interval is Student's with the eight degrees of freedom these leave.
    """
    if len(series) < 2 * BATCHES:
        raise ValueError(f"a slope needs {2 * BATCHES} readings or more, got {len(series)}")
    size = len(series) // BATCHES
    # The newest readings count; what does not fill the batches is cut off at the front.
    y = series[-size * BATCHES :].reshape(BATCHES, size).mean(axis=1)
    x = (np.arange(BATCHES) - (BATCHES - 1) / 2) * size
    spread = float(x @ x)
    value = float(x @ y / spread)
    rest = y - y.mean() - value * x
    reach = STUDENT * math.sqrt(float(rest @ rest) / (BATCHES - 2) / spread)
    return Slope(value, value - reach, value + reach)
