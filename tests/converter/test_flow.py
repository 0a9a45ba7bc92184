"""A model goes in, a proven file comes out, and what is in it is what it says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter import Conversion, Gate, Options, convert, prove
from converter.options import CHECKS
from edge.contracts import Interpreter, Stored, TensorSpec
from edge.drivers import open_interpreter
from edge.errors import ConversionError, GoldenError
from edge.inference import bundle


@pytest.fixture(scope="module")
def conversion(softmax_keras: Path, pictures: Path, workshop: Path) -> Conversion:
    options = Options(output=workshop / "mask.tflite", labels=("with_mask", "without_mask"), calibration=pictures)
    return convert(softmax_keras, options)


def test_file_passes_replay_and_says_what_it_is(conversion: Conversion) -> None:
    assert conversion.path is not None
    model = bundle.load(conversion.path, "classifier", open_interpreter)
    assert model.replay() <= 1
    contract = model.contract
    assert contract.labels == ("with_mask", "without_mask")
    assert contract.compliant == "with_mask"
    assert contract.output == "softmax"
    assert contract.quantization == "int8"
    assert contract.parity["agreement"] == conversion.parity.agreement >= 0.995


def test_the_contract_counts_the_answers_to_labelled_pictures(conversion: Conversion) -> None:
    assert conversion.path is not None
    found = bundle.unpack(conversion.path).contract.confusion
    assert found is not None
    assert found.labels == ("with_mask", "without_mask")
    assert conversion.parity.tflite_confusion is not None
    assert [list(row) for row in found.observation] == conversion.parity.tflite_confusion.tolist()
    assert sum(map(sum, found.observation)) == conversion.parity.pictures
    assert found.passage == ()


def test_folders_of_other_names_count_by_their_meaning(softmax_keras: Path, pictures: Path, tmp_path: Path) -> None:
    options = Options(
        output=tmp_path / "m.tflite", labels=("Mask", "NoMask"), calibration=pictures, pixels="0..255", colour="RGB"
    )
    found = convert(softmax_keras, options)
    assert set(found.parity.float_recall) == {"Mask", "NoMask"}
    assert found.parity.float_recall["NoMask"] > 0.9


def test_bytes_go_in_and_out_untouched(conversion: Conversion) -> None:
    interpreter = open_interpreter(bundle.unpack(conversion.target).flatbuffer)
    assert interpreter.input == ("serving_default_pixels:0", (1, 32, 32, 3), np.dtype(np.uint8), 1.0, 0)
    assert interpreter.outputs[0].dtype == np.uint8


def test_one_neuron_with_pixels_in_0_to_1(sigmoid_keras: Path, many_pictures: Path, tmp_path: Path) -> None:
    found = convert(sigmoid_keras, Options(output=tmp_path / "s.tflite", calibration=many_pictures))
    assert found.pixels.name == "0..1"
    assert found.pixels.guessed
    assert found.contract.output == "sigmoid"
    assert found.contract.labels == ("with_mask", "without_mask")
    assert found.parity.float_recall["without_mask"] > 0.9
    assert any(str(note).startswith("guess: pixels are 0..1") for note in found.notes)
    assert bundle.load(tmp_path / "s.tflite", "classifier", open_interpreter).replay() <= 1


class Wrong:
    """A runtime that computes something else; wraps a right one."""

    def __init__(self, right: Interpreter) -> None:
        self._right = right
        self.runtime, self.input, self.outputs = right.runtime, right.input, right.outputs

    runtime: str
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]

    def run(self, tensor: np.ndarray[Any, Any]) -> Sequence[Stored]:
        return self._right.run(np.ascontiguousarray(tensor[..., ::-1]))


class Constant(Wrong):
    def run(self, tensor: np.ndarray[Any, Any]) -> Sequence[Stored]:
        return self._right.run(np.full_like(tensor, 128))


class Offset(Wrong):
    def run(self, tensor: np.ndarray[Any, Any]) -> Sequence[Stored]:
        return self._right.run(tensor // 2)


@pytest.mark.parametrize("wrong", [Wrong, Constant, Offset])
def test_replay_catches_a_runtime_that_is_wrong(conversion: Conversion, wrong: type[Wrong]) -> None:
    with pytest.raises(GoldenError, match="golden input"):
        bundle.load(conversion.target, "classifier", lambda data: wrong(open_interpreter(data))).replay()


def test_drawn_golden_inputs_hold_nobodys_picture(softmax_keras: Path, pictures: Path, tmp_path: Path) -> None:
    options = Options(output=tmp_path / "m.tflite", calibration=pictures, golden="drawn")
    found = convert(softmax_keras, options)
    held = {image.tobytes() for image in found.calibration.proof.images}
    assert not held & {image.tobytes() for image in found.golden.golden["inputs"]}
    assert found.golden.spread > 1
    model = bundle.load(tmp_path / "m.tflite", "classifier", lambda data: Wrong(open_interpreter(data)))
    with pytest.raises(GoldenError):
        model.replay()


def test_equal_conversions_give_equal_files(conversion: Conversion, softmax_keras: Path, pictures: Path) -> None:
    options = Options(output=conversion.target, labels=("with_mask", "without_mask"), calibration=pictures, force=True)
    assert convert(softmax_keras, options).bundle == conversion.bundle


def test_a_proof_repeated_feeds_the_colour_order_of_the_file(
    softmax_keras: Path, pictures: Path, tmp_path: Path
) -> None:
    options = Options(
        output=tmp_path / "m.tflite",
        calibration=pictures,
        pixels="0..255",
        colour="BGR",
        accept=tuple(CHECKS),
        gate=Gate(0, 1, 1, 1),
        labels=("with_mask", "without_mask"),
    )
    found = convert(softmax_keras, options)
    proof = prove(found.target, softmax_keras, Options(calibration=pictures))
    assert proof.contract.input.colour == "BGR"
    assert proof.parity is not None
    assert proof.parity.numbers() == found.contract.parity


def test_a_proof_repeated_feeds_the_scaling_of_the_file_and_does_not_guess_again(
    sigmoid_keras: Path, pictures: Path, tmp_path: Path
) -> None:
    """The scaling asked for here is a wrong one, which no guess would come to."""
    options = Options(
        output=tmp_path / "m.tflite",
        calibration=pictures,
        pixels="-1..1",
        colour="RGB",
        accept=tuple(CHECKS),
        gate=Gate(0, 1, 1, 1),
    )
    found = convert(sigmoid_keras, options)
    kept = bundle.unpack(found.target).contract.scaling
    assert kept is not None
    assert (kept.name, kept.offset, kept.guessed) == ("-1..1", (-1.0, -1.0, -1.0), False)
    proof = prove(found.target, sigmoid_keras, Options(calibration=pictures))
    assert proof.parity is not None
    assert proof.parity.numbers() == found.contract.parity


def test_float_is_timed_beside_the_file_and_answers_as_keras_does(conversion: Conversion) -> None:
    assert set(conversion.inference_ms) == {"int8", "float32"}
    assert all(0 < ms < 1000 for ms in conversion.inference_ms.values())
    assert conversion.unrounded is not None
    model = bundle.Model(
        bundle.Bundle(conversion.unrounded, conversion.contract, {}), open_interpreter(conversion.unrounded), "float32"
    )
    images = conversion.calibration.proof.images[:5]
    answered = np.concatenate([model.run(image)[0] for image in images])
    np.testing.assert_allclose(answered, conversion.parity.float_answers[:5], atol=1e-5)


def test_nothing_is_overwritten_unasked(conversion: Conversion, softmax_keras: Path) -> None:
    with pytest.raises(ConversionError, match="exists already; give --force"):
        convert(softmax_keras, Options(output=conversion.target))


def test_a_gate_not_passed_writes_nothing(softmax_keras: Path, pictures: Path, tmp_path: Path) -> None:
    gate = Gate(mean_difference=-1.0)
    found = convert(softmax_keras, Options(output=tmp_path / "m.tflite", calibration=pictures, gate=gate))
    assert not found.passed
    assert found.path is None
    assert list(tmp_path.iterdir()) == []
