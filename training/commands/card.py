"""``fmd-train card``: the page that goes with a shipped model."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.errors import EXIT_OK
from training import card

HELP = "write a model card"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add = parser.add_argument
    add("--bundle", type=Path, required=True, help="the shipped .tflite")
    add("--keras", type=Path, required=True, help="the .keras it was made from")
    add("--run", dest="run_folder", type=Path, required=True, help="folder of the training run")
    add("--scores", type=Path, action="append", default=[], help="a scores.json of fmd-train evaluate; repeatable")
    add("--notes", type=Path, help="markdown to end the card with, such as data and failures")
    add("--command", default="", help="the command that made it, where run.json lacks it")
    add("--out", type=Path, required=True, help="the .md to write; the curve goes beside it")


def run(arguments: argparse.Namespace) -> int:
    """Write the card; return the exit code."""
    given = (arguments.bundle, arguments.keras, arguments.run_folder, arguments.scores, arguments.notes)
    card.write(card.Sources(*given, arguments.command), arguments.out)
    print(arguments.out)
    return EXIT_OK
