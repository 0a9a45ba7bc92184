from __future__ import annotations

import logging
import os
from collections.abc import Callable

import pytest

from edge import errors
from edge.errors import CameraError, FmdError, GoldenError, exit_code_of


def raising(error: BaseException) -> Callable[[], int]:
    def main() -> int:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (CameraError("no camera"), 1, "error: no camera"),
        (GoldenError("a\nb\n  c"), 1, "error: a b c"),
        (OSError(28, "No space left on device"), 1, "error: No space left on device"),
        (PermissionError(13, "Permission denied", "/x.csv"), 1, "error: /x.csv: Permission denied"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ValueError("bug"), 3, "unexpected error, please report it: ValueError: bug (run again with --verbose"),
    ],
)
def test_each_error_has_its_code_and_one_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    assert exit_code_of(raising(error)) == code
    said = capsys.readouterr().err
    assert said.startswith(line)
    assert said.count("\n") == 1


def test_success_passes_its_code_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(lambda: 0) == 0
    assert capsys.readouterr().err == ""


def test_a_reader_that_exits_early_causes_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(raising(BrokenPipeError(32, "Broken pipe"))) == 0
    assert capsys.readouterr().err == ""


def test_the_traceback_of_a_bug_is_in_the_debug_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "edge"):
        exit_code_of(raising(ValueError("bug")))
    assert "Traceback" in caplog.text


def test_the_docstring_draws_the_tree_of_the_classes() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, FmdError)]
    drawn = (errors.__doc__ or "").split()
    assert len(classes) > 5
    for each in classes:
        assert each.__name__ in drawn
        # Each is also the builtin that fits, so that callers need not know of fmd.
        assert each is FmdError or issubclass(each, (ValueError, OSError, ImportError))


@pytest.mark.parametrize("kind", [FmdError, CameraError, GoldenError])
def test_a_message_is_text_that_json_can_hold(kind: type[FmdError]) -> None:
    error = kind(f"{os.fsdecode(b'T' + bytes([0xFC]))}: no such file")
    assert str(error).encode() == b"T\\udcfc: no such file"


def test_a_message_commands_no_terminal_and_forges_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert str(FmdError("label \x1b]0;pwned\x07\nerror: all is well\u202e")) == (
        r"label \x1b]0;pwned\x07 error: all is well\u202e"
    )
    exit_code_of(raising(ValueError("bug \x1b[2J")))
    assert r"ValueError: bug \x1b[2J" in capsys.readouterr().err
