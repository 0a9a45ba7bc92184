"""``fmd-train decision``: when a detection counts as a face, by cross-validation; and the classifier's calibration."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converter import tables
from edge import config
from edge.errors import EXIT_OK, DataError
from training import data, decision, results
from training.commands import options

HELP = "weights and threshold of what counts as a face, by cross-validation"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add = parser.add_argument
    add("--boxes", type=Path, action="append", default=[], help="a boxes CSV whose labels are complete; repeatable")
    add(
        "--incomplete",
        type=Path,
        action="append",
        default=[],
        help="a boxes CSV with faces that nobody labelled: its alarms on no face do not count; repeatable",
    )
    add("--detector", type=Path, required=True, help="detector .tflite")
    add("--classifier", type=Path, required=True, help="classifier .tflite")
    add("--split", default=data.VALIDATION, help="of every table, or all (default %(default)s)")
    add("--max-spurious", type=float, default=decision.MAX_SPURIOUS, help="alarms on no face per 100 pictures allowed")
    add("--write", action="store_true", help="also write temperature and matrix into the --classifier file's contract")
    add("--out", type=Path, required=True, help="the JSON to write")


def run(arguments: argparse.Namespace) -> int:
    """Fit, validate, write; return the exit code."""
    if not arguments.boxes:
        raise DataError("--boxes: is needed; without complete labels nobody knows what is no face")
    detector = options.open_model(arguments.detector, "detector", "--detector")
    classifier = options.open_model(arguments.classifier, "classifier", "--classifier")
    lowest = config.load().detect.min_score
    parts = [
        decision.observe(
            data.of_split(tables.read_boxes(path), arguments.split), detector, classifier, lowest, complete
        )
        for paths, complete in ((arguments.boxes, True), (arguments.incomplete, False))
        for path in paths
    ]
    folds = decision.cross_validated(parts, arguments.max_spurious)
    rule = decision.chosen(parts, arguments.max_spurious)
    labels, said = decision.observations(parts, rule)
    names, counts = decision.matrix(labels, said)
    found: dict[str, Any] = {
        "rule": rule._asdict(),
        "figures": decision.figures(parts, rule),
        "folds": decision.summary(folds),
        "temperature": decision.temperature(labels, said),
        "confusion": {"labels": names, "counts": counts.tolist()},
    }
    if arguments.write:
        decision.calibrate(arguments.classifier, names, counts, found["temperature"])
    results.write_json(arguments.out, found)
    print("rule: " + "  ".join(f"{name} {value:.3f}" for name, value in rule._asdict().items()))
    for name, value in decision.summary(folds).items():
        if name != "rules":
            print(f"{name:32} {value[0]:9.4f} +- {value[1]:.4f} over {decision.FOLDS} folds")
    print(f"temperature {found['temperature']:.2f}; confusion of {', '.join(names)}: {counts.tolist()}")
    return EXIT_OK
