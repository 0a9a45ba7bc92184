"""The stop watch; the times themselves belong to whoever runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge import drivers, paths
from edge.errors import DataError
from edge.inference import bundle
from training import bench

SHIPPED = paths.shipped_model("detector")


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


@pytest.mark.data
@pytest.mark.skipif(not SHIPPED.is_file(), reason="no detector is shipped in this checkout")
def test_the_shipped_detector_beside_yunet(shared_data: Path) -> None:
    detector = bundle.load(SHIPPED, "detector", drivers.open_interpreter)
    found = bench.detectors(detector, shared_data / "peers" / "yunet_n_dynamic.onnx", pairs=2)
    assert len(found) == len(bench.FRAMES)
    assert all(one.ours_ms > 0 and one.theirs_ms > 0 for one in found)
    with pytest.raises(DataError, match="give the path of a YuNet"):
        bench.detectors(detector, shared_data / "none.onnx", pairs=2)
