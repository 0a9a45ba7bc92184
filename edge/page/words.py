"""What the templates show that several screens share: states in words and colours, local times, drawings."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

DRAWN_WIDTH = 640
"""Width of every drawing over a picture, in its own units, whatever the camera gives: so texts have one size."""

Region = tuple[tuple[float, float], ...]
"""Corners of a region, as shares of the picture's width and height."""


class Said(NamedTuple):
    """Answer of the service to the user's last action; ``tone`` is good, warn or bad."""

    tone: str
    words: str


class State(NamedTuple):
    """How a state of the door is shown: one word, its colour (a class of page.css), and a sentence."""

    word: str
    tone: str
    sentence: str


STATES = {
    "running": State("Watching", "good", "fmd watches the door."),
    "unsure": State("Unsure", "warn", "A person cannot be judged."),
    "reminder": State("Reminder", "warn", "A mask is badly worn."),
    "disarmed": State("Disarmed", "quiet", "fmd gives no alarm."),
    "blind": State("Blind", "warn", "A camera gives no usable picture."),
    "incorrect_mask": State("Alarm", "alarm", "A mask is badly worn."),
    "no_mask": State("Alarm", "alarm", "A person wears no mask."),
    "off": State("Off", "warn", "fmd does not watch the door."),
}
"""State of the door (a name of :class:`edge.contracts.Signal`, or "off") -> how it is shown."""

OUTCOMES = {"compliant": "good", "violation": "bad", "unsure": "warn"}
"""Outcome -> colour of its tag; all others are quiet."""


def state_of(name: str) -> State:
    """Return how a state is shown; one that this page does not know is shown by its name."""
    return STATES.get(name) or State(name.replace("_", " ").capitalize(), "quiet", "")


def local(at: str, now: datetime | None = None) -> str:
    """Return an ISO 8601 time in the board's local time: "14:05:09" if it is today, else "30 Nov, 14:05:09"."""
    try:
        moment = datetime.fromisoformat(at).astimezone()
    except (ValueError, OverflowError, OSError):
        return at
    today = (now or datetime.now()).astimezone().date()
    return f"{moment:%H:%M:%S}" if moment.date() == today else f"{moment.day} {moment:%b, %H:%M:%S}"


def lasting(seconds: float) -> str:
    """Return a duration in words: "3 days 4 h", "2 h 5 min", "40 s"."""
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} day{'s' if days > 1 else ''} {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{whole} s"


def points(region: Region, height: float) -> str:
    """Return a region as the points of an SVG polygon, in a drawing that is DRAWN_WIDTH wide."""
    return " ".join(f"{x * DRAWN_WIDTH:.0f},{y * height:.0f}" for x, y in region)
