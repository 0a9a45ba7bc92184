"""``fmd-train negatives``: what a detector takes for a face and is none, to teach both models."""

from __future__ import annotations

import argparse
from pathlib import Path

from converter import tables
from edge.errors import EXIT_OK
from edge.stages.detect import FaceDetector
from training import data, negatives
from training.commands import options

HELP = "boxes of what a detector wrongly takes for faces"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    truth = parser.add_mutually_exclusive_group(required=True)
    truth.add_argument("--boxes", type=Path, help="a boxes CSV")
    truth.add_argument("--empty", type=Path, help="a CSV image,split of pictures without people")
    parser.add_argument("--detector", type=Path, required=True, help="detector .tflite")
    parser.add_argument("--teacher", type=Path, required=True, help="YuNet .onnx: where it finds a face, there is one")
    parser.add_argument("--unlabelled", type=Path, help="a boxes CSV of faces that --boxes lacks")
    parser.add_argument("--out", type=Path, required=True, help="the boxes CSV to write")


def run(arguments: argparse.Namespace) -> int:
    """Mine the negatives; return the exit code."""
    detector = FaceDetector(options.open_model(arguments.detector, "detector", "--detector"), negatives.MIN_SCORE)
    pictures = tables.read_boxes(arguments.boxes) if arguments.boxes else data.read_pictures(arguments.empty)
    if arguments.unlabelled:
        pictures = negatives.added(pictures, tables.read_boxes(arguments.unlabelled))
    searched, found = negatives.mine(pictures, detector, arguments.teacher, arguments.out)
    print(f"{arguments.out}: {found} negatives on {searched} pictures")
    return EXIT_OK
