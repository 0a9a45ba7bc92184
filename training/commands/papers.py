"""``fmd-train papers``: the papers' networks beside ours, on one split."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.errors import EXIT_OK
from training.commands import options

HELP = "compare the papers' networks on one split"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add = parser.add_argument
    add("--folders", type=Path, required=True, help="one folder a class, with a split.csv")
    add("--weights", default="imagenet", help="MobileNetV2 .weights.h5, imagenet, or none")
    add("--out", type=Path, required=True, help="folder for the table, pictures and kept features")
    add("--epochs", type=options.positive, default=20, help="default %(default)s")
    add(
        "--copies",
        type=options.not_negative,
        default=1,
        help="augmented copies of the training set (default %(default)s)",
    )
    add("--seed", type=options.not_negative, default=1, help="default %(default)s")
    add("--classifier", type=Path, help="a classifier .tflite to compare with them")


def run(arguments: argparse.Namespace) -> int:
    """Compare; return the exit code."""
    options.check_tensorflow()
    from training import papers

    path = arguments.classifier
    ours = options.open_model(path, "classifier", "--classifier") if path else None
    sets = papers.load(arguments.folders)
    plan = papers.Plan(arguments.out, options.weights_of(arguments), arguments.epochs, arguments.copies, arguments.seed)
    rows = papers.table(papers.compare(sets, plan, ours))
    papers.write_table(rows, arguments.out)
    print(papers.markdown(rows))
    return EXIT_OK
