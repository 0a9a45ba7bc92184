"""A hundred simulated doors on a real hub, and what is measured of it.

    python -m simulation.fleet --serve --doors 30           doors and hub until Ctrl-C, for dashboards
    python -m simulation.fleet visible stolen alerts        check the hub with 100 doors
    python -m simulation.fleet load --counts 10,100,1000    load of the hub, and how it grows

The hub is Debian's mosquitto, Prometheus and Alertmanager, started in a temporary folder in memory, on free ports, and
stopped at the end. Each door publishes over TLS with a credential of its own. Exit code 1 if a limit is exceeded.

    visible   time from a door's start until Prometheus has read it and the broker knows its state: at most 15 s
    stolen    one door's credential, tried on the topics of all others: none may be written or read
    alerts    time from each kind of fault until Alertmanager has notified: at most 60 s
    cut       no network for --seconds at some doors: no decision may be lost
    quiet     alerts in --seconds without a fault: none
    restart   time until all doors are back after --seconds without a broker
    load      processor time, memory and rates of the hub's processes, by number of doors

With --serve, lines on standard input are events, as in "blind door-0003" and "end blind door-0003"; "help" lists them.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from edge.errors import FmdError
from simulation.fleet import checks
from simulation.fleet.checks import Finding, HubLoad
from simulation.fleet.faults import EVENTS
from simulation.fleet.fleet import FleetOptions, make_doors, make_hub, temporary_folder
from simulation.fleet.hub import READER, Hub
from simulation.fleet.reader import Reader
from simulation.fleet.serve import serve
from simulation.fleet.tables import table
from simulation.fleet.workers import Doors

CUT_DOORS = 10
"""Most doors whose network is cut."""
MEASURE_S, WARM_S = 120.0, 60.0
"""Time over which load is measured, and time with all doors before it."""
Check = Callable[[Hub, Doors, Reader, argparse.Namespace], Finding]
CHECKS: dict[str, Check] = {
    "visible": lambda hub, doors, reader, given: checks.visible(hub, doors, reader),
    "stolen": lambda hub, doors, reader, given: checks.stolen(hub, doors, reader, _alone(doors)[-1]),
    "alerts": lambda hub, doors, reader, given: checks.alerts(hub, doors, given.rounds),
    "cut": lambda hub, doors, reader, given: checks.cut(doors, reader, _alone(doors)[:CUT_DOORS], given.seconds),
    "quiet": lambda hub, doors, reader, given: checks.quiet(hub, doors, given.seconds),
    "restart": lambda hub, doors, reader, given: checks.restart(hub, doors, given.seconds),
}
"""Checks of one fleet, by name."""
LOAD = "load"
"""The check that has fleets of its own, one for each number of doors."""
NEEDS = {"stolen": 1, "alerts": len(EVENTS), "cut": 1}
"""Check -> doors in a process of their own that it needs."""


def main(given: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, or those of the process; return its exit code."""
    arguments = _arguments(given)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        if arguments.serve:
            return _serve(arguments)
        if arguments.checks == [LOAD]:
            return _load(arguments)
        return _check(arguments)
    except FmdError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulation.fleet", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("checks", nargs="*", type=_check_name, metavar="CHECK", help="what to measure, in this order")
    add("--serve", action="store_true", help="run until Ctrl-C, and read events")
    add("--doors", type=_number(1, 5000), default=100, help="number of doors (default: %(default)s)")
    add("--counts", type=_counts, default=[10, 100, 1000], help="numbers of doors of the check load")
    add("--alone", type=_number(0, 200), default=len(EVENTS), help="doors in a process each, to which events happen")
    add("--visit-s", type=_number(10, 86_400), default=60, help="mean time between two people (default: %(default)s)")
    add("--seconds", type=_number(1, 86_400), default=600, help="time of cut, quiet, restart (default: %(default)s)")
    add("--rounds", type=_number(1, 1000), default=5, help="times that each event happens (default: %(default)s)")
    add("--verbose", action="store_true", help="print the doors' warnings")
    return parser


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command; wrong ones end it with usage."""
    parser = _parser()
    arguments = parser.parse_args(given)
    if bool(arguments.checks) is arguments.serve:
        parser.error(f"expected --serve, or a CHECK: {', '.join((*CHECKS, LOAD))}")
    if LOAD in arguments.checks and arguments.checks != [LOAD]:
        parser.error(f"{LOAD} has doors of its own; run it alone")
    alone = min(arguments.alone, arguments.doors)
    for name in arguments.checks:
        if (needed := NEEDS.get(name, 0)) > alone:
            parser.error(f"{name} needs --doors and --alone of at least {needed}, got {alone}")
    return arguments


def _check_name(text: str) -> str:
    if text not in CHECKS and text != LOAD:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected one of {', '.join((*CHECKS, LOAD))}")
    return text


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        found = int(text) if text.isascii() and text.isdigit() else -1
        if not least <= found <= most:
            raise argparse.ArgumentTypeError(f"got {text!r}, expected {least} to {most}")
        return found

    return number


def _counts(text: str) -> list[int]:
    return [_number(1, 5000)(part) for part in text.split(",")]


def _options(arguments: argparse.Namespace, doors: int, watched: bool = True) -> FleetOptions:
    level = logging.WARNING if arguments.verbose else logging.ERROR
    alone = min(arguments.alone, doors) if watched else 0
    return FleetOptions(doors, alone, watched, arguments.visit_s, level=level)


def _alone(doors: Doors) -> Sequence[str]:
    return [name for name, plan in doors.plans.items() if plan.alone]


def _serve(arguments: argparse.Namespace) -> int:
    options = _options(arguments, arguments.doors)
    with _hub(options) as hub, make_doors(hub, options) as doors:
        serve(hub, doors)
    return 0


@contextmanager
def _hub(options: FleetOptions) -> Iterator[Hub]:
    with temporary_folder() as folder, make_hub(folder, options) as hub:
        yield hub


def _check(arguments: argparse.Namespace) -> int:
    options, passed = _options(arguments, arguments.doors), True
    # The reader comes before the doors: it must not miss when one appears.
    with _hub(options) as hub, Reader(hub.access(READER)) as reader, make_doors(hub, options) as doors:
        for name in arguments.checks:
            found = CHECKS[name](hub, doors, reader, arguments)
            print(f"\n{found.text}\n{name}: {'passed' if found.passed else 'FAILED'}", flush=True)
            passed &= found.passed
    return 0 if passed else 1


def _load(arguments: argparse.Namespace) -> int:
    found: list[HubLoad] = []
    for count in arguments.counts:
        options = _options(arguments, count, watched=False)
        with _hub(options) as hub, make_doors(hub, options) as doors:
            found.append(checks.load(hub, doors, WARM_S, MEASURE_S))
        print(table(checks.load_head(list(found[0].loads)), [one.row() for one in found]), flush=True)
    if len(found) > 1:
        print(f"\n{checks.growth(found)}")
    return 0 if all(one.holds for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
