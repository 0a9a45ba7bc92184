"""``fmd-train evaluate``: how good the models are, by face size, and their worst mistakes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from converter import tables
from converter.tables import Picture
from edge import config
from edge.errors import EXIT_OK, DataError
from training import data, evaluate, plots
from training.commands import options

HELP = "scores, curves and the worst mistakes"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add = parser.add_argument
    truth = parser.add_mutually_exclusive_group(required=True)
    truth.add_argument("--boxes", type=Path, help="a boxes CSV")
    truth.add_argument("--folders", type=Path, help="one folder a class: whole pictures are classified")
    add("--predictions", type=Path, help="what fmd predict wrote, instead of running the models here")
    add("--detector", type=Path, help="detector .tflite")
    add("--classifier", type=Path, help="classifier .tflite")
    add("--split", default="test", help="test, train, validation (taken from train) or all (default %(default)s)")
    add("--min-score", type=options.proportion, help="faces below it are dropped (default: as fmd run does)")
    add("--start-score", type=options.proportion, help="faces below it get no label (default: as fmd run does)")
    add("--title", help="what the scores are called in a model card")
    add("--out", type=Path, required=True, help="folder for scores, curves and mistakes")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate; return the exit code."""
    plots.check_installed()
    whole = arguments.boxes is None
    table = tables.read_folders(arguments.folders) if whole else tables.read_boxes(arguments.boxes)
    pictures = data.of_split(table, arguments.split)
    scores = (_evaluate_folders if whole else _evaluate_boxes)(arguments, pictures)
    title = arguments.title or f"{(arguments.folders or arguments.boxes).name}, {arguments.split}"
    path = evaluate.write_scores({"title": title, "split": arguments.split, **scores}, arguments.out)
    print(evaluate.report(scores))
    print(f"{path}, and beside it the curve, the confusion matrix and the worst mistakes")
    return EXIT_OK


def _evaluate_boxes(arguments: argparse.Namespace, pictures: Sequence[Picture]) -> dict[str, object]:
    defaults = config.load().detect
    start = defaults.min_score if arguments.start_score is None else arguments.start_score
    if arguments.predictions:
        if arguments.detector or arguments.classifier or arguments.min_score is not None:
            raise DataError("--predictions: are scored as they stand; leave out --detector, --classifier, --min-score")
        return evaluate.evaluate_boxes(pictures, evaluate.read_predictions(arguments.predictions), start, arguments.out)
    lowest = defaults.min_score if arguments.min_score is None else arguments.min_score
    detector = options.open_model(arguments.detector, "detector", "--detector")
    classifier = options.open_model(arguments.classifier, "classifier", "--classifier")
    labelled = evaluate.predict(pictures, detector, classifier, lowest)
    predicted = evaluate.labelled_from(labelled, start)
    scores = evaluate.evaluate_boxes(pictures, predicted, start, arguments.out)
    evaluate.write_predictions(predicted, arguments.out / "predictions.csv")
    truth = {picture.name: picture.faces for picture in pictures}
    return {**scores, "min_score": lowest, "start_score": start, "sweep": evaluate.sweep(truth, labelled)}


def _evaluate_folders(arguments: argparse.Namespace, pictures: Sequence[Picture]) -> dict[str, object]:
    classifier = options.open_model(arguments.classifier, "classifier", "--classifier")
    return evaluate.evaluate_folders(pictures, classifier, arguments.out)
