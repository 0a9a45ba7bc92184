"""Files that come in pieces."""

from __future__ import annotations

from typing import Any

import pytest

from edge.errors import ControlError
from edge.page_messages import UploadRequest
from edge.page_service.uploads import LARGEST, Uploads


def piece(offset: int, content: bytes, **more: Any) -> UploadRequest:
    return UploadRequest(**{"purpose": "settings", "name": "a.toml", "offset": offset, "piece": content, **more})


def test_pieces_make_a_file_that_can_be_taken_once() -> None:
    uploads = Uploads()
    uploads.add(piece(0, b"abc"))
    uploads.add(piece(3, b"de"))
    assert uploads.take("settings", "a.toml") == b"abcde"
    with pytest.raises(ControlError, match=r"a\.toml: not uploaded"):
        uploads.take("settings", "a.toml")


def test_offset_0_begins_again_and_purposes_are_apart() -> None:
    uploads = Uploads()
    uploads.add(piece(0, b"abc"))
    uploads.add(piece(0, b"model", purpose="model"))
    uploads.add(piece(0, b"xy"))
    assert uploads.take("settings", "a.toml") == b"xy"
    assert uploads.take("model", "a.toml") == b"model"


@pytest.mark.parametrize("wrong", [piece(2, b"x"), piece(4, b"x"), piece(3, b"x", name="b.toml"), piece(2**60, b"x")])
def test_a_piece_that_does_not_follow_is_refused(wrong: UploadRequest) -> None:
    uploads = Uploads()
    uploads.add(piece(0, b"abc"))
    with pytest.raises(ControlError, match="upload it again"):
        uploads.add(wrong)
    uploads.add(piece(3, b"de"))
    assert uploads.take("settings", "a.toml") == b"abcde"


def test_a_file_that_is_too_large_is_dropped() -> None:
    uploads = Uploads()
    for size in range(0, LARGEST["settings"] - 10_000, 10_000):
        uploads.add(piece(size, b"x" * 10_000))
    with pytest.raises(ControlError, match="more than 64 kB"):
        uploads.add(piece(size + 10_000, b"x" * 10_000))
    with pytest.raises(ControlError):
        uploads.take("settings", "a.toml")


def test_another_name_takes_nothing() -> None:
    uploads = Uploads()
    uploads.add(piece(0, b"abc"))
    with pytest.raises(ControlError):
        uploads.take("settings", "b.toml")
    with pytest.raises(ControlError):
        uploads.take("settings", "")
