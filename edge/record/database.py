"""Database of the record: SQLite, ``record.db`` in the state directory. Its tables, versions, and how it is opened.

``passages``: one row for each person with an outcome. ``events``: decisions and faults as published. ``spans``: what
each camera did at each time. ``runs``: which models and settings made the rows. ``hours``: sums of each finished hour,
which outlive the passages. Nothing here identifies a person: no name, no picture, no measurement of a face but its
width and brightness.

SQLite's write-ahead log makes a batch complete or absent after a power cut. Pages of 1 kB instead of 4 kB halve what a
small batch writes to the card.
"""

from __future__ import annotations

import logging
import sqlite3
import stat
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

import msgspec

from edge.errors import FmdError, RecordError
from edge.record import old_log

log = logging.getLogger(__name__)

NAME = "record.db"
APPLICATION = 0x666D6431
"""SQLite's application_id of this file: "fmd1"."""
PAGE = 1024
SCHEMA = """
CREATE TABLE runs(
  id INTEGER PRIMARY KEY, began INTEGER, clock INTEGER, version TEXT, classifier TEXT, detector TEXT, settings TEXT,
  labels TEXT, compliant TEXT, confusion TEXT
);
CREATE TABLE passages(
  id INTEGER PRIMARY KEY, run INTEGER, camera TEXT, clock INTEGER, entered INTEGER, decided INTEGER, alarm INTEGER,
  cleared INTEGER, ended INTEGER, outcome TEXT, label TEXT, violated INTEGER, observations INTEGER, width REAL,
  brightness REAL, score REAL, sharpness REAL, disagreement REAL, place_x REAL, place_y REAL, evidence BLOB
);
CREATE INDEX passages_ended ON passages(ended);
CREATE TABLE events(n INTEGER PRIMARY KEY, at INTEGER, kind TEXT, camera TEXT, clock INTEGER, content TEXT);
CREATE TABLE spans(id INTEGER PRIMARY KEY, camera TEXT, state TEXT, began INTEGER, ended INTEGER, clock INTEGER);
CREATE TABLE hours(
  began INTEGER, camera TEXT, classifier TEXT, compliant INTEGER, violated INTEGER, badly_worn INTEGER, unsure INTEGER,
  put_on INTEGER, put_on_ms INTEGER, watched_ms INTEGER, blind_ms INTEGER, dark_ms INTEGER, disarmed_ms INTEGER,
  PRIMARY KEY(began, camera, classifier)
) WITHOUT ROWID;
CREATE TABLE notes(name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
"""
"""Times are milliseconds since 1970. ``clock`` is 1 if the board's clock was synchronised when the row was made."""

Step = Callable[[sqlite3.Connection], None]
MIGRATIONS: tuple[Step, ...] = (lambda connection: _run_script(connection, SCHEMA),)
"""Entry n takes a database of version n to version n + 1; an empty file has version 0."""
VERSION = len(MIGRATIONS)
SET_ASIDE = 2
"""Largest number of damaged or newer databases that stay beside the present one."""


def _run_script(connection: sqlite3.Connection, script: str) -> None:
    # executescript would commit in between, and a power cut would leave half of the tables.
    for statement in script.split(";"):
        if statement.strip():
            connection.execute(statement)


def open_for_writing(folder: Path) -> tuple[sqlite3.Connection, str]:
    """Open or make the database in ``folder``; return it with a problem to report, empty if there was none.

    A damaged database, or one of a later fmd, is renamed, and a new one takes its place: watching must go on. Raises
    OSError or sqlite3.Error if no database can be written there.
    """
    path = folder / NAME
    try:
        return _opened(path), ""
    except _UnusableError as error:
        aside = _set_aside(path, error.suffix)
        problem = f"{path}: {error}; it is now {aside.name}, and a new record begins"
        log.warning("%s", problem)
        return _opened(path), problem


