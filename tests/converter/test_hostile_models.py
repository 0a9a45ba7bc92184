"""Keras files and SavedModels made to harm: refused before Keras or TensorFlow sees them."""

from __future__ import annotations

import io
import json
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter import operations
from converter.keras_files import config_of
from converter.recognise import kind_of
from edge.errors import ConversionError

h5py = pytest.importorskip("h5py")

CONFIG = {"class_name": "Functional", "config": {"layers": []}}
METADATA = {"keras_version": "3.15.1"}
MEGABYTE = 1 << 20


def weights(fill: Callable[[Any], None]) -> bytes:
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        file["layers/dense/vars/0"] = np.zeros((3, 3), np.float32)
        fill(file)
    return made.getvalue()


def keras_file(path: Path, config: bytes | None = None, h5: bytes | None = None, **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", config or json.dumps(CONFIG).encode())
        archive.writestr("metadata.json", json.dumps(METADATA))
        archive.writestr("model.weights.h5", h5 or weights(lambda file: None))
        for name, data in more.items():
            archive.writestr(name, data)
    return path


def test_a_plain_file_is_read(tmp_path: Path) -> None:
    assert config_of(keras_file(tmp_path / "m.keras"), "keras") == (CONFIG, "3.15.1")


def stated(path: Path, name: bytes, size: int) -> None:
    """Make both headers of a member state another size, and its checksum that of nothing but blanks."""
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02" + data[data.find(b"PK\x01\x02") + 4 : data.find(b"PK\x01\x02") + 6])
    while data[at + 46 : at + 46 + len(name)] != name:
        at = data.find(b"PK\x01\x02", at + 4)
    struct.pack_into("<L", data, at + 24, size)
    struct.pack_into("<L", data, at + 16, zlib.crc32(b" " * size))
    path.write_bytes(data)


def test_a_config_that_expands_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras", config=b" " * (64 * MEGABYTE) + b"{}")
    with pytest.raises(ConversionError, match="expands to"):
        config_of(path, "keras")
    # The directory may state anything; what is compressed is much longer than that.
    stated(path, b"config.json", 2000)
    tracemalloc.start()
    with pytest.raises(ConversionError, match="does not expand to the 2,000 bytes"):
        config_of(path, "keras")
    assert tracemalloc.get_traced_memory()[1] < 8 * MEGABYTE
    tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_compressions_are_refused(tmp_path: Path, method: int) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("config.json", json.dumps(CONFIG))
    with pytest.raises(ConversionError, match="does not expand"):
        config_of(path, "keras")


@pytest.mark.parametrize("name", ["model.weights.npz", "variables.npz"])
def test_weights_that_may_be_a_pickle_are_refused(tmp_path: Path, name: str) -> None:
    held = io.BytesIO()
    np.savez(held, x=np.array([{"any": "object"}], object))
    path = keras_file(tmp_path / "m.keras", **{name: held.getvalue()})
    with pytest.raises(ConversionError, match="can hold code"):
        config_of(path, "keras")


def test_an_archive_of_many_files_is_refused_by_its_end(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras", **{str(k): b"" for k in range(2500)})
    for read in (kind_of, lambda path: config_of(path, "keras")):
        with pytest.raises(ConversionError, match=r"it lists 2,503 files"):
            read(path)


@pytest.mark.parametrize("levels", [1000, 100_000])
def test_a_deep_config_is_refused(tmp_path: Path, levels: int) -> None:
    path = keras_file(tmp_path / "m.keras", config=b'{"config":' * levels + b"1" + b"}" * levels)
    with pytest.raises(ConversionError, match="cut short or damaged"):
        config_of(path, "keras")


def external_link(file: Any) -> None:
    file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file: Any) -> None:
    file["layers/again"] = h5py.SoftLink("/layers/dense")


def deep_external_link(file: Any) -> None:
    group = file
    for _ in range(60):
        group = group.create_group("g")
    group["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")


def external_storage(file: Any) -> None:
    file.create_dataset("layers/x", (16,), np.uint8, external=[("/etc/passwd", 0, 16)])


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((4,), np.float32)
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4,))
    file.create_virtual_dataset("layers/x", layout)


def huge(file: Any) -> None:
    file.create_dataset("layers/x", (1 << 20, 1 << 20), np.float32, chunks=(256, 256), compression="gzip")


