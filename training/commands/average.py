"""``fmd-train average``: one network of several runs' weights."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.errors import EXIT_OK
from training import results
from training.commands import options

HELP = "one network of several runs' weights"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("runs", type=Path, nargs="+", help="best.keras of runs that began with the same weights")
    parser.add_argument("--out", type=Path, required=True, help="the .keras to write")


def run(arguments: argparse.Namespace) -> int:
    """Average; return the exit code."""
    options.check_tensorflow()
    from training.average import averaged

    with results.replacing(arguments.out) as unfinished:
        averaged(arguments.runs).save(unfinished)
    print(f"{arguments.out}: the mean of {len(arguments.runs)} networks")
    return EXIT_OK
