"""Camera faults to rehearse: ``stall@30,unplug@60+5`` says which fault, when it begins, and how long it lasts.

    stall    reading and opening block until the fault is over
    hang     one read never returns; after reopening, the camera works
    unplug   reading and opening fail until the fault is over
    crash    the driver raises an error that is not fmd's, once
    freeze   every frame has the same picture
    dark     black pictures, as with the light off
    cover    pictures without contrast, as with a hand on the lens
    damage   JPEG pictures that are cut short, as over a bad cable

Times are seconds since the start of the run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from edge.errors import SettingsError

KINDS = ("stall", "hang", "unplug", "crash", "freeze", "dark", "cover", "damage")
LASTS_S = 10.0
"""Duration of a fault that states none, in seconds."""
FORM = re.compile(r"([a-z]+)@(\d+(?:\.\d+)?)(?:\+(\d+(?:\.\d+)?))?")


class Fault(NamedTuple):
    """A fault of one kind, over a span of time in seconds since the start of the run."""

    kind: str
    at_s: float
    for_s: float = LASTS_S

    @property
    def until_s(self) -> float:
        """Return the time at which the fault is over."""
        return self.at_s + self.for_s


def parse(text: str) -> tuple[Fault, ...]:
    """Return the faults that ``text`` names, in order of time. Raises SettingsError."""
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
    """Return the fault that is active at ``at_s``, the latest to begin if there are several, or None."""
    # Sorted by time, so the last one is the latest to begin.
    on = [fault for fault in faults if fault.at_s <= at_s < fault.until_s]
    return on[-1] if on else None
