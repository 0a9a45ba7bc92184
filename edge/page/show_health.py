"""What the health screen shows: the doctor's findings, tests of outputs, models, events and the log."""

from __future__ import annotations

from typing import NamedTuple

from edge.page_messages import DoctorReply, FindingView, LiveReply, LogReply, ShadowStateReply

ORDER = ("error", "warning", "ok")
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
    """Everything on the screen; findings and log are None until they are asked for, because they take seconds."""

    findings: tuple[Finding, ...] | None
    summary: str
    events: tuple[str, ...]
    lines: tuple[str, ...]
    models: tuple[str, ...]
    shadow: ShadowStateReply
    shadow_runs: bool
    outputs: tuple[tuple[str, str], ...]
    tasks: tuple[tuple[str, str], ...]


def health(live: LiveReply, shadow: ShadowStateReply, doctor: DoctorReply | None, log: LogReply | None) -> Health:
    """Return what the screen shows: errors first."""
    findings = tuple(map(_finding, sorted(doctor.findings, key=_rank))) if doctor else None
    return Health(
        findings=findings,
        summary=summary(findings or ()),
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
    errors, warnings = (sum(each.status == status for each in findings) for status in ("error", "warning"))
    if not errors and not warnings:
        return f"All {len(findings)} checks passed."
    parts = [_counted(errors, "error"), _counted(warnings, "warning")]
    return f"{' and '.join(part for part in parts if part)} in {len(findings)} checks."


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}" if number else ""


def _rank(view: FindingView) -> int:
    return ORDER.index(view.status) if view.status in ORDER else len(ORDER)


def _finding(view: FindingView) -> Finding:
    return Finding(view.status, TONES.get(view.status, ""), view.title, view.words, view.fix)
