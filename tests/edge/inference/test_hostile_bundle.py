"""Model files made to harm: every one ends in a BundleError, in one printable line, and before memory is spent."""

from __future__ import annotations

import io
import json
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import BundleError
from edge.inference import archive, bundle, onnx_file
from edge.inference.bundle import pack, sha256, unpack
from edge.text import escaped, is_label
from tests.edge.inference.test_bundle import FLATBUFFER, golden, packed
from tests.edge.parts import LABELS, contract

MEGABYTES = 1 << 20
END = struct.Struct("<4s4H2LH")


def npz(method: int = zipfile.ZIP_DEFLATED, **arrays: Any) -> bytes:
    """Return an npz file; bytes are taken as a whole array file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as packed:
        for name, array in arrays.items():
            made = io.BytesIO()
            if isinstance(array, bytes):
                made.write(array)
            else:
                np.save(made, array, allow_pickle=True)
            packed.writestr(f"{name}.npy", made.getvalue())
    return out.getvalue()


def file_of(
    contract_json: bytes | None = None,
    arrays: bytes | None = None,
    method: int = zipfile.ZIP_DEFLATED,
    more: dict[str, bytes] | None = None,
) -> bytes:
    """Return a model file with a contract or golden data of a stranger's making."""
    plain = zipfile.ZipFile(io.BytesIO(packed()))
    out = io.BytesIO(FLATBUFFER)
    with zipfile.ZipFile(out, "a", method) as made:
        made.writestr(bundle.CONTRACT_NAME, contract_json or plain.read(bundle.CONTRACT_NAME))
        made.writestr(bundle.GOLDEN_NAME, arrays or plain.read(bundle.GOLDEN_NAME))
        for name, data in (more or {}).items():
            made.writestr(name, data)
    return out.getvalue()


def with_changes(**change: Any) -> bytes:
    plain = json.loads(zipfile.ZipFile(io.BytesIO(packed())).read(bundle.CONTRACT_NAME))
    return file_of(json.dumps({**plain, **change}).encode())


def with_arrays(**arrays: Any) -> bytes:
    return file_of(arrays=npz(**{**golden(), **arrays}))


def lying(data: bytes, name: bytes, size: int) -> bytes:
    """Change the size that the directory states for a member."""
    changed = bytearray(data)
    at = changed.rfind(b"PK\x01\x02", 0, changed.rfind(name))
    struct.pack_into("<L", changed, at + 24, size)
    return bytes(changed)


def nested(levels: int) -> bytes:
    return b'{"format": 2, "x": ' + b"[" * levels + b"]" * levels + b"}"


def many_members(count: int) -> bytes:
    return file_of(more={str(number): b"" for number in range(count)})


OBJECTS: npt.NDArray[Any] = np.array([{}, []], dtype=object)
LONG = "x" * 5_000_000

