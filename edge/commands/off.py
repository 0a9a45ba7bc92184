"""``fmd off``: switch every output off."""

from __future__ import annotations

import argparse

from edge import board, paths
from edge.commands import common
from edge.errors import EXIT_OK

EXAMPLES = """\
The unit runs it after fmd was killed and could not switch them off itself.

examples:
  fmd off --config /etc/fmd/fmd.toml
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd off``."""
    common.add_settings_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Switch every output off, where fmd was killed and could not do so itself."""
    from edge.service import outputs_off

    # Unread: where the killed run recorded its outputs, a broken settings file must not keep them on.
    if not outputs_off.switch_off(lambda: common.load_settings(arguments), paths.runtime_folder()):
        why = "this machine is a PC, which has no such pins" if board.is_pc() else "the settings name no pin"
        print(f"nothing to switch off: {why}")
    return EXIT_OK
