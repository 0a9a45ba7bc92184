"""SavedModel folder -> one callable signature: without the optimizer, with operations of a classifier only."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from converter import operations
from converter.keras_files import first_line
from converter.noise import quiet
from edge.errors import ConversionError
from edge.text import MAX_LABEL, escaped

MAX_GRAPH = 256 << 20
"""Bytes of a graph; EfficientNetB7's has 10 MB. Weights lie in other files."""


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
        if (path / "saved_model.pb").stat().st_size > MAX_GRAPH:
            raise ValueError(f"it has more than {MAX_GRAPH >> 20} MB")
        proto.ParseFromString((path / "saved_model.pb").read_bytes())
    except Exception as error:
        raise ConversionError(
            f"{path}: saved_model.pb is damaged ({first_line(error)}); copy the folder again"
        ) from error
    if not allow_code:
        _refuse_operations(path, proto)
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


def _refuse_operations(path: Path, proto: Any) -> None:
    for graph in proto.meta_graphs:
        if found := operations.refused(graph):
            raise ConversionError(
                f"{path}: its graph contains {escaped(found, MAX_LABEL)}, which no picture classifier needs: it may "
                "read or write files or run code on this machine; if you trust its author give --allow-code, else save "
                "it as model.save('model.keras') and give that"
            )
