"""Findings: the results of checks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """Severity of a finding. Only with an ERROR fmd cannot watch the door."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result: the check, its status, a sentence for the user, and the fix (empty if there is nothing to fix)."""

    check: str
    status: Status
    text: str
    fix: str = ""


def ok(check: str, text: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(check, Status.OK, text)


def note(check: str, text: str, fix: str = "") -> Finding:
    """Return a finding that the user may want to know; nothing is wrong."""
    return Finding(check, Status.NOTE, text, fix)


def warn(check: str, text: str, fix: str) -> Finding:
    """Return a finding about something that works now and may fail later."""
    return Finding(check, Status.WARNING, text, fix)


def fail(check: str, text: str, fix: str) -> Finding:
    """Return a finding that keeps fmd from watching the door."""
    return Finding(check, Status.ERROR, text, fix)
