"""The options of ``fmd doctor``; apart from what reads them, so that ``fmd --help`` loads nothing else."""

from __future__ import annotations

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what :func:`edge.commands.doctor.run` reads, beside ``--config`` and ``--set``."""
    parser.add_argument("--json", action="store_true", help="print findings as JSON")
    parser.add_argument("--try-outputs", action="store_true", help="switch each output on for half a second")
