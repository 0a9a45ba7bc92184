"""``fmd disarm``: have the running fmd give no alarms."""

from __future__ import annotations

import argparse

from edge.commands import asking, common

EXAMPLES = """\
Without a time, fmd stays disarmed until the schedule changes next, or until it
is armed. It keeps watching, and reports a blind camera.
Root and members of the group fmd may do this.

examples:
  fmd disarm --for 2h
  fmd disarm --until 18:00
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd disarm``."""
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--for", dest="for_s", type=asking.duration(7), metavar="TIME", help="for 45s, 10m, 2h or 1h30m")
    end.add_argument("--until", type=asking.time_of_day, metavar="HH:MM", help="until this time of day at the door")
    common.add_runtime_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Disarm."""
    from edge.control import DisarmRequest

    return asking.ask(arguments, DisarmRequest(for_s=arguments.for_s or 0.0, until=arguments.until or ""))
