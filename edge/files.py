"""Atomic writes: a reader finds the whole old file or the whole new one, also after a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, data: bytes, mode: int | None = None, durable: bool = False) -> None:
    """Write ``data`` beside ``path`` and rename it to ``path``. Raises OSError and then leaves ``path`` as it was.

    ``mode`` sets the permissions (None: as the umask says). ``durable`` waits until the card has the file and its name:
    without it a power cut may bring the old file back.
    """
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with unfinished.open("wb") as handle:
            handle.write(data)
            if durable:
                handle.flush()
                os.fsync(handle.fileno())
        if mode is not None:
            unfinished.chmod(mode)
        unfinished.replace(path)
    except BaseException:  # an interrupt (Ctrl-C) among them
        # On a full disk the half-written file would keep the last free blocks.
        unfinished.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a name that was created or replaced in ``folder`` survive a power cut. Raises OSError."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows, where fmd flash may run, cannot open a folder
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
