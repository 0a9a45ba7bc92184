"""ONNX files: the parts of a bundle, and everything that would lead onnxruntime out of the file."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import BundleError
from edge.inference import bundle, onnx_file
from tests.edge.onnx_models import bundle_bytes, graph, proto, write_bundle

onnx = pytest.importorskip("onnx", reason="pip install '.[onnx]'")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402  only with onnx


def test_a_bundle_has_its_model_to_the_byte_its_contract_and_golden_inputs(tmp_path: Path) -> None:
    found = bundle.unpack(write_bundle(tmp_path))
    assert found.flatbuffer == proto().SerializeToString()
    assert (found.suffix, found.contract.task) == (".onnx", "classifier")
    assert found.golden["inputs"].shape == (3, 64, 64, 3)


def test_onnxs_own_library_reads_the_entries_as_metadata() -> None:
    model = onnx.load_from_string(bundle_bytes())
    onnx.checker.check_model(model)
    assert [entry.key for entry in model.metadata_props] == ["fmd.json", "golden.npz"]


def test_a_bundle_that_onnxs_own_library_has_written_again_is_still_one(tmp_path: Path) -> None:
    path = tmp_path / "again.onnx"
    path.write_bytes(onnx.load_from_string(bundle_bytes()).SerializeToString())
    assert bundle.unpack(path).contract.task == "classifier"


def with_tensor(tensor: Any) -> Any:
    """Return a model with a further weight."""
    made = graph()
    made.initializer.append(tensor)
    return proto(made)


def external(tensor: Any, place: str) -> Any:
    """Return a tensor whose data is in the file ``place``."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    return tensor


def weight() -> Any:
    return numpy_helper.from_array(np.ones(4, np.float32), "more")


def in_a_constant(tensor: Any) -> Any:
    return proto(graph(helper.make_node("Constant", [], ["c"], value=tensor)))


def in_a_list(tensor: Any) -> Any:
    return proto(graph(helper.make_node("Constant", [], ["c"], values=[tensor])))


def in_a_branch(tensor: Any) -> Any:
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "inner", [], [])
    return proto(graph(helper.make_node("If", ["condition"], ["d"], then_branch=inner, else_branch=inner)))


def in_a_sparse_weight(tensor: Any) -> Any:
    sparse = helper.make_sparse_tensor(tensor, numpy_helper.from_array(np.arange(4), "indices"), [8])
    return proto(graph(sparse_initializer=[sparse]))


@pytest.mark.parametrize("place", ["/etc/shadow", "../weights.bin", "weights.bin"])
@pytest.mark.parametrize("within", [with_tensor, in_a_constant, in_a_list, in_a_branch, in_a_sparse_weight])
def test_weights_in_another_file_are_refused(within: Callable[[Any], Any], place: str, tmp_path: Path) -> None:
    path = tmp_path / "mask.onnx"
    path.write_bytes(bundle_bytes(within(external(weight(), place)).SerializeToString()))
    with pytest.raises(BundleError, match=r"mask.onnx: not an ONNX model that fmd runs: it has weights in another"):
        bundle.unpack(path)
    # The same model with its weights inside is fine.
    path.write_bytes(bundle_bytes(within(weight()).SerializeToString()))
    bundle.unpack(path)


def test_either_mark_of_external_weights_is_enough() -> None:
    located = external(weight(), "x")
    del located.external_data[:]
    named = external(weight(), "x")
    named.data_location = TensorProto.DEFAULT
    for tensor in (located, named):
        with pytest.raises(ValueError, match="another file"):
            onnx_file.check(with_tensor(tensor).SerializeToString())


def test_operators_outside_the_standard_are_refused() -> None:
    compiled = helper.make_node("EPContext", [], ["c"], domain="com.microsoft", ep_cache_context="/tmp/evil.engine")
    with pytest.raises(ValueError, match=r"'com\.microsoft'"):
        onnx_file.check(proto(graph(compiled)).SerializeToString())


def test_functions_and_training_graphs_are_refused() -> None:
    model = proto()
    model.functions.append(helper.make_function("own", "f", [], ["c"], [], [helper.make_opsetid("", 17)]))
    with pytest.raises(ValueError, match="functions of its own"):
        onnx_file.check(model.SerializeToString())
    model = proto()
    model.training_info.add(initialization=graph())
    with pytest.raises(ValueError, match="training graph"):
        onnx_file.check(model.SerializeToString())


def test_the_second_of_two_graphs_is_checked_as_well() -> None:
    # Readers merge a field that comes twice.
    twice = proto().SerializeToString() + with_tensor(external(weight(), "x")).SerializeToString()
    with pytest.raises(ValueError, match="another file"):
        onnx_file.check(twice)


def test_numbers_that_readers_would_cut_are_refused() -> None:
    # Field 7 of type 2 is 0x3a; with a 33rd bit set, readers of 32 bits read it as the same field.
    hidden = bytes([0xBA, 0x80, 0x80, 0x80, 0x10]) + bytes([0])
    with pytest.raises(onnx_file.FormatError):
        onnx_file.check(hidden)


def test_deep_nesting_ends_in_an_error_and_not_in_a_crash() -> None:
    made = graph()
    for _ in range(onnx_file.MAX_DEPTH):
        made = helper.make_graph([helper.make_node("Loop", [], ["x"], body=made)], "deeper", [], [])
    with pytest.raises(ValueError, match="deeper"):
        onnx_file.check(proto(made).SerializeToString())


def test_damaged_bytes_are_refused_or_harmless(tmp_path: Path) -> None:
    random_numbers, whole, path = random.Random(1), bundle_bytes(), tmp_path / "mask.onnx"
    for _ in range(200):
        damaged = bytearray(whole[: random_numbers.randrange(len(whole))] if random_numbers.random() < 0.5 else whole)
        for _ in range(random_numbers.randrange(1, 8)):
            damaged[random_numbers.randrange(len(damaged))] = random_numbers.randrange(256)
        path.write_bytes(damaged)
        with pytest.raises(BundleError):
            bundle.unpack(path)


def test_an_onnx_file_without_a_contract_says_how_to_make_one(tmp_path: Path) -> None:
    path = tmp_path / "bare.onnx"
    path.write_bytes(proto().SerializeToString())
    assert not onnx_file.is_bundle(path)
    with pytest.raises(BundleError, match="nor an ONNX file with a contract; make one with: fmd-convert"):
        bundle.unpack(path)
