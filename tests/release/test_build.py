"""The steps of a release: each is announced, timed, and the first failure ends it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from release.build import empty, run_steps, steps_of
from release.errors import ReleaseError
from release.refusals import Release


def test_each_step_is_announced_and_timed(capsys: pytest.CaptureFixture[str]) -> None:
    clock = itertools.count(step=3.0)
    run_steps([("one", lambda: print("working")), ("two", lambda: None)], clock=lambda: next(clock))
    assert capsys.readouterr().out == "[1/2] one ... working\n3 s\n[2/2] two ... 3 s\n"


def test_the_first_failure_ends_the_release(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ReleaseError("no disk")

    with pytest.raises(ReleaseError, match="no disk"):
        run_steps([("one", fail), ("two", lambda: print("never"))])
    assert capsys.readouterr().out == "[1/2] one ... failed\n"


def test_the_sums_come_last(tmp_path: Path) -> None:
    """They cover everything, and a folder without them is no complete release."""
    release = Release(tmp_path, "1.2.3", "https://github.com/Someone/fmd", "KEY")
    names = [name for name, _ in steps_of(release, tmp_path / "dist", [])]
    assert "checksums" in names[-1]
    assert [name for name in names if "arm64" in name or "amd64" in name] == names[2:4]


def test_only_a_release_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ReleaseError, match="not empty and not a release"):
        empty(tmp_path)
    assert (tmp_path / "thesis.txt").exists()
    (tmp_path / "SHA256SUMS").touch()
    empty(tmp_path)
    assert list(tmp_path.iterdir()) == []
