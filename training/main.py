"""fmd-train: the recipe that makes the models fmd ships, and yours."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

from edge import process
from edge.commands.main import version_line
from edge.commands.parsing import Parser, print_help
from edge.errors import exit_code_of
from training.commands import (
    average,
    bench,
    boxes,
    card,
    classifier,
    decision,
    detector,
    evaluate,
    gather,
    negatives,
    papers,
    redraw,
    robustness,
    shape,
    thin,
    trials,
)


class Command(Protocol):
    """A module of :mod:`training.commands`."""

    HELP: str

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; return the exit code."""


# In the order in which a recipe needs them. None of them imports TensorFlow before it runs.
COMMANDS: Mapping[str, Command] = {
    "boxes": boxes,
    "negatives": negatives,
    "gather": gather,
    "redraw": redraw,
    "detector": detector,
    "shape": shape,
    "thin": thin,
    "classifier": classifier,
    "average": average,
    "decision": decision,
    "evaluate": evaluate,
    "robustness": robustness,
    "papers": papers,
    "bench": bench,
    "trials": trials,
    "card": card,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    process.open_streams()
    declared = parser()
    arguments = declared.parse_args(argv)
    if arguments.subcommand is None:
        return print_help(declared)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return exit_code_of(lambda: COMMANDS[arguments.subcommand].run(arguments))


def parser() -> Parser:
    """Return the parser of all commands."""
    made = Parser(prog="fmd-train", description=__doc__)
    made.add_argument("--version", action="version", version=version_line("fmd-train"))
    # Not "command": card has an option of that name.
    commands = made.add_subparsers(metavar="COMMAND", dest="subcommand")
    for name, command in COMMANDS.items():
        command.add_options(commands.add_parser(name, help=command.HELP, description=command.HELP))
    return made


if __name__ == "__main__":
    sys.exit(main())
