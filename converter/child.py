"""The converter's child process: :mod:`edge.child` with the converter's tasks and limits.

TensorFlow reserves far more address space than it uses, so only its resident memory is limited.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converter.noise import ProgressLine
from edge import child
from edge.child import Limits
from edge.errors import ConversionError

__all__ = ["Limits", "run"]

TASKS = {
    "convert": "converter.tasks:convert_into",
    "prove": "converter.tasks:prove_again",
    "keras 2": "converter.legacy:export",
}
"""Task name -> function of (request, folder, progress) that runs in the child; it returns plain values.

:func:`run` also takes ``module:function`` itself."""
FAILURE = child.Failure(
    ConversionError,
    "the model",
    "the file is damaged or hostile, memory ran out, or TensorFlow cannot convert one of its layers: free memory and "
    "try again, save the model once more, or replace unusual layers",
)


def run(task: str, request: Mapping[str, Any], folder: Path, limits: Limits, progress: ProgressLine) -> dict[str, Any]:
    """Run ``task`` in a child whose working directory is ``folder``; return what the task returns.

    Raises the task's own expected error, or ConversionError where the child crashed or exceeded a limit.
    """
    return child.run(TASKS.get(task, task), request, folder, limits, FAILURE, progress)
