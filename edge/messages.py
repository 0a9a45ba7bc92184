"""Content of the messages that fmd publishes and records: one typed struct for each kind, built once.

MQTT, notifications, the event log and metrics all use these. The field names are the JSON keys that subscribers see.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from edge.text import escaped

if TYPE_CHECKING:  # it loads numpy, which the web page's small process does without
    from edge.contracts import Decision, Health, ModelFallback


class StateMessage(msgspec.Struct, frozen=True):
    """What is shown: the name of a :class:`edge.contracts.Signal` in lower case, or "off" when fmd stops."""

    state: str


class DecisionMessage(msgspec.Struct, frozen=True):
    """A decision about one person.

    ``person`` is unique across restarts. ``change`` and ``outcome`` are values of their enums in
    :mod:`edge.contracts`, ``signal`` is a state. ``observations`` counts the classifications that were used, and
    ``seconds`` is how long the person has been in view.
    """

    change: str
    person: str
    outcome: str
    label: str
    signal: str
    violated: bool
    observations: int
    seconds: float


class HealthMessage(msgspec.Struct, frozen=True):
    """State of a camera, why it is blind, why it is processed too rarely, and what else its user may want to change.

    The last three are empty if all is well.
    """

    state: str
    reason: str
    slow: str
    hint: str = ""


class ArmingMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether fmd gives alarms, and why.

    ``source`` is what decided it: default (nothing disarms), schedule, clock (it is not synchronised, so the schedule
    is ignored), end (a requested time is over), command, page, pin or mqtt. ``by`` names the user or the contact.
    ``until`` is when it ends by itself, and ``muted_until`` when buzzer and voice sound again: UTC, empty for none.
    """

    armed: bool
    source: str
    by: str = ""
    until: str = ""
    muted_until: str = ""


class ModelMessage(msgspec.Struct, frozen=True):
    """A model that is not the installed one: task, file in use, installed file and why (both empty if all is well)."""

    task: str
    used: str
    wanted: str
    reason: str


class BuildMessage(msgspec.Struct, frozen=True):
    """What runs: version of fmd, the models, hash of the deciding settings, board and system.

    ``model`` is the classifier's name.

    The hashes are the first 12 hexadecimal digits of a SHA-256, as in the record. Fields are empty if they are unknown.
    """

    version: str = ""
    model: str = ""
    classifier_sha: str = ""
    detector_sha: str = ""
    settings_hash: str = ""
    board: str = ""
    os: str = ""


class MetricsMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Counters since the start over all cameras, and what the board measures; fields it cannot measure are left out."""

    uptime_s: float
    frames: int
    frames_dropped: int
    frame_age_s: float
    alarms: int
    blind_times: int
    too_slow: bool
    messages_dropped: int
    passages_violated: int
    passages_compliant: int
    passages_unsure: int
    model_fallback: bool = False
    memory_mb: float | None = None
    temperature_c: float | None = None
    under_voltage: bool | None = None
    frequency_capped: bool | None = None
    throttled: bool | None = None
    soft_temperature_limit: bool | None = None
    under_voltage_occurred: bool | None = None
    frequency_capped_occurred: bool | None = None
    throttled_occurred: bool | None = None
    soft_temperature_limit_occurred: bool | None = None


SOURCES = {
    "default": "",
    "schedule": "by the schedule",
    "clock": "because the clock is not synchronised",
    "end": "because the requested time is over",
    "mqtt": "by MQTT",
}
"""Source of an arming state -> words; a command and a pin are named by who gave them."""


def arming_in_words(arming: ArmingMessage) -> str:
    """Return a state in words, with local times: "disarmed by pi (uid 1000) until 2026-11-30 18:00".

    Root reads it from files and sockets of user fmd, so it may hold anything, and what is returned is printable.
    """
    why = SOURCES.get(arming.source, f"by {arming.by or arming.source}")
    text = f"{'armed' if arming.armed else 'disarmed'}{why and f' {why}'}{_until(arming.until)}"
    return escaped(f"{text}, muted{_until(arming.muted_until)}" if arming.muted_until else text)


def _until(at: str) -> str:
    if not at:
        return ""
    try:
        return f" until {datetime.fromisoformat(at).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return f" until {at}"


class DriftMessage(msgspec.Struct, frozen=True):
    """What has changed at a camera: the camera or its light, and people's behaviour, apart.

    ``message`` and ``behaviour`` say it in words, empty if nothing has changed. The times are the first change of each,
    ISO 8601 in UTC, empty without one.
    """

    changed: bool = False
    message: str = ""
    since: str = ""
    behaviour_changed: bool = False
    behaviour: str = ""
    behaviour_since: str = ""


class ReportMessage(msgspec.Struct, frozen=True):
    """The report of a week. ``text`` is for people; ``page`` is the same as one HTML file, for publishers that attach.

    ``began`` and ``ended`` are ISO 8601 in local time. ``compliance`` and ``corrected`` are a share 0..1 with the ends
    of its 95% interval, None if there is none. ``unwatched_s`` is time in which a person could have passed unseen.
    """

    title: str
    text: str
    page: str
    began: str
    ended: str
    passages: int
    compliant: int
    violated: int
    badly_worn: int
    unsure: int
    watched_s: int
    unwatched_s: int
    compliance: tuple[float, float, float] | None
    corrected: tuple[float, float, float] | None


def decision_message(decision: Decision, started_at: float) -> DecisionMessage:
    """Return the message for a decision; ``started_at`` is when this run began, in seconds since 1970.

    Passages are counted from 1 at every start, so only together with the start do they identify one person.
    """
    passage = decision.passage
    return DecisionMessage(
        change=decision.change.value,
        person=f"{started_at:.0f}-{passage.id}",
        outcome=passage.outcome.value,
        label=passage.label,
        signal=passage.signal.state,
        violated=passage.violated,
        observations=passage.observations,
        seconds=round(passage.seen_s - passage.entered_s, 2),
    )


def health_message(health: Health, hint: str = "") -> HealthMessage:
    """Return the message for a camera's health."""
    return HealthMessage(state=health.state.value, reason=health.reason, slow=health.slow, hint=hint)


def model_message(fallback: ModelFallback) -> ModelMessage:
    """Return the message for a task that does not use its installed model."""
    return ModelMessage(fallback.task, fallback.used, fallback.wanted, fallback.reason)
