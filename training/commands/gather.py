"""``fmd-train gather``: sets of pictures as tables that do not leak into each other."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from converter import tables
from edge.errors import EXIT_OK, DataError
from training import data, gather
from training.commands import options

HELP = "sets of pictures as tables that do not leak into each other"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add = parser.add_argument
    add("--boxes", type=Path, action="append", default=[], help="a boxes CSV; repeatable")
    add(
        "--validation-share",
        type=options.proportion,
        action="append",
        default=[],
        help="share of groups kept for validation, one for each --boxes in order "
        f"(default and least {data.VALIDATION_SHARE})",
    )
    add("--folders", type=Path, action="append", default=[], help="one folder a class; repeatable")
    add("--empty", type=Path, action="append", default=[], help="a CSV image,split of pictures without people")
    add("--negatives", type=Path, action="append", default=[], help="a CSV of boxes of no face; repeatable")
    add("--seed", type=options.not_negative, default=1, help="of the boxes drawn in --empty (default %(default)s)")
    add("--out", type=Path, required=True, help="folder for one table a set")


def run(arguments: argparse.Namespace) -> int:
    """Gather the sets; return the exit code."""
    rng = np.random.default_rng(arguments.seed)
    shares = arguments.validation_share + [data.VALIDATION_SHARE] * len(arguments.boxes)
    if len(arguments.validation_share) > len(arguments.boxes):
        raise DataError("--validation-share: given more often than --boxes; give one for each table, in their order")
    if min(shares, default=1) < data.VALIDATION_SHARE:
        raise DataError(f"--validation-share: got {min(shares)}, expected {data.VALIDATION_SHARE} or more")
    given = [(path, tables.read_boxes(path), share) for path, share in zip(arguments.boxes, shares, strict=False)]
    given += [(path, tables.read_folders(path), data.VALIDATION_SHARE) for path in arguments.folders]
    for path in arguments.empty:
        rooms = [gather.with_random_boxes(picture, rng) for picture in data.read_pictures(path)]
        given.append((path, rooms, data.VALIDATION_SHARE))
    if not given:
        raise DataError("nothing to gather; give --boxes, --folders or --empty")
    places = [gather.read_negatives(path) for path in arguments.negatives]
    for done in gather.gather(given, places, arguments.out):
        print(
            f"{done.path}: {done.pictures} pictures, {done.validation} of them for validation; left out {done.twins} "
            f"that nearly duplicate a test picture; {done.negatives} boxes of no face, {done.refused} refused"
        )
    return EXIT_OK
