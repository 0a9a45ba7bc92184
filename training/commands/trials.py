"""``fmd-train trials``: the models' answers to one drawn face in hard conditions, as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge import config
from edge.errors import EXIT_OK
from training import evaluate, trials
from training.commands import options

HELP = "one drawn face in hard conditions, as a picture"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--detector", type=Path, required=True, help="detector .tflite")
    parser.add_argument("--classifier", type=Path, required=True, help="classifier .tflite")
    parser.add_argument("--out", type=Path, required=True, help="the picture to write")


def run(arguments: argparse.Namespace) -> int:
    """Draw and judge; return the exit code."""
    lowest = config.load().detect.min_score
    detector = options.open_model(arguments.detector, "detector", "--detector")
    classifier = options.open_model(arguments.classifier, "classifier", "--classifier")
    right, asked = trials.draw(evaluate.predictor_of(detector, classifier, lowest), arguments.out)
    print(f"{arguments.out}: {right} of {asked} on the right side")
    return EXIT_OK
