"""``fmd events``: print the service's log of events."""

from __future__ import annotations

import argparse
import json

from edge import paths
from edge.commands import common
from edge.errors import EXIT_OK, SettingsError

EXAMPLES = """\
examples:
  fmd events | tail
  fmd events --json | jq 'select(.event == "decision")'
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd events``."""
    parser.add_argument("--json", action="store_true", help="print each event as a line of JSON, as it is stored")
    common.add_state_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print every event, oldest first, one per line."""
    from edge.record import events

    folder = arguments.state or paths.state_folder() or paths.STATE
    if not folder.is_dir():
        raise SettingsError(f"{folder}: no such folder; name the state directory of the service with --state")
    for event in events.read(folder):
        if arguments.json:
            print(json.dumps(event))
        else:
            # n is for programs that notice gaps; at and event stand in front.
            facts = " ".join(f"{key}={value}" for key, value in event.items() if key not in ("n", "at", "event"))
            print(f"{event['at']}  {event['event']:<9} {facts}")
    return EXIT_OK
