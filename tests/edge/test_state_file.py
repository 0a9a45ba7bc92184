from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from edge import state_file


class Note(msgspec.Struct):
    """Something to leave."""

    said: str


def test_what_is_left_is_found_and_the_newest_counts(tmp_path: Path) -> None:
    for said in ("first", "second"):
        state_file.write_state(tmp_path / "note.json", Note(said))
    assert state_file.read_state(tmp_path / "note.json", Note) == Note("second")
    assert [file.name for file in tmp_path.iterdir()] == ["note.json"]


def test_what_all_may_read_they_can_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        state_file.write_state(tmp_path / "open.json", Note("open"), for_all=True)
        state_file.write_state(tmp_path / "own.json", Note("own"))
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("open.json", "own.json")] == [0o644, 0o600]


@pytest.mark.parametrize("there", [None, b"", b"\x00\x00", b'{"other": 1}'])
def test_where_nothing_of_the_kind_was_left_nothing_is_found(tmp_path: Path, there: bytes | None) -> None:
    if there is not None:
        (tmp_path / "note.json").write_bytes(there)
    assert state_file.read_state(tmp_path / "note.json", Note) is None


@pytest.mark.parametrize("pid", [0, -1, 2**31, 2**63])
def test_a_number_that_is_no_process_is_not_running(pid: int) -> None:
    assert not state_file.is_running(pid)


def test_a_process_of_another_user_is_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(pid: int, number: int) -> None:
        raise PermissionError

    assert state_file.is_running(os.getpid())
    monkeypatch.setattr(os, "kill", kill)
    assert state_file.is_running(1)
