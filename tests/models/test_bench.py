"""The stop watch; the times themselves belong to whoever runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import DataError
from models import bench


def test_pairs_are_interleaved_and_take_turns_at_being_first() -> None:
    calls: list[str] = []
    found = bench.interleaved("x", lambda: calls.append("o"), lambda: calls.append("t"), pairs=4)
    assert calls[6:] == ["t", "o", "o", "t", "t", "o", "o", "t"]
    assert found.ours_ms >= 0


def test_ratio_and_report() -> None:
    one = bench.Comparison("detector / peer", 5.0, 20.0)
    assert one.ratio == 0.25
    assert bench.report([one]).endswith("ratio 0.250")


def test_pictures_are_of_the_size_asked_for_and_the_same_every_time() -> None:
    assert bench.picture(48, 64).shape == (48, 64, 3)
    assert (bench.picture(8, 8) == bench.picture(8, 8)).all()


def test_a_missing_peer(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read it"):
        bench.open_mobilenet(tmp_path / "none.tflite")
