"""``fmd-train classifier``: train the mask classifier, from boxes, class folders, or both."""

from __future__ import annotations

import argparse
from pathlib import Path

from converter.tables import read_boxes, read_class_folders
from edge.errors import EXIT_OK, DataError
from training import corrections
from training.commands import options

HELP = "train the mask classifier, from boxes, class folders, or both"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add = parser.add_argument
    add("--folders", type=Path, action="append", default=[], help="one folder a class; repeatable")
    add("--labels", default="with_mask,without_mask,with_incorrect_mask", help="in output order")
    add("--sigmoid", action="store_true", help="one output neuron, for two labels")
    add("--rounding", action="store_true", help="train with int8's rounding: to finish a run (--start)")
    add("--lite", action="store_true", help="an EfficientNet-Lite instead of MobileNetV2: larger, to teach it")
    add("--teacher", type=Path, help="a larger network's .keras, with the same labels, to learn from as well")
    add("--landmarks-by", type=Path, help="YuNet .onnx: draw masks onto faces without one")
    add(
        "--frozen", action="store_true", help="train the head alone, as the papers do; fine-tune all later with --start"
    )
    options.add_run_options(parser, size=96, batch=64, epochs=24, steps=100, learning_rate=5e-4)


def run(arguments: argparse.Namespace) -> int:
    """Train; return the exit code."""
    options.check_tensorflow()
    from training import train

    labels = arguments.labels.split(",")
    if arguments.sigmoid and len(labels) != 2:
        raise DataError(f"--sigmoid: one neuron separates two labels, got {len(labels)}; give --labels A,B")
    tables = [read_boxes(table) for table in arguments.boxes]
    tables += read_class_folders(arguments.folders)
    if not tables:
        raise DataError("give --folders DIR or --boxes CSV to learn from")
    pictures = [picture for table in corrections.corrected(tables, arguments.corrections) for picture in table]
    recipe = options.recipe_of(arguments)
    best = train.train_classifier(
        recipe, pictures, labels, arguments.sigmoid, arguments.landmarks_by, arguments.teacher, arguments.lite
    )
    print(f"best: {best}")
    return EXIT_OK
