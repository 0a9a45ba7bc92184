"""What the health screen shows: the doctor's findings, tests of outputs, models, events and the log."""

from __future__ import annotations

from typing import NamedTuple

from edge.page_messages import DoctorReply, FindingView, LiveReply, LogReply, ShadowStateReply

ORDER = ("error", "warning", "note", "ok")
PASSED = "ok"
TONES = {"error": "bad", "warning": "warn", "ok": "good"}
OUTPUTS = (("buzzer", "Buzzer"), ("led", "LED"), ("relay", "Relay"), ("voice", "Voice"))
TASKS = (("classifier", "mask classifier"), ("detector", "face detector"))
RESTING = ("none", "installed", "refused", "failed")
"""Phases of an installation in which nothing happens any more."""


class Finding(NamedTuple):
    """A finding of the doctor."""

    status: str
    tone: str
    title: str
    words: str
    fix: str


class Health(NamedTuple):
    """Everything on the screen. Without ``checked`` there are no findings and no log yet, because they take seconds.

    ``findings`` are those that need attention, errors first, ``passed`` all others.
    """

    checked: bool
    findings: tuple[Finding, ...]
    passed: tuple[Finding, ...]
    summary: str
    events: tuple[str, ...]
    lines: tuple[str, ...]
    models: tuple[str, ...]
    shadow: ShadowStateReply
    shadow_runs: bool
    outputs: tuple[tuple[str, str], ...]
    tasks: tuple[tuple[str, str], ...]


def health(live: LiveReply, shadow: ShadowStateReply, doctor: DoctorReply | None, log: LogReply | None) -> Health:
    """Return what the screen shows."""
    found = tuple(map(_finding, sorted(doctor.findings, key=_rank))) if doctor else ()
    return Health(
        checked=doctor is not None,
        findings=tuple(each for each in found if each.status != PASSED),
        passed=tuple(each for each in found if each.status == PASSED),
        summary=summary(found),
        events=log.events[::-1] if log else (),
        lines=log.lines if log else (),
        models=live.models,
        shadow=shadow,
        shadow_runs=shadow.phase not in RESTING,
        outputs=OUTPUTS,
        tasks=TASKS,
    )


def summary(findings: tuple[Finding, ...]) -> str:
    """Return how many findings need attention, in a sentence."""
    numbers = [_counted(sum(each.status == status for each in findings), status) for status in ("error", "warning")]
    worst = " and ".join(number for number in numbers if number) or "No error and no warning"
    return f"{worst} in {_counted(len(findings), 'check')}."


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}" if number else ""


def _rank(view: FindingView) -> int:
    return ORDER.index(view.status) if view.status in ORDER else len(ORDER)


def _finding(view: FindingView) -> Finding:
    return Finding(view.status, TONES.get(view.status, ""), view.title, view.words, view.fix)
