"""``fmd-train robustness``: figures in hard conditions and by brightness of the brow."""

from __future__ import annotations

import argparse
from pathlib import Path

from converter import tables
from edge import config
from edge.errors import EXIT_OK
from training import data, results, robustness
from training.commands import options

HELP = "figures without colour, in the dark, in haze, tilted, and by brightness of the brow"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add = parser.add_argument
    add("--boxes", type=Path, required=True, help="a boxes CSV")
    add("--split", default=data.VALIDATION, help="test, train, validation or all (default %(default)s)")
    add("--detector", type=Path, required=True, help="detector .tflite")
    add("--classifier", type=Path, required=True, help="classifier .tflite")
    add("--out", type=Path, required=True, help="the JSON to write")


def run(arguments: argparse.Namespace) -> int:
    """Measure and write; return the exit code."""
    detector = options.open_model(arguments.detector, "detector", "--detector")
    classifier = options.open_model(arguments.classifier, "classifier", "--classifier")
    pictures = data.of_split(tables.read_boxes(arguments.boxes), arguments.split)
    lowest = config.load().detect.min_score
    conditions, by_brow = robustness.measure(pictures, detector, classifier, lowest)
    found = {
        "conditions": [result._asdict() for result in conditions],
        "brow_brightness": [band._asdict() for band in by_brow],
    }
    results.write_json(arguments.out, found)
    print(robustness.report(conditions, by_brow))
    return EXIT_OK
