"""``fmd-train thin``: a trained detector with fewer channels, to train on."""

from __future__ import annotations

import argparse
from pathlib import Path

from converter import tables
from edge.errors import EXIT_OK, DataError
from training import data, results
from training.commands import options

HELP = "drop channels of a trained detector that its other channels can replace"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add = parser.add_argument
    add("--start", type=Path, required=True, help="best.keras of a detector's run")
    add("--boxes", type=Path, required=True, help="a boxes CSV: pictures on which its channels are compared")
    add("--keep", type=options.proportion, default=0.6, help="share of the channels that stays (default %(default)s)")
    add("--size", type=options.input_side, default=320, help="input height and width, pixels (default %(default)s)")
    add("--out", type=Path, required=True, help="the .keras to write: a --start of fmd-train detector")


def run(arguments: argparse.Namespace) -> int:
    """Thin out; return the exit code."""
    options.check_tensorflow()
    from training import thin, train

    if arguments.keep == 0:
        raise DataError("--keep: got 0, expected more: a network without channels finds nothing")
    model = train.load_detector(arguments.start, "--start")
    pictures = data.divide(tables.read_boxes(arguments.boxes))[0]
    thinner = thin.thinner_detector(model, pictures, arguments.size, arguments.keep)
    with results.replacing(arguments.out) as unfinished:
        thinner.save(unfinished)
    print(f"{arguments.out}: {thinner.count_params():,} parameters of {model.count_params():,}")
    return EXIT_OK
