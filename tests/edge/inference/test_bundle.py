from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edge import drivers
from edge.contracts import Interpreter, Stored
from edge.errors import BundleError, GoldenError
from edge.inference import bundle
from edge.inference.bundle import Bundle, Confusion, Contract, Golden, InputSpec, Model, pack, sha256, unpack
from tests.edge.parts import LABELS, SIZE, StubInterpreter, contract, texture

FLATBUFFER = b"\x1c\0\0\0TFL3" + bytes(range(256)) * 4


def golden(n: int = 2) -> Golden:
    return {
        "inputs": np.stack([texture(SIZE, SIZE, seed) for seed in range(n)]),
        "output_0": np.full((n, 3), 1 / 3, np.float32),
    }


def packed(**changed: Any) -> bytes:
    return pack(FLATBUFFER, contract("classifier", **{"sha256": sha256(FLATBUFFER), **changed}), golden())


def write(folder: Path, data: bytes) -> Path:
    path = folder / "mask.tflite"
    path.write_bytes(data)
    return path


def with_contract(change: dict[str, Any]) -> bytes:
    """Return a bundle whose fmd.json is edited by hand, as with a zip tool."""
    plain = json.loads(zipfile.ZipFile(io.BytesIO(packed())).read(bundle.CONTRACT_NAME))
    arrays = io.BytesIO()
    np.savez(arrays, **golden())
    out = io.BytesIO(FLATBUFFER)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(bundle.CONTRACT_NAME, json.dumps({**plain, **change}))
        archive.writestr(bundle.GOLDEN_NAME, arrays.getvalue())
    return out.getvalue()


def test_unpack_returns_what_pack_was_given(tmp_path: Path) -> None:
    found = unpack(write(tmp_path, packed()))
    assert found.flatbuffer == FLATBUFFER
    assert found.contract == contract("classifier", sha256=sha256(FLATBUFFER))
    np.testing.assert_array_equal(found.golden["inputs"], golden()["inputs"])
    np.testing.assert_array_equal(found.golden["output_0"], golden()["output_0"])


def test_equal_parts_give_equal_bytes() -> None:
    assert packed() == packed()
    dates = {info.date_time for info in zipfile.ZipFile(io.BytesIO(packed())).infolist()}
    assert dates == {(1980, 1, 1, 0, 0, 0)}


def test_unzip_lists_the_files_behind_the_flatbuffer() -> None:
    assert zipfile.ZipFile(io.BytesIO(packed())).namelist() == ["fmd.json", "golden.npz"]
    assert packed().startswith(FLATBUFFER)


