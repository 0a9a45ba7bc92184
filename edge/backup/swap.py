"""Exchange of several files that either happens as a whole or leaves everything as it was.

First every new file is written beside the one that it will replace, and reaches the card: a full disk shows here. Only
then the files are renamed; the old ones stay as ``NAME.before-restore``. An error in between renames them back. A power
cut in between leaves some files new and some old, but none missing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge.files import sync_folder

NEW, OLD = ".restored", ".before-restore"
"""Endings of a new file before it is renamed, and of the old one afterwards."""


@dataclass(frozen=True)
class Owner:
    """Who a new file belongs to, None for this process' user and group, and its permissions."""

    mode: int
    user: int | None = None
    group: int | None = None


class Swap:
    """Files to exchange. :meth:`put` and :meth:`remove` prepare, :meth:`commit` exchanges."""

    def __init__(self) -> None:
        self._prepared: list[Path] = []
        self._old: dict[Path, Path] = {}

    def put(self, path: Path, source: bytes | BinaryIO, owner: Owner, old: Path | None = None) -> None:
        """Prepare a new content for ``path``; ``old`` is where the old one goes.

        Raises OSError, for example if the disk is full.
        """
        new = path.with_name(path.name + NEW)
        new.unlink(missing_ok=True)
        self._prepared.append(path)
        self.remove(path, old)
        # x: root writes into folders of the user fmd, who must not lead it to another file by a link.
        with new.open("xb") as handle:
            os.fchmod(handle.fileno(), owner.mode)
            if owner.user is not None or owner.group is not None:
                os.fchown(handle.fileno(), -1 if owner.user is None else owner.user, _number(owner.group))
            if isinstance(source, bytes):
                handle.write(source)
            else:
                shutil.copyfileobj(source, handle, 1 << 20)
            handle.flush()
            os.fsync(handle.fileno())

    def remove(self, path: Path, old: Path | None = None) -> None:
        """Prepare that there is no file ``path``; ``old`` is where it goes."""
        self._old[path] = old or path.with_name(path.name + OLD)

    def commit(self) -> list[Path]:
        """Exchange all files, and return where the old ones are. Raises OSError, and then nothing has changed."""
        done: list[tuple[Path, Path | None]] = []
        try:
            for path, old in self._old.items():
                kept = _keep(path, old, stays=path in self._prepared)
                done.append((path, kept))
                if path in self._prepared:
                    path.with_name(path.name + NEW).replace(path)
        except BaseException:
            for path, kept in reversed(done):
                path.unlink(missing_ok=True) if kept is None else kept.replace(path)
            raise
        for folder in {path.parent for path in self._old}:
            sync_folder(folder)
        return [kept for _, kept in done if kept is not None]

    def clear(self) -> None:
        """Remove what was prepared and not exchanged."""
        for path in self._prepared:
            path.with_name(path.name + NEW).unlink(missing_ok=True)


def _keep(path: Path, old: Path, stays: bool) -> Path | None:
    """Keep a file under the name ``old``, and return that; None if there is no file. Raises OSError.

    A file that ``stays`` is there at every moment, so that a power cut leaves the old one or the new one.
    """
    if not stays:
        try:
            return path.replace(old)
        except FileNotFoundError:
            return None
    second = old.with_name(old.name + NEW)
    second.unlink(missing_ok=True)
    try:
        os.link(path, second, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError:  # a file system without second names, such as FAT
        return path.replace(old)
    try:
        return second.replace(old)
    except OSError:
        second.unlink()
        raise


@contextmanager
def swapping() -> Iterator[Swap]:
    """Yield an exchange, of which nothing is left unless it was committed."""
    swap = Swap()
    try:
        yield swap
    except OSError as error:
        if error.filename is not None:
            error.filename = str(error.filename).removesuffix(NEW)
        raise
    finally:
        swap.clear()


def _number(group: int | None) -> int:
    return -1 if group is None else group
