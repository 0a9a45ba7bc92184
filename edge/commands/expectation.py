"""A site's regression test: a clip of its own door, and what fmd must make of it.

Whoever keeps clips of the door (people walking in with and without a mask) writes down once what is right, and after
every change of settings, models or fmd itself asks again: ``fmd replay door.mp4 --expect door.toml``. The clip goes
through the whole service on simulated outputs; what is compared are passages (who came, when, with which end) and the
seconds during which the alarm was on. Times may differ by ``tolerance_s``; people and outcomes may not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from edge.contracts import Change, Decision, Delivery, Outcome, Step
from edge.errors import SettingsError
from edge.reporting.listener import Listener

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TOLERANCE_S = 0.5

Seconds = Annotated[float, msgspec.Meta(ge=0)]
Ends = Literal["compliant", "violation", "unsure"]


class Span(NamedTuple):
    """From and to, in seconds of the clip."""

    from_s: float
    to_s: float

    def overlap(self, other: Span) -> float:
        """Seconds both share; below zero the seconds between them."""
        return min(self.to_s, other.to_s) - max(self.from_s, other.from_s)

    def __str__(self) -> str:
        return f"{self.from_s:.1f}-{self.to_s:.1f} s"


class Passed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One person: when they were there, how it ended, whether it was ever a violation, and by when it was decided."""

    from_s: Seconds
    to_s: Seconds
    outcome: Ends
    violated: bool
    decided_s: Seconds | None = None

    @property
    def span(self) -> Span:
        return Span(self.from_s, self.to_s)

    def __str__(self) -> str:
        return f"{self.span}: {self.outcome}{', had violated' if self.violated else ''}"


class Course(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"passages": "passage"}):
    """What became of a clip, or what has to: everybody, and the spans in which the alarm was on."""

    format: Literal[1] = 1
    tolerance_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = TOLERANCE_S
    alarms: tuple[tuple[Seconds, Seconds], ...] = ()
    passages: tuple[Passed, ...] = ()


class CourseRecorder(Listener):
    """Takes a run's steps and decisions and makes a :class:`Course` of them."""

    def __init__(self) -> None:
        self._passed: list[Passed] = []
        self._decided_s: dict[int, float] = {}
        self._alarms: list[Span] = []
        self._since_s: float | None = None
        self._now_s = 0.0

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """Note whether the alarm is on."""
        self._now_s = step.frame.captured_s
        self._alarm(step.alarm)

    def on_decision(self, decision: Decision) -> None:
        """Note who was decided when, and who left how."""
        passage = decision.passage
        self._decided_s.setdefault(passage.id, decision.at_s)
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
        """Everything noted; the clip's end ends an alarm."""
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
    """One comparison: whether it is as expected, and what is told of it."""

    good: bool
    said: str

    def __str__(self) -> str:
        return f"{'ok' if self.good else 'FAIL':<6}{self.said}"


def compared(expected: Course, seen: Course) -> Iterator[Line]:
    """Every expected passage and alarm, then what nobody expected."""
    tolerance_s = expected.tolerance_s
    likely = _pairs(
        expected.passages, seen.passages, lambda a, b: _likeness(a, b) if _meet(a.span, b.span, tolerance_s) else None
    )
    for i, wanted in enumerate(expected.passages):
        yield _passage(wanted, seen.passages[likely[i]] if i in likely else None, tolerance_s)
    for k, extra in enumerate(seen.passages):
        if k not in likely.values():
            yield Line(False, f"passage {extra}: nobody was expected")
    yield from _alarms([Span(*span) for span in expected.alarms], [Span(*span) for span in seen.alarms], tolerance_s)


def _meet(a: Span, b: Span, tolerance_s: float) -> bool:
    return a.overlap(b) > -tolerance_s


def _likeness(wanted: Passed, got: Passed) -> float:
    """Of two people there at once, each is compared with the one of the same outcome first."""
    agreeing = (wanted.outcome == got.outcome) + (wanted.violated == got.violated)
    together = max(wanted.to_s, got.to_s) - min(wanted.from_s, got.from_s)
    return agreeing + wanted.span.overlap(got.span) / max(together, 1e-9)


