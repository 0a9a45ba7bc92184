"""Experiment tracking: one small interface and one literal table of optional backends.

Everything stays on this machine: Weights & Biases and Neptune run offline, without an account. The CSV
(``curve.csv``) is always written. A resumed run adds a second TensorBoard file, W&B run and Neptune run beside the
first; the CSV continues in its file.
"""

from __future__ import annotations

import csv
import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from edge.errors import DataError, RuntimeMissingError

CURVE_NAME, RUN_NAME = "curve.csv", "run.json"
"""In every run's folder: the numbers of each epoch, and the command, recipe and versions that made them."""

Setting = str | int | float | bool | None


class ExperimentLogger(Protocol):
    """A destination of a run's numbers. :meth:`start` raises RuntimeMissingError where a library is missing."""

    def start(self, run: str, settings: Mapping[str, Setting]) -> None:
        """Begin or continue the run of that name, made with these settings."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log the numbers of one epoch; ``step`` counts from 1."""

    def close(self) -> None:
        """Write out the rest. Safe to call twice, and without :meth:`start`."""


class CsvLogger:
    """``curve.csv`` in the run's folder, a row an epoch. Its columns are those of the first row ever written."""

    def __init__(self, out: Path) -> None:
        self._path = out / CURVE_NAME

    def start(self, run: str, settings: Mapping[str, Setting]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        row = {"epoch": step, **{name: round(value, 5) for name, value in values.items()}}
        columns = _header(self._path)
        with self._path.open("a", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, columns or list(row), extrasaction="ignore")
            if not columns:
                writer.writeheader()
            writer.writerow(row)

    def close(self) -> None:
        """Nothing is held open between rows."""


class TensorBoardLogger:
    """Event files in ``tensorboard/`` of the run's folder; view them with ``tensorboard --logdir``."""

    def __init__(self, out: Path) -> None:
        self._out = out / "tensorboard"
        self._writer: Any = None

    def start(self, run: str, settings: Mapping[str, Setting]) -> None:
        # Its own writer, not tf.summary: the latter is TensorFlow and tensorboard both.
        self._writer = _library("tensorboard.summary", "tensorboard").Writer(str(self._out))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class WandbLogger:
    """Weights & Biases, offline, in ``wandb/`` of the run's folder; upload with ``wandb sync``."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._run: Any = None

    def start(self, run: str, settings: Mapping[str, Setting]) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # offline is offline: its crash reports too
        wandb = _library("wandb", "wandb")
        self._out.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project="fmd",
            name=run,
            dir=str(self._out),
            mode="offline",
            config=dict(settings),
            settings=wandb.Settings(silent=True, console="off"),
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        if self._run is not None:
            self._run.finish()
            self._run = None


class NeptuneLogger:
    """Neptune (the client ``neptune-scale``), offline: an SQLite file in ``neptune/`` of the run's folder.

    The hosted service ended in March 2026; ``neptune sync`` sends to a server of one's own.
    """

    def __init__(self, out: Path) -> None:
        self._out = out / "neptune"
        self._run: Any = None

    def start(self, run: str, settings: Mapping[str, Setting]) -> None:
        # Offline mode needs a project name, too, and takes any.
        self._run = _library("neptune_scale", "neptune-scale").Run(
            project="offline/fmd",
            experiment_name=run,
            mode="offline",
            log_directory=str(self._out.resolve()),
            source_tracking_config=None,
            enable_console_log_capture=False,
        )
        self._run.log_configs({name: "none" if value is None else value for name, value in settings.items()})

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log_metrics(dict(values), step=step)

    def close(self) -> None:
        if self._run is not None:
            self._run.close()
            self._run = None


BACKENDS: dict[str, Callable[[Path], ExperimentLogger]] = {
    "csv": CsvLogger,
    "tensorboard": TensorBoardLogger,
    "wandb": WandbLogger,
    "neptune": NeptuneLogger,
}
"""Name -> backend of a run's folder. A backend's library is imported when it starts, not before."""


def _library(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RuntimeMissingError(
            f"--track needs {package}, which is missing ({error}); pip install {package}"
        ) from error


class ExperimentLoggers:
    """The CSV and the backends named, as one ExperimentLogger. Raises DataError for a name that is not in the table."""

    def __init__(self, names: Sequence[str], out: Path) -> None:
        unknown = sorted(set(names) - BACKENDS.keys())
        if unknown:
            raise DataError(f"--track {unknown[0]}: no such logger; expected one of {', '.join(BACKENDS)}")
        self._trackers = [BACKENDS[name](out) for name in dict.fromkeys(("csv", *names))]

    def start(self, run: str, settings: Mapping[str, Setting]) -> None:
        for logger in self._trackers:
            logger.start(run, settings)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for logger in self._trackers:
            logger.log(step, values)

    def close(self) -> None:
        for logger in self._trackers:
            logger.close()


def read_curve(out: Path) -> list[dict[str, float]]:
    """The rows of a run's ``curve.csv``, empty cells left out; no rows where there is no such file."""
    path = out / CURVE_NAME
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        try:
            return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(handle)]
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: a row is not numbers ({error}); mend or remove it") from error


def _header(path: Path) -> list[str]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        return next(csv.reader(handle), [])
