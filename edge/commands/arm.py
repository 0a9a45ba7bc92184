"""``fmd arm``: have the running fmd give alarms."""

from __future__ import annotations

import argparse

from edge.commands import asking, common

EXAMPLES = """\
fmd stays armed until the schedule changes next, or until it is disarmed.
Root and members of the group fmd may do this.

examples:
  fmd arm
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd arm``."""
    common.add_runtime_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Arm."""
    from edge.control import ArmRequest

    return asking.ask(arguments, ArmRequest())
