"""Times and periods as people write them: ``2h``, ``yesterday``, ``2027-01-15``, ``--week``."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import NamedTuple

from edge.errors import SettingsError

AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(m|min|h|d|w)")
UNITS = {"m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Period(NamedTuple):
    """Some time to report about, and the one before it, which a report calls ``earlier``.

    ``ended`` and ``earlier_ended`` are exclusive.
    """

    title: str
    began: datetime
    ended: datetime
    earlier_began: datetime
    earlier_ended: datetime
    earlier: str


def day(at: datetime) -> Period:
    """Return the local day around ``at``, and the day before."""
    began, before = midnight(at), day_after(at, -1)
    return Period(f"{began:%A, %d %B %Y}", began, day_after(began, 1), before, began, "the day before")


def week(at: datetime) -> Period:
    """Return the week, Monday to Sunday, around ``at``."""
    began = day_after(at, -at.weekday())
    title = f"Week {began:%V}, {began:%d %B} to {day_after(began, 6):%d %B %Y}"
    return Period(title, began, day_after(began, 7), day_after(began, -7), began, "the week before")


def month(at: datetime) -> Period:
    """Return the month around ``at``."""
    began = day_after(at, 1 - at.day)
    ended = day_after(began, 32)
    before = day_after(began, -1)
    earlier = day_after(before, 1 - before.day)
    return Period(f"{began:%B %Y}", began, day_after(ended, 1 - ended.day), earlier, began, "the month before")


def between(began: datetime, ended: datetime) -> Period:
    """Return the time from ``began`` to ``ended``, and as long a time before. Raises SettingsError if it is empty."""
    if ended <= began:
        raise SettingsError(f"--to {ended:%Y-%m-%d %H:%M}: not after --from {began:%Y-%m-%d %H:%M}; swap the two")
    title = f"{began:%Y-%m-%d %H:%M} to {ended:%Y-%m-%d %H:%M}"
    return Period(title, began, ended, began - (ended - began), began, "the same time before")


def moment(text: str, now: datetime) -> datetime:
    """Return the moment that ``text`` names, in the time zone of ``now``.

    A day without a time is its beginning. Raises SettingsError, which lists what is understood.
    """
    plain = text.strip().lower()
    if match := AGO.fullmatch(plain):
        seconds = float(match[1]) * UNITS[match[2]]
        if seconds > 86400 * 36500:
            raise SettingsError(f"{text!r}: longer than a hundred years; give a shorter time")
        return now - timedelta(seconds=seconds)
    today = midnight(now)
    if plain in ("now", "today", "yesterday"):
        return {"now": now, "today": today, "yesterday": day_after(today, -1)}[plain]
    if plain[:3] in WEEKDAYS and plain in _names_of(WEEKDAYS.index(plain[:3])):
        return day_after(today, -((today.weekday() - WEEKDAYS.index(plain[:3])) % 7))
    try:
        found = datetime.fromisoformat(text.strip().upper().replace("Z", "+00:00"))
        # astimezone takes a time without a zone for local time, of summer or winter as that day was.
        return found.astimezone() if found.tzinfo is None else found.astimezone(now.tzinfo)
    except (ValueError, OverflowError, OSError) as error:
        raise SettingsError(
            f"{text!r}: not a time; write 30m, 2h, 3d, today, yesterday, monday, 2027-01-15 or 2027-01-15T08:00"
        ) from error


def since_ms(text: str, now: datetime) -> int:
    """Return the moment that ``text`` names in milliseconds since 1970. Raises SettingsError."""
    return round(moment(text, now).timestamp() * 1000)


def midnight(day: datetime) -> datetime:
    """Return the beginning of the local day of ``day``."""
    return datetime.combine(day.date(), time()).astimezone()


def day_after(day: datetime, days: int) -> datetime:
    """Return the beginning of the local day ``days`` after that of ``day``; a day of summer time may have 23 hours."""
    return datetime.combine(day.date() + timedelta(days=days), time()).astimezone()


def _names_of(weekday: int) -> tuple[str, ...]:
    full = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")[weekday]
    return full, full[:3]
