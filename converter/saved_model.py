"""SavedModel folder -> one callable signature: without the optimizer, without file operations."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from converter.keras_files import first_line
from converter.noise import quiet
from edge.errors import ConversionError

FILE_OPERATIONS = frozenset(
    (
        "ReadFile",
        "WriteFile",
        "MatchingFiles",
        "PyFunc",
        "EagerPyFunc",
        "PyFuncStateless",
        "PrintV2",
        "Print",
        "DebugIdentityV2",
        "Save",
        "SaveV2",
        "SaveSlices",
        "MergeV2Checkpoints",
        "ShardedFilename",
        "Restore",
        "RestoreV2",
        "RestoreSlice",
        "WholeFileReader",
        "WholeFileReaderV2",
        "TextLineDataset",
        "TFRecordDataset",
        "FixedLengthRecordDataset",
        "FixedLengthRecordDatasetV2",
        "TFRecordReader",
        "TFRecordReaderV2",
        "TextLineReader",
        "TextLineReaderV2",
        "WriteSummary",
        "CreateSummaryFileWriter",
        "WriteImageSummary",
        "SaveDataset",
        "SaveDatasetV2",
        "LoadDataset",
        "SnapshotDataset",
        "SnapshotDatasetV2",
        "CacheDataset",
        "CacheDatasetV2",
        "InitializeTableFromTextFile",
        "InitializeTableFromTextFileV2",
        "LookupTableExportV2",
        "DataServiceDataset",
        "RpcCall",
        "RpcClient",
        "LMDBDataset",
        "SqlDataset",
    )
)
"""Operations that touch files, the network, Python or the terminal; no picture classifier needs one."""
SAVER = ("__inference__traced_save", "__inference__traced_restore")
"""Functions that every SavedModel carries for its own variables; TensorFlow reads variables without them."""


def load_signature(path: Path, allow_code: bool) -> tuple[Any, Any]:
    """(loaded object, signature function) of a SavedModel folder.

    The optimizer's slots are left out: TensorFlow cannot restore those of Keras 2's legacy optimizers, and nothing
    here needs them. Raises ConversionError where the folder cannot be read, where it would touch files (unless
    ``allow_code``), or where the signature is not clear.
    """
    with quiet():
        import tensorflow as tf
        from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel()
    try:
        proto.ParseFromString((path / "saved_model.pb").read_bytes())
    except Exception as error:
        raise ConversionError(
            f"{path}: saved_model.pb is damaged ({first_line(error)}); copy the folder again"
        ) from error
    if not allow_code:
        _refuse_file_operations(path, proto)
    for graph in proto.meta_graphs:
        for node in graph.object_graph_def.nodes:
            del node.slot_variables[:]
    with tempfile.TemporaryDirectory() as folder, quiet():
        place = Path(folder)
        for item in path.iterdir():
            if item.name not in ("saved_model.pb", "keras_metadata.pb", "fingerprint.pb"):
                (place / item.name).symlink_to(item.resolve())
        (place / "saved_model.pb").write_bytes(proto.SerializeToString())
        try:
            loaded = tf.saved_model.load(str(place))
        # TensorFlow raises its own and Python's errors alike here; each means the folder cannot be read.
        except Exception as error:
            raise ConversionError(
                f"{path}: TensorFlow cannot read this SavedModel: {first_line(error)}; export it again with "
                "model.export('folder'), in Keras 2 tf.saved_model.save(model, 'folder')"
            ) from error
    return loaded, _signature_of(path, dict(loaded.signatures))


def _signature_of(path: Path, signatures: dict[str, Any]) -> Any:
    if "serving_default" in signatures:
        return signatures["serving_default"]
    pictures = {name: found for name, found in signatures.items() if _takes_a_picture(found)}
    if len(pictures) == 1:
        return next(iter(pictures.values()))
    raise ConversionError(
        f"{path}: has {len(pictures)} signatures that take one picture (of {', '.join(signatures) or 'none'}), "
        "expected one, or serving_default; export it again with model.export('folder')"
    )


def _takes_a_picture(signature: Any) -> bool:
    inputs = signature.structured_input_signature[1]
    return len(inputs) == 1 and len(next(iter(inputs.values())).shape) == 4


def _refuse_file_operations(path: Path, proto: Any) -> None:
    for graph in proto.meta_graphs:
        functions = {f.signature.name: f.node_def for f in graph.graph_def.library.function}
        # The saver's functions are tolerated only as long as nothing else calls them.
        roots = [nodes for name, nodes in functions.items() if not name.startswith(SAVER)]
        found = next(iter(_forbidden(roots, functions)), "")
        if not found and not graph.object_graph_def.nodes:
            found = next((n.op for n in graph.graph_def.node if n.op in FILE_OPERATIONS and "save/" not in n.name), "")
        if found:
            raise ConversionError(
                f"{path}: its graph contains {found}, which reads or writes files or runs code on this machine; if you "
                "trust its author give --allow-code, else save it as model.save('model.keras') and give that"
            )


def _forbidden(roots: Sequence[Any], functions: dict[str, Any]) -> Iterator[str]:
    waiting = list(roots)
    seen: set[str] = set()
    while waiting:
        for node in waiting.pop():
            if node.op in FILE_OPERATIONS:
                yield node.op
            called = [node.op] if node.op in functions else []
            for value in node.attr.values():
                called += [f.name for f in (value.func, *value.list.func) if f.name]
            for name in set(called) & functions.keys() - seen:
                seen.add(name)
                waiting.append(functions[name])