ATTACKS: dict[str, Any] = {
    "a contract of 100 MB": lambda: file_of(b" " * (100 * MEGABYTES) + b"{}"),
    "golden data of 100 MB": lambda: with_arrays(inputs=np.zeros((2000, 224, 224), np.uint8)),
    "golden data that expands to more than its directory states": lambda: lying(
        file_of(b" " * (100 * MEGABYTES) + b"{}"), b"fmd.json", 100
    ),
    "arrays of 30 MB each": lambda: with_arrays(
        output_0=np.zeros(30 * MEGABYTES // 4, np.float32), output_1=np.zeros(30 * MEGABYTES // 4, np.float32)
    ),
    "an array that expands to more than its directory states": lambda: file_of(
        arrays=lying(npz(**{**golden(), "inputs": np.zeros(80 * MEGABYTES, np.uint8)}), b"inputs.npy", 1000)
    ),
    "60,000 golden inputs": lambda: file_of(
        arrays=npz(inputs=np.zeros((60_000, 1, 1, 3), np.uint8), output_0=np.zeros((60_000, 3), np.float32))
    ),
    "a header of a terabyte": lambda: with_arrays(
        inputs=b"\x93NUMPY\x01\x00\x4e\x00"
        + b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000000), }".ljust(77)
        + b"\n"
    ),
    "a header with code": lambda: with_arrays(inputs=b"\x93NUMPY\x01\x00\x10\x00" + b"(1).__class__   \n"),
    "a header of a hundred brackets": lambda: with_arrays(inputs=b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535),
    "a header without an end": lambda: with_arrays(inputs=b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"),
    "objects": lambda: with_arrays(inputs=OBJECTS),
    "texts as answers": lambda: with_arrays(output_0=np.full((2, 3), "0.3")),
    "whole numbers as answers": lambda: with_arrays(output_0=np.zeros((2, 3), np.int64)),
    "complex answers": lambda: with_arrays(output_0=np.zeros((2, 3), np.complex64)),
    "answers of another shape": lambda: with_arrays(output_0=np.zeros((2, 4), np.float32)),
    "answers without a size": lambda: with_arrays(output_0=np.float32(1)),
    "an answer too many": lambda: with_arrays(output_1=np.zeros((2, 3), np.float32)),
    "no inputs": lambda: file_of(arrays=npz(output_0=np.zeros((2, 3), np.float32))),
    "inputs without a size": lambda: with_arrays(inputs=np.uint8(1)),
    "LZMA": lambda: file_of(method=zipfile.ZIP_LZMA),
    "bzip2": lambda: file_of(method=zipfile.ZIP_BZIP2),
    "LZMA inside": lambda: file_of(arrays=npz(zipfile.ZIP_LZMA, **golden())),
    "5,000 members": lambda: many_members(5_000),
    "17 members": lambda: many_members(17),
    "a member twice": lambda: file_of(more={"fmd.json": b"{}"}),
    "an encrypted member": lambda: packed().replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"
    ),
    "a directory of 4 GB": lambda: packed()[:-22] + END.pack(b"PK\x05\x06", 0, 0, 2, 2, 2**32 - 1, 0, 0),
    "65,535 members announced": lambda: packed()[:-22] + END.pack(b"PK\x05\x06", 0, 0, 65535, 65535, 100, 0, 0),
    "a 64-bit directory": lambda: packed()[:-22] + b"PK\x06\x07" + bytes(16) + packed()[-22:],
    "a comment": lambda: packed()[:-2] + b"\x05\x00hello",
    "JSON a million levels deep": lambda: file_of(nested(100_000)),
    "JSON a thousand levels deep": lambda: file_of(nested(1_500)),
    "a list for a contract": lambda: file_of(b"[1, 2]"),
    "a number for a contract": lambda: file_of(b"1"),
    "bytes that are no text": lambda: file_of(b'{"format": 2, "name": "\xff\xfe"}'),
    "half a surrogate": lambda: file_of(b'{"format": 2, "name": "\\ud800"}'),
    "a format of a megabyte": lambda: file_of(json.dumps({"format": "\x1b]0;pwned\x07" * 20_000}).encode()),
    "an unknown key of a terminal's commands": lambda: with_changes(**{"\x1b[2J\x1b]0;pwned\x07\n" * 100: 1}),
    "a label of 5 MB": lambda: with_changes(labels=[LONG, "b"], compliant="b"),
    "a label of 65 characters": lambda: with_changes(labels=["x" * 65, "with_mask", "c"]),
    "a label with a line break": lambda: with_changes(labels=["a\nfmd: all is well", "with_mask", "c"]),
    "a label that commands a terminal": lambda: with_changes(labels=["\x1b[2J", "with_mask", "c"]),
    "a label that changes the direction": lambda: with_changes(labels=["\u202egnp.exe", "with_mask", "c"]),
    "an empty label": lambda: with_changes(labels=["", "with_mask", "c"]),
    "33 labels": lambda: with_changes(labels=[*LABELS, *map(str, range(30))]),
    "a name that commands a terminal": lambda: with_changes(name="\x1b]8;;http://evil\x07"),
    "a reason that commands a terminal": lambda: with_changes(reason="fine\x1b[8m"),
    "a version that commands a terminal": lambda: with_changes(versions={"keras": "3\r\n2"}),
    "a key that commands a terminal": lambda: with_changes(versions={"ke\x9bras": "3"}),
    "a reason of 200 kB": lambda: with_changes(reason="x" * 200_000),
    "a thousand versions": lambda: with_changes(versions={str(k): "1" for k in range(1000)}),
    "a scale beyond all numbers": lambda: with_changes(input={"height": 64, "width": 64, "scale": 1e300, "offset": 0}),
    "a scale that is none": lambda: file_of(
        zipfile.ZipFile(io.BytesIO(packed())).read(bundle.CONTRACT_NAME).replace(b'"scale": 1.0', b'"scale": NaN')
    ),
    "a huge number": lambda: with_changes(format=10**400),
    "strides of a detector without an end": lambda: with_changes(
        task="detector", output="anchor-free", strides=[1] * 100_000
    ),
    "a detector of millions of cells": lambda: with_changes(
        task="detector",
        output="anchor-free",
        strides=[1] * 8,
        input={"height": 4096, "width": 4096, "scale": 1, "offset": 0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_ends_in_one_printable_line(tmp_path: Path, attack: str) -> None:
    path = tmp_path / "mask.tflite"
    path.write_bytes(ATTACKS[attack]())
    tracemalloc.start()
    with pytest.raises(BundleError) as caught:
        unpack(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The file itself, what it may expand to, and a copy of that.
    assert peak < 2 * path.stat().st_size + 70 * MEGABYTES
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert said.isprintable()
    assert len(said) < 1500


def test_a_pipe_a_device_and_a_huge_file_are_no_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    for name, said in (
        (tmp_path / "pipe", "not a file"),
        (Path("/dev/zero"), "not a file"),
        (tmp_path, "Is a directory|not a file"),
        (tmp_path / "huge", "expected at most 256"),
    ):
        with pytest.raises(BundleError, match=said):
            unpack(name)


def test_pack_makes_files_within_the_limits_of_64_inputs(tmp_path: Path) -> None:
    """The largest set that is allowed is read, in both orders of memory."""
    labels = tuple(f"label {k} ü" for k in range(32))
    arrays = {
        "inputs": np.asfortranarray(np.random.default_rng(0).integers(0, 256, (64, 64, 64, 3), dtype=np.uint8)),
        "output_0": np.asfortranarray(np.random.default_rng(0).random((64, 32), np.float32)),
    }
    made = contract("classifier", labels=labels, compliant=labels[0], sha256=sha256(FLATBUFFER), name="x" * 64)
    path = tmp_path / "mask.tflite"
    path.write_bytes(pack(FLATBUFFER, made, arrays))
    found = unpack(path)
    np.testing.assert_array_equal(found.golden["inputs"], arrays["inputs"])
    np.testing.assert_array_equal(found.golden["output_0"], arrays["output_0"])


def test_an_array_of_numpy_is_read_as_numpy_reads_it() -> None:
    for array in (np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.ones((1, 2), np.float32), np.zeros(3, np.uint8)):
        made = io.BytesIO()
        np.save(made, array)
        np.testing.assert_array_equal(archive.array(made.getvalue()), array)


@pytest.mark.parametrize("text", ["with_mask", "ohne Maske", "マスク", "без маски", "קסדה", "x" * 64])
def test_labels_of_all_languages_are_labels(text: str) -> None:
    assert is_label(text)
    assert escaped(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a b"),
        ("a\r\nb\tc", "a  b c"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\u202eb", r"a\u202eb"),
        ("a\u2028b", "a b"),
        ("T\udcfcr", r"T\udcfcr"),
        ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert escaped(text) == shown
    assert not is_label(text)


def test_a_long_text_is_cut() -> None:
    assert escaped("x" * 100, 10) == "xxxxxxx..."


def test_a_pipe_or_a_device_is_no_onnx_file(tmp_path: Path) -> None:
    """Which driver opens a detector is decided by the file's content, which must have an end."""
    os.mkfifo(tmp_path / "pipe.onnx")
    for path in (tmp_path / "pipe.onnx", Path("/dev/zero"), tmp_path):
        assert not onnx_file.is_bundle(path)
