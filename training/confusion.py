"""Confusion matrices and the figures computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.int64]
"""(rows, columns) counts: rows are true classes, columns predicted ones."""


class ClassScore(NamedTuple):
    """Figures of one class, each 0..1, and 0 where they divide by nothing. ``support`` counts its examples."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


def confusion(wanted: npt.NDArray[np.int64], got: npt.NDArray[np.int64], rows: int, columns: int) -> Matrix:
    """Count pairs of class indices true (n,) and predicted (n,) in a matrix (rows, columns)."""
    matrix = np.zeros((rows, columns), np.int64)
    np.add.at(matrix, (wanted, got), 1)
    return matrix


def accuracy(matrix: Matrix) -> float:
    """Return the share of examples on the diagonal, 0 for an empty matrix."""
    return float(np.trace(matrix) / max(1, matrix.sum()))


def class_scores(matrix: Matrix, labels: Sequence[str]) -> list[ClassScore]:
    """Return precision, recall, F1 (their harmonic mean) and support of every class that has examples."""
    said, true = matrix.sum(axis=0), matrix.sum(axis=1)
    out = []
    for i, label in enumerate(labels):
        if not true[i]:
            continue
        precision, recall = float(matrix[i, i] / max(1, said[i])), float(matrix[i, i] / true[i])
        f1 = 2 * precision * recall / max(1e-12, precision + recall)
        out.append(ClassScore(label, precision, recall, f1, int(true[i])))
    return out
