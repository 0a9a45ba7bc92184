"""Faults of a camera that can be rehearsed: ``stall@30,unplug@60+5`` is what goes wrong, when, and for how long.

    stall    reading, and opening, give nothing until it is over
    hang     a read that never comes back; opened again, the camera works
    unplug   reading and opening fail until it is over
    crash    the driver fails in a way of its own, once
    freeze   the same picture again and again
    dark     black pictures, as with the light off
    cover    pictures of one colour, as with a hand on the lens

Times are seconds since the run began.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from edge.errors import SettingsError

KINDS = ("stall", "hang", "unplug", "crash", "freeze", "dark", "cover")
LASTS_S = 10.0
"""For faults that do not say how long."""
FORM = re.compile(r"([a-z]+)@(\d+(?:\.\d+)?)(?:\+(\d+(?:\.\d+)?))?")


class Fault(NamedTuple):
    """One thing that goes wrong."""

    kind: str
    at_s: float
    for_s: float = LASTS_S

    @property
    def until_s(self) -> float:
        """When it is over."""
        return self.at_s + self.for_s


def parse(text: str) -> tuple[Fault, ...]:
    """The faults ``text`` names, in order of time. Raises SettingsError for what names none."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(sorted(map(_fault, parts), key=lambda fault: fault.at_s))


def _fault(part: str) -> Fault:
    found = FORM.fullmatch(part)
    if not found or found[1] not in KINDS:
        raise SettingsError(
            "camera.simulate: expected KIND@SECONDS or KIND@SECONDS+DURATION, as in stall@30+5, with a kind of "
            f"{', '.join(KINDS)}; got {part!r}"
        )
    return Fault(found[1], float(found[2]), float(found[3] or LASTS_S))


def active(faults: Sequence[Fault], at_s: float) -> Fault | None:
    """The fault that is on at a time, the latest where several are."""
    on = [fault for fault in faults if fault.at_s <= at_s < fault.until_s]
    return on[-1] if on else None
