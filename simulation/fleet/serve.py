"""Commands that change simulated doors while they run."""

from __future__ import annotations

import sys
import threading

from edge.errors import FmdError
from simulation.fleet.faults import EVENTS
from simulation.fleet.hub import Hub
from simulation.fleet.workers import Doors


def serve(hub: Hub, doors: Doors) -> None:
    """Carry out the lines of standard input until Ctrl-C."""
    for what, address in hub.pages.items():
        print(f"{what}: {address}")
    alone = [name for name, plan in doors.plans.items() if plan.alone]
    print(f"{len(doors.plans)} doors; commands act on {', '.join(alone) or 'none (--alone 0)'}", flush=True)
    for line in sys.stdin:
        if answer := carry_out(doors, line):
            print(answer, flush=True)
    threading.Event().wait()  # standard input has ended: until a signal


def carry_out(doors: Doors, line: str) -> str:
    """Carry out one line, "EVENT DOOR" or "end EVENT DOOR"; return what to print, empty if nothing."""
    words = line.split()
    if not words:
        return ""
    end = words[0] == "end"
    if len(words) != 2 + end or words[end] not in EVENTS:
        return f'expected "EVENT DOOR" or "end EVENT DOOR"; events: {", ".join(EVENTS)}'
    event, name = EVENTS[words[end]], words[-1]
    plan = doors.plans.get(name)
    if plan is None or not plan.alone:
        return f"{name}: expected one of {', '.join(name for name, plan in doors.plans.items() if plan.alone)}"
    try:
        (event.end if end else event.begin)(doors, name)
    except FmdError as error:
        return f"{line.strip()}: {error}"
    return ""
