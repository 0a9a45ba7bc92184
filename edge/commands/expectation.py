"""What a clip of a door must lead to: recorded, corrected by a person, and compared with later runs.

A site keeps clips of people who walk in with and without a mask. ``fmd replay door.mp4 --expect door.toml --write``
records once what fmd decides; the user corrects the file. After every change of settings, models or fmd, the same
command without ``--write`` compares passages (who came, when, with which outcome) and the seconds with an alarm. Times
may differ by ``tolerance_s``; people and outcomes may not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from edge import files
from edge.contracts import Change, Decision, Delivery, Outcome, Step
from edge.errors import SettingsError
from edge.reporting.listener import Listener

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TOLERANCE_S = 0.5
"""Tolerance that is recorded: a board of another speed drops other frames of the same clip."""

Seconds = Annotated[float, msgspec.Meta(ge=0)]
Ends = Literal["compliant", "violation", "unsure"]


class Span(NamedTuple):
    """Start and end, in seconds of the clip."""

    from_s: float
    to_s: float

    def overlap(self, other: Span) -> float:
        """Return the seconds that both share, or minus the seconds between them."""
        return min(self.to_s, other.to_s) - max(self.from_s, other.from_s)

    def __str__(self) -> str:
        return f"{self.from_s:.1f}-{self.to_s:.1f} s"


class Passed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One person: when they came and left, the last outcome, whether any was a violation, when the first one came."""

    from_s: Seconds
    to_s: Seconds
    outcome: Ends
    violated: bool
    decided_s: Seconds | None = None

    @property
    def span(self) -> Span:
        return Span(self.from_s, self.to_s)

    def __str__(self) -> str:
        cleared = self.violated and self.outcome != "violation"
        return f"{self.span}: {self.outcome}{' after a violation' if cleared else ''}"


class Course(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"passages": "passage"}):
    """Passages of a clip and the spans in which the alarm was on: as recorded, or as expected."""

    format: Literal[1] = 1
    tolerance_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = TOLERANCE_S
    alarms: tuple[tuple[Seconds, Seconds], ...] = ()
    passages: tuple[Passed, ...] = ()


class CourseRecorder(Listener):
    """Makes a :class:`Course` of the steps and decisions of a run."""

    def __init__(self) -> None:
        self._passed: list[Passed] = []
        self._decided_s: dict[int, float] = {}
        self._alarms: list[Span] = []
        self._since_s: float | None = None
        self._now_s = 0.0

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """Record whether the alarm is on."""
        self._now_s = step.frame.captured_s
        self._alarm(step.alarm)

    def on_decision(self, decision: Decision) -> None:
        """Record when a person was first decided, and the passage when they leave."""
        passage = decision.passage
        self._decided_s.setdefault(passage.id, decision.at_s)
        # Who was never decided is often no person; the service leaves them out of its counts as well.
        if decision.change is Change.LEFT and passage.outcome is not Outcome.UNDECIDED:
            self._passed.append(
                Passed(
                    from_s=round(passage.entered_s, 2),
                    to_s=round(passage.seen_s, 2),
                    outcome=passage.outcome.value,
                    violated=passage.violated,
                    decided_s=round(self._decided_s.pop(passage.id), 2),
                )
            )

    def course(self) -> Course:
        """Return what was recorded; the end of the clip ends an alarm."""
        self._alarm(False)
        spans = tuple((round(span.from_s, 2), round(span.to_s, 2)) for span in self._alarms)
        return Course(alarms=spans, passages=tuple(sorted(self._passed, key=lambda passed: passed.span)))

    def _alarm(self, on: bool) -> None:
        if on and self._since_s is None:
            self._since_s = self._now_s
        elif not on and self._since_s is not None:
            self._alarms.append(Span(self._since_s, self._now_s))
            self._since_s = None


class Line(NamedTuple):
    """One comparison: whether it is as expected, and its text."""

    good: bool
    text: str

    def __str__(self) -> str:
        return f"{'ok' if self.good else 'FAIL':<6}{self.text}"


def compared(expected: Course, seen: Course) -> Iterator[Line]:
    """Yield a line for every expected passage and alarm, and for every other one that was recorded."""
    tolerance_s = expected.tolerance_s
    likely = _pairs(
        expected.passages, seen.passages, lambda a, b: _likeness(a, b) if _meet(a.span, b.span, tolerance_s) else None
    )
    for i, wanted in enumerate(expected.passages):
        yield _passage(wanted, seen.passages[likely[i]] if i in likely else None, tolerance_s)
    for k, extra in enumerate(seen.passages):
        if k not in likely.values():
            yield Line(False, f"passage {extra}: not expected")
    yield from _alarms([Span(*span) for span in expected.alarms], [Span(*span) for span in seen.alarms], tolerance_s)


def _meet(a: Span, b: Span, tolerance_s: float) -> bool:
    return a.overlap(b) > -tolerance_s


