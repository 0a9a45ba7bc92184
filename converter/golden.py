"""The few inputs whose answers travel in the file, chosen so that a wrong runtime cannot answer them rightly.

Two mistakes must show: answering the same to everything, and swapping red and blue. So inputs are taken whose answers
lie far apart, and whose answer changes most when their channels are swapped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converter.noise import ProgressLine
from edge.contracts import Floats, Image
from edge.inference.bundle import GOLDEN_ABSOLUTE, GOLDEN_QUANTA, Golden, Model


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """``spread`` and ``swap`` are how far apart answers lie, and move under a channel swap, in what replay allows."""

    golden: Golden
    spread: float
    swap: float
    warning: str


def choose(
    model: Model, steps: list[float], candidates: Image, count: int, progress: ProgressLine, colour: bool
) -> Chosen:
    """``count`` of ``candidates`` (n, height, width, 3) RGB bytes, with what ``model`` answers.

    ``steps`` holds the quantization step of each output, 0 for float ones. ``colour`` is False for a model of one
    channel, which hardly notices swapped colours.
    """
    answers, swapped = [], []
    for i, image in enumerate(candidates):
        progress.count("choosing golden inputs", i + 1, len(candidates))
        answers.append(_allowed_units(model.run(image), steps))
        swapped.append(_allowed_units(model.run(np.ascontiguousarray(image[:, :, ::-1])), steps))
    moved = np.array([np.abs(a - s).max() for a, s in zip(answers, swapped, strict=True)])
    picks = _far_apart(answers, moved, min(count, len(candidates)))
    golden: Golden = {"inputs": candidates[picks]}
    for k, column in enumerate(zip(*(model.run(candidates[i]) for i in picks), strict=True)):
        golden[f"output_{k}"] = np.concatenate(column)
    spread = max(float(np.abs(answers[i] - answers[j]).max()) for i in picks for j in picks)
    swap = float(moved[picks].max())
    return Chosen(golden, spread, swap, _warning(spread, swap if colour else np.inf))


def _allowed_units(outputs: list[Floats], steps: list[float]) -> Floats:
    """Outputs flattened into one vector, in units of what the most lenient runtime may be off."""
    lenient = max(GOLDEN_QUANTA.values())
    scaled = [out.reshape(-1) / (step * lenient or GOLDEN_ABSOLUTE) for out, step in zip(outputs, steps, strict=True)]
    return np.concatenate(scaled).astype(np.float32)


def _far_apart(answers: list[Floats], moved: Floats, count: int) -> list[int]:
    """Indices: first those that a swap moves most, then always the one farthest from all chosen so far."""
    by_swap = np.argsort(-moved, kind="stable")
    picks = [int(i) for i in by_swap[: max(1, count // 2)]]
    while len(picks) < count:
        distance = [min(float(np.abs(a - answers[p]).max()) for p in picks) for a in answers]
        picks.append(int(np.argmax([-1.0 if i in picks else d for i, d in enumerate(distance)])))
    return picks


def _warning(spread: float, swap: float) -> str:
    missing = [what for what, size in (("a constant answer", spread), ("a red and blue swap", swap)) if size <= 1]
    if not missing:
        return ""
    return (
        f"the golden inputs would not show {' or '.join(missing)} on the most lenient runtime; more varied pictures "
        "(--golden drawn, or more in --calibration) would"
    )
