"""Copies of a record: taken while it is written, and checked when they come from elsewhere."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge.backup import snapshot
from edge.errors import FmdError, RecordError
from edge.record import database
from tests.edge.backup.parts import Door

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a record of three passages."""
    folder = tmp_path_factory.mktemp("record")
    door = Door(folder / "door")
    door.record(3)
    with snapshot.taken(door.state) as copy:
        (folder / "record.db").write_bytes(copy.read())
    return folder / "record.db"


def test_a_copy_is_one_file_that_needs_no_other(record: Path) -> None:
    with database.checking(record) as connection:
        assert connection.execute("SELECT count(*) FROM passages").fetchone() == (3,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert {path.name for path in record.parent.glob("record.db*")} == {"record.db"}


def test_a_copy_that_is_taken_while_rows_are_written_is_of_one_moment(tmp_path: Path) -> None:
    """Every transaction adds two rows of one number; no copy has one without the other."""
    door = Door(tmp_path / "door")
    door.record(1)
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(door.state / database.NAME, isolation_level=None)) as connection:
            number = 1000
            while not stop.is_set():
                number += 2
                with database.transaction(connection):
                    for n in (number, number + 1):
                        connection.execute("INSERT INTO events VALUES(?,0,'x','',1,?)", (n, "y" * 500))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = []
        for i in range(20):
            with snapshot.taken(door.state) as copy:
                path = tmp_path / f"copy-{i}.db"
                path.write_bytes(copy.read())
            with database.checking(path) as connection:
                counts.append(connection.execute("SELECT count(*) FROM events WHERE kind = 'x'").fetchone()[0])
    finally:
        stop.set()
        writer.join()
    assert all(count % 2 == 0 for count in counts)
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_a_record_that_is_missing_or_damaged_gives_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="there is no record yet"), snapshot.taken(tmp_path):
        pass
    (tmp_path / database.NAME).write_bytes(b"x" * 5000)
    with pytest.raises(RecordError, match="cannot be read") as caught, snapshot.taken(tmp_path):
        pass
    assert "\n" not in str(caught.value)


@ROOT_ONLY
def test_root_has_the_owner_of_the_directory_take_the_copy(tmp_path: Path) -> None:
    """That user's link to a file of root leads to no content of it."""
    door = Door(tmp_path / "door")
    door.record(2)
    for path in (*tmp_path.rglob("*"), tmp_path):
        os.chown(path, 65534, 65534)
    # pytest's own folders are closed to others.
    for path in tmp_path.parents[:3]:
        path.chmod(path.stat().st_mode | 0o011)
    with snapshot.taken(door.state) as copy:
        (tmp_path / "copy.db").write_bytes(copy.read())
    with database.checking(tmp_path / "copy.db") as connection:
        assert connection.execute("SELECT count(*) FROM passages").fetchone() == (2,)
    secret = tmp_path / "secret.db"
    shutil.copy(tmp_path / "copy.db", secret)
    secret.chmod(0o600)
    for path in door.state.iterdir():
        path.unlink()
    (door.state / database.NAME).symlink_to(secret)
    with pytest.raises(RecordError, match=r"record\.db: .*cannot be read") as caught, snapshot.taken(door.state):
        pass
    assert "\n" not in str(caught.value)


def with_sql(sql: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.executescript(sql)

    return change


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def scrambled(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[1024:8192] = b"\xa5" * 7168
    path.write_bytes(data)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (cut, "damaged, or not a record"),
    "scrambled": (scrambled, "damaged, or not a record"),
    "text": (lambda path: path.write_text("hello " * 500), "damaged, or not a record"),
    "empty": (lambda path: path.write_bytes(b""), "not a record of fmd"),
    "of another program": (with_sql("PRAGMA application_id=7"), "damaged, or not a record"),
    "of a later fmd": (with_sql("PRAGMA user_version=99"), "version 99 of the record, this fmd reads 1 to"),
    "with a view": (with_sql("CREATE VIEW v AS SELECT * FROM events"), "not a record of fmd"),
    "with a trigger": (
        with_sql("CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM passages; END"),
        "not a record of fmd",
    ),
    "with a virtual table": (with_sql("CREATE VIRTUAL TABLE t USING fts5(x)"), "not a record of fmd"),
    "with another table": (with_sql("CREATE TABLE other(x)"), "not a record of fmd"),
    "without a table": (with_sql("DROP TABLE hours"), "not a record of fmd"),
    "with another column": (with_sql("ALTER TABLE events ADD COLUMN x"), "not a record of fmd"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_record_from_elsewhere_that_is_none_is_refused(record: Path, tmp_path: Path, name: str) -> None:
    change, why = HOSTILE[name]
    path = tmp_path / "record.db"
    shutil.copy(record, path)
    change(path)
    with pytest.raises(RecordError, match=why) as caught, database.checking(path):
        pass
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_the_check_runs_in_a_process_of_its_own(record: Path) -> None:
    with snapshot.scratch() as folder:
        path = folder / "record.db"
        shutil.copy(record, path)
        path.chmod(0o600)
        assert snapshot.check(path) == 3
        cut(path)
        with pytest.raises(FmdError, match=r"record\.db: damaged"):
            snapshot.check(path)
