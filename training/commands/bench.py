"""``fmd-train bench``: the models' time beside their peers', on one thread."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.errors import EXIT_OK, DataError
from training import bench
from training.commands import options

HELP = "time beside YuNet and MobileNetV2, on one thread"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add = parser.add_argument
    add("--detector", type=Path, help="detector .tflite; needs --yunet")
    add("--yunet", type=Path, help="YuNet .onnx")
    add("--classifier", type=Path, help="classifier .tflite")
    add("--mobilenet", type=Path, help="an int8 MobileNetV2 .tflite (default: made here, with random weights)")
    add("--pairs", type=options.positive, default=100, help="default %(default)s")


def run(arguments: argparse.Namespace) -> int:
    """Measure; return the exit code."""
    out = []
    if arguments.detector:
        if not arguments.yunet:
            raise DataError("--yunet: is needed with --detector; give the path of a YuNet .onnx")
        detector = options.open_model(arguments.detector, "detector", "--detector")
        out += bench.detectors(detector, arguments.yunet, arguments.pairs)
    if arguments.classifier:
        classifier = options.open_model(arguments.classifier, "classifier", "--classifier")
        out.append(bench.classifiers(classifier, bench.open_mobilenet(arguments.mobilenet), arguments.pairs))
    if not out:
        raise DataError("nothing to time; give --detector with --yunet, --classifier, or both")
    print(bench.report(out))
    return EXIT_OK
