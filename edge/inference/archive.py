"""Zip archives and arrays of strangers: sizes are checked in the directory and in headers before memory is spent."""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

END = struct.Struct("<4s4H2LH")
"""End record of a zip without a comment, its last bytes."""
END_MARK, END_64_MARK = b"PK\x05\x06", b"PK\x06\x07"
END_64_BYTES = 20
MAX_MEMBERS = 16
MAX_DIRECTORY = 16 << 10
ENCRYPTED = 1
ARRAY = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)\{'descr': '(?P<type>\|u1|<f4)', 'fortran_order': (?P<order>True|False), "
    rb"'shape': \((?P<shape>[0-9]{1,8}(?:, [0-9]{1,8}){0,5}),?\), \} *\n",
    re.DOTALL,
)
"""Header of an array file (format 1.0) of bytes or float32, as NumPy writes it."""
HEADER = 10
"""Bytes of an array file before its description."""
MAX_HEADER = 256


class ArchiveError(ValueError):
    """An archive or array that is damaged or exceeds its limits."""


def members(data: bytes, most: Mapping[str, int]) -> tuple[dict[str, bytes], int]:
    """Return the members of a zip at the end of ``data`` that ``most`` names, and where the zip begins.

    ``most`` gives the largest size in bytes of each, and its maximum that of all together.

    Raises :class:`ArchiveError`.
    """
    _check_end(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            listed = archive.infolist()
            if not 0 < len(listed) <= MAX_MEMBERS or len({info.filename for info in listed}) != len(listed):
                raise ArchiveError(f"it lists {len(listed)} files, some twice")
            found = {info.filename: info for info in listed}
            wanted = sum(found[name].file_size for name in most if name in found)
            if wanted > max(most.values()):
                raise ArchiveError(f"it expands to {wanted:,} bytes, expected at most {max(most.values()):,}")
            return (
                {name: _member(archive, found[name], size) for name, size in most.items() if name in found},
                min(info.header_offset for info in listed),
            )
    except ArchiveError:
        raise
    # Errors of zipfile and zlib for a damaged archive.
    except (
        zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError, LookupError,
        OverflowError, NotImplementedError,
    ) as error:  # fmt: skip
        raise ArchiveError(str(error) or type(error).__name__) from error


def _check_end(data: bytes) -> None:
    """Check the end record before zipfile reads a directory of any length."""
    if len(data) < END.size:
        raise ArchiveError("it has no zip at its end")
    mark, *_, entries, size, _, comment = END.unpack(data[-END.size :])
    if mark != END_MARK or comment:
        raise ArchiveError("it has no zip at its end")
    if entries > MAX_MEMBERS or size > MAX_DIRECTORY or data[-END.size - END_64_BYTES :].startswith(END_64_MARK):
        raise ArchiveError(f"its zip lists {entries} files in {size:,} bytes, expected at most {MAX_MEMBERS}")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & ENCRYPTED:
        raise ArchiveError(f"{info.filename} is encrypted, or compressed by method {info.compress_type}")
    if info.file_size > most:
        raise ArchiveError(f"{info.filename} expands to {info.file_size:,} bytes, expected at most {most:,}")
    with archive.open(info) as file:
        # With a number: without one zipfile expands all that is compressed, whatever the directory states.
        found = file.read(info.file_size + 1)
    if len(found) != info.file_size:
        raise ArchiveError(f"{info.filename} has {len(found):,} bytes, {info.file_size:,} according to the directory")
    return found


def array(data: bytes) -> npt.NDArray[np.generic]:
    """Return the array in a NumPy file of bytes or float32. Raises :class:`ArchiveError`.

    Unlike numpy.load, it evaluates nothing and allocates nothing but the array, which has the file's size.
    """
    match = ARRAY.match(data[:MAX_HEADER])
    if match is None or match.end() != HEADER + int.from_bytes(match["length"], "little"):
        raise ArchiveError(f"no array of bytes or float32 (starts with {data[:32]!r})")
    shape = tuple(map(int, match["shape"].split(b",")))
    kind = np.dtype(match["type"].decode())
    if math.prod(shape) * kind.itemsize != len(data) - match.end():
        raise ArchiveError(f"an array of {shape} in {len(data) - match.end():,} bytes")
    order = "F" if match["order"] == b"True" else "C"
    return np.frombuffer(data, kind, offset=match.end()).reshape(shape, order=order)  # type: ignore[call-overload, no-any-return]
