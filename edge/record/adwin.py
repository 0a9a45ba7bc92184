"""ADWIN: a window of recent values that drops its older part where the mean has changed.

Bifet and Gavaldà, "Learning from Time-Changing Data with Adaptive Windowing", SIAM Data Mining 2007. The window is kept
as an exponential histogram: up to MOST buckets of each size 1, 2, 4 ..., so that a year of values needs a hundred sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

MOST = 5
"""Buckets of one size; one more merges the two oldest of them."""
EVERY = 16
"""Values between two tests for a change: a test costs as much as a hundred values."""
SHORTEST = 24
"""Fewest values on each side of a change."""


class Change(NamedTuple):
    """The mean before and after a change, in the unit of the values, and ``at``: the time of the first value after."""

    before: float
    after: float
    at: int
    values: int


class Bucket(NamedTuple):
    """Sums of ``values`` values; ``spread`` is their sum of squared differences from their mean."""

    values: int
    total: float
    spread: float
    since: int


def _merged(older: Bucket, newer: Bucket) -> Bucket:
    # Chan, Golub and LeVeque 1979: the variance of two parts together.
    count = older.values + newer.values
    gap = older.total / older.values - newer.total / newer.values
    spread = older.spread + newer.spread + gap * gap * older.values * newer.values / count
    return Bucket(count, older.total + newer.total, spread, older.since)


class Adwin:
    """One signal. ``delta`` is the chance of a false change in a window."""

    def __init__(self, delta: float, buckets: Iterable[Bucket] = ()) -> None:
        """``buckets`` are those of an earlier window, which this one continues."""
        self._delta = delta
        self._buckets = list(buckets)  # oldest first
        self._added = 0

    def __len__(self) -> int:
        return sum(bucket.values for bucket in self._buckets)

    @property
    def buckets(self) -> list[Bucket]:
        """The window's sums, oldest first: all that another process needs to continue it."""
        return self._buckets

    def add(self, value: float, at: int) -> Change | None:
        """Add a value of the time ``at``; return the change that it reveals, if any."""
        self._buckets.append(Bucket(1, value, 0.0, at))
        self._compress()
        self._added += 1
        if self._added % EVERY:
            return None
        found = None
        # The oldest part goes while the rest still differs from it; the first cut is the change to report.
        while (cut := self._cut()) is not None:
            older, newer = (self._sum(self._buckets[:cut]), self._sum(self._buckets[cut:]))
            self._buckets = self._buckets[cut:]
            before = found.before if found else older.total / older.values
            found = Change(before, newer.total / newer.values, newer.since, newer.values)
        return found

    def _compress(self) -> None:
        """Merge the two oldest buckets of each size of which there are too many, from the newest sizes on."""
        end, size = len(self._buckets), 1
        while True:
            begin = end
            while begin and self._buckets[begin - 1].values == size:
                begin -= 1
            if end - begin <= MOST:
                return
            self._buckets[begin : begin + 2] = [_merged(self._buckets[begin], self._buckets[begin + 1])]
            end, size = begin + 1, size * 2

    def _cut(self) -> int | None:
        """Return the number of oldest buckets that differ most from the rest, None if no division differs enough.

        The paper takes any division that does; the one that differs most is closest to the change.
        """
        total, whole = 0, 0.0
        for bucket in self._buckets:
            total += bucket.values
            whole += bucket.total
        if total < 2 * SHORTEST:
            return None
        mean, spread = whole / total, 0.0
        for bucket in self._buckets:
            spread += bucket.spread + bucket.values * (bucket.total / bucket.values - mean) ** 2
        log_term = math.log(2 * math.log(total) / self._delta)
        deviation, linear = math.sqrt(2 * spread / total * log_term), 2 / 3 * log_term
        best, most, count, part = None, 1.0, 0, 0.0
        for index, bucket in enumerate(self._buckets[:-1], 1):
            count += bucket.values
            part += bucket.total
            if count < SHORTEST:
                continue
            if total - count < SHORTEST:
                break
            inverse = 1 / count + 1 / (total - count)
            bound = deviation * math.sqrt(inverse) + linear * inverse
            excess = abs(part / count - (whole - part) / (total - count)) / bound
            if excess > most:
                best, most = index, excess
        return best

    @staticmethod
    def _sum(buckets: list[Bucket]) -> Bucket:
        found = buckets[0]
        for bucket in buckets[1:]:
            found = _merged(found, bucket)
        return found
