"""ONNX file of fmd-convert: the model, followed by two metadata entries with its contract and its golden inputs.

An ONNX file is one Protocol Buffers message. Such a message may hold its fields in any order, and two messages one
after the other are one message. So every reader of ONNX accepts the two entries at the end as the model's metadata,
and what comes before them is the model as it was exported, to the byte.

onnxruntime would follow some parts of a model out of the file: weights in files that the model names, and operators
that load a compiled program. :func:`check` finds them before onnxruntime reads the model. Only the fields that lead
there are read, with this format's few rules of encoding; the standard library suffices.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CONTRACT_NAME, GOLDEN_NAME = "fmd.json", "golden.npz"
"""Keys of the two entries, and names of the files in a TFLite file's zip."""
MAX_FILE = 256 << 20
"""Bytes of the largest model file: one of this size does not run in the memory of the service's unit."""
METADATA = 14
"""Number of the field ``metadata_props`` in ONNX's ModelProto. Each entry has a key (1) and a value (2)."""
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types of Protocol Buffers."""
MAX_DEPTH = 32
"""Deepest nesting of messages that is read; loops and branches inside each other nest."""
STANDARD_DOMAINS = (b"", b"ai.onnx", b"ai.onnx.ml")
"""Domains of operators that the ONNX standard defines. Others may load programs: EPContext loads a compiled engine."""

GRAPH, NODE, ATTRIBUTE, TENSOR, SPARSE = "graph", "node", "attribute", "tensor", "sparse tensor"
INNER: dict[str, dict[int, str]] = {
    "model": {7: GRAPH},
    GRAPH: {1: NODE, 5: TENSOR, 15: SPARSE},
    NODE: {5: ATTRIBUTE},
    ATTRIBUTE: {5: TENSOR, 6: GRAPH, 10: TENSOR, 11: GRAPH, 22: SPARSE, 23: SPARSE},
    SPARSE: {1: TENSOR, 2: TENSOR},
    TENSOR: {},
}
"""Message -> the fields with messages inside it that can lead to a tensor or a node (onnx.proto3)."""
REFUSED = {
    ("model", 20): "a training graph",
    ("model", 25): "functions of its own",
    (TENSOR, 13): "weights in another file",
    (TENSOR, 14): "weights in another file",
}
"""(Message, field) -> what it is. fmd-convert writes none of them. The number zero means that the field is unset."""


class Field(NamedTuple):
    """Field of a message: its number, its value (an integer of a varint, else bytes), and where it begins."""

    number: int
    value: int | memoryview
    begin: int


class FormatError(ValueError):
    """Bytes that are no message of Protocol Buffers."""


class Parts(NamedTuple):
    """Parts of an ONNX bundle: the model as exported, and the values of the two entries."""

    model: bytes
    contract: bytes
    golden: bytes


def split(data: bytes) -> Parts | None:
    """Return the parts of a file that ends with the two entries; None for any other."""
    try:
        last = list(fields(memoryview(data)))[-2:]
        entries = [_entry(field) for field in last]
    except FormatError:
        return None
    if [key for key, _ in entries] != [CONTRACT_NAME.encode(), GOLDEN_NAME.encode()]:
        return None
    return Parts(data[: last[0].begin], entries[0][1], entries[1][1])


def is_bundle(path: Path) -> bool:
    """Return whether a file is an ONNX file with a contract; one that cannot be read is not."""
    try:
        # A pipe or a device would be read without an end.
        return path.is_file() and path.stat().st_size <= MAX_FILE and split(path.read_bytes()) is not None
    except (OSError, ValueError):  # ValueError: a null byte in the name
        return False


def joined(model: bytes, contract: bytes, golden: bytes) -> bytes:
    """Return ``model`` with the two entries at its end. Their values are UTF-8."""
    pairs = ((CONTRACT_NAME, contract), (GOLDEN_NAME, golden))
    entries = (_bytes_field(1, key.encode()) + _bytes_field(2, value) for key, value in pairs)
    return model + b"".join(_bytes_field(METADATA, entry) for entry in entries)


def check(model: bytes) -> None:
    """Raise ValueError, with what was found, if the model leads out of its file or is no valid message."""
    _check(memoryview(model), "model", 0)


def _check(message: memoryview, kind: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise FormatError(f"graphs nested deeper than {MAX_DEPTH}")
    inner = INNER[kind]
    for field in fields(message):
        if (kind, field.number) in REFUSED and field.value != 0:
            raise ValueError(f"it has {REFUSED[kind, field.number]}")
        if kind == NODE and field.number == 7 and bytes(_bytes_of(field)) not in STANDARD_DOMAINS:
            domain = bytes(_bytes_of(field))[:40].decode(errors="replace")
            raise ValueError(f"it has an operator of {domain!r}, which is not in the ONNX standard")
        if field.number in inner:
            _check(_bytes_of(field), inner[field.number], depth + 1)


def fields(message: memoryview) -> Iterator[Field]:
    """Yield the fields of a message. Raises FormatError where the bytes are none."""
    at = 0
    while at < len(message):
        begin = at
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if not number or tag >> 32:  # onnxruntime's reader would cut such a number to another one
            raise FormatError(f"no field at byte {begin}")
        value: int | memoryview
        if wire == VARINT:
            value, at = _varint(message, at)
        else:
            size = {FIXED64: 8, FIXED32: 4}.get(wire, -1)
            if wire == BYTES:
                size, at = _varint(message, at)
            # Groups, the remaining wire types, are not in ONNX.
            if size < 0 or at + size > len(message):
                raise FormatError(f"no field at byte {begin}")
            value, at = message[at : at + size], at + size
        yield Field(number, value, begin)


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number of variable length at ``at``, at most ten bytes of seven bits, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise FormatError(f"no number at byte {at}")


def _entry(field: Field) -> tuple[bytes, bytes]:
    if field.number != METADATA:
        return b"", b""
    found = {inner.number: bytes(_bytes_of(inner)) for inner in fields(_bytes_of(field))}
    return found.get(1, b""), found.get(2, b"")


def _bytes_of(field: Field) -> memoryview:
    if isinstance(field.value, int):
        raise FormatError(f"field {field.number} is a number, expected bytes")
    return field.value


def _bytes_field(number: int, value: bytes) -> bytes:
    return _encoded(number << 3 | BYTES) + _encoded(len(value)) + value


def _encoded(value: int) -> bytes:
    """Return a number in variable length."""
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
