"""What the child process of :mod:`edge.page_service.jobs` does: reports, tuning, events, the doctor, a backup.

It reads what the commands read, with their code. What it returns is a reply of :mod:`edge.page_messages`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Union

import msgspec

from edge import config, paths
from edge.child import PipeProgress
from edge.contracts import WITH_INCORRECT_MASK, Outcome
from edge.control import Message
from edge.errors import SettingsError
from edge.page_messages import (
    BackupRequest,
    DoctorReply,
    DoctorRequest,
    FileReply,
    FindingView,
    LogReply,
    LogRequest,
    PassagesReply,
    PassagesRequest,
    PassageView,
    ReportReply,
    ReportRequest,
    TuneReply,
    TuneRequest,
)
from edge.record.periods import Period

DAY_MS = 86_400_000


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a task must know of the run: the state directory (empty for none), the door's name, and its settings.

    ``base`` is the settings file, empty for none. ``options`` are those of the run that name settings. ``decide`` are
    the values of its section [decide].
    """

    state: str
    door: str
    base: str = ""
    options: tuple[str, ...] = ()
    decide: dict[str, Any] = {}

    @property
    def folder(self) -> Path:
        """The state directory. Raises SettingsError if there is none."""
        if not self.state:
            raise SettingsError("this fmd keeps no record: it has no state directory (--state)")
        return Path(self.state)


def report(asked: ReportRequest, context: Context) -> ReportReply:
    """Return a report of the record."""
    from edge.record import database, report, report_html

    now = datetime.now().astimezone()
    with database.reading(context.folder) as connection:
        found = report.make(connection, _period(asked.period, asked.back, now), now, asked.camera or None)
    return ReportReply(report=msgspec.json.encode(found), html=report_html.body(found, context.door))


def _period(kind: str, back: int, now: datetime) -> Period:
    """Return the day, week or month that was ``back`` of them ago."""
    from edge.record import periods

    make = {"day": periods.day, "week": periods.week, "month": periods.month}[kind]
    found = make(now)
    for _ in range(back):
        found = make(periods.day_after(found.began, -1))
    return found


def passages(asked: PassagesRequest, context: Context) -> PassagesReply:
    """Return the newest passages of an outcome, and what has drifted."""
    from edge.record import database, notes

    with database.reading(context.folder) as connection:
        rows = connection.execute(
            "SELECT entered, camera, outcome, label, violated, observations, ended, width FROM passages"
            " WHERE (?1 = '' OR outcome = ?1) ORDER BY id DESC LIMIT ?2",
            (asked.outcome, asked.limit),
        ).fetchall()
        drift = tuple(_drift(each) for each in notes.findings(connection))
    return PassagesReply(passages=tuple(_passage(*row) for row in rows), drift=drift)


def _passage(
    entered: int,
    camera: str,
    outcome: str,
    label: str,
    violated: int,
    observations: int,
    ended: int | None,
    width: float | None,
) -> PassageView:
    return PassageView(
        at=_utc(entered),
        camera=camera,
        outcome=outcome,
        words=_words(outcome, label, bool(violated)),
        violated=bool(violated),
        observations=observations,
        seconds=round(((ended or entered) - entered) / 1000, 1),
        face_px=round(width or 0.0, 1),
    )


def _words(outcome: str, label: str, violated: bool) -> str:
    if outcome == Outcome.VIOLATION.value:
        return "badly worn mask" if label == WITH_INCORRECT_MASK else "no mask"
    words = "mask" if outcome == Outcome.COMPLIANT.value else "could not be judged"
    return f"{words}, after a violation" if violated else words


def _drift(finding: Any) -> str:
    return f"{finding.camera}: {finding.message}" if finding.camera else str(finding.message)


