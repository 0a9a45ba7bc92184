"""fmd-train: the recipe that makes the models fmd ships, and yours.

fmd-train boxes       boxes for class-folder pictures, drawn by a teacher
fmd-train negatives   what a detector wrongly takes for faces, to teach both models
fmd-train detector    train the face detector, from boxes
fmd-train shape       a trained detector for pictures of another size or shape
fmd-train thin        a trained detector with fewer channels, to train on
fmd-train classifier  train the mask classifier, from boxes, class folders, or both
fmd-train average     one network of several runs' weights
fmd-train evaluate    how good they are, by face size, and their worst mistakes
fmd-train papers      the papers' networks beside ours, on one split
fmd-train bench       how long ours take beside their peers
fmd-train trials      what they make of one drawn face in hard conditions, as a picture
fmd-train card        the page that goes with a shipped model
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands.main import version_line
from edge.errors import EXIT_OK, DataError, RuntimeMissingError, exit_code_of
from training.tracking import BACKENDS

if TYPE_CHECKING:  # importing these takes TensorFlow seconds; --help needs none of them
    from converter.tables import Picture
    from edge.inference.bundle import Model
    from training.train import Recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    arguments = _parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return exit_code_of(lambda: int(arguments.run(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fmd-train", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--version", action="version", version=version_line("fmd-train"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_boxes(commands.add_parser("boxes", help="draw boxes on class-folder pictures with a YuNet .onnx as teacher"))
    _add_negatives(commands.add_parser("negatives", help="boxes of what a detector wrongly takes for faces"))
    _add_detector(commands.add_parser("detector", help="train the face detector"))
    _add_shape(commands.add_parser("shape", help="a trained detector for pictures of another size or shape"))
    _add_thin(
        commands.add_parser("thin", help="drop the channels of a trained detector that the others can stand in for")
    )
    _add_classifier(commands.add_parser("classifier", help="train the mask classifier"))
    _add_average(commands.add_parser("average", help="one network of several runs' weights"))
    _add_evaluate(commands.add_parser("evaluate", help="figures, curves and the worst mistakes"))
    _add_papers(commands.add_parser("papers", help="compare the papers' networks on one split"))
    _add_bench(commands.add_parser("bench", help="time beside YuNet and MobileNetV2, on one thread"))
    _add_trials(commands.add_parser("trials", help="one drawn face in hard conditions, as a picture"))
    _add_card(commands.add_parser("card", help="write a model card"))
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {value}, expected 1 or more")
    return value


def _not_negative(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"got {value}, expected 0 or more")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"got {text}, expected more than 0")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"got {text}, expected 0 to 1")
    return value


def _size(text: str) -> int:
    value = int(text)
    if value < 32:
        raise argparse.ArgumentTypeError(f"got {value}, expected 32 or more: the network halves it five times")
    return value


# boxes


def _add_boxes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folders", type=Path, required=True, help="one folder a class")
    parser.add_argument("--teacher", type=Path, required=True, help="YuNet .onnx")
    parser.add_argument("--out", type=Path, required=True, help="the boxes CSV to write")
    parser.set_defaults(run=_boxes)


def _boxes(arguments: argparse.Namespace) -> int:
    from converter import tables
    from training import teacher

    kept, faces = teacher.draw_boxes(tables.read_folders(arguments.folders), arguments.teacher, arguments.out)
    print(f"{arguments.out}: {faces} faces on {kept} pictures")
    return EXIT_OK


# negatives


def _add_negatives(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--boxes", type=Path, required=True, help="a boxes CSV")
    parser.add_argument("--detector", type=Path, required=True, help="detector .tflite")
    parser.add_argument("--teacher", type=Path, required=True, help="YuNet .onnx: where it sees a face, there is one")
    parser.add_argument("--unlabelled", type=Path, help="a boxes CSV of faces that --boxes forgot")
    parser.add_argument("--out", type=Path, required=True, help="the boxes CSV to write")
    parser.set_defaults(run=_negatives)


def _negatives(arguments: argparse.Namespace) -> int:
    from converter import tables
    from edge.stages.detect import FaceDetector
    from training import negatives

    detector = FaceDetector(_model(arguments.detector, "detector", "--detector"), negatives.MIN_SCORE)
    pictures = tables.read_boxes(arguments.boxes)
    if arguments.unlabelled:
        pictures = negatives.added(pictures, tables.read_boxes(arguments.unlabelled))
    looked_at, found = negatives.mine(pictures, detector, arguments.teacher, arguments.out)
    print(f"{arguments.out}: {found} negatives on {looked_at} pictures")
    return EXIT_OK


# detector, classifier


def _add_detector(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--negatives", type=Path, action="append", default=[], help="of fmd-train negatives; repeatable"
    )
    _add_run_options(parser, size=320, batch=16, epochs=40, steps=150, learning_rate=8e-4)
    parser.set_defaults(run=_detector)


def _sides(text: str) -> tuple[int, int]:
    width, cross, height = text.partition("x")
    if not (cross and width.isdigit() and height.isdigit() and int(width) % 32 == int(height) % 32 == 0 < int(width)):
        raise argparse.ArgumentTypeError(f"got {text}, expected WIDTHxHEIGHT in multiples of 32, such as 384x256")
    return int(width), int(height)


def _add_shape(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--start", type=Path, required=True, help="best.keras of a detector's run")
    parser.add_argument("--size", type=_sides, required=True, metavar="WIDTHxHEIGHT", help="such as 384x256")
    parser.add_argument("--out", type=Path, required=True, help="the .keras to write")
    parser.set_defaults(run=_shape)


def _shape(arguments: argparse.Namespace) -> int:
    _check_tensorflow()
    from training import detector, train

    width, height = arguments.size
    detector.resized(train.load_detector(arguments.start, "--start"), height, width).save(arguments.out)
    print(f"{arguments.out}: {width} x {height}")
    return EXIT_OK


def _add_thin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--start", type=Path, required=True, help="best.keras of a detector's run")
    parser.add_argument("--boxes", type=Path, required=True, help="a boxes CSV: what it should see as before")
    parser.add_argument(
        "--keep", type=_share, default=0.6, help="share of the channels that stays (default %(default)s)"
    )
    parser.add_argument("--size", type=_size, default=320, help="input height and width, pixels (default %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="the .keras to write: a --start of fmd-train detector")
    parser.set_defaults(run=_thin)


def _thin(arguments: argparse.Namespace) -> int:
    _check_tensorflow()
    from converter import tables
    from training import data, thin, train

    if arguments.keep == 0:
        raise DataError("--keep: got 0, expected more: a network without channels sees nothing")
    model = train.load_detector(arguments.start, "--start")
    thinner = thin.thinner_detector(
        model, data.divide(tables.read_boxes(arguments.boxes))[0], arguments.size, arguments.keep
    )
    thinner.save(arguments.out)
    print(f"{arguments.out}: {thinner.count_params():,} parameters of {model.count_params():,}")
    return EXIT_OK


def _add_classifier(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folders", type=Path, action="append", default=[], help="one folder a class; repeatable")
    parser.add_argument("--labels", default="with_mask,without_mask,with_incorrect_mask", help="in output order")
    parser.add_argument("--sigmoid", action="store_true", help="one output neuron, for two labels")
    parser.add_argument("--rounding", action="store_true", help="train with int8's rounding: to finish a run (--start)")
    parser.add_argument(
        "--frozen",
        action="store_true",
        help="train the head alone, as the papers do; fine-tune all from it with --start",
    )
    _add_run_options(parser, size=96, batch=64, epochs=24, steps=100, learning_rate=5e-4)
    parser.set_defaults(run=_classifier)


def _add_run_options(
    parser: argparse.ArgumentParser, size: int, batch: int, epochs: int, steps: int, learning_rate: float
) -> None:
    add = parser.add_argument
    add("--boxes", type=Path, action="append", default=[], help="a boxes CSV; repeatable")
    add("--corrections", type=Path, help="CSV of wrong labels put right, in the training split only")
    add("--weights", default="imagenet", help="MobileNetV2 .weights.h5, imagenet, or none")
    add("--out", type=Path, required=True, help="folder of the run")
    add("--size", type=_size, default=size, help="input height and width, pixels (default %(default)s)")
    add("--batch", type=_positive, default=batch, help="default %(default)s")
    add("--epochs", type=_positive, default=epochs, help="default %(default)s")
    add("--steps", type=_positive, default=steps, help="batches an epoch (default %(default)s)")
    add("--learning-rate", type=_rate, default=learning_rate, help="peak (default %(default)s)")
    add("--seed", type=_not_negative, default=1, help="default %(default)s")
    add("--resume", action="store_true", help="go on with an interrupted run in --out")
    add("--start", type=Path, help="begin with the weights of an earlier run's best.keras")
    add("--patience", type=_not_negative, default=0, help="stop after so many epochs without a better one (0: never)")
    add("--track", action="append", default=[], choices=BACKENDS, help="also log there, offline; repeatable")


def _check_tensorflow() -> None:
    """Say in one line what is missing; an import that fails deeper down would look like a defect of fmd."""
    try:
        for name in ("tensorflow", "keras"):
            importlib.import_module(name)
    except ImportError as error:
        raise RuntimeMissingError(
            f"training needs TensorFlow and Keras, which cannot be imported here ({error}); in fmd's folder: "
            "pip install '.[train]'"
        ) from error


def _recipe(arguments: argparse.Namespace) -> Recipe:
    from training.train import Recipe

    return Recipe(
        out=arguments.out,
        size=arguments.size,
        batch=arguments.batch,
        epochs=arguments.epochs,
        steps=arguments.steps,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        weights=_weights(arguments),
        resume=arguments.resume,
        start=arguments.start,
        rounding=getattr(arguments, "rounding", False),
        frozen=getattr(arguments, "frozen", False),
        patience=arguments.patience,
        track=tuple(arguments.track),
    )


def _weights(arguments: argparse.Namespace) -> str | None:
    return None if arguments.weights == "none" else str(arguments.weights)


def _corrected(tables: Sequence[Sequence[Picture]], arguments: argparse.Namespace) -> list[list[Picture]]:
    """The tables with --corrections made; every correction must be of one of them."""
    from edge.contracts import LABELS
    from training import corrections

    if arguments.corrections is None:
        return [list(table) for table in tables]
    wanted = corrections.read(arguments.corrections)
    corrections.check(wanted, LABELS, [picture.name for table in tables for picture in table])
    return [corrections.apply(table, wanted) for table in tables]


def _detector(arguments: argparse.Namespace) -> int:
    _check_tensorflow()
    from converter.tables import read_boxes
    from training import train

    if not arguments.boxes:
        raise DataError("--boxes: a detector learns from boxes; give at least one boxes CSV")
    if arguments.size % 32:
        raise DataError(f"--size: got {arguments.size}, expected a multiple of 32, the detector's largest stride")
    tables = _corrected([read_boxes(table) for table in arguments.boxes], arguments)
    mined = [picture for table in arguments.negatives for picture in read_boxes(table)]
    print(f"best: {train.train_detector(_recipe(arguments), tables, mined)}")
    return EXIT_OK


def _classifier(arguments: argparse.Namespace) -> int:
    _check_tensorflow()
    from converter.tables import read_boxes, read_class_folders
    from training import train

    labels = arguments.labels.split(",")
    if arguments.sigmoid and len(labels) != 2:
        raise DataError(f"--sigmoid: one neuron tells two labels apart, got {len(labels)}; give --labels A,B")
    tables = [read_boxes(table) for table in arguments.boxes]
    tables += read_class_folders(arguments.folders)
    if not tables:
        raise DataError("give --folders DIR or --boxes CSV to learn from")
    pictures = [picture for table in _corrected(tables, arguments) for picture in table]
    print(f"best: {train.train_classifier(_recipe(arguments), pictures, labels, arguments.sigmoid)}")
    return EXIT_OK


def _add_average(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", type=Path, nargs="+", help="best.keras of runs that began with the same weights")
    parser.add_argument("--out", type=Path, required=True, help="the .keras to write")
    parser.set_defaults(run=_average)


def _average(arguments: argparse.Namespace) -> int:
    _check_tensorflow()
    from training.average import averaged

    averaged(arguments.runs).save(arguments.out)
    print(f"{arguments.out}: the mean of {len(arguments.runs)} networks")
    return EXIT_OK


# evaluate


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    truth = parser.add_mutually_exclusive_group(required=True)
    truth.add_argument("--boxes", type=Path, help="a boxes CSV")
    truth.add_argument("--folders", type=Path, help="one folder a class: whole pictures are classified")
    add("--predictions", type=Path, help="what fmd predict wrote, instead of running the models here")
    add("--detector", type=Path, help="detector .tflite")
    add("--classifier", type=Path, help="classifier .tflite")
    add("--split", default="test", help="test, train, validation (carved out of train) or all (default %(default)s)")
    add("--min-score", type=_share, help="faces below it are dropped (default: as fmd run does)")
    add("--start-score", type=_share, help="faces below it get no label (default: as fmd run does)")
    add("--title", help="what the scores are called in a model card")
    add("--out", type=Path, required=True, help="folder for scores, curves and mistakes")
    parser.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    from converter import tables
    from training import data, evaluate, plots

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
    from edge import config
    from training import evaluate

    defaults = config.load().detect
    start = defaults.start_score if arguments.start_score is None else arguments.start_score
    if arguments.predictions:
        if arguments.detector or arguments.classifier or arguments.min_score is not None:
            raise DataError("--predictions: are scored as they stand; leave out --detector, --classifier, --min-score")
        return evaluate.evaluate_boxes(pictures, evaluate.read_predictions(arguments.predictions), start, arguments.out)
    lowest = defaults.min_score if arguments.min_score is None else arguments.min_score
    detector = _model(arguments.detector, "detector", "--detector")
    classifier = _model(arguments.classifier, "classifier", "--classifier")
    labelled = evaluate.predict(pictures, detector, classifier, lowest)
    predicted = evaluate.labelled_from(labelled, start)
    scores = evaluate.evaluate_boxes(pictures, predicted, start, arguments.out)
    evaluate.write_predictions(predicted, arguments.out / "predictions.csv")
    truth = {picture.name: picture.faces for picture in pictures}
    return {**scores, "min_score": lowest, "start_score": start, "sweep": evaluate.sweep(truth, labelled)}


def _evaluate_folders(arguments: argparse.Namespace, pictures: Sequence[Picture]) -> dict[str, object]:
    from training import evaluate

    classifier = _model(arguments.classifier, "classifier", "--classifier")
    return evaluate.evaluate_folders(pictures, classifier, arguments.out)


def _model(path: Path | None, task: str, option: str) -> Model:
    from edge import drivers
    from edge.inference import bundle

    if path is None:
        raise DataError(f"{option}: is needed here; give the {task}'s .tflite")
    return bundle.load(path, task, drivers.open_interpreter)


# papers


def _add_papers(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--folders", type=Path, required=True, help="one folder a class, with a split.csv")
    add("--weights", default="imagenet", help="MobileNetV2 .weights.h5, imagenet, or none")
    add("--out", type=Path, required=True, help="folder for the table, pictures and kept features")
    add("--epochs", type=_positive, default=20, help="default %(default)s")
    add("--copies", type=_not_negative, default=1, help="augmented copies of the training set (default %(default)s)")
    add("--seed", type=_not_negative, default=1, help="default %(default)s")
    add("--classifier", type=Path, help="a classifier .tflite to put beside them")
    parser.set_defaults(run=_papers)


def _papers(arguments: argparse.Namespace) -> int:
    _check_tensorflow()
    from training import papers

    ours = _model(arguments.classifier, "classifier", "--classifier") if arguments.classifier else None
    sets = papers.load(arguments.folders)
    plan = papers.Plan(arguments.out, _weights(arguments), arguments.epochs, arguments.copies, arguments.seed)
    rows = papers.table(papers.compare(sets, plan, ours))
    papers.write_table(rows, arguments.out)
    print(papers.markdown(rows))
    return EXIT_OK


# bench


def _add_bench(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--detector", type=Path, help="detector .tflite; needs --yunet")
    add("--yunet", type=Path, help="YuNet .onnx")
    add("--classifier", type=Path, help="classifier .tflite")
    add("--mobilenet", type=Path, help="an int8 MobileNetV2 .tflite (default: made here, with random weights)")
    add("--pairs", type=_positive, default=100, help="default %(default)s")
    parser.set_defaults(run=_bench)


def _bench(arguments: argparse.Namespace) -> int:
    from training import bench

    out = []
    if arguments.detector:
        if not arguments.yunet:
            raise DataError("--yunet: is needed with --detector; give the path of a YuNet .onnx")
        out += bench.detectors(_model(arguments.detector, "detector", "--detector"), arguments.yunet, arguments.pairs)
    if arguments.classifier:
        classifier = _model(arguments.classifier, "classifier", "--classifier")
        out.append(bench.classifiers(classifier, bench.open_mobilenet(arguments.mobilenet), arguments.pairs))
    if not out:
        raise DataError("nothing to time; give --detector with --yunet, --classifier, or both")
    print(bench.report(out))
    return EXIT_OK


# trials


def _add_trials(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detector", type=Path, required=True, help="detector .tflite")
    parser.add_argument("--classifier", type=Path, required=True, help="classifier .tflite")
    parser.add_argument("--out", type=Path, required=True, help="the picture to write")
    parser.set_defaults(run=_trials)


def _trials(arguments: argparse.Namespace) -> int:
    from edge import config
    from edge.reporting.predictor import Predictor
    from edge.stages.classify import MaskClassifier
    from edge.stages.detect import FaceDetector
    from training import trials

    start = config.load().detect.start_score
    detector = FaceDetector(_model(arguments.detector, "detector", "--detector"), start)
    classifier = MaskClassifier(_model(arguments.classifier, "classifier", "--classifier"))
    right, asked = trials.draw(Predictor(detector, classifier, start), arguments.out)
    print(f"{arguments.out}: {right} of {asked} on the right side")
    return EXIT_OK


# card


def _add_card(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--bundle", type=Path, required=True, help="the shipped .tflite")
    add("--keras", type=Path, required=True, help="the .keras it was made from")
    add("--run", dest="run_folder", type=Path, required=True, help="folder of the training run")
    add("--scores", type=Path, action="append", default=[], help="a scores.json of fmd-train evaluate; repeatable")
    add("--notes", type=Path, help="markdown to end the card with, such as data and failures seen")
    add("--command", default="", help="the command that made it, where run.json does not tell")
    add("--out", type=Path, required=True, help="the .md to write; the curve goes beside it")
    parser.set_defaults(run=_card)


def _card(arguments: argparse.Namespace) -> int:
    from training import card

    given = (arguments.bundle, arguments.keras, arguments.run_folder, arguments.scores, arguments.notes)
    card.write(card.Sources(*given, arguments.command), arguments.out)
    print(arguments.out)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