def test_calibration_is_optional_and_read_back(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    old = unpack(write(tmp_path / "old", with_contract({"format": 1}))).contract
    assert (old.confusion, old.temperature) == (None, None)
    counts = [[90, 4, 6], [2, 95, 3], [5, 5, 40]]
    given = {"labels": list(LABELS), "observation": counts, "passage": counts}
    new = unpack(write(tmp_path, with_contract({"format": 2, "confusion": given, "temperature": 0.8}))).contract
    rows = tuple(tuple(row) for row in counts)
    assert new.confusion == Confusion(labels=tuple(LABELS), observation=rows, passage=rows)
    assert new.temperature == 0.8


@pytest.mark.parametrize(
    ("data", "reported"),
    [
        (FLATBUFFER, "without a readable contract"),
        (packed()[: len(packed()) // 2], "without a readable contract"),
        (packed()[:-30], "without a readable contract"),
        (b"", "not a TFLite file (got 0 bytes"),
        (b"PK\x03\x04 a zip of holiday pictures", "not a TFLite file"),
        (packed(sha256="0" * 64), "not the one its contract describes"),
        (packed().replace(FLATBUFFER[100:140], b"x" * 40, 1), "not the one its contract describes"),
        (with_contract({"format": 3}), "contract format 3, this fmd reads 1, 2"),
        (with_contract({"temperature": 0}), "temperature"),
        (with_contract({"confusion": {"labels": list(LABELS), "observation": []}}), "confusion.observation is empty"),
        (
            with_contract({"confusion": {"labels": list(LABELS), "observation": [[1, 2]]}}),
            "a row and a column for each",
        ),
        (with_contract({"confusion": {"labels": ["a", "b"], "observation": [[1, 2], [3, 4]]}}), "confusion is of the"),
        (with_contract({"compliant": "mask"}), "compliant is one of"),
        (with_contract({"labels": ["with_mask", "with_mask"]}), "two different labels"),
        (with_contract({"background": "wall"}), "background is one of"),
        (with_contract({"background": "with_mask"}), "and not 'with_mask', got 'with_mask'"),
        (with_contract({"labels": ["with_mask", "wall"], "background": "wall"}), "beside background there are two"),
        (with_contract({"output": "sigmoid"}), "a sigmoid has two labels"),
        (with_contract({"output": "anchor-free"}), "softmax or sigmoid"),
        (with_contract({"task": "detector"}), "a detector has output anchor-free"),
        (with_contract({"surprise": 1}), "unknown field"),
        (with_contract({"input": {"height": 0, "width": 64, "scale": 1, "offset": 0}}), "height"),
        (with_contract({"input": {"height": 32, "width": 32, "scale": 1, "offset": 0}}), "golden inputs are uint8"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_in_one_line(tmp_path: Path, data: bytes, reported: str) -> None:
    path = write(tmp_path, data)
    with pytest.raises(BundleError) as caught:
        unpack(path)
    assert reported in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_reported_with_the_systems_reason(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No such file or directory"):
        unpack(tmp_path / "nowhere.tflite")


def test_an_empty_golden_set_is_refused(tmp_path: Path) -> None:
    empty = {"inputs": np.zeros((0, SIZE, SIZE, 3), np.uint8), "output_0": np.zeros((0, 3), np.float32)}
    data = pack(FLATBUFFER, contract("classifier", sha256=sha256(FLATBUFFER)), empty)
    with pytest.raises(BundleError, match="golden inputs are"):
        unpack(write(tmp_path, data))


def test_golden_inputs_without_outputs_are_refused(tmp_path: Path) -> None:
    data = pack(FLATBUFFER, contract("classifier", sha256=sha256(FLATBUFFER)), {"inputs": golden()["inputs"]})
    with pytest.raises(BundleError, match=r"golden outputs \[\] do not match"):
        unpack(write(tmp_path, data))


def test_a_damaged_byte_raises_a_bundle_error_or_changes_nothing(tmp_path: Path) -> None:
    """SD cards flip bits. A damaged file is refused, or the damage is in a zip header that is never read."""
    rng = np.random.default_rng(7)
    whole = packed()
    path, refused = tmp_path / "mask.tflite", 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(8, len(whole))] ^= 1 << rng.integers(0, 8)
        path.write_bytes(damaged)
        try:
            found = unpack(path)
        except BundleError:
            refused += 1
        else:
            assert found.flatbuffer == FLATBUFFER
            assert found.contract == contract("classifier", sha256=sha256(FLATBUFFER))
            np.testing.assert_array_equal(found.golden["inputs"], golden()["inputs"])
    assert refused > 200


def test_a_damaged_compressed_stream_is_a_bundle_error(tmp_path: Path) -> None:
    whole = with_contract({})
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        start = archive.getinfo(bundle.CONTRACT_NAME).header_offset + 30 + len(bundle.CONTRACT_NAME)
    with pytest.raises(BundleError, match="without a readable contract"):
        unpack(write(tmp_path, whole[:start] + b"\xff" * 20 + whole[start + 20 :]))


def test_a_bundle_for_the_other_task_is_refused(classifier_path: Path) -> None:
    with pytest.raises(BundleError, match="holds a classifier, expected a detector"):
        bundle.load(classifier_path, "detector", drivers.open_interpreter)


def test_a_model_of_another_size_than_its_contract_is_refused() -> None:
    with pytest.raises(BundleError, match="its contract says"):
        Model(Bundle(b"", contract("classifier"), {}), StubInterpreter([], size=32), "stub")


@pytest.mark.parametrize(
    ("spec", "interpreter", "wanted"),
    [
        # Bytes pass unchanged.
        (InputSpec(height=SIZE, width=SIZE, scale=1.0, offset=0.0), StubInterpreter([]), [0, 128, 255]),
        # real = pixel / 127.5 - 1 is -1, 0.004 and 1; stored = real * 64 + 3, rounded.
        (
            InputSpec(height=SIZE, width=SIZE, scale=1 / 127.5, offset=-1.0),
            StubInterpreter([], dtype=np.int8, scale=1 / 64, zero_point=3),
            [-61, 3, 67],
        ),
        # A float tensor gets the real value.
        (
            InputSpec(height=SIZE, width=SIZE, scale=1 / 255, offset=0.0),
            StubInterpreter([], dtype=np.float32, scale=0.0),
            [0.0, 128 / 255, 1.0],
        ),
    ],
)
def test_pixels_are_converted_to_the_input_tensors_values(
    spec: InputSpec, interpreter: StubInterpreter, wanted: list[float]
) -> None:
    model = Model(Bundle(b"", contract("classifier", input=spec), {}), interpreter, "stub")
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[0, 0] = (0, 128, 255)
    model.run(pixels)
    (seen,) = interpreter.seen
    assert seen.shape == (1, SIZE, SIZE, 3)
    assert seen.dtype == interpreter.dtype
    np.testing.assert_allclose(seen[0, 0, 0].astype(float), wanted, atol=1e-6)


def test_a_model_that_expects_bgr_is_given_bgr() -> None:
    interpreter = StubInterpreter([])
    spec = InputSpec(height=SIZE, width=SIZE, scale=1.0, offset=0.0, colour="BGR")
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[:, :] = (1, 2, 3)
    Model(Bundle(b"", contract("classifier", input=spec), {}), interpreter, "stub").run(pixels)
    assert interpreter.seen[0][0, 0, 0].tolist() == [3, 2, 1]


class Constant:
    """A runtime that gives every input the same output, as one did for dynamic-range models."""

    def __init__(self, real: Interpreter) -> None:
        self.runtime, self.input, self.outputs = real.runtime, real.input, real.outputs

    def run(self, tensor: np.ndarray[Any, Any]) -> Sequence[Stored]:
        return [np.full(output.shape, 1 / len(LABELS), np.float32) for output in self.outputs]


class NotANumber(Constant):
    def run(self, tensor: np.ndarray[Any, Any]) -> Sequence[Stored]:
        return [np.full(output.shape, np.nan, np.float32) for output in self.outputs]


def test_the_shipped_model_reproduces_its_golden_outputs(classifier_model: Model) -> None:
    assert 0 <= classifier_model.replay() <= 1


def test_replay_catches_a_colour_swap(classifier_bundle: Bundle) -> None:
    swapped = msgspec.structs.replace(classifier_bundle.contract.input, colour="BGR")
    contract: Contract = msgspec.structs.replace(classifier_bundle.contract, input=swapped)
    interpreter = drivers.open_interpreter(classifier_bundle.flatbuffer)
    with pytest.raises(GoldenError, match="golden input"):
        Model(Bundle(b"", contract, classifier_bundle.golden), interpreter, "swapped").replay()


def test_replay_catches_a_wrong_pixel_scaling(classifier_bundle: Bundle) -> None:
    spec = classifier_bundle.contract.input
    wrong = msgspec.structs.replace(spec, scale=spec.scale / 255)
    contract: Contract = msgspec.structs.replace(classifier_bundle.contract, input=wrong)
    interpreter = drivers.open_interpreter(classifier_bundle.flatbuffer)
    with pytest.raises(GoldenError):
        Model(Bundle(b"", contract, classifier_bundle.golden), interpreter, "scaled").replay()


@pytest.mark.parametrize("broken", [Constant, NotANumber])
def test_replay_catches_a_runtime_that_computes_nothing(classifier_bundle: Bundle, broken: type[Constant]) -> None:
    runtime = broken(drivers.open_interpreter(classifier_bundle.flatbuffer))
    with pytest.raises(GoldenError):
        Model(classifier_bundle, runtime, "constant").replay()


def test_the_contract_is_printable(classifier_bundle: Bundle) -> None:
    described = bundle.described(classifier_bundle.contract)
    assert json.loads(json.dumps(described))["labels"] == list(classifier_bundle.contract.labels)
