"""The command as people type it: what it prints, what it leaves, what it says of a file again."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import msgspec
import pytest

from converter import cli
from edge.inference.bundle import CONTRACT_NAME, GOLDEN_NAME, Contract, unpack


def main(words: list[str]) -> int:
    """The command, its model opened in this process: a child would import TensorFlow for each test."""
    return cli.main(words, isolated=False)


@pytest.fixture(scope="module")
def converted(softmax_keras: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("converted") / "mask.tflite"
    words = [str(softmax_keras), "-o", str(target), "--calibration", str(pictures), "--explain", "--also", "onnx"]
    pytest.importorskip("tf2onnx", reason="ONNX export: pip install '.[onnx]'")
    pytest.importorskip("onnxruntime", reason="ONNX export: pip install '.[onnx]'")
    assert main(words) == 0
    return target


def test_report_stands_beside_the_file(converted: Path) -> None:
    data = json.loads(converted.with_suffix(".report.json").read_text())
    assert data["passed"]
    assert data["parity"]["agreement"] >= 0.995
    assert data["confusion"]["labels"] == ["with_mask", "without_mask"]
    assert sum(data["difference_histogram"]["counts"]) == data["parity"]["pictures"]
    assert {"int8", "float32"} == set(data["inference_ms"])
    assert [(share["lost"], share["failed"]) for share in data["gate"]] == [(0, False)] * 3
    assert data["gate"][0]["pictures"] == data["parity"]["pictures"]
    assert data["contract"]["scaling"]["name"] == "0..255"
    assert data["layers"]
    page = converted.with_suffix(".report.html").read_text()
    assert "The gate was passed." in page
    assert page.count("<svg") == 2


def test_explain_names_layers_of_the_model(converted: Path) -> None:
    data = json.loads(converted.with_suffix(".report.json").read_text())
    assert any("conv2d" in layer["layer"] for layer in data["layers"])
    assert all(layer["loss"] < 1 for layer in data["layers"])


def test_onnx_carries_the_same_contract_and_answers(converted: Path) -> None:
    import onnx

    properties = {p.key: p.value for p in onnx.load(converted.with_suffix(".onnx")).metadata_props}
    contract = msgspec.json.decode(properties[CONTRACT_NAME], type=Contract)
    assert contract.labels == unpack(converted).contract.labels
    assert contract.parity["agreement"] == 1.0
    assert contract.parity["max_difference"] < 1e-3
    assert GOLDEN_NAME in properties


def test_inspect_prints_the_contract(converted: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(converted)]) == 0
    said = capfd.readouterr().out
    assert '"compliant": "with_mask"' in said
    assert "'inputs': [8, 32, 32, 3]" in said


def test_verify_repeats_the_proof(
    converted: Path, softmax_keras: Path, pictures: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(converted)]) == 0
    assert "golden inputs: answers within 0%" in capfd.readouterr().out
    assert main(["verify", str(converted), "--against", str(softmax_keras), "--calibration", str(pictures)]) == 0
    assert "agreement: 100.00%" in capfd.readouterr().out


def test_verify_knows_another_model(
    converted: Path, sigmoid_keras: Path, pictures: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(converted), "--against", str(sigmoid_keras), "--calibration", str(pictures)]) == 1
    assert "is not what" in capfd.readouterr().err


def test_a_gate_not_passed_leaves_the_worst_pictures_and_no_model(
    softmax_keras: Path, pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "mask.tflite"
    words = [str(softmax_keras), "-o", str(target), "--calibration", str(pictures), "--mean-difference", "-1"]
    assert main(words) == 1
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert "no model was written (see mask.rejected.html)" in error
    assert not target.exists()
    assert cv2.imread(str(target.with_suffix(".rejected.png"))).shape == (316, 768, 3)


@pytest.mark.parametrize("ending", [".report.json", ".report.html"])
def test_what_stands_beside_the_model_is_not_overwritten_unasked(
    softmax_keras: Path, tmp_path: Path, ending: str, capfd: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "mask.tflite"
    beside = target.with_suffix(ending)
    beside.write_text("of another person")
    assert main([str(softmax_keras), "-o", str(target)]) == 1
    assert capfd.readouterr().err.startswith(f"error: {beside}: exists already; give --force")
    assert beside.read_text() == "of another person"
    assert list(tmp_path.iterdir()) == [beside]


def test_auto_takes_the_smallest_that_passes_and_says_why(softmax_keras: Path, pictures: Path, tmp_path: Path) -> None:
    target = tmp_path / "mask.tflite"
    words = [str(softmax_keras), "-o", str(target), "--calibration", str(pictures), "--scheme", "auto", "--no-report"]
    assert main([*words, "--mean-difference", "1e-7"]) == 0
    contract = unpack(target).contract
    assert contract.quantization == "float32"
    assert "int8 missed the gate" in contract.reason
    assert "float16 missed the gate" in contract.reason


def test_nothing_but_our_own_lines_is_printed(softmax_keras: Path, pictures: Path, tmp_path: Path) -> None:
    words = ["-o", str(tmp_path / "m.tflite"), "--calibration", str(pictures), "--no-report"]
    command = [sys.executable, "-m", "converter.cli", str(softmax_keras), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ours = ("reading ", "quantizing: ", "note: ", "guess: ", "possible improvement: ")
    assert [line for line in done.stderr.splitlines() if not line.startswith(ours)] == []
    assert done.stdout.startswith(str(tmp_path / "m.tflite"))


def test_help_needs_no_tensorflow() -> None:
    code = "import sys; from converter.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_a_completion_script_knows_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab", reason="shtab is not installed")
    with pytest.raises(SystemExit) as caught:
        main(["--print-completion", "bash"])
    assert caught.value.code == 0
    assert {"--calibration", "--scheme"} <= set(re.findall(r"--[a-z]+", capsys.readouterr().out))


def test_a_scaling_that_starts_with_a_minus_is_typed_as_help_shows_it() -> None:
    assert cli.joined(["m.keras", "--pixels", "-1..1", "--force"]) == ["m.keras", "--pixels=-1..1", "--force"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unwinds_so_that_child_and_folder_are_removed(number: signal.Signals) -> None:
    before, unwound = signal.getsignal(number), []

    def work() -> None:
        with cli.unwinding_on_signals(), contextlib.ExitStack() as stack:
            stack.callback(unwound.append, True)
            os.kill(os.getpid(), number)

    with pytest.raises(SystemExit) as raised:
        work()
    assert unwound
    assert raised.value.code == 128 + number
    assert signal.getsignal(number) is before


def test_a_full_disk_leaves_no_report_without_its_model(
    softmax_keras: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The report is written first; the model no longer fits."""
    words = [str(softmax_keras), "--labels", "with_mask,without_mask", "--pixels", "0..255", "--colour", "RGB"]
    target = tmp_path / "out" / "m.tflite"
    target.parent.mkdir()
    (target.parent / "m.tflite.part").mkdir()  # what is in the way of the model alone
    assert main([*words, "-o", str(target)]) == 1
    assert "cannot write" in capfd.readouterr().err
    assert [path.name for path in target.parent.iterdir()] == ["m.tflite.part"]