def open_for_reading(folder: Path) -> sqlite3.Connection:
    """Open the database in ``folder`` to read it, beside a service that writes it.

    Raises :class:`edge.errors.RecordError` if there is none, or if it is damaged or of a later fmd.
    """
    path = folder / NAME
    if not path.is_file():
        raise RecordError(f"{path}: there is no record yet; the service keeps one (record.keep in its settings)")
    _check_beside(path)
    # A name may contain ? and %. Without write permission, SQLite cannot join the service's log of changes unless its
    # files exist; then only the file itself is left to read.
    problem = ""
    for option in ("mode=ro", "mode=ro&immutable=1"):
        try:
            connection = sqlite3.connect(f"file:{quote(str(path))}?{option}", uri=True, isolation_level=None)
        except sqlite3.Error as error:  # this user may not read it
            problem = str(error)
            continue
        try:
            version, programs = _version(connection), _has_programs(connection)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            connection.close()
            problem = str(error)
            continue
        if programs:
            connection.close()
            raise RecordError(f"{path}: holds views or triggers, which no record of fmd does")
        if version == 0:
            connection.close()
            raise RecordError(f"{path}: there is nothing in the record yet; is the disk full? fmd doctor checks it")
        if version > VERSION:
            connection.close()
            raise RecordError(f"{path}: version {version} of the record, this fmd reads 1 to {VERSION}; update fmd")
        if version < VERSION:
            connection.close()
            raise RecordError(f"{path}: of an earlier fmd; restart the service once, which converts it")
        return connection
    raise RecordError(f"{path}: cannot be read: {problem}; the service sets a damaged record aside when it starts")


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the database in ``folder`` to read it within a block that does nothing else.

    Raises :class:`edge.errors.RecordError` as :func:`open_for_reading` does, and for damage or rows that fmd does not
    write, which only the block may find.
    """
    with closing(open_for_reading(folder)) as connection:
        try:
            yield connection
        except FmdError:
            raise
        except (
            sqlite3.Error, msgspec.MsgspecError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError
        ) as error:  # fmt: skip
            log.debug("%s", traceback.format_exc())
            raise RecordError(
                f"{folder / NAME}: cannot be read: {error}; the service sets a damaged record aside when it starts"
            ) from error


def cameras(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the cameras in the record; none for a door with a single camera."""
    tables = ("spans", "passages", "hours", "events")
    union = " UNION ".join(f"SELECT camera FROM {table}" for table in tables)
    return sorted(str(name) for (name,) in connection.execute(union) if name)


@contextmanager
def checking(path: Path) -> Iterator[sqlite3.Connection]:
    """Check a record from elsewhere, and open it to read it: a file of its own, which nobody writes.

    Raises :class:`edge.errors.RecordError` if it is damaged, of a later fmd, or none of fmd's.
    """
    name = path.name
    address = f"file:{quote(str(path))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
            version = _version(connection)
            if version > VERSION:
                raise RecordError(f"{name}: version {version} of the record, this fmd reads 1 to {VERSION}; update fmd")
            if version < 1 or _has_programs(connection) or not _has_tables(connection):
                raise RecordError(f"{name}: not a record of fmd")
            _check(connection)
            yield connection
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise RecordError(f"{name}: damaged, or not a record of fmd: {error}") from error


def _has_tables(connection: sqlite3.Connection) -> bool:
    """Return whether a database of the present version has exactly its tables; earlier ones are converted later."""
    if _version(connection) < VERSION:
        return True
    with closing(sqlite3.connect(":memory:")) as own:
        _run_script(own, SCHEMA)
        return _tables(own) == _tables(connection)


