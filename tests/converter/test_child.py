"""The child process that opens model files: its results, its errors, its limits, and its crashes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from converter.child import Limits, run
from converter.noise import ProgressLine
from edge.errors import BundleError, ConversionError

HERE = "tests.converter.hostile"


def started(task: str, folder: Path, limits: Limits | None = None, stream: Any = None) -> dict[str, Any]:
    return run(f"{HERE}:{task}", {"a": 1}, folder, limits or Limits(), ProgressLine(stream))


def test_a_result_comes_back_and_progress_is_printed(tmp_path: Path) -> None:
    printed = io.StringIO()
    assert started("answer", tmp_path, stream=printed) == {"a": 1, "folder": str(tmp_path)}
    assert printed.getvalue() == "working\n"


def test_an_expected_error_keeps_its_class(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a model"):
        started("refuse", tmp_path)


def test_a_crash_is_an_expected_error_that_shows_the_last_words(tmp_path: Path) -> None:
    with pytest.raises(
        ConversionError, match=r"crashed \(signal SIG(ABRT|SEGV)\) while opening it; it last wrote: heap is broken"
    ):
        started("crash", tmp_path)


def test_memory_time_and_file_size_are_limited(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="more than 200 MB of memory"):
        started("eat", tmp_path, Limits(memory_mb=200, seconds=60))
    with pytest.raises(ConversionError, match="over 1 s"):
        started("sleep", tmp_path, Limits(seconds=1))
    with pytest.raises(ConversionError, match=r"crashed|File too large"):
        started("fill", tmp_path, Limits(file_mb=1, seconds=60))
    assert (tmp_path / "large").stat().st_size <= 1 << 20


def test_a_message_without_end_is_cut(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="message of over"):
        started("shout", tmp_path, Limits(seconds=60))


def test_a_bug_is_named_by_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError: division by zero"):
        started("fail", tmp_path)
