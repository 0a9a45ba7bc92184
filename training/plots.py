"""Plots, drawn with matplotlib without a screen and without its global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.errors import RuntimeMissingError
from training import results
from training.confusion import Matrix
from training.score import CurvePoint


def check_installed() -> None:
    """Raise RuntimeMissingError where matplotlib is missing: before long work, not after it."""
    _figure(1, 1)


def _figure(width: float, height: float) -> Any:
    """Return a matplotlib Figure of ``width`` x ``height`` inches; saved by its own ``savefig``."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RuntimeMissingError(
            "matplotlib is missing, which draws the curves; in fmd's folder: pip install '.[train]'"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, out: Path) -> None:
    with results.replacing(out) as unfinished:
        figure.savefig(unfinished, dpi=100)


def precision_recall(lines: Mapping[str, Sequence[CurvePoint]], working: float, out: Path) -> None:
    """Draw precision over recall, a line for each name, as a PNG; a dot marks the score ``working``."""
    figure = _figure(6, 5)
    axes = figure.subplots()
    for name, points in lines.items():
        if not points:
            continue
        (line,) = axes.plot([p.recall for p in points], [p.precision for p in points], label=name)
        at = [p for p in points if p.score >= working]
        if at:
            axes.plot(at[-1].recall, at[-1].precision, "o", color=line.get_color())
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01), title=f"dots: score {working:g}")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(loc="lower left")
    _save(figure, out)


def confusion_matrix(matrix: Matrix, rows: Sequence[str], columns: Sequence[str], title: str, out: Path) -> None:
    """Draw counts, shaded by their share of the row, as a PNG; rows are true labels, columns predicted ones."""
    figure = _figure(2 + 1.2 * len(columns), 1.6 + 0.8 * len(rows))
    axes = figure.subplots()
    shares = matrix / matrix.sum(axis=1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i in range(len(rows)):
        for k in range(len(columns)):
            colour = "white" if shares[i, k] > 0.5 else "black"
            axes.text(k, i, str(matrix[i, k]), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(columns)), columns, rotation=20, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel="said", ylabel="true", title=title)
    _save(figure, out)


def training_curves(rows: Sequence[Mapping[str, float]], out: Path) -> None:
    """Draw a run's curve as a PNG over ``epoch``: losses on the left, shares of 0..1 on the right."""
    figure = _figure(11, 4)
    loss_axes, share_axes = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in rows]
    for name in [key for key in rows[0] if key not in ("epoch", "seconds") and not key.startswith("machine/")]:
        axes = loss_axes if name.endswith("loss") else share_axes
        axes.plot(epochs, [row.get(name, float("nan")) for row in rows], label=name)
    for axes in (loss_axes, share_axes):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    _save(figure, out)
