"""Changes in the record: of the camera (moved, dirty, another light) or of people's behaviour, reported apart.

Each signal of a passage is compared with what is usual for the hour of the day: the residual is standardised, and ADWIN
finds when its mean changed. What is usual is learned in the first week, and follows slowly, so that seasons are no
change. Changes slower than that are found by comparing whole distributions with those after the installation
(population stability index).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from edge.contracts import WITH_INCORRECT_MASK, Change
from edge.record.adwin import Adwin, Bucket
from edge.record.notes import ACCEPT_MS, Finding
from edge.record.rows import PassageRow

DELTA = 2e-5
"""Chance of a false change in one window of one signal. On simulated years this gives less than one false report for a
year and camera (``python -m simulation.drift``)."""
LEARN_MS, LEARN_PASSAGES = 7 * 86_400_000, 300
"""Nothing is reported before both have passed: what is usual has to be known first."""
FOLLOW = 1 / 2000
"""Share by which each passage moves what is usual for its hour: a month or so, at sixty passages an hour of the day."""
RECENT = 1 / 150
"""Weight of the newest passage in the size of a change."""
TOGETHER_MS = 12 * 3_600_000
"""Changes of signals within this time are one finding."""
PSI_LARGE = 0.25
"""Population stability index from which two distributions differ much: the usual rule of thumb in credit scoring."""
PSI_BINS, PSI_PASSAGES = 10, 1000


class Signal(NamedTuple):
    """One measured property of passages.

    ``of`` returns it for a passage; where ``ratio`` is true it is a logarithm, and changes are shares of the value.
    ``least`` is the smallest change worth a report, as a share or in the value's own unit. ``hold_ms`` is how long a
    change must last. ``less`` and ``more`` describe it; ``{:.0%}`` stands for its size.
    """

    of: Callable[[PassageRow], float]
    ratio: bool
    least: float
    of_camera: bool
    less: str
    more: str
    hold_ms: int = 0
    slow: bool = False


def _log(value: float) -> float:
    return math.log(max(value, 1e-3))


SIGNALS: Mapping[str, Signal] = {
    "width": Signal(
        lambda row: _log(row.width), True, 0.05, True, "faces are {:.0%} smaller", "faces are {:.0%} larger", slow=True
    ),
    "sharpness": Signal(
        lambda row: _log(row.sharpness),
        True,
        0.06,
        True,
        "faces are {:.0%} less sharp",
        "faces are {:.0%} sharper",
        slow=True,
    ),
    "score": Signal(
        lambda row: row.score,
        False,
        0.02,
        True,
        "the detector is less sure of faces",
        "the detector is surer of faces",
        slow=True,
    ),
    "brightness": Signal(
        lambda row: _log(row.brightness),
        True,
        0.3,
        True,
        "faces are {:.0%} darker",
        "faces are {:.0%} brighter",
        hold_ms=2 * 86_400_000,
    ),
    "place_x": Signal(lambda row: row.place[0], False, 0.05, True, "faces are further left", "faces are further right"),
    "place_y": Signal(lambda row: row.place[1], False, 0.04, True, "faces are higher up", "faces are lower down"),
    "disagreement": Signal(
        lambda row: _log(row.disagreement),
        True,
        0.07,
        True,
        "faces are clearer to the model",
        "faces are less clear to the model",
        slow=True,
    ),
    "unsure": Signal(
        lambda row: float(row.outcome == "unsure"),
        False,
        0.02,
        True,
        "fewer people stay unsure",
        "more people stay unsure",
    ),
    "violated": Signal(
        lambda row: float(row.violated), False, 0.03, False, "more people wear masks", "fewer people wear masks"
    ),
    "badly_worn": Signal(
        lambda row: float(row.violated and row.label == WITH_INCORRECT_MASK),
        False,
        0.03,
        False,
        "fewer masks are badly worn",
        "more masks are badly worn",
    ),
}
CAUSES: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"place_x"}), "the camera was moved or turned"),
    (frozenset({"place_y"}), "the camera was moved or turned"),
    (frozenset({"width", "sharpness"}), "lens dirty, or camera moved"),
    (frozenset({"sharpness"}), "lens dirty or out of focus"),
    (frozenset({"width"}), "camera moved, or people pass elsewhere"),
    (frozenset({"brightness"}), "the light has changed"),
)
"""Signals -> the likely cause; the first entry whose signals have all changed is named."""


class _Usual(msgspec.Struct):
    """Mean and spread of a signal for each hour of the day, learned from its passages."""

    means: list[float] = msgspec.field(default_factory=lambda: [0.0] * 24)
    counts: list[int] = msgspec.field(default_factory=lambda: [0] * 24)
    variance: float = 1.0
    values: int = 0

    @property
    def deviation(self) -> float:
        """Standard deviation around the usual, never zero."""
        return math.sqrt(max(self.variance, 1e-6))

    def residual(self, value: float, hour: int, learn: bool) -> float:
        """Return how far a value is from the usual, in standard deviations, and learn from it."""
        if not self.counts[hour]:
            # An hour in which nobody passed before: the rest of the day is the best guess.
            known = [mean for mean, count in zip(self.means, self.counts, strict=True) if count]
            self.means[hour] = sum(known) / len(known) if known else value
        gap = value - self.means[hour]
        self.counts[hour] += 1
        self.values += 1
        self.means[hour] += gap * (max(FOLLOW, 1 / self.counts[hour]) if learn else FOLLOW)
        self.variance += (gap * gap - self.variance) * max(FOLLOW / 4, 1 / (self.values + 1))
        return gap / self.deviation

    def shift(self, by: float) -> None:
        """Take a change for the usual from now on."""
        self.means = [mean + by for mean in self.means]


class _Slow(msgspec.Struct):
    """Distribution of a signal after the installation, and now, for the population stability index."""

    first: list[float] = msgspec.field(default_factory=list)
    edges: list[float] = msgspec.field(default_factory=list)
    expected: list[float] = msgspec.field(default_factory=list)
    found: list[int] = msgspec.field(default_factory=lambda: [0] * PSI_BINS)
    mean: float = 0.0
    total: float = 0.0

    def add(self, value: float) -> tuple[float, float] | None:
        """Add a value; every PSI_PASSAGES return (index, change of the mean) against the installation."""
        if not self.edges:
            self.first.append(value)
            if len(self.first) == PSI_PASSAGES:
                ordered = sorted(self.first)
                self.edges = [ordered[len(ordered) * n // PSI_BINS] for n in range(1, PSI_BINS)]
                counts = [0] * PSI_BINS
                for each in ordered:
                    counts[bisect_right(self.edges, each)] += 1
                self.expected = [(count + 0.5) / (PSI_PASSAGES + PSI_BINS / 2) for count in counts]
                self.mean, self.first = sum(ordered) / len(ordered), []
            return None
        self.found[bisect_right(self.edges, value)] += 1
        self.total += value
        if sum(self.found) < PSI_PASSAGES:
            return None
        shares = [(count + 0.5) / (PSI_PASSAGES + PSI_BINS / 2) for count in self.found]
        index = sum((now - then) * math.log(now / then) for now, then in zip(shares, self.expected, strict=True))
        change = self.total / PSI_PASSAGES - self.mean
        self.found, self.total = [0] * PSI_BINS, 0.0
        return index, change


class SignalState(msgspec.Struct):
    """What is known about one signal of one camera; kept in the database over restarts.

    ``changed`` sums the changes since what was usual at first, ``recent`` is how far the newest values are from the
    usual now: a change is found from its first few dozen values, which give its size only roughly.
    """

    usual: _Usual = msgspec.field(default_factory=_Usual)
    slow: _Slow = msgspec.field(default_factory=_Slow)
    window: list[Bucket] = msgspec.field(default_factory=list)
    changed: float = 0.0
    recent: float = 0.0
    since: int = 0
    slowly: float = 0.0


class CameraState(msgspec.Struct):
    """What is known about one camera; ``began`` and ``last`` are milliseconds since 1970."""

    began: int = 0
    last: int = 0
    passages: int = 0
    signals: dict[str, SignalState] = msgspec.field(default_factory=dict)


class Drift:
    """Finds changes in the passages of all cameras. ``states`` are those of an earlier process, by camera."""

    def __init__(self, states: Mapping[str, CameraState] | None = None) -> None:
        self.states: dict[str, CameraState] = dict(states or {})
        self._windows: dict[tuple[str, str], Adwin] = {
            (camera, name): Adwin(DELTA, buckets=signal.window)
            for camera, state in self.states.items()
            for name, signal in state.signals.items()
        }

    def add(self, row: PassageRow) -> bool:
        """Add a passage that has ended; return whether the findings may have changed. Pictures are no passages."""
        if row.outcome == Change.PICTURE.value:
            return False
        state = self.states.setdefault(row.camera, CameraState(began=row.entered))
        state.last, state.passages = row.entered, state.passages + 1
        learning = state.passages < LEARN_PASSAGES or row.entered - state.began < LEARN_MS
        hour = datetime.fromtimestamp(row.entered / 1000).hour
        unmeasured = not row.width  # an unsure person: there was no decision at which the face was measured
        changed = False
        for name, signal in SIGNALS.items():
            if unmeasured and name not in ("unsure", "score", "disagreement"):
                continue
            each = state.signals.setdefault(name, SignalState())
            if each.changed and row.entered - each.since > ACCEPT_MS:
                each.changed, changed = 0.0, True
            changed |= self._add(row, hour, name, signal, each, learning)
        return changed

    def _add(self, row: PassageRow, hour: int, name: str, signal: Signal, state: SignalState, learning: bool) -> bool:
        value = signal.of(row)
        if signal.slow and (compared := state.slow.add(value)) is not None:
            index, change = compared
            large = index >= PSI_LARGE and self._size(signal, change) >= 2 * signal.least
            slowly, state.slowly = state.slowly, change if large else 0.0
            if bool(slowly) != bool(state.slowly):
                return True
        residual = state.usual.residual(value, hour, learning)
        if learning:
            return False
        deviation = state.usual.deviation
        state.recent += (residual * deviation - state.recent) * RECENT
        window = self._windows.get((row.camera, name)) or Adwin(DELTA)
        self._windows[row.camera, name] = window
        change_found = window.add(max(-4.0, min(4.0, residual)), row.entered)
        if change_found is None:
            return False
        # The usual is now that after the change, so that a change back is a change as well.
        by = change_found.after * deviation
        state.usual.shift(by)
        state.recent = 0.0
        self._windows[row.camera, name] = Adwin(DELTA)
        before, state.changed = self._size(signal, state.changed), state.changed + by
        if before < signal.least:
            state.since = change_found.at
        if self._size(signal, state.changed) < signal.least:
            state.changed = 0.0
        return True

    def findings(self) -> list[Finding]:
        """Return what has changed and has not changed back, camera and behaviour apart."""
        found: list[Finding] = []
        for camera, state in self.states.items():
            for of_camera in (True, False):
                changed = [
                    (name, each)
                    for name, each in state.signals.items()
                    if SIGNALS[name].of_camera is of_camera and self._shown(SIGNALS[name], each, state.last)
                ]
                found += _grouped(camera, of_camera, sorted(changed, key=lambda item: item[1].since))
                found += _slow_findings(camera, state) if of_camera else []
        return found

    def saved(self) -> dict[str, CameraState]:
        """Return the states of all cameras with their windows, to be stored."""
        for (camera, name), window in self._windows.items():
            self.states[camera].signals[name].window = window.buckets
        return self.states

    @staticmethod
    def _size(signal: Signal, change: float) -> float:
        return abs(math.expm1(change)) if signal.ratio else abs(change)

    def _shown(self, signal: Signal, state: SignalState, now: int) -> bool:
        if not state.changed or now - state.since < signal.hold_ms:
            return False
        return self._size(signal, state.changed + state.recent) >= signal.least


def _grouped(camera: str, of_camera: bool, changed: list[tuple[str, SignalState]]) -> Iterable[Finding]:
    """Yield one finding for all signals that changed at about the same time."""
    while changed:
        first = changed[0][1].since
        together = [(name, state) for name, state in changed if state.since - first <= TOGETHER_MS]
        changed = changed[len(together) :]
        names = frozenset(name for name, _ in together)
        texts = [_words(name, state.changed + state.recent) for name, state in together]
        cause = next((cause for signals, cause in CAUSES if signals <= names), "")
        moment = datetime.fromtimestamp(first / 1000).astimezone()
        when = f"{moment:%A, %d %B, %H:%M}" if of_camera else f"{moment:%A, %d %B}"
        message = f"{_listed(texts)} since {when}" + (f": {cause}" if of_camera and cause else "")
        yield Finding(camera, "+".join(sorted(names)), of_camera, first, message)


def _slow_findings(camera: str, state: CameraState) -> Iterable[Finding]:
    slow = [(name, each) for name, each in state.signals.items() if each.slowly and not each.changed]
    if slow:
        texts = [_words(name, each.slowly) for name, each in slow]
        names = frozenset(name for name, _ in slow)
        cause = next((cause for signals, cause in CAUSES if signals <= names), "clean the lens, check the mounting")
        moment = datetime.fromtimestamp(state.began / 1000).astimezone()
        message = f"{_listed(texts)} than after the installation on {moment:%d %B %Y}: {cause}"
        yield Finding(camera, "slow:" + "+".join(sorted(names)), True, state.began, message)


def _words(name: str, change: float) -> str:
    signal = SIGNALS[name]
    size = abs(math.expm1(change)) if signal.ratio else abs(change)
    return (signal.less if change < 0 else signal.more).format(size)


def _listed(texts: list[str]) -> str:
    """Join "faces are smaller" and "faces are less sharp" to "faces are smaller and less sharp"."""
    first, *rest = texts
    start = "faces are "
    rest = [text.removeprefix(start) if first.startswith(start) and text.startswith(start) else text for text in rest]
    return " and ".join((", ".join([first, *rest[:-1]]), rest[-1])) if rest else first
