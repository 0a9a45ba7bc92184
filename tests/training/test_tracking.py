"""Every backend through the same suite; those whose library is missing are skipped, and their message is not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from edge.errors import DataError, RuntimeMissingError
from training import tracking

LIBRARIES = {"csv": "csv", "tensorboard": "tensorboard", "wandb": "wandb", "neptune": "neptune_scale"}


@pytest.fixture(params=list(tracking.BACKENDS))
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_run_of_two_epochs(backend: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(LIBRARIES[backend]) is None:
        pytest.skip(f"{LIBRARIES[backend]} is not installed")
    logger = tracking.BACKENDS[backend](tmp_path)
    logger.start("try", {"size": 96, "weights": None, "resume": False, "learning_rate": 1e-3})
    logger.log(1, {"loss": 0.5, "machine/cpu_percent": 10.0})
    logger.log(2, {"loss": 0.25, "machine/cpu_percent": 20.0})
    logger.close()
    logger.close()
    assert any(path.is_file() and path.stat().st_size for path in tmp_path.rglob("*"))


def test_a_missing_library_is_one_clear_line(backend: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(LIBRARIES[backend]) is not None:
        pytest.skip(f"{LIBRARIES[backend]} is installed")
    with pytest.raises(RuntimeMissingError, match="pip install") as told:
        tracking.BACKENDS[backend](tmp_path).start("try", {})
    assert "\n" not in str(told.value)


def test_closing_what_was_never_started(backend: str, tmp_path: Path) -> None:
    tracking.BACKENDS[backend](tmp_path).close()


def test_the_csv_is_always_there_and_named_once(tmp_path: Path) -> None:
    loggers = tracking.ExperimentLoggers(["csv", "csv"], tmp_path)
    loggers.start("try", {})
    loggers.log(1, {"loss": 0.123456789})
    loggers.close()
    assert tracking.read_curve(tmp_path) == [{"epoch": 1, "loss": 0.12346}]


def test_an_unknown_tracker(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected one of csv, tensorboard, wandb, neptune"):
        tracking.ExperimentLoggers(["mlflow"], tmp_path)


def test_a_resumed_csv_keeps_its_columns(tmp_path: Path) -> None:
    for step, values in ((1, {"loss": 1.0, "recall": 0.5}), (2, {"recall": 0.75, "new": 3.0})):
        logger = tracking.CsvLogger(tmp_path)
        logger.start("try", {})
        logger.log(step, values)
    assert tracking.read_curve(tmp_path) == [{"epoch": 1, "loss": 1.0, "recall": 0.5}, {"epoch": 2, "recall": 0.75}]


def test_reading_curves(tmp_path: Path) -> None:
    assert tracking.read_curve(tmp_path) == []
    (tmp_path / tracking.CURVE_NAME).write_text("epoch,loss\n1,high\n", encoding="utf-8")
    with pytest.raises(DataError, match="not numbers"):
        tracking.read_curve(tmp_path)
