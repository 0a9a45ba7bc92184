"""What the doctor reports about onnxruntime and a Jetson's GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.doctor import checks, software
from edge.doctor.facts import Facts
from edge.doctor.findings import Finding, Status
from edge.drivers.nvidia import Failure

PACKAGE = Failure("CUDA", "package", "the installed onnxruntime 1.32.0 does not contain it", "install onnxruntime-gpu")
MEMORY = Failure("TensorRT", "memory", "out of memory", "stop other programs")
REBUILT = Failure("TensorRT", "engine", "the kept TensorRT engine is damaged; it was built again", "")
LITERT, CUDA, CPU = "ai-edge-litert 2.3.0", "onnxruntime/cuda 1.31.1", "onnxruntime/cpu 1.32.0"


def jetson(root: Path) -> Facts:
    (root / "etc").mkdir()
    (root / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3")
    return Facts(root=root)


def found(facts: Facts, runtimes: list[str], *failures: Failure) -> list[Finding]:
    return list(checks.gpu(facts, runtimes, [failure._asdict() for failure in failures]))


def test_a_jetson_that_uses_its_cpu_is_named_with_the_page(tmp_path: Path) -> None:
    (finding,) = found(jetson(tmp_path), [LITERT, LITERT])
    assert (finding.status, finding.text) == (Status.NOTE, "the models run on this Jetson's CPU")
    assert finding.fix == "to use its GPU: docs/jetson-gpu.md"


def test_a_jetson_that_uses_its_gpu_needs_no_line(tmp_path: Path) -> None:
    assert found(jetson(tmp_path), [LITERT, CUDA]) == []


def test_every_failure_is_a_warning_with_its_fix(tmp_path: Path) -> None:
    first, second, cpu = found(jetson(tmp_path), [CPU], MEMORY, PACKAGE)
    assert (first.status, first.text, first.fix) == (Status.WARNING, "TensorRT: out of memory", "stop other programs")
    assert second.status is Status.WARNING
    assert cpu.status is Status.NOTE


def test_a_pc_without_gpu_and_an_engine_that_was_repaired_are_notes(tmp_path: Path) -> None:
    assert {finding.status for finding in found(Facts(root=tmp_path), [CPU], PACKAGE, REBUILT)} == {Status.NOTE}


def test_two_packages_of_onnxruntime_overwrite_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnxruntime", "onnxruntime_gpu"):
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    texts = [finding.text for finding in software.libraries(Facts(), ()) if finding.status is Status.WARNING]
    assert "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files" in texts