def _tables(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Return the names of the columns of every table."""
    names = [str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    own = [name for name in names if not name.startswith("sqlite_")]
    return {name: [row[1] for row in connection.execute(f"PRAGMA table_info({_quoted(name)})")] for name in own}


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _check_beside(path: Path) -> None:
    """Raise RecordError unless SQLite's own files are regular: root would wait at a pipe, and Ctrl-C not end it."""
    for suffix in ("-journal", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(file.lstat().st_mode):
                raise RecordError(f"{file}: not a regular file; remove it")


def _has_programs(connection: sqlite3.Connection) -> bool:
    """Return whether a query may do more than read a table. A view may never end."""
    found = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE type NOT IN ('table', 'index') OR sql LIKE 'CREATE VIRTUAL%'"
    )
    return bool(found.fetchone()[0])


class _UnusableError(Exception):
    """The file is no database that this fmd can use; ``suffix`` becomes part of its new name."""

    def __init__(self, reason: str, suffix: str) -> None:
        super().__init__(reason)
        self.suffix = suffix


def _version(connection: sqlite3.Connection) -> int:
    """Return the version of the tables. Raises sqlite3.DatabaseError for a file that is none of fmd's."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application not in (APPLICATION, 0) or (not application and version):
        raise sqlite3.DatabaseError("not a record of fmd")
    return int(version)


def _opened(path: Path) -> sqlite3.Connection:
    # SQLite itself creates files that everybody may read.
    if not path.exists():
        path.touch(mode=0o640)
    # The connection belongs to the thread that writes; the check of sqlite3 would also refuse closing it elsewhere.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
    try:
        version = _version(connection)
        if version > VERSION:
            raise _UnusableError(f"written by a later fmd (version {version}, this one reads {VERSION})", "newer")
        connection.execute(f"PRAGMA page_size={PAGE}")
        connection.execute("PRAGMA journal_mode=WAL")
        # FULL: a batch counts as kept only after it is on the card.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA cache_size=-512")
        # The log is copied into the database after this many pages, and then written again from its beginning.
        connection.execute("PRAGMA wal_autocheckpoint=512")
        _check(connection)
        with transaction(connection):
            for migrate in MIGRATIONS[version:]:
                migrate(connection)
            if not version:
                _import_old_log(connection, path.parent)
            connection.execute(f"PRAGMA application_id={APPLICATION}")
            connection.execute(f"PRAGMA user_version={VERSION}")
        old_log.remove(path.parent)
    # UnicodeDecodeError: the message of SQLite quotes damaged text.
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        connection.close()
        # OperationalError: a full or read-only disk, a lock. The file itself may be whole.
        if isinstance(error, sqlite3.OperationalError) and not _says_damaged(error):
            raise
        raise _UnusableError(str(error), "damaged") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _says_damaged(error: sqlite3.Error) -> bool:
    return "malformed" in str(error) or "not a database" in str(error) or "no such" in str(error)


def _check(connection: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError if pages are damaged; takes about a second for each 50 MB on a Pi."""
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(str(found).splitlines()[0])


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether an error of a running database means that the file is damaged, not full or locked."""
    return not isinstance(error, sqlite3.OperationalError) or _says_damaged(error)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Begin a transaction; commit it at the end of the block, or roll it back if the block raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def replaced(path: Path) -> Path:
    """Return the name for a database that another one replaces; it is deleted as those that are set aside."""
    return path.with_name(f"{path.stem}-replaced-{datetime.now(timezone.utc):%Y%m%d%H%M%S}.db")


def set_aside(folder: Path) -> Path:
    """Rename a database that turned out to be damaged while it was in use; return its new path. Raises OSError."""
    return _set_aside(folder / NAME, "damaged")


def _set_aside(path: Path, suffix: str) -> Path:
    """Rename the database and its log of changes, keep the newest :data:`SET_ASIDE` of them, return the new path."""
    earlier = sorted(path.parent.glob(f"{path.stem}-*-??????????????.db"), key=lambda p: p.stem[-14:])
    for old in earlier[: max(0, len(earlier) - SET_ASIDE + 1)]:
        for part in ("", "-wal", "-shm"):
            old.with_name(old.name + part).unlink(missing_ok=True)
    now = datetime.now(timezone.utc)
    aside = path.with_name(f"{path.stem}-{suffix}-{now:%Y%m%d%H%M%S}.db")
    for part in ("-wal", "-shm", ""):
        source = path.with_name(path.name + part)
        if source.exists():
            source.replace(aside.with_name(aside.name + part))
    return aside


def _import_old_log(connection: sqlite3.Connection, folder: Path) -> None:
    """Copy the events of an earlier version's log; their clock counts as synchronised, as nothing else is known."""
    rows = {}
    for event in old_log.read(folder):
        number, at, kind, camera = (event.pop(key, "") for key in ("n", "at", "event", "camera"))
        try:
            moment = datetime.fromisoformat(at)
        except ValueError:
            continue
        rows[number] = (number, round(moment.timestamp() * 1000), str(kind), str(camera), 1, encoded(event))
    if rows:
        connection.executemany("INSERT OR REPLACE INTO events VALUES(?,?,?,?,?,?)", rows.values())
        log.info("%s: %d events of the log of an earlier fmd are now in %s", folder, len(rows), NAME)


def encoded(content: object) -> str:
    """Return JSON for a column; it must not contain halves of UTF-16 pairs, which SQLite cannot store."""
    return msgspec.json.encode(content).decode()
