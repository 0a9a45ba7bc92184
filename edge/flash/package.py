"""Checks of a Debian package, without Debian's tools: the laptop may run any system."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from edge.errors import CardError


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
    return f"{package} {fields.get('Version', '')} {architecture}"


def control_fields(path: Path, data: bytes) -> dict[str, str]:
    """Return the first line of each field of a .deb's control file; see deb(5) and deb-control(5)."""
    try:
        member = next(content for name, content in _ar_members(data) if name.startswith("control.tar"))
        with tarfile.open(fileobj=io.BytesIO(member)) as archive:
            control = archive.extractfile(next(m for m in archive if m.name.rpartition("/")[2] == "control"))
            text = control.read().decode() if control else ""
    except (StopIteration, ValueError, tarfile.TarError) as error:
        raise CardError(f"{path}: not a Debian package (or one packed with zstd); give fmd's .deb") from error
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith((" ", "\t")))
    return {key: value.strip() for key, _, value in pairs}


def _ar_members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each member of an ar archive: a header of 60 bytes, then content padded to even."""
    if data[:8] != b"!<arch>\n":
        raise ValueError("not an ar archive")
    at = 8
    while at + 60 <= len(data):
        # GNU ar ends names with a slash.
        name, size = data[at : at + 16].decode().strip().rstrip("/"), int(data[at + 48 : at + 58])
        yield name, data[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
