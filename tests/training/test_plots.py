"""Pictures of numbers: that they are pictures, of what they should show."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed; pip install '.[train]'")

from training import plots
from training.score import CurvePoint


def drawn(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None
    assert image.std() > 5, "a picture of nothing"
    return image


def test_precision_recall_with_and_without_points(tmp_path: Path) -> None:
    points = [CurvePoint(0.5, 1.0, 0.9), CurvePoint(1.0, 0.75, 0.3)]
    plots.precision_recall({"all": points, "none": []}, 0.45, tmp_path / "curve.png")
    plots.precision_recall({"all": []}, 0.45, tmp_path / "empty.png")
    assert drawn(tmp_path / "curve.png").shape == drawn(tmp_path / "empty.png").shape


def test_confusion_matrix_of_a_row_without_examples(tmp_path: Path) -> None:
    matrix = np.array([[9, 1], [0, 0]], np.int64)
    plots.confusion_matrix(
        matrix, ["with_mask", "without_mask"], ["with_mask", "without_mask"], "x", tmp_path / "m.png"
    )
    drawn(tmp_path / "m.png")


def test_training_curves_leave_out_seconds_and_the_machine(tmp_path: Path) -> None:
    rows = [{"epoch": float(i), "loss": 1 / i, "recall": i / 4} for i in (1, 2, 3)]
    plots.training_curves(rows, tmp_path / "plain.png")
    busy = [{**row, "seconds": 90.0, "machine/memory_mb": 4096.0} for row in rows]
    plots.training_curves(busy, tmp_path / "busy.png")
    np.testing.assert_array_equal(drawn(tmp_path / "plain.png"), drawn(tmp_path / "busy.png"))
