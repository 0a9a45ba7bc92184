"""``fmd-train redraw``: labelled faces with the boxes that a detector draws around them."""

from __future__ import annotations

import argparse
from pathlib import Path

from converter import tables
from edge import config
from edge.errors import EXIT_OK
from edge.stages.detect import FaceDetector
from training import redraw
from training.commands import options

HELP = "labelled faces with the boxes that a detector draws"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--boxes", type=Path, required=True, help="a boxes CSV")
    parser.add_argument("--detector", type=Path, required=True, help="detector .tflite")
    parser.add_argument(
        "--mark-others", action="store_true", help="keep the labelled boxes and mark other detections to ignore instead"
    )
    parser.add_argument("--out", type=Path, required=True, help="the boxes CSV to write")


def run(arguments: argparse.Namespace) -> int:
    """Redraw the boxes; return the exit code."""
    model = options.open_model(arguments.detector, "detector", "--detector")
    detector = FaceDetector(model, config.load().detect.min_score)
    if arguments.mark_others:
        marked = redraw.mark_others(tables.read_boxes(arguments.boxes), detector, arguments.out)
        print(f"{arguments.out}: marked {marked} detections to ignore")
        return EXIT_OK
    found, labelled = redraw.redraw(tables.read_boxes(arguments.boxes), detector, arguments.out)
    print(f"{arguments.out}: found {found} of {labelled} labelled faces")
    return EXIT_OK
