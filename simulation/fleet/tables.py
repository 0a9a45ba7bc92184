"""Tables of what was measured, and the arithmetic behind them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median


@dataclass(frozen=True)
class Delays:
    """Delays of repeated events of one kind, seconds; None for an event that nothing followed in time."""

    name: str
    seconds: Sequence[float | None]

    @property
    def came(self) -> list[float]:
        """The delays of events that something followed, in order."""
        return sorted(delay for delay in self.seconds if delay is not None)

    @property
    def missed(self) -> int:
        """Number of events that nothing followed."""
        return len(self.seconds) - len(self.came)

    def row(self) -> list[str]:
        """Return name, number of events, median, longest, and how many were missed."""
        came = self.came
        times = [f"{median(came):.1f}", f"{came[-1]:.1f}"] if came else ["-", "-"]
        return [self.name, str(len(self.seconds)), *times, str(self.missed)]


DELAYS = ("event", "times", "median s", "longest s", "missed")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, its columns aligned."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in lines
    )


def exponent(counts: Sequence[float], values: Sequence[float]) -> float:
    """Return the exponent k of values ~ counts**k, by least squares of the logarithms: 1 grows in proportion.

    Raises ValueError for fewer than two different counts, or values that are not positive.
    """
    if len(set(counts)) < 2 or min(values) <= 0:
        raise ValueError(f"expected positive values of two counts or more, got {values} of {counts}")
    xs, ys = [math.log(count) for count in counts], [math.log(value) for value in values]
    x, y = fmean(xs), fmean(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)


def per_door(counts: Sequence[float], values: Sequence[float]) -> float:
    """Return what one more door adds, by least squares. Raises ValueError for fewer than two different counts."""
    if len(set(counts)) < 2:
        raise ValueError(f"expected two counts or more, got {counts}")
    x, y = fmean(counts), fmean(values)
    return sum((a - x) * (b - y) for a, b in zip(counts, values, strict=True)) / sum((a - x) ** 2 for a in counts)


def lost_and_repeated(decided: Sequence[str], arrived: dict[str, int]) -> tuple[list[str], int]:
    """Return the decisions that never arrived, and how many arrived more than once (QoS 1 allows it)."""
    return [one for one in decided if not arrived.get(one)], sum(arrived.get(one, 0) > 1 for one in decided)
