"""The page about a Jetson's GPU quotes what the doctor and the drivers report."""

from __future__ import annotations

import re

import pytest

from edge.doctor.checks import GPU_RUNTIMES
from edge.drivers.fake_onnxruntime import FAILURES, VARIABLE, FakeNvidia, plan_of
from edge.drivers.nvidia import KINDS, PAGE, explained
from edge.inference.bundle import GOLDEN_ABSOLUTE, GOLDEN_SHARE
from tests.edge.parts import ROOT

TEXT = (ROOT / PAGE).read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_failure_is_on_the_page(kind: str) -> None:
    quoted = re.findall(r"^\| `([^`]+)`", TEXT, re.MULTILINE)
    assert any(sentence in KINDS[kind][1] for sentence in quoted), KINDS[kind][1]


def test_missing_libraries_and_other_versions_are_on_the_page() -> None:
    line = "with error: libnvinfer.so.10: cannot open shared object file: No such file or directory"
    assert explained("TensorRT", [line], FakeNvidia()).text in TEXT
    cuda = line.replace("libnvinfer.so.10", "libcublasLt.so.13")
    assert explained("CUDA", [cuda], FakeNvidia(older=True)).text.startswith(
        "this onnxruntime was built for another CUDA"
    )
    assert "`this onnxruntime was built for another CUDA`" in TEXT


def test_runtimes_limits_and_the_stand_in_are_those_of_the_code() -> None:
    for runtime in (*GPU_RUNTIMES, "onnxruntime/cpu"):
        assert f"golden inputs match on {runtime}" in TEXT
    assert f"the limit is {GOLDEN_ABSOLUTE:g}" in TEXT
    assert f"{GOLDEN_SHARE['onnxruntime/tensorrt']:.0%} of an output's range" in TEXT
    (plan,) = re.findall(rf"{VARIABLE}='([^']+)'", TEXT)
    assert set(plan_of(plan)) == {"tensorrt", "cuda"}
    for failure in FAILURES:
        assert f"`{failure}`" in TEXT
