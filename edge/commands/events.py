"""``fmd events``: print the events of the service's record."""

from __future__ import annotations

import argparse
import json
from datetime import datetime

from edge import paths
from edge.commands import common
from edge.errors import EXIT_OK, SettingsError, naming_stdout
from edge.text import escaped

EXAMPLES = """\
examples:
  fmd events --since 2h
  fmd events --since yesterday --camera hall
  fmd events --json | jq 'select(.event == "decision")'
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd events``."""
    parser.add_argument("--since", metavar="TIME", help="from then on: 2h, 3d, yesterday, 2027-01-15, 2027-01-15T08:00")
    parser.add_argument("--camera", metavar="NAME", help="only of this camera, if there are several")
    parser.add_argument("--json", action="store_true", help="print each event as a line of JSON, as it is stored")
    parser.add_argument("--utc", action="store_true", help="print times in UTC (default: local time; --json is UTC)")
    common.add_state_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print every event, oldest first, one per line."""
    from edge.record import events, periods

    folder = common.existing_state(arguments.state or paths.state_folder() or paths.STATE)
    since_ms = periods.since_ms(arguments.since, datetime.now().astimezone()) if arguments.since else 0
    if arguments.camera is not None:
        _check_camera(arguments.camera, events.known_cameras(folder))
    with naming_stdout():
        for event in events.read(folder, since_ms, arguments.camera):
            if arguments.json:
                print(json.dumps(event))
                continue
            # n is for programs that notice gaps; at and event stand in front.
            facts = " ".join(
                f"{key}={value}"
                for key, value in event.items()
                if key not in ("n", "at", "event", "clock") and value != ""
            )
            unset = "" if event.get("clock", True) else "  (clock not set)"
            at, kind = str(event.get("at", "")), str(event.get("event", ""))
            print(escaped(f"{at if arguments.utc else local_time(at)}  {kind:<9} {facts}{unset}"))
    return EXIT_OK


def _check_camera(name: str, known: list[str] | None) -> None:
    if known is not None and name not in known:
        raise SettingsError(
            f"--camera {name}: no such camera in the record; known: {', '.join(known) or 'only one, without a name'}"
        )


def local_time(at: str) -> str:
    """Return a stored time, ISO 8601 in UTC, in the time zone of this machine; text that is no time stays as it is."""
    try:
        return datetime.fromisoformat(at).astimezone().isoformat(timespec="milliseconds")
    except ValueError:
        return at