def plugin(file: Any) -> None:
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk((4,))
    # Optional, so that it can be written here, where nobody has the plugin.
    creation.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (1,))
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(file["layers"].id, b"x", h5py.h5t.NATIVE_FLOAT, space, creation)


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (external_link, "is a link to another file or place"),
        (soft_link, "is a link to another file or place"),
        (deep_external_link, "is a link to another file or place"),
        (external_storage, "is stored in another file"),
        (virtual, "is stored in another file"),
        (huge, "weights expand to 4,398,"),
        (plugin, "needs the HDF5 plugin 32015"),
    ],
)
@pytest.mark.parametrize("kind", ["keras", "hdf5"])
def test_hdf5_that_leads_out_of_its_file_or_grows_is_refused(
    tmp_path: Path, attack: Callable[[Any], None], said: str, kind: str
) -> None:
    path = tmp_path / "model"
    if kind == "keras":
        keras_file(path, h5=weights(attack))
    else:
        path.write_bytes(weights(attack))
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = json.dumps(CONFIG)
    with pytest.raises(ConversionError, match=said):
        config_of(path, kind)


def test_bytes_before_the_data_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "block.h5"
    with h5py.File(path, "w", userblock_size=512):
        pass
    with pytest.raises(ConversionError, match="512 foreign bytes"):
        config_of(keras_file(tmp_path / "m.keras", h5=path.read_bytes()), "keras")


def test_a_group_that_contains_itself_ends(tmp_path: Path) -> None:
    def cycle(file: Any) -> None:
        file["layers/again"] = file["layers"]

    began_s = time.monotonic()
    assert config_of(keras_file(tmp_path / "m.keras", h5=weights(cycle)), "keras")[0] == CONFIG
    assert time.monotonic() - began_s < 5


def graph_of(op: str, function: str = "__inference_run_1", called: str = "", concrete: bool = True) -> Any:
    """Return a meta graph with one function that has the operation ``op``."""
    pb = pytest.importorskip("tensorflow.core.protobuf.meta_graph_pb2")
    graph = pb.MetaGraphDef()
    made = graph.graph_def.library.function.add()
    made.signature.name = function
    made.node_def.add(name="x", op=op)
    graph.object_graph_def.nodes.add()
    if concrete:
        graph.object_graph_def.concrete_functions[function].canonicalized_input_signature.SetInParent()
    if called:
        other = graph.graph_def.library.function.add()
        other.signature.name = "__inference_outer_2"
        other.node_def.add(name="y", op="StatefulPartitionedCall").attr["f"].func.name = called
    return graph


FORBIDDEN = (
    *("ReadFile", "WriteFile", "MatchingFiles", "SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"),
    *("PyFunc", "PyFuncStateless", "EagerPyFunc", "ImmutableConst", "PrintV2", "Print", "DebugIdentityV2", "Copy"),
    *("XlaCustomCall", "RemoteCall", "RpcCall", "TextLineDataset", "LMDBDataset", "WriteSummary", "Abort"),
    *("InitializeTableFromTextFileV2", "DecodeJpeg", "LoadLibrary", "OpOfTomorrow"),
)


@pytest.mark.parametrize("op", FORBIDDEN)
def test_an_operation_that_no_classifier_needs_is_refused(op: str) -> None:
    assert operations.refused(graph_of(op)) == op


def test_operations_of_classifiers_are_allowed() -> None:
    for op in ("Conv2D", "FusedBatchNormV3", "MatMul", "Softmax", "ReadVariableOp", "StatelessWhile"):
        assert operations.refused(graph_of(op)) == ""


def test_a_saver_is_tolerated_until_something_could_call_it() -> None:
    saver = "__inference__traced_save_9"
    assert operations.refused(graph_of("SaveV2", saver, concrete=False)) == ""
    # Reached from a signature or an initialiser, which are concrete functions, or from another function.
    assert operations.refused(graph_of("SaveV2", saver)) == "SaveV2"
    assert operations.refused(graph_of("WriteFile", saver, called=saver, concrete=False)) == "WriteFile"


