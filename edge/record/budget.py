"""Daily budget of bytes that the record may cost the card: small writes wear SD cards out."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from edge import state_file

log = logging.getLogger(__name__)

DAY_S = 86400.0
MB = 1_000_000
BLOCK = 4096
"""Smallest number of bytes that the card writes."""
BATCH_BLOCKS = 1.6
"""Blocks that a batch costs besides its data: pages of the tree and of the index that change with every batch, and the
file system's own writes. Measured on ext4 (tests/machine/write_cost.py)."""
DATA_FACTOR = 2.7
"""Times that each byte of a batch is written: into the log of the database, into its pages when the log is copied, and
as partly filled pages. Measured as well."""
SPENT = "record-budget.json"
"""State file in the runtime directory: the rest of the budget, for the next process."""


class Spent(msgspec.Struct, frozen=True):
    """Rest of the budget: ``left`` bytes at ``at_s``, on the monotonic clock that all processes of a boot share."""

    left: float
    at_s: float


class Budget:
    """Bytes that may be written: ``a_day`` in any 24 hours, and a 24th of it at once."""

    def __init__(self, a_day: float, now_s: float, memory: Path | None = None) -> None:
        """``memory`` is the state file of the rest of the budget; without one the budget is full."""
        self._burst = a_day / 24
        self._rate = (a_day - self._burst) / DAY_S
        self._memory, before = memory, state_file.read_state(memory, Spent) if memory else None
        self._left, self._at_s = (before.left, before.at_s) if before else (self._burst, now_s)

    def left(self, now_s: float) -> float:
        """Return the bytes that may be written now."""
        self._left = min(self._burst, self._left + self._rate * max(0.0, now_s - self._at_s))
        self._at_s = max(now_s, self._at_s)
        return self._left

    @property
    def most(self) -> float:
        """Largest cost of one batch: the budget never holds more."""
        return self._burst

    @property
    def full(self) -> bool:
        """True if the budget does not grow any more."""
        return self._left >= self._burst

    def spend(self, cost: float) -> None:
        """Take ``cost`` bytes from the budget."""
        self._left -= cost
        if self._memory is None:
            return
        try:
            state_file.write_state(self._memory, Spent(self._left, self._at_s))
        except OSError as error:
            log.warning("%s: %s; a restart will have the whole budget again", self._memory, error.strerror)


def batch_cost(length: int) -> float:
    """Return the bytes that the card writes for a batch of rows with ``length`` bytes of content."""
    return BATCH_BLOCKS * BLOCK + DATA_FACTOR * length
