"""``fmd-train shape``: a trained detector for pictures of another size or shape."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.errors import EXIT_OK
from training import results
from training.commands import options

HELP = "a trained detector for pictures of another size or shape"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--start", type=Path, required=True, help="best.keras of a detector's run")
    parser.add_argument(
        "--size", type=options.input_sides, required=True, metavar="WIDTHxHEIGHT", help="such as 384x256"
    )
    parser.add_argument("--out", type=Path, required=True, help="the .keras to write")


def run(arguments: argparse.Namespace) -> int:
    """Reshape; return the exit code."""
    options.check_tensorflow()
    from training import detector, train

    width, height = arguments.size
    resized = detector.resized(train.load_detector(arguments.start, "--start"), height, width)
    with results.replacing(arguments.out) as unfinished:
        resized.save(unfinished)
    print(f"{arguments.out}: {width} x {height}")
    return EXIT_OK
