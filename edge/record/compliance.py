"""Compliance with its uncertainty: as measured, and corrected for the known errors of the model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

Z95 = 1.959964
"""Quantile of the normal distribution for 95% intervals."""
RESAMPLES = 2000
SEED = 20170101
"""A report is the same whenever it is printed."""
WORST_CONDITION = 20.0
"""Condition number of the confusion matrix beyond which a correction would mostly amplify noise."""


class Estimate(msgspec.Struct, frozen=True):
    """A share 0..1 and its 95% interval."""

    share: float
    low: float
    high: float


def wilson(successes: int, trials: int) -> Estimate | None:
    """Return the share of successes with its 95% interval (Wilson, J. Am. Stat. Assoc. 22, 1927); None of no trials."""
    if not trials:
        return None
    share = successes / trials
    centre = (share + Z95**2 / (2 * trials)) / (1 + Z95**2 / trials)
    half = Z95 / (1 + Z95**2 / trials) * math.sqrt(share * (1 - share) / trials + Z95**2 / (4 * trials**2))
    # At the ends rounding may leave the share outside of its own interval by a hair.
    return Estimate(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))


def corrected(counts: Sequence[int], confusion: Sequence[Sequence[int]], compliant: int) -> Estimate | None:
    """Return the compliance behind decided ``counts`` (per label) of a model with this ``confusion`` matrix.

    The matrix counts labelled examples, true labels down and decided ones across. With it, the distribution of the
    decided labels gives that of the true ones (black-box shift estimation: Lipton et al. 2018, arXiv:1802.03916).
    ``compliant`` is the index of the compliant label. The interval is a percentile bootstrap over passages and over
    the examples of the matrix. None if there is nothing to correct, or if the matrix is too poor to correct with.
    """
    matrix, decided = np.asarray(confusion, float), np.asarray(counts, float)
    if not decided.sum() or not (matrix.sum(1) > 0).all():
        return None
    rates = matrix / matrix.sum(1, keepdims=True)
    if np.linalg.cond(rates) > WORST_CONDITION:
        return None
    share = _true_shares(decided / decided.sum(), rates)[compliant]
    chance = np.random.default_rng(SEED)
    drawn = chance.multinomial(int(decided.sum()), decided / decided.sum(), RESAMPLES) / decided.sum()
    # Dirichlet posterior with half a count for each cell (Jeffreys): a cell that happens to be 0 is not impossible.
    rows = np.stack([chance.dirichlet(row + 0.5, RESAMPLES) for row in matrix], 1)
    shares = [_true_shares(q, c)[compliant] for q, c in zip(drawn, rows, strict=True)]
    low, high = np.percentile(shares, [2.5, 97.5])
    return Estimate(float(share), float(min(low, share)), float(max(high, share)))


def _true_shares(
    decided: np.ndarray[tuple[int, ...], np.dtype[np.float64]], rates: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Solve ``decided = rates' @ true`` for the true shares, as far as these can be shares."""
    found = np.linalg.lstsq(rates.T, decided, rcond=None)[0].clip(0, 1)
    total = found.sum()
    shares: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = found / total if total else decided
    return shares
