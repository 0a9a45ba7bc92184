"""Weekly windows in local time: ``"mon-fri 07:00-18:00"``. Pure: the caller passes the time.

A window may end on the next day (``"sat 22:00-06:00"``). It is asked by time of day, minute by minute, so a day on
which the clock is put forward or back needs no special case: an hour that does not exist is skipped, one that comes
twice counts twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from edge.errors import SettingsError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 1440
WEEK_MINUTES = 7 * DAY_MINUTES
HORIZON_MINUTES = WEEK_MINUTES + DAY_MINUTES
"""How far :meth:`Weekly.next_change` searches: a week repeats, and a clock change moves a window by hours at most."""
EXPECTED = 'expected days and times, as in "mon-fri 07:00-18:00", "sat,sun 22:00-06:00" or "daily 00:00-24:00"'


class Weekly:
    """Windows of a week in a time zone. Without windows it is never inside one."""

    def __init__(self, windows: Sequence[str], zone: tzinfo | None) -> None:
        """Raise SettingsError for a window that cannot be read. ``zone`` is None for this machine's local time."""
        self._zone = zone
        self._inside = bytearray(WEEK_MINUTES)
        for window in windows:
            self._add(window)

    def __bool__(self) -> bool:
        """Return whether there is any window."""
        return any(self._inside)

    @property
    def changes(self) -> bool:
        """Whether there is a time inside a window and one outside."""
        return 0 < sum(self._inside) < WEEK_MINUTES

    def at(self, wall: float) -> bool:
        """Return whether ``wall``, in seconds since 1970, is inside a window."""
        local = datetime.fromtimestamp(wall, self._zone)
        return bool(self._inside[local.weekday() * DAY_MINUTES + local.hour * 60 + local.minute])

    def next_change(self, wall: float) -> float | None:
        """Return when the next window begins or ends, None if that never happens. Takes milliseconds."""
        now = self.at(wall)
        minute = wall // 60 * 60
        for i in range(1, HORIZON_MINUTES + 1):
            if self.at(minute + 60 * i) is not now:
                return minute + 60 * i
        return None

    def next_time(self, hour: int, minute: int, wall: float) -> float:
        """Return when it is ``hour:minute`` next, after ``wall``; where the clock skips that time, at its new one."""
        local = datetime.fromtimestamp(wall, self._zone)
        for day in range(3):
            then = datetime(local.year, local.month, local.day, hour, minute, tzinfo=self._zone) + timedelta(days=day)
            # fold: the second of two equal times of day, when the clock is put back.
            for at in (then.timestamp(), then.replace(fold=1).timestamp()):
                if at > wall:
                    return at
        raise AssertionError("every time of day comes within two days")

    def _add(self, window: str) -> None:
        found = re.fullmatch(r"\s*(\S+)\s+(\d\d?):(\d\d)\s*-\s*(\d\d?):(\d\d)\s*", window.lower())
        days = _days(found[1]) if found else None
        begin, end = (int(found[2]) * 60 + int(found[3]), int(found[4]) * 60 + int(found[5])) if found else (0, 0)
        minutes = found is not None and int(found[3]) < 60 and int(found[5]) < 60
        if not days or not minutes or begin == end or begin >= DAY_MINUTES or end > DAY_MINUTES:
            raise SettingsError(f"got {window!r}, {EXPECTED}")
        for day in days:
            for i in range(end - begin if begin < end else end + DAY_MINUTES - begin):
                self._inside[(day * DAY_MINUTES + begin + i) % WEEK_MINUTES] = 1


def zone_of(name: str) -> tzinfo | None:
    """Return the time zone of that name; None, this machine's local time, for an empty one. Raises SettingsError."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    # A name may be a folder, a damaged file, or no path at all.
    except (KeyError, ValueError, OSError) as error:
        raise SettingsError(
            f'got {name!r}, which is no time zone of this machine; expected a name as in "Europe/Berlin" '
            "(timedatectl list-timezones). If it lists none: sudo apt install tzdata"
        ) from error


def _days(words: str) -> list[int] | None:
    """Return the days, 0 is Monday, of "daily", "mon", "mon-fri" or "sat,sun"; None if a word is no day."""
    if words == "daily":
        return list(range(7))
    days = []
    for part in words.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if first not in DAYS or last not in DAYS:
            return None
        begin, end = DAYS.index(first), DAYS.index(last)
        days += [(begin + i) % 7 for i in range((end - begin) % 7 + 1)]
    return days
