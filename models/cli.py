"""fmd-train: the recipe that makes the models fmd ships, and yours.

fmd-train boxes       boxes for class-folder pictures, drawn by a teacher
fmd-train detector    the face detector, from boxes
fmd-train classifier  the mask classifier, from boxes, class folders, or both
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.errors import EXIT_OK, DataError, exit_code_of


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    arguments = _parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return exit_code_of(lambda: arguments.run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fmd-train", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    boxes = commands.add_parser("boxes", help="draw boxes on class-folder pictures with a YuNet .onnx as teacher")
    boxes.add_argument("--folders", type=Path, required=True, help="one folder a class")
    boxes.add_argument("--teacher", type=Path, required=True, help="YuNet .onnx")
    boxes.add_argument("--out", type=Path, required=True, help="the boxes CSV to write")
    boxes.set_defaults(run=_boxes)

    detector = commands.add_parser("detector", help="train the face detector")
    _add_run_options(detector, size=320, batch=16, epochs=40, steps=150, learning_rate=8e-4)
    detector.set_defaults(run=_detector)

    classifier = commands.add_parser("classifier", help="train the mask classifier")
    classifier.add_argument("--folders", type=Path, action="append", default=[], help="one folder a class; repeatable")
    classifier.add_argument("--labels", default="with_mask,without_mask,with_incorrect_mask", help="in output order")
    classifier.add_argument("--sigmoid", action="store_true", help="one output neuron, for two labels")
    _add_run_options(classifier, size=96, batch=64, epochs=24, steps=100, learning_rate=5e-4)
    classifier.set_defaults(run=_classifier)
    return parser


def _add_run_options(
    parser: argparse.ArgumentParser, size: int, batch: int, epochs: int, steps: int, learning_rate: float
) -> None:
    parser.add_argument("--boxes", type=Path, action="append", default=[], help="a boxes CSV; repeatable")
    parser.add_argument("--weights", default="imagenet", help="MobileNetV2 .weights.h5, imagenet, or none")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--size", type=int, default=size, help="input height and width, pixels (default %(default)s)")
    parser.add_argument("--batch", type=int, default=batch, help="default %(default)s")
    parser.add_argument("--epochs", type=int, default=epochs, help="default %(default)s")
    parser.add_argument("--steps", type=int, default=steps, help="batches an epoch (default %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=learning_rate, help="peak (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default %(default)s")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run in --out")


def _recipe(arguments: argparse.Namespace) -> object:
    from models.train import Recipe

    return Recipe(
        out=arguments.out,
        size=arguments.size,
        batch=arguments.batch,
        epochs=arguments.epochs,
        steps=arguments.steps,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        weights=None if arguments.weights == "none" else arguments.weights,
        resume=arguments.resume,
    )


def _boxes(arguments: argparse.Namespace) -> int:
    from models import data, teacher

    kept, faces = teacher.draw_boxes(data.read_folders(arguments.folders), arguments.teacher, arguments.out)
    print(f"{arguments.out}: {faces} faces on {kept} pictures")
    return EXIT_OK


def _detector(arguments: argparse.Namespace) -> int:
    from models import data, train

    if not arguments.boxes:
        raise DataError("--boxes: a detector learns from boxes; give at least one boxes CSV")
    tables = [data.read_boxes(table) for table in arguments.boxes]
    print(f"best: {train.train_detector(_recipe(arguments), tables)}")  # type: ignore[arg-type]
    return EXIT_OK


def _classifier(arguments: argparse.Namespace) -> int:
    from models import data, train

    labels = arguments.labels.split(",")
    if arguments.sigmoid and len(labels) != 2:
        raise DataError(f"--sigmoid: one neuron tells two labels apart, got {len(labels)}; give --labels A,B")
    pictures = [picture for table in arguments.boxes for picture in data.read_boxes(table)]
    pictures += [picture for folder in arguments.folders for picture in data.read_folders(folder)]
    if not pictures:
        raise DataError("give --folders DIR or --boxes CSV to learn from")
    print(f"best: {train.train_classifier(_recipe(arguments), pictures, labels, arguments.sigmoid)}")  # type: ignore[arg-type]
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
