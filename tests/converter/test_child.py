"""The converter's child process: its errors are errors of conversion. :mod:`tests.edge.test_child` has the rest."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from converter.child import Limits, run
from converter.noise import ProgressLine
from edge.errors import ConversionError

TASKS = "tests.edge.hostile_tasks"


def test_progress_is_printed_and_a_crash_is_an_error_of_conversion(tmp_path: Path) -> None:
    printed = io.StringIO()
    with pytest.raises(
        ConversionError, match=r"the model crashed \(signal SIG(ABRT|SEGV)\) while opening it; it last wrote: heap"
    ):
        run(f"{TASKS}:crash", {}, tmp_path, Limits(), ProgressLine(printed))
    assert printed.getvalue() == "opening it\n"
