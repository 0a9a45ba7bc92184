"""``fmd mute``: silence buzzer and voice of the running fmd."""

from __future__ import annotations

import argparse

from edge.commands import asking, common

EXAMPLES = """\
The LED goes on showing alarms, and messages are sent.
Root and members of the group fmd may do this.

examples:
  fmd mute 10m
  fmd mute off
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd mute``."""
    parser.add_argument("time", type=asking.mute_time, metavar="TIME", help="45s, 10m, 2h or 1h30m; off ends it")
    common.add_runtime_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Mute."""
    from edge.control import MuteRequest

    return asking.ask(arguments, MuteRequest(for_s=arguments.time))
