from __future__ import annotations

from pathlib import Path

import pytest

from bench import runtimes
from edge import paths
from edge.errors import FmdError
from tests.edge.onnx_models import write_bundle

pytest.importorskip("onnxruntime", reason="pip install '.[onnxruntime]'")


def test_both_files_are_timed_in_turns_and_weighed_alone(tmp_path: Path) -> None:
    classifier_path = paths.shipped_model("classifier")
    found = {one.name: one.value for one in runtimes.measured((classifier_path, write_bundle(tmp_path)), 6, 1)}
    assert len(found) == 9
    assert all(value > 0 for value in found.values())
    assert sum("on onnxruntime/" in name for name in found) == 3
    # The small model is quicker by far: the ratio is the second over the first.
    assert found["classifier: second over first, a picture, median of pairs"] < 1


def test_files_of_two_tasks_are_no_pair() -> None:
    with pytest.raises(FmdError, match="got a classifier and a detector, expected one model twice"):
        runtimes.measured((paths.shipped_model("classifier"), paths.shipped_model("detector")), 1, 1)
