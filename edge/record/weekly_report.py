"""Weekly report: made by itself at a set time, and handed on once, also after a restart or a power cut."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from edge import state_file
from edge.errors import FmdError
from edge.messages import ReportMessage
from edge.record import database, periods, report, report_html, report_text, report_words
from edge.record.compliance import Estimate
from edge.record.report import Report

log = logging.getLogger(__name__)

NAME = "report.json"
"""State file in the state directory."""
LATE = timedelta(days=3)
"""How long after its time a report is still worth sending: a board that was off for a holiday stays silent."""
EVERY_S = 30.0


class Sent(msgspec.Struct, frozen=True):
    """Which weekly report was handed on last: the local time at which it was due, ISO 8601."""

    due: str


class WeeklyReport:
    """Hands the report of the past week to ``publish`` at ``weekly``, such as "mon 07:00". It has a thread of its own.

    ``now`` gives the local time. ``known`` is whether the board's clock is set: without it no time has come.
    """

    def __init__(
        self,
        folder: Path,
        weekly: str,
        door: str,
        publish: Callable[[ReportMessage], None],
        now: Callable[[], datetime],
        known: Callable[[], bool],
    ) -> None:
        self._folder, self._weekly, self._door, self._publish = folder, weekly, door, publish
        self._now, self._known = now, known

    def work(self) -> None:
        """Hand the report on if it is due."""
        if not self._known():
            return
        now = self._now()
        due = last_due(self._weekly, now)
        sent = state_file.read_state(self._folder / NAME, Sent)
        stamp = due.isoformat(timespec="minutes")
        if sent is not None and sent.due >= stamp:
            return
        if now - due > LATE or sent is None:
            # The first run of a door has no past week to report about.
            self._note(stamp)
            return
        try:
            with database.reading(self._folder) as connection:
                week = periods.week(periods.day_after(due, -1))
                found = report.make(connection, week, min(now, week.ended))
        except (FmdError, OSError, sqlite3.Error) as error:
            log.warning("the weekly report waits: %s", error)
            return
        # Noted first: a process that dies in between must not send the report at every start.
        self._note(stamp)
        self._publish(message_of(found, self._door))
        log.info("the weekly report was handed to the publishers: %s", found.title)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Look every half a minute, in a thread of its own, whether the report is due."""
        if not self._weekly:
            yield
            return
        done = threading.Event()

        def work() -> None:
            while not done.wait(EVERY_S):
                self.work()

        threading.Thread(target=work, name="weekly", daemon=True).start()
        try:
            yield
        finally:
            done.set()

    def _note(self, stamp: str) -> None:
        try:
            state_file.write_state(self._folder / NAME, Sent(stamp))
        except OSError as error:
            log.warning("%s: %s; the weekly report may come twice", self._folder / NAME, error.strerror)


def last_due(weekly: str, now: datetime) -> datetime:
    """Return the latest moment before ``now`` at which a report was due."""
    day, _, clock = weekly.partition(" ")
    hour, _, minute = clock.partition(":")
    back = (now.weekday() - periods.WEEKDAYS.index(day)) % 7
    for days in (back, back + 7):
        midnight = periods.day_after(now, -days)
        # Wall-clock time, also on the day when summer time begins.
        due = midnight.replace(tzinfo=None, hour=int(hour), minute=int(minute)).astimezone()
        if due <= now:
            break
    return due


def message_of(found: Report, door: str) -> ReportMessage:
    """Return the message that carries a report."""
    sums = found.sums
    return ReportMessage(
        title=report_text.headline(found, door),
        text=report_text.text(found, door),
        page=report_html.page(found, door),
        began=found.began,
        ended=found.ended,
        passages=sums.passages,
        compliant=sums.compliant,
        violated=sums.violated,
        badly_worn=sums.badly_worn,
        unsure=sums.unsure,
        watched_s=sums.watched_ms // 1000,
        unwatched_s=report_words.unwatched_ms(found) // 1000,
        compliance=_three(found.measured),
        corrected=_three(found.corrected),
    )


def _three(found: Estimate | None) -> tuple[float, float, float] | None:
    return None if found is None else (round(found.share, 4), round(found.low, 4), round(found.high, 4))
