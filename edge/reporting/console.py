"""Decisions as lines on standard output, and what a run adds up for its last lines: passages and timings."""

from __future__ import annotations

import logging
from collections import Counter, deque

from edge.contracts import Change, Decision, Step

log = logging.getLogger(__name__)

MAX_TIMINGS = 10_000
"""Of each stage, the newest: a camera runs for months."""


def tell(decision: Decision) -> None:
    """One line a decision on standard output, for people and ``grep`` alike."""
    passage = decision.passage
    said = {
        Change.DECIDED: passage.outcome.value,
        Change.REVISED: f"now {passage.outcome.value}",
        Change.LEFT: f"left, {passage.outcome.value}" + (", had violated" if passage.violated else ""),
    }[decision.change]
    mark = "ALARM" if passage.signal.alarming and decision.change is not Change.LEFT else "-----"
    print(
        f"{decision.at_s:8.2f} s  {mark}  {decision.camera and f'{decision.camera}, '}person {passage.id}: {said} "
        f"({passage.label}, {passage.observations} looks, {passage.seen_s - passage.entered_s:.1f} s)",
        flush=True,
    )


class DecisionPrinter:
    """:func:`tell`, but a full disk behind standard output does not end the watch: it is said once."""

    def __init__(self) -> None:
        self._trouble = ""

    def tell(self, decision: Decision) -> None:
        """Print, if that can be done. A reader that went away (``| head``) ends the run as it ends every command."""
        try:
            tell(decision)
            self._trouble = ""
        except BrokenPipeError:
            raise
        except OSError as error:
            if self._trouble != str(error):
                log.warning("standard output: %s; watching goes on without it", error.strerror)
            self._trouble = str(error)


class PassageCounts:
    """How the passages ended, over a run."""

    def __init__(self) -> None:
        self._ended = Counter[str]()

    def add(self, decision: Decision) -> None:
        """Take note of one decision; only departures count."""
        if decision.change is Change.LEFT:
            passage = decision.passage
            self._ended["violated" if passage.violated else passage.outcome.value] += 1

    def __str__(self) -> str:
        return (
            f"passages: {self._ended.total()}, of them had violated: {self._ended['violated']}, "
            f"compliant: {self._ended['compliant']}, unsure: {self._ended['unsure']}"
        )


class Timings:
    """How long the stages took, over a run."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = {}
        self._frames = 0

    def add(self, step: Step) -> None:
        """Take note of one step."""
        self._frames += 1
        for stage, seconds in step.timings_s.items():
            self._seconds.setdefault(stage, deque(maxlen=MAX_TIMINGS)).append(seconds)

    def table(self) -> str:
        """Stage, frames it ran on, median and 95th percentile in milliseconds."""
        lines = [f"{'stage':<10}{'frames':>8}{'median ms':>12}{'p95 ms':>10}   of {self._frames} frames"]
        for stage, seconds in self._seconds.items():
            ordered = sorted(seconds)
            median, p95 = (ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1e3 for q in (0.5, 0.95))
            lines.append(f"{stage:<10}{len(ordered):>8}{median:>12.2f}{p95:>10.2f}")
        return "\n".join(lines)
