"""Exchange of several files that either happens as a whole or leaves everything as it was.

First every new file is written beside the one that it will replace, and reaches the card: a full disk shows here. Only
then the files are renamed; the old ones stay as ``NAME.before-restore``. An error in between renames them back.

The files lie in folders of several owners, and are renamed one after another. So a journal lists them before the first
is renamed. After a power cut :func:`finish` renames the others, before fmd starts: a new record with the log of the old
one would be damaged, and new settings may need their new models.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from edge.files import sync_folder
from edge.state_file import read_state, write_state

NEW, OLD = ".restored", ".before-restore"
"""Endings of a new file before it is renamed, and of the old one afterwards."""


@dataclass(frozen=True)
class Owner:
    """Who a new file belongs to, None for this process' user and group, and its permissions."""

    mode: int
    user: int | None = None
    group: int | None = None


class Move(msgspec.Struct, frozen=True):
    """One file to exchange: its path, where the old content goes, and whether there is a new one. Paths as bytes."""

    path: bytes
    old: bytes
    new: bool


class Journal(msgspec.Struct, frozen=True):
    """All files of an exchange, in its order."""

    moves: list[Move]


class Swap:
    """Files to exchange. :meth:`put` and :meth:`remove` prepare, :meth:`commit` exchanges.

    ``journal`` is the file that lists them meanwhile.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
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
        folders = {path.parent for path in self._old}
        for folder in folders:
            sync_folder(folder)
        moves = [(path, old, path in self._prepared) for path, old in self._old.items()]
        listed = [Move(_absolute(path), _absolute(old), new) for path, old, new in moves]
        write_state(self._journal, Journal(listed), durable=True)
        done: list[tuple[Path, Path | None]] = []
        try:
            for path, old, new in moves:
                done.append((path, _keep(path, old, stays=new)))
                if new:
                    path.with_name(path.name + NEW).replace(path)
            for folder in folders:
                sync_folder(folder)
        except BaseException:
            for path, kept in reversed(done):
                path.unlink(missing_ok=True) if kept is None else kept.replace(path)
            self._journal.unlink()
            raise
        _remove(self._journal)
        return [kept for _, kept in done if kept is not None]

    def clear(self) -> None:
        """Remove what was prepared and not exchanged."""
        for path in self._prepared:
            path.with_name(path.name + NEW).unlink(missing_ok=True)


def finish(journal: Path) -> list[Path]:
    """Finish the exchange that ``journal`` lists, if there is one; return the files that it is about. Raises OSError.

    It may be cut off as well, and begin again.
    """
    listed = read_state(journal, Journal)
    if listed is None:
        return []
    found = [(Path(os.fsdecode(move.path)), Path(os.fsdecode(move.old)), move.new) for move in listed.moves]
    for path, old, new in found:
        source = path.with_name(path.name + NEW)
        if new and not os.path.lexists(source):  # renamed before the cut
            continue
        _keep(path, old, stays=new)
        if new:
            source.replace(path)
    for folder in {path.parent for path, _, _ in found}:
        sync_folder(folder)
    _remove(journal)
    return [path for path, _, _ in found]


def _absolute(path: Path) -> bytes:
    return os.fsencode(os.path.abspath(path))  # noqa: PTH100 (resolve() would follow links)


def _remove(journal: Path) -> None:
    journal.unlink()
    sync_folder(journal.parent)


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
def swapping(journal: Path) -> Iterator[Swap]:
    """Yield an exchange, of which nothing is left unless it was committed."""
    swap = Swap(journal)
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
