"""Copy of a record while a service writes it, and the check of a copy that comes from outside.

Root takes a copy in a process that becomes the owner of the state directory: SQLite follows links, and that user can
put them there.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from edge import child, paths
from edge.child import Failure, Limits, PipeProgress
from edge.errors import BackupError, RecordError
from edge.record import database

LARGE = Path("/var/tmp")
LIMITS = Limits(memory_mb=512, seconds=600.0, file_mb=1, data_mb=512, start_s=120.0, bare=True)
"""What checking a copy may use: a Pi reads tens of megabytes in a second."""
TASK = f"{__name__}:inspect"


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a folder for large files that only this user can enter; it is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="fmd-", dir=LARGE if os.access(LARGE, os.W_OK) else None) as folder:
        yield Path(folder)


@contextmanager
def taken(state: Path) -> Iterator[BinaryIO]:
    """Yield a consistent copy of the record in ``state``. Raises RecordError and OSError."""
    owner = state.stat()
    if not paths.is_root() or owner.st_uid == 0:
        with _copied(state) as file:
            yield file
        return
    with scratch() as folder, (folder / "copy").open("w+b") as copy:
        _have_copied(state, owner.st_uid, owner.st_gid, copy)
        copy.seek(0)
        yield copy


@contextmanager
def _copied(state: Path) -> Iterator[BinaryIO]:
    with scratch() as folder, database.reading(state) as source:
        path = folder / database.NAME
        with closing(sqlite3.connect(path)) as copy, _naming_full_disk(path):
            # In one step: the service may go on writing, and the copy is of one moment.
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
        with path.open("rb") as file:
            yield file


@contextmanager
def _naming_full_disk(path: Path) -> Iterator[None]:
    """Report a full disk as such: to SQLite it is an error of the database."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


def _have_copied(state: Path, user: int, group: int, target: BinaryIO) -> None:
    """Have a process of the state directory's owner write the copy. Raises RecordError with what it says."""
    heard, says = os.pipe()
    # Not a new program: that user may not read the Python of root's own environment.
    process = os.fork()
    if not process:
        try:
            os.close(heard)
            os.setgroups([])
            os.setresgid(group, group, group)
            os.setresuid(user, user, user)
            with _copied(state) as file:
                shutil.copyfileobj(file, target)
            target.flush()
        except BaseException as error:  # noqa: BLE001 - the parent reports it
            os.write(says, str(error).encode(errors="replace")[:4000] or b"it was interrupted")
        finally:
            os._exit(0)
    os.close(says)
    with os.fdopen(heard, "rb") as pipe:
        said = pipe.read(4000).decode(errors="replace")
    _, status = os.waitpid(process, 0)
    if said or status:
        raise RecordError(said or f"{state / database.NAME}: the process that copies it ended with status {status}")


def check(path: Path) -> int:
    """Return how many passages a copy of a record holds; ``path`` is in a folder of :func:`scratch`.

    A process without privileges opens it. Raises RecordError for a file that is damaged, of a later fmd, or none of
    fmd's, and BackupError if the process fails.
    """
    failure = Failure(BackupError, "the record in the backup", "use another backup, or --only settings --only models")
    if paths.is_root():
        _let_nobody_read(path)
    found = child.run(TASK, {"path": str(path)}, path.parent, LIMITS, failure)
    return int(found.get("passages", 0))


def inspect(request: Mapping[str, Any], folder: Path, progress: PipeProgress) -> dict[str, Any]:
    """Check the database ``request["path"]``: the task of the child process."""
    progress.ready()
    with database.checking(Path(str(request["path"]))) as connection:
        (passages,) = connection.execute("SELECT count(*) FROM passages").fetchone()
    return {"passages": int(passages)}


def _let_nobody_read(path: Path) -> None:
    """Give the process without privileges, which runs as nobody, a way to read the file and nothing else."""
    import pwd

    try:
        group = pwd.getpwnam("nobody").pw_gid
    except KeyError:
        return
    os.chown(path, 0, group)
    path.chmod(0o640)
    path.parent.chmod(0o711)
