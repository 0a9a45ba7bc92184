"""Atomic writes, and file names for libraries in C++.

A reader finds the whole old file or the whole new one, also after a power cut.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from edge.errors import FmdError
from edge.text import escaped

MAX_PICTURE_PIXELS = 8192 * 6144
"""Most pixels of a picture file or clip, 50 million as of a good phone. A file of kilobytes can claim far more, and
decoding this many takes 300 MB already."""
MAX_LIVE_PIXELS = 4096 * 2304
"""Most pixels of a network camera's picture: 4K."""


def native_name(path: str | Path, error: type[FmdError]) -> str:
    """Return ``path`` for a library in C++. Raises ``error`` for a name that is not valid UTF-8: OpenCV crashes."""
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError as cause:
        raise error(f"{name}: the name is not valid UTF-8, and libraries cannot open it; rename the file") from cause
    return name


def printable(path: str | Path) -> str:
    """Return ``path`` as one line of text that every file and message can hold; other bytes are escaped."""
    return escaped(str(path))


def write_atomically(
    path: Path,
    data: bytes,
    mode: int | None = None,
    durable: bool = False,
    group: int | None = None,
    owner: int | None = None,
) -> None:
    """Write ``data`` beside ``path`` and rename it to ``path``. Raises OSError and then leaves ``path`` as it was.

    ``mode`` sets the permissions (None: as the umask says), ``group`` and ``owner`` the numbers of group and user,
    None for this process'.
    ``durable`` waits until the card has the file and its name: without it a power cut may bring the old file back.
    """
    unfinished = path.with_name(f"{path.name}.part")
    try:
        unfinished.unlink(missing_ok=True)  # of a process that was killed
        # x: root writes into folders of the user fmd, who must not lead it to another file by a link.
        with unfinished.open("xb") as handle:
            if group is not None or owner is not None:
                os.fchown(handle.fileno(), -1 if owner is None else owner, -1 if group is None else group)
            if mode is not None and hasattr(os, "fchmod"):  # Windows has no such permissions
                os.fchmod(handle.fileno(), mode)
            handle.write(data)
            if durable:
                handle.flush()
                os.fsync(handle.fileno())
        unfinished.replace(path)
    except BaseException as error:  # an interrupt (Ctrl-C) among them
        # On a full disk the half-written file would keep the last free blocks.
        unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # of a full disk it names no file, otherwise the unfinished one
        raise
    if durable:
        sync_folder(path.parent)


def read_regular(path: str | Path, limit: int, folder: int | None = None, owner: int | None = None) -> bytes:
    """Return the bytes of a regular file that anyone may have put there.

    ``folder`` is the descriptor of the folder that ``path`` is relative to. Raises OSError for a link, a pipe, a device
    or a folder, for a file of more than ``limit`` bytes, and for one that others than the user ``owner`` may write.
    """
    # Without O_NONBLOCK, opening a pipe waits for its writer.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    number = os.open(path, flags, dir_fd=folder)
    try:
        # Python opens no folder by its number, and its error would name the number.
        _check_regular(os.fstat(number), path, owner)
    except OSError:
        os.close(number)
        raise
    with os.fdopen(number, "rb") as handle:
        data = handle.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"has more than {limit} bytes", str(path))
    return data


def _check_regular(found: os.stat_result, path: str | Path, owner: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if owner is not None and (found.st_uid != owner or stat.S_IMODE(found.st_mode) & 0o022):
        got = f"user {found.st_uid} and mode {stat.S_IMODE(found.st_mode):04o}"
        raise OSError(errno.EPERM, f"expected user {owner} and mode 0600, got {got}", str(path))


def begins_with(path: Path, mark: bytes) -> bool:
    """Return whether a file begins with ``mark``. Raises OSError if it cannot be read."""
    with path.open("rb") as handle:
        return handle.read(len(mark)) == mark


def make_folder(folder: Path, mode: int) -> None:
    """Create a folder and those above it with these permissions, also where the umask is stricter, as root's may be.

    A folder that is there stays as it is. Raises OSError.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent, mode)
    with contextlib.suppress(FileExistsError):  # another process was quicker
        folder.mkdir()
        folder.chmod(mode)


def sync_folder(folder: Path) -> None:
    """Make a name that was created or replaced in ``folder`` survive a power cut. Raises OSError."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows, where fmd flash may run, cannot open a folder
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
