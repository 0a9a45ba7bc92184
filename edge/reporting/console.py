"""Decisions as lines on standard output, and what a run adds up for its last lines: passages and timings."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable

from edge.contracts import ENDS, WITH_INCORRECT_MASK, Change, Decision, Delivery, Outcome, Passage, Signal, Step
from edge.messages import ArmingMessage, arming_in_words
from edge.reporting.listener import Listener
from edge.reporting.live_state import VIOLATED

log = logging.getLogger(__name__)

MAX_TIMINGS = 10_000
"""Steps of each stage that are kept, the newest: a camera runs for months, and memory must not grow."""


def state_of(passage: Passage) -> str:
    """Return what fmd holds of a person, in words for users: "mask", "no mask", "badly worn mask" or "unsure"."""
    if passage.outcome is Outcome.COMPLIANT:
        # Only where the settings accept it (decide.on_incorrect = "admit", or decide.accept).
        return "badly worn mask, accepted" if passage.label == WITH_INCORRECT_MASK else "mask"
    if passage.outcome is not Outcome.VIOLATION:
        return str(passage.outcome.value)
    return "badly worn mask" if passage.signal in (Signal.REMINDER, Signal.INCORRECT_MASK) else "no mask"


def change_in_words(decision: Decision) -> str:
    """Return what a decision changes, in words for users: "now no mask"."""
    passage = decision.passage
    cleared = passage.violated and passage.outcome is not Outcome.VIOLATION
    return {
        Change.DECIDED: state_of(passage),
        Change.REVISED: f"now {state_of(passage)}",
        Change.PICTURE: f"a picture, no person: no longer judged ({state_of(passage)} before)",
        Change.LEFT: f"left, {state_of(passage)}{' after a violation' if cleared else ''}",
    }[decision.change]


def decision_line(decision: Decision, when: str) -> str:
    """Return one line for people and ``grep`` alike; it begins with ``when``."""
    passage, words = decision.passage, change_in_words(decision)
    mark = "ALARM" if passage.signal.alarming and decision.change not in ENDS else "-----"
    return (
        f"{when}  {mark}  {decision.camera and f'{decision.camera}, '}person {passage.id}: {words} "
        f"({passage.label}, {passage.observations} observations, {passage.seen_s - passage.entered_s:.1f} s)"
    )


class DecisionPrinter(Listener):
    """Prints every decision. A full disk behind standard output does not end the run; it is reported once.

    ``wall`` gives the time of day, in seconds since 1970, for live cameras: their lines begin with local time.
    Lines of recordings begin with the seconds since the start.
    """

    def __init__(self, wall: Callable[[], float] | None = None) -> None:
        self._wall = wall
        self._last_error = ""
        self._arming = ArmingMessage(armed=True, source="default")

    def on_arming(self, arming: ArmingMessage) -> None:
        """Print a change."""
        if arming != self._arming:
            self._arming = arming
            self._print(f"{self._now()}  -----  {arming_in_words(arming)}")

    def on_decision(self, decision: Decision) -> None:
        """Print the decision."""
        self._print(decision_line(decision, self._now() if self._wall else f"{decision.at_s:8.2f} s"))

    def _print(self, line: str) -> None:
        """Print, if possible. A reader that has gone away (``| head``) ends the run, as it ends every command."""
        try:
            print(line, flush=True)
            self._last_error = ""
        except BrokenPipeError:
            raise
        except OSError as error:
            if self._last_error != str(error):
                log.warning("standard output: %s; watching goes on without it", error.strerror)
            self._last_error = str(error)

    def _now(self) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime((self._wall or time.time)()))


class PassageCounts(Listener):
    """Counts how the passages of a run ended."""

    def __init__(self) -> None:
        self._ended = Counter[str]()

    def on_decision(self, decision: Decision) -> None:
        """Count the end of a passage."""
        if decision.change is Change.LEFT:
            passage = decision.passage
            self._ended[VIOLATED if passage.violated else passage.outcome.value] += 1

    def __str__(self) -> str:
        return (
            f"passages: {self._ended.total()} ({self._ended[VIOLATED]} with a violation, "
            f"{self._ended['compliant']} compliant, {self._ended['unsure']} unsure)"
        )


class Timings(Listener):
    """Collects how long the stages take."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = {}
        self._frames = 0

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """Add the times of one step."""
        self._frames += 1
        for stage, seconds in step.timings_s.items():
            self._seconds.setdefault(stage, deque(maxlen=MAX_TIMINGS)).append(seconds)

    def table(self) -> str:
        """Return a table: stage, frames it ran on, median and 95th percentile in milliseconds."""
        lines = [f"{'stage':<10}{'frames':>8}{'median ms':>12}{'p95 ms':>10}   of {self._frames} frames"]
        for stage, seconds in self._seconds.items():
            ordered = sorted(seconds)
            median, p95 = (ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1e3 for q in (0.5, 0.95))
            lines.append(f"{stage:<10}{len(ordered):>8}{median:>12.2f}{p95:>10.2f}")
        return "\n".join(lines)
