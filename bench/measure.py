"""A figure against its bar, and the little statistics that need doing right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LAG_SHARE = 0.5
CRITICAL = 1.96 + 2.9694 * LAG_SHARE + 0.4160 * LAG_SHARE**2 - 0.5324 * LAG_SHARE**3
Series = npt.NDArray[np.float64]


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


def slope(series: Sequence[float]) -> Slope:
    """Least squares over 0, 1, 2, ..., with an interval that holds for a series that remembers.

    Memory moves in steps: neighbouring readings are no independent evidence, and the textbook's interval would be far
    too narrow. Variance as Newey and West (Econometrica 55, 1987) with half the series as its lag, and the critical
    value that goes with so long a lag (Kiefer and Vogelsang, Econometric Theory 21, 2005, table 1: 3.48, not 1.96).
    By trial it errs on the strict side: it takes every tenth series without a slope for one with.
    """
    y = np.asarray(series, np.float64)
    if len(y) < 10:
        raise ValueError(f"a slope needs 10 readings or more, got {len(y)}")
    x = np.arange(len(y), dtype=np.float64) - (len(y) - 1) / 2
    spread = float(x @ x)
    value = float(x @ (y - y.mean()) / spread)
    error = math.sqrt(_long_run_variance(x * (y - y.mean() - value * x))) / spread
    return Slope(value, value - CRITICAL * error, value + CRITICAL * error)


def _long_run_variance(moments: Series) -> float:
    """Variance of the sum of ``moments``, autocorrelation counted in (Bartlett's weights: never negative)."""
    n = len(moments)
    lags = int(n * LAG_SHARE)
    total = float(moments @ moments)
    for lag in range(1, lags + 1):
        total += 2 * (1 - lag / (lags + 1)) * float(moments[lag:] @ moments[:-lag])
    return max(0.0, total) * n / max(1, n - 2)
