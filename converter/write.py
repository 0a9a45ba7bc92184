"""Writes a converted file as a whole or not at all, and checks its place before the long work."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edge.errors import ConversionError
from edge.files import write_atomically


def check_target(target: Path, force: bool) -> None:
    """Complain before the long work rather than after it."""
    if target.is_dir():
        raise ConversionError(
            f"{target}: is a folder; give the name of a file with -o, such as -o {target}/mask.tflite"
        )
    if target.exists() and not force:
        raise ConversionError(f"{target}: exists already; give --force to replace it, or another name with -o")
    if not target.parent.is_dir():
        raise ConversionError(f"{target}: its folder does not exist; make it first: mkdir -p {target.parent}")
    try:
        # Permissions do not suffice: file systems are mounted read-only, too.
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise ConversionError(f"{target}: cannot write there: {error.strerror}; give another place with -o") from error


def write(target: Path, data: bytes) -> None:
    """Put ``data`` at ``target``. Raises ConversionError; then, and on interrupts, ``target`` is as it was."""
    try:
        write_atomically(target, data, durable=True)
    except OSError as error:
        raise ConversionError(
            f"{target}: cannot write {len(data)} bytes: {error.strerror}; free space or give another place with -o"
        ) from error