@pytest.mark.parametrize("how", ["input", "control input", "initialiser", "restore", "function"])
def test_a_graph_of_tensorflow_1_is_checked_from_all_that_runs(how: str) -> None:
    """Nodes were tolerated by their names, as the saver's are, whatever used them."""
    pb = pytest.importorskip("tensorflow.core.protobuf.meta_graph_pb2")
    graph = pb.MetaGraphDef()
    nodes = graph.graph_def.node
    nodes.add(name="save/x", op="WriteFile")
    answer = nodes.add(name="answer", op="Identity")
    graph.signature_def["serving_default"].outputs["y"].name = "answer:0"
    assert operations.refused(graph) == ""
    if how == "input":
        answer.input.append("save/x:0")
    elif how == "control input":
        answer.input.append("^save/x")
    elif how == "initialiser":
        graph.collection_def["saved_model_main_op"].node_list.value.append("save/x")
    elif how == "restore":
        nodes.add(name="save/restore_all", op="NoOp", input=["^save/x"])
        graph.saver_def.restore_op_name = "save/restore_all"
    else:
        called = graph.graph_def.library.function.add()
        called.signature.name = "f"
        called.node_def.add(name="z", op="WriteFile")
        answer.op = "f"
    assert operations.refused(graph) == "WriteFile"


def test_a_graph_of_tensorflow_1_may_restore_its_variables() -> None:
    pb = pytest.importorskip("tensorflow.core.protobuf.meta_graph_pb2")
    graph = pb.MetaGraphDef()
    graph.graph_def.node.add(name="save/r", op="RestoreV2")
    graph.graph_def.node.add(name="save/restore_all", op="NoOp", input=["^save/r"])
    graph.saver_def.restore_op_name = "save/restore_all"
    assert operations.refused(graph) == ""
    graph.graph_def.node.add(name="answer", op="Identity", input=["save/r:0"])
    graph.signature_def["serving_default"].outputs["y"].name = "answer:0"
    assert operations.refused(graph) == "RestoreV2"


def _with_layer(model: Any, path: Path, layer: dict[str, Any]) -> Path:
    """Save ``model`` with its last layer's initializer or the layer itself replaced by a stranger's configuration."""
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    layers = config["config"]["layers"]
    if "initializer" in layer:
        layers[-1]["config"]["kernel_initializer"] = layer["initializer"]
    else:
        layers.append(layer)
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def _function(module: str, name: str, **given: Any) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": given, "registered_name": name}


EXPLOITS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "a class of any module (CVE-2025-1550)": lambda out: {
        "initializer": _function("subprocess", "Popen", args=["touch", str(out)])
    },
    "a function of any module": lambda out: {"initializer": _function("os", "system", command=f"touch {out}")},
    "a download (CVE-2025-8747)": lambda out: {
        "initializer": _function("keras.utils", "get_file", fname=str(out), origin="file:///etc/hostname")
    },
    "switching the safe mode off (CVE-2025-9906)": lambda out: {
        "initializer": _function("keras.config", "enable_unsafe_deserialization")
    },
    "Python code": lambda out: {
        "module": "keras.layers", "class_name": "Lambda", "registered_name": None, "name": "x", "inbound_nodes": [],
        "config": {"name": "x", "function": {"class_name": "__lambda__", "config": {"code": "4wEAAA=="}}},
    },
    "a vocabulary file (CVE-2025-12058)": lambda out: {
        "module": "keras.layers", "class_name": "StringLookup", "registered_name": None, "name": "x",
        "inbound_nodes": [],
        "config": {"name": "x", "vocabulary": "/etc/passwd", "trainable": True, "dtype": "string"},
    },
    "a SavedModel beside it": lambda out: {
        "module": "keras.layers", "class_name": "TFSMLayer", "registered_name": None, "name": "x", "inbound_nodes": [],
        "config": {"name": "x", "filepath": str(out.parent), "call_endpoint": "serve"},
    },
}  # fmt: skip


@pytest.mark.parametrize("exploit", EXPLOITS)
def test_known_exploits_of_keras_are_refused(softmax_keras: Path, tmp_path: Path, exploit: str) -> None:
    import keras

    from converter.load import load

    out = tmp_path / "pwned"
    model = keras.saving.load_model(softmax_keras)
    path = _with_layer(model, tmp_path / "m.keras", EXPLOITS[exploit](out))
    with pytest.raises(ConversionError):
        load(path)
    assert not out.exists()
