"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """How bad it is. Only FAIL keeps fmd from watching the door."""

    OK = "ok"
    NOTE = "note"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer: of which check, how bad, in words, and what to do (empty where nothing is to be done)."""

    check: str
    status: Status
    said: str
    cure: str = ""


def ok(check: str, said: str) -> Finding:
    """All is well."""
    return Finding(check, Status.OK, said)


def note(check: str, said: str, cure: str = "") -> Finding:
    """Worth knowing; nothing is wrong."""
    return Finding(check, Status.NOTE, said, cure)


def warn(check: str, said: str, cure: str) -> Finding:
    """It works, and may not go on to."""
    return Finding(check, Status.WARN, said, cure)


def fail(check: str, said: str, cure: str) -> Finding:
    """fmd cannot watch the door like this."""
    return Finding(check, Status.FAIL, said, cure)
