"""Option types and groups that several commands of fmd-train share."""

from __future__ import annotations

import argparse
import importlib
import math
from pathlib import Path
from typing import TYPE_CHECKING

from edge import drivers
from edge.errors import DataError, RuntimeMissingError
from edge.inference import bundle
from edge.inference.bundle import Model
from training.tracking import BACKENDS

if TYPE_CHECKING:  # importing this takes TensorFlow seconds; --help needs none of it
    from training.train import Recipe


def positive(text: str) -> int:
    """Parse a whole number of 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {value}, expected 1 or more")
    return value


def not_negative(text: str) -> int:
    """Parse a whole number of 0 or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"got {value}, expected 0 or more")
    return value


def rate(text: str) -> float:
    """Parse a finite number above 0."""
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"got {text}, expected more than 0")
    return value


def proportion(text: str) -> float:
    """Parse a number of 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"got {text}, expected 0 to 1")
    return value


def input_side(text: str) -> int:
    """Parse the side of a network's input, pixels."""
    value = int(text)
    if value < 32:
        raise argparse.ArgumentTypeError(f"got {value}, expected 32 or more: the network halves it five times")
    return value


def input_sides(text: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT of a detector's input, pixels, both multiples of its largest stride."""
    width, cross, height = text.partition("x")
    if not (cross and width.isdigit() and height.isdigit() and int(width) % 32 == int(height) % 32 == 0 < int(width)):
        raise argparse.ArgumentTypeError(f"got {text}, expected WIDTHxHEIGHT in multiples of 32, such as 384x256")
    return int(width), int(height)


def add_run_options(
    parser: argparse.ArgumentParser, size: int, batch: int, epochs: int, steps: int, learning_rate: float
) -> None:
    """Add the options of a training run, with these defaults."""
    add = parser.add_argument
    add("--boxes", type=Path, action="append", default=[], help="a boxes CSV; repeatable")
    add("--corrections", type=Path, help="CSV of corrected labels, for the training split only")
    add("--weights", default="imagenet", help="MobileNetV2 .weights.h5, EfficientNet-Lite .npz, imagenet, or none")
    add("--out", type=Path, required=True, help="folder of the run")
    add("--size", type=input_side, default=size, help="input height and width, pixels (default %(default)s)")
    add("--batch", type=positive, default=batch, help="default %(default)s")
    add("--epochs", type=positive, default=epochs, help="default %(default)s")
    add("--steps", type=positive, default=steps, help="batches an epoch (default %(default)s)")
    add("--learning-rate", type=rate, default=learning_rate, help="peak (default %(default)s)")
    add("--seed", type=not_negative, default=1, help="default %(default)s")
    add("--resume", action="store_true", help="continue an interrupted run in --out")
    add("--start", type=Path, help="begin with the weights of an earlier run's best.keras")
    add("--patience", type=not_negative, default=0, help="stop after N epochs without a better one (0: never)")
    add("--track", action="append", default=[], choices=BACKENDS, help="also log there, offline; repeatable")


def recipe_of(arguments: argparse.Namespace) -> Recipe:
    """Return the recipe that the options of :func:`add_run_options` describe."""
    from training.train import Recipe

    return Recipe(
        out=arguments.out,
        size=arguments.size,
        batch=arguments.batch,
        epochs=arguments.epochs,
        steps=arguments.steps,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        weights=weights_of(arguments),
        resume=arguments.resume,
        start=arguments.start,
        rounding=getattr(arguments, "rounding", False),
        frozen=getattr(arguments, "frozen", False),
        patience=arguments.patience,
        track=tuple(arguments.track),
    )


def weights_of(arguments: argparse.Namespace) -> str | None:
    """Return ``--weights`` as a path or the word imagenet, None for the word none."""
    return None if arguments.weights == "none" else str(arguments.weights)


def check_tensorflow() -> None:
    """Raise RuntimeMissingError where TensorFlow is missing: an import that fails later would read as a bug in fmd."""
    try:
        for name in ("tensorflow", "keras"):
            importlib.import_module(name)
    except ImportError as error:
        raise RuntimeMissingError(
            f"training needs TensorFlow and Keras, which cannot be imported here ({error}); in fmd's folder: "
            "pip install '.[train]'"
        ) from error


def open_model(path: Path | None, task: str, option: str) -> Model:
    """Open the model file that ``option`` names. Raises DataError where none is given, BundleError for a bad file."""
    if path is None:
        raise DataError(f"{option}: is needed here; give the {task}'s .tflite")
    return bundle.load(path, task, drivers.open_interpreter)
