"""Commands that change simulated doors while they run."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping

from edge.errors import FmdError
from simulation.fleet.hub import Hub
from simulation.fleet.workers import Doors

Command = Callable[[Doors, str], None]
COMMANDS: Mapping[str, Command] = {
    "blind": lambda doors, name: doors.set_fault(name, "lost"),
    "stalled": lambda doors, name: doors.set_fault(name, "stalled"),
    "frozen": lambda doors, name: doors.set_fault(name, "frozen"),
    "dark": lambda doors, name: doors.set_fault(name, "dark"),
    "seeing": lambda doors, name: doors.set_fault(name, ""),
    "silent": lambda doors, name: doors.set_wire(name, "refused"),
    "cut": lambda doors, name: doors.set_wire(name, "cut"),
    "connected": lambda doors, name: doors.set_wire(name, "up"),
    "outdated": lambda doors, name: doors.set_build(name, {"version": "2.0.0"}),
    "other-model": lambda doors, name: doors.set_build(name, {"classifier_sha": "ffffffffffff"}),
    "current": lambda doors, name: doors.set_build(name, {"version": "2.1.0", "classifier_sha": "0123456789ab"}),
    "slow": lambda doors, name: doors.set_slow(name, 2.0),
    "fast": lambda doors, name: doors.set_slow(name, 0.0),
    "under-voltage": lambda doors, name: doors.set_complaints(name, frozenset({"under_voltage"})),
    "powered": lambda doors, name: doors.set_complaints(name, frozenset()),
    "stop": lambda doors, name: doors.stop(name),
    "start": lambda doors, name: doors.start(name),
}
"""Commands of --serve, each with the name of a door."""


def serve(hub: Hub, doors: Doors) -> None:
    """Carry out the lines of standard input until Ctrl-C."""
    for what, address in hub.pages.items():
        print(f"{what}: {address}")
    alone = [name for name, plan in doors.plans.items() if plan.alone]
    print(f"{len(doors.plans)} doors; commands act on {', '.join(alone) or 'none (--alone 0)'}", flush=True)
    for line in sys.stdin:
        if answer := carry_out(doors, line):
            print(answer, flush=True)
    threading.Event().wait()  # without standard input: until a signal


def carry_out(doors: Doors, line: str) -> str:
    """Carry out one line; return what to print, empty if nothing."""
    words = line.split()
    if not words:
        return ""
    if len(words) != 2 or words[0] not in COMMANDS:
        return f"expected a command and a door; commands: {', '.join(COMMANDS)}"
    what, name = words
    plan = doors.plans.get(name)
    if plan is None or not plan.alone:
        return f"{name}: expected one of {', '.join(name for name, plan in doors.plans.items() if plan.alone)}"
    try:
        COMMANDS[what](doors, name)
    except (FmdError, KeyError, ValueError) as error:
        return f"{what} {name}: {error}"
    return ""