def _likeness(wanted: Passed, got: Passed) -> float:
    """Return how much two passages agree: the outcome counts more than the time, as two people may come at once."""
    agreeing = (wanted.outcome == got.outcome) + (wanted.violated == got.violated)
    together = max(wanted.to_s, got.to_s) - min(wanted.from_s, got.from_s)
    # The share of time is at most 1, so that it only ranks pairs whose outcomes agree equally well.
    return agreeing + wanted.span.overlap(got.span) / max(together, 1e-9)


def _pairs(wanted: Sequence[Any], got: Sequence[Any], likeness: Callable[[Any, Any], float | None]) -> dict[int, int]:
    """Return index of ``wanted`` -> index of ``got``, the likeliest pairs first; ``likeness`` None forbids a pair."""
    # Greedy is enough: at a door few people overlap, and the best pair of all is almost always right.
    scored = [(likeness(a, b), i, k) for i, a in enumerate(wanted) for k, b in enumerate(got)]
    pairs: dict[int, int] = {}
    for _, i, k in sorted((-score, i, k) for score, i, k in scored if score is not None):
        if i not in pairs and k not in pairs.values():
            pairs[i] = k
    return pairs


def _passage(wanted: Passed, got: Passed | None, tolerance_s: float) -> Line:
    if got is None:
        return Line(False, f"passage {wanted}: missing")
    differences = []
    if (wanted.outcome, wanted.violated) != (got.outcome, got.violated):
        differences.append(f"got {got}")
    times = [("from_s", wanted.from_s, got.from_s), ("to_s", wanted.to_s, got.to_s)]
    differences += [f"{name} got {was:.2f}" for name, right, was in times if abs(right - was) > tolerance_s]
    # Only a later decision is worse; an earlier one needs no correction of the file.
    if wanted.decided_s is not None and (got.decided_s or 0.0) > wanted.decided_s + tolerance_s:
        differences.append(f"decided at {got.decided_s:.2f} s, expected by {wanted.decided_s:.2f} s")
    return Line(not differences, f"passage {wanted}{': ' if differences else ''}{'; '.join(differences)}")


def _alarms(wanted: Sequence[Span], got: Sequence[Span], tolerance_s: float) -> Iterator[Line]:
    pairs = _pairs(wanted, got, lambda a, b: a.overlap(b) if _meet(a, b, tolerance_s) else None)
    for i, span in enumerate(wanted):
        found = got[pairs[i]] if i in pairs else None
        if found is None:
            yield Line(False, f"alarm {span}: missing")
        else:
            off_s = max(abs(a - b) for a, b in zip(span, found, strict=True))
            yield Line(off_s <= tolerance_s, f"alarm {span}{f': got {found}' if off_s > tolerance_s else ''}")
    for k, span in enumerate(got):
        if k not in pairs.values():
            yield Line(False, f"alarm {span}: not expected")


def read(path: Path) -> Course:
    """Return the expectation in a TOML file, or JSON by its suffix. Raises SettingsError that names what is wrong."""
    try:
        # Editors on Windows put a byte order mark in front.
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no text in UTF-8"
        raise SettingsError(f"{path}: cannot read the expectation: {why}; record one with --write") from error
    try:
        plain = msgspec.json.decode(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
        return msgspec.convert(plain, Course)
    except (msgspec.MsgspecError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: {error}; for an example, record one with --write") from error


def is_expectation(path: Path) -> bool:
    """Return whether :func:`read` accepts a file."""
    try:
        read(path)
    except SettingsError:
        return False
    return True


def write(path: Path, course: Course, clip: str) -> None:
    """Write a course as the expectation of later runs: TOML, or JSON by the suffix of ``path``."""
    if path.suffix.lower() == ".json":
        data = msgspec.json.format(msgspec.json.encode(course), indent=1) + b"\n"
    else:
        data = _as_toml(course, clip).encode()
    # An expectation that a person corrected is work: a full disk must not cut it short.
    files.write_atomically(path, data)


def _as_toml(course: Course, clip: str) -> str:
    alarms = ", ".join(f"[{from_s}, {to_s}]" for from_s, to_s in course.alarms)
    # Neither a comment of TOML nor UTF-8 holds anything else.
    named = "".join(c if c.isprintable() else "?" for c in clip)
    lines = [
        f"# What fmd must decide on {named}, as recorded by fmd replay --write.",
        "# Watch the clip, and correct this file where it is wrong.",
        f"format = {course.format}",
        "# Largest difference between times, seconds.",
        f"tolerance_s = {course.tolerance_s}",
        "# Start and end of each alarm, seconds.",
        f"alarms = [{alarms}]",
    ]
    for passed in course.passages:
        lines += ["", "[[passage]]", *(f"{key} = {_toml(value)}" for key, value in _plain(passed).items())]
    return "\n".join(lines) + "\n"


def _plain(passed: Passed) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(passed)
    # TOML has no null; a missing key reads as None.
    return {key: value for key, value in plain.items() if value is not None}


def _toml(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