def tune(asked: TuneRequest, context: Context) -> TuneReply:
    """Return what other settings would have made of recorded passages."""
    from edge.record import database, replay, tune

    present = _decide(context.decide, {})
    other = _decide(context.decide, asked.changes)
    now_ms = round(datetime.now().timestamp() * 1000)
    with database.reading(context.folder) as connection:
        found = list(replay.recorded(connection, now_ms - asked.days * DAY_MS, now_ms, asked.camera or None))
    if not found:
        raise SettingsError(f"no passages with evidence in the last {asked.days} days; choose a longer time")
    if unknown := set(other.accept) - set(found[-1].labels):
        raise SettingsError(f"decide.accept: {sorted(unknown)}: no label of the model; it has {list(found[-1].labels)}")
    return TuneReply(
        before=msgspec.json.encode(tune.effect(found, present)),
        after=msgspec.json.encode(tune.effect(found, other)),
        differing=len(tune.differing(found, present, other)),
    )


def _decide(present: Mapping[str, Any], changes: Mapping[str, str]) -> config.DecideSettings:
    """Return the section [decide] with changes, whose values are TOML. Raises SettingsError."""
    for key in changes:
        if not key.startswith("decide."):
            raise SettingsError(
                f"{key}: only settings of [decide] can be tried; the record begins after the classifier"
            )
    changed = dict(config.parse_assignment(f"{key}={text}") for key, text in changes.items())
    return config.load(None, {**{f"decide.{key}": value for key, value in present.items()}, **changed}).decide


def log(asked: LogRequest, context: Context) -> LogReply:
    """Return the events of the record since midnight, in words; the parent adds the log's lines."""
    from edge.record import events, periods
    from edge.text import escaped

    if not context.state:
        return LogReply(lines=(), events=())
    since_ms = round(periods.midnight(datetime.now().astimezone()).timestamp() * 1000)
    found = [escaped(_event(event), 300) for event in events.read(context.folder, since_ms)]
    return LogReply(lines=(), events=tuple(found[-asked.lines :]))


def _event(event: Mapping[str, Any]) -> str:
    """Return an event as a line: local time, kind, and its fields."""
    at = datetime.fromisoformat(str(event["at"])).astimezone()
    left_out = {"n", "at", "event", "clock"}
    facts = " ".join(f"{key}={value}" for key, value in event.items() if key not in left_out and value != "")
    unset = "" if event.get("clock", True) else " (clock not set)"
    return f"{at:%H:%M:%S} {event['event']} {facts}{unset}"


def doctor(asked: DoctorRequest, context: Context) -> DoctorReply:
    """Return the doctor's findings about this machine."""
    from edge.doctor.checks import examined
    from edge.doctor.facts import Facts

    return DoctorReply(
        findings=tuple(
            FindingView(status=each.status.value, title=each.check, words=each.text, fix=each.fix)
            for each in examined(Facts(), context.options)
        )
    )


def backup(asked: BackupRequest, context: Context) -> FileReply:
    """Return a whole backup of the settings, without secrets."""
    from edge.backup.archive import Part
    from edge.backup.sources import Places, write

    if not context.base:
        raise SettingsError("fmd runs without a settings file (--config), so there is nothing to back up")
    file, parts = io.BytesIO(), tuple[Part, ...](("settings",))
    write(file, Places(Path(context.base), context.folder), parts, secrets=False)
    content = file.getvalue()
    return FileReply(name=f"{context.door}-settings.fmd", content=content, size=len(content))


ANSWERS: Mapping[type[Message], Callable[[Any, Context], Message]] = {
    ReportRequest: report,
    PassagesRequest: passages,
    TuneRequest: tune,
    LogRequest: log,
    DoctorRequest: doctor,
    BackupRequest: backup,
}
"""Request -> what answers it."""


def answer(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    """Return the reply to a request as plain values: a task of :mod:`edge.child`."""
    asked = msgspec.convert(request["asked"], Union[tuple(ANSWERS)])  # noqa: UP007 - its members are known only here
    context = msgspec.convert(request["context"], Context)
    if context.state:
        paths.use(state=Path(context.state))
    return {"reply": msgspec.to_builtins(ANSWERS[type(asked)](asked, context))}


def _utc(at_ms: int) -> str:
    from edge.page_service.live import utc

    return utc(at_ms / 1000)