def _pairs(wanted: Sequence[Any], got: Sequence[Any], likeness: Callable[[Any, Any], float | None]) -> dict[int, int]:
    """Which of ``got`` belongs to which of ``wanted``, the likeliest first; None pairs nobody."""
    scored = [(likeness(a, b), i, k) for i, a in enumerate(wanted) for k, b in enumerate(got)]
    pairs: dict[int, int] = {}
    for _, i, k in sorted((-score, i, k) for score, i, k in scored if score is not None):
        if i not in pairs and k not in pairs.values():
            pairs[i] = k
    return pairs


def _passage(wanted: Passed, got: Passed | None, tolerance_s: float) -> Line:
    if got is None:
        return Line(False, f"passage {wanted}: nobody was seen")
    troubles = []
    if (wanted.outcome, wanted.violated) != (got.outcome, got.violated):
        troubles.append(f"got {got}")
    times = [("from_s", wanted.from_s, got.from_s), ("to_s", wanted.to_s, got.to_s)]
    troubles += [f"{name} got {was:.2f}" for name, right, was in times if abs(right - was) > tolerance_s]
    if wanted.decided_s is not None and (got.decided_s or 0.0) > wanted.decided_s + tolerance_s:
        troubles.append(f"decided at {got.decided_s:.2f} s, expected by {wanted.decided_s:.2f} s")
    return Line(not troubles, f"passage {wanted}{': ' if troubles else ''}{'; '.join(troubles)}")


def _alarms(wanted: Sequence[Span], got: Sequence[Span], tolerance_s: float) -> Iterator[Line]:
    pairs = _pairs(wanted, got, lambda a, b: a.overlap(b) if _meet(a, b, tolerance_s) else None)
    for i, span in enumerate(wanted):
        found = got[pairs[i]] if i in pairs else None
        if found is None:
            yield Line(False, f"alarm {span}: it stayed off")
        else:
            off_s = max(abs(a - b) for a, b in zip(span, found, strict=True))
            yield Line(off_s <= tolerance_s, f"alarm {span}{f': got {found}' if off_s > tolerance_s else ''}")
    for k, span in enumerate(got):
        if k not in pairs.values():
            yield Line(False, f"alarm {span}: none was expected")


def read(path: Path) -> Course:
    """What is expected, from TOML, or JSON by the file's ending. Raises SettingsError naming what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot read what is expected: {error}; record it with --write") from error
    try:
        plain = msgspec.json.decode(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
        return msgspec.convert(plain, Course)
    except (msgspec.MsgspecError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: {error}; record one to look at with --write") from error


def write(path: Path, course: Course, clip: str) -> None:
    """Write down a course as what is expected from now on; TOML, or JSON by the file's ending."""
    if path.suffix.lower() == ".json":
        path.write_bytes(msgspec.json.format(msgspec.json.encode(course), indent=1) + b"\n")
    else:
        path.write_text(_as_toml(course, clip), encoding="utf-8")


def _as_toml(course: Course, clip: str) -> str:
    alarms = ", ".join(f"[{from_s}, {to_s}]" for from_s, to_s in course.alarms)
    named = "".join(c if c.isprintable() else "?" for c in clip)  # TOML's comments hold nothing else, nor does UTF-8
    lines = [
        f"# What fmd must make of {named}, as recorded by fmd replay --write.",
        "# Look at the clip, and correct here what is wrong.",
        f"format = {course.format}",
        "# Times may be this many seconds off.",
        f"tolerance_s = {course.tolerance_s}",
        "# From when to when the alarm is on, seconds.",
        f"alarms = [{alarms}]",
    ]
    for passed in course.passages:
        lines += ["", "[[passage]]", *(f"{key} = {_toml(value)}" for key, value in _plain(passed).items())]
    return "\n".join(lines) + "\n"


def _plain(passed: Passed) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(passed)
    return {key: value for key, value in plain.items() if value is not None}


def _toml(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
