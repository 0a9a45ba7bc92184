"""Checks of a Debian package, without Debian's tools: the laptop may run any system."""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from edge.errors import CardError
from edge.text import escaped

MAX_CONTROL = 4 << 20
"""Bytes of a control archive that are read; fmd's has a few kilobytes."""
MAX_XZ_MEMORY = 128 << 20
"""Memory that xz may ask for: its highest level needs 65 MB."""
MAX_SHOWN = 200


def check(path: Path, data: bytes, name: str | None = None) -> str:
    """Return name, version and architecture of the .deb at ``path``, given as ``data``, in one line.

    Raises CardError unless the package suits a 64-bit Pi and, if ``name`` is given, has that name.
    """
    fields = control_fields(path, data)
    package, architecture = fields.get("Package", ""), fields.get("Architecture", "")
    if name is not None and package != name:
        raise CardError(f"{path}: package {package!r}, expected {name!r}")
    if architecture not in ("arm64", "all"):
        raise CardError(f"{path}: built for {architecture}, expected arm64: a Pi cannot run it")
    return escaped(f"{package} {fields.get('Version', '')} {architecture}", MAX_SHOWN)


def control_fields(path: Path, data: bytes) -> dict[str, str]:
    """Return the first line of each field of a .deb's control file; see deb(5) and deb-control(5)."""
    try:
        members = dict(_ar_members(data))
        member = next(content for name, content in members.items() if name.startswith("control.tar"))
        with tarfile.open(fileobj=io.BytesIO(_expanded(member)), mode="r:") as archive:
            control = archive.extractfile(
                next(m for m in archive if m.isreg() and PurePosixPath(m.name).name == "control")
            )
            text = control.read(MAX_CONTROL).decode() if control else ""
    # A damaged archive makes the libraries raise errors of many kinds.
    except (
        StopIteration,
        ValueError,
        LookupError,
        EOFError,
        OSError,
        tarfile.TarError,
        zlib.error,
        lzma.LZMAError,
    ) as error:
        raise CardError(f"{path}: not a Debian package (or one packed with zstd); give fmd's .deb") from error
    if not any(name.startswith("data.tar") for name in members):
        raise CardError(f"{path}: cut short; download or copy it again")
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith((" ", "\t")))
    return {key: value.strip() for key, _, value in pairs}


def _expanded(member: bytes) -> bytes:
    """Return a control archive without its compression, at most MAX_CONTROL bytes: a bomb expands to gigabytes."""
    if member[:2] == b"\x1f\x8b":
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(member, MAX_CONTROL)
    if member[:6] == b"\xfd7zXZ\x00":
        return lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY).decompress(member, MAX_CONTROL)
    if member[:3] == b"BZh":
        return bz2.BZ2Decompressor().decompress(member, MAX_CONTROL)
    return member[:MAX_CONTROL]


def _ar_members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each complete member of an ar archive: 60 bytes of header, content padded to even."""
    if data[:8] != b"!<arch>\n":
        raise ValueError("not an ar archive")
    at = 8
    while at + 60 <= len(data):
        # GNU ar ends names with a slash.
        name, stated = data[at : at + 16].decode().strip().rstrip("/"), data[at + 48 : at + 58].rstrip()
        # int() alone takes signs, and a negative size would lead back.
        if not stated.isdigit():
            raise ValueError(f"a member of {stated!r} bytes")
        size = int(stated)
        if at + 60 + size > len(data):
            return
        yield name, data[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
