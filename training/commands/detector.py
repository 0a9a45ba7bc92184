"""``fmd-train detector``: train the face detector, from boxes."""

from __future__ import annotations

import argparse
from pathlib import Path

from converter.tables import read_boxes
from edge.errors import EXIT_OK, DataError
from training import corrections
from training.commands import options

HELP = "train the face detector, from boxes"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "--negatives", type=Path, action="append", default=[], help="of fmd-train negatives; repeatable"
    )
    options.add_run_options(parser, size=320, batch=16, epochs=40, steps=150, learning_rate=8e-4)


def run(arguments: argparse.Namespace) -> int:
    """Train; return the exit code."""
    options.check_tensorflow()
    from training import train

    if not arguments.boxes:
        raise DataError("--boxes: a detector learns from boxes; give at least one boxes CSV")
    if arguments.size % 32:
        raise DataError(f"--size: got {arguments.size}, expected a multiple of 32, the detector's largest stride")
    tables = corrections.corrected([read_boxes(table) for table in arguments.boxes], arguments.corrections)
    mined = [picture for table in arguments.negatives for picture in read_boxes(table)]
    print(f"best: {train.train_detector(options.recipe_of(arguments), tables, mined)}")
    return EXIT_OK
