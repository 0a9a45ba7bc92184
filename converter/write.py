"""One file, all of it or none: written beside its place, synced, then moved there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from edge.errors import ConversionError


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
    """Put ``data`` at ``target``. On errors and interrupts alike, no partial file stays behind."""
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise ConversionError(f"{target}: cannot write: {error.strerror}; give another place with -o") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes a private file; a model is to be read by the service's own user.
        temporary.chmod(0o644)
        temporary.replace(target)
    except OSError as error:
        raise ConversionError(
            f"{target}: cannot write {len(data)} bytes: {error.strerror}; free space or give another place with -o"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
