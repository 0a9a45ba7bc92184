"""The writer of the record: whole after any power cut, never more than its budget, and never in the loop's way."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import threading
import time
from pathlib import Path

import msgspec
import pytest

from edge import config
from edge.commands import main as commands_main
from edge.contracts import CameraState, Health
from edge.control import ArmingRequest, DisarmRequest, MuteRequest
from edge.errors import RecordError
from edge.messages import health_message
from edge.record import database, events, evidence, store
from edge.record.budget import DAY_S, MB, SPENT, batch_cost
from edge.record.database import NAME
from edge.record.evidence import Weighed
from edge.record.rows import RunRow, SpanState
from edge.record.store import MAX_WAITING, URGENT_S
from edge.service.arming_control import ArmingControl, BoardClock
from tests.edge.record.parts import Clock, passage, settings, violation


class Thing(msgspec.Struct):
    person: int
    label: str = "with_mask"


def numbers(folder: Path) -> list[int]:
    return [event["n"] for event in events.read(folder)] if (folder / NAME).exists() else []


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / NAME) as connection:
        return connection.execute(query).fetchall()


def test_rows_are_written_together_and_not_before_their_time(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path, every_s=300)
    record.add("started")
    assert record.keep()
    record.add("decision", Thing(1))
    record.add("decision", Thing(2))
    clock.forward(299)
    assert not record.keep()
    assert (numbers(tmp_path), record.kept) == ([1], 1)
    clock.forward(1)
    assert record.keep()
    assert (numbers(tmp_path), record.kept) == ([1, 2, 3], 3)
    assert list(events.read(tmp_path))[1] == {
        "n": 2,
        "at": "2027-01-15T08:00:00.000+00:00",
        "event": "decision",
        "person": 1,
        "label": "with_mask",
    }


@pytest.mark.parametrize("what", ["violation", "fault"])
def test_violations_and_faults_are_safe_within_a_minute(tmp_path: Path, what: str) -> None:
    clock = Clock()
    record = clock.record(tmp_path, every_s=300)
    record.add("started")
    record.keep()
    clock.forward(5)
    if what == "violation":
        record.add_passage(violation(1, ended=None))
    else:
        record.add("camera", health_message(Health("", CameraState.LOST, 1.0, "unplugged")))
    clock.forward(URGENT_S - 1)
    assert not record.keep()
    clock.forward(1)
    assert record.keep()


@pytest.mark.parametrize(("change", "kind"), [(DisarmRequest(for_s=60), "arming"), (MuteRequest(for_s=60), "mute")])
def test_changes_of_arming_are_safe_within_a_minute(tmp_path: Path, change: ArmingRequest, kind: str) -> None:
    clock = Clock()
    record = clock.record(tmp_path, every_s=300)
    known = BoardClock(None, lambda: True, lambda: True)
    arming = ArmingControl(config.load(), known, note=record.add, clock=lambda: clock.now_s, wall=lambda: clock.wall_s)
    record.keep(at_once=True)
    arming.request(change, "command", "the porter")
    clock.forward(URGENT_S)
    assert record.keep()
    assert list(events.read(tmp_path))[-1]["event"] == kind


def test_a_violation_is_one_row_before_and_after_the_person_leaves(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path)
    record.begin_run(RunRow(classifier="abc"))
    record.add_passage(violation(1, ended=None))
    record.keep(at_once=True)
    assert rows(tmp_path, "SELECT outcome, ended, run FROM passages") == [("violation", None, 1)]
    record.add_passage(violation(1, outcome="compliant", cleared=3000))
    record.keep(at_once=True)
    assert rows(tmp_path, "SELECT outcome, cleared - alarm FROM passages") == [("compliant", 2200)]


def test_a_passage_that_a_power_cut_left_open_ends_at_the_next_start(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path)
    record.add_passage(violation(1, ended=None))
    record.keep(at_once=True)
    again = clock.record(tmp_path)
    again.add_passage(passage(1))
    again.keep(at_once=True)
    # The new process counts from 1 again; its row does not replace the earlier one.
    assert rows(tmp_path, "SELECT id, ended IS NULL FROM passages") == [(1, 0), (2, 0)]


@pytest.mark.parametrize("mb_a_day", [1, 4])
def test_the_budget_of_a_day_holds_however_much_happens(tmp_path: Path, mb_a_day: int) -> None:
    """Two days of an event every twenty seconds; no window of 24 hours costs more than the budget."""
    clock = Clock()
    record = clock.record(tmp_path, mb_a_day=mb_a_day, every_s=1)
    costs: list[tuple[float, float]] = []
    spend = record._budget.spend
    record._budget.spend = lambda cost: (costs.append((clock.now_s, cost)), spend(cost))[1]  # type: ignore[method-assign]
    for _ in range(int(2 * DAY_S / 20)):
        record.add("decision", Thing(1))
        record.keep()
        clock.forward(20)
    for start_s in range(0, int(DAY_S), 3600):
        spent = sum(cost for at_s, cost in costs if start_s <= at_s < start_s + DAY_S)
        assert 0.5 * mb_a_day * MB < spent <= mb_a_day * MB


def test_the_budget_holds_over_restarts(tmp_path: Path) -> None:
    """Six hours of a service that comes and goes every minute, as one whose pins are taken does."""
    clock, batches = Clock(), 0
    for _ in range(int(DAY_S / 4 / 60)):
        record = clock.record(tmp_path, tmp_path, mb_a_day=4.0)
        record.add("started")
        batches += record.keep()
        record._disconnect()
        clock.forward(60)
    assert 0.2 * MB < batches * batch_cost(32) <= 1.25 * MB


def test_an_event_that_no_budget_can_hold_blocks_no_other(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path, mb_a_day=1.0)
    record.add("decision", Thing(1, "x" * 60_000))
    record.add("decision", Thing(2))
    for _ in range(3):
        clock.forward(DAY_S)
        record.keep()
    assert (numbers(tmp_path), record.lost) == ([2], 1)


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path)
    record.add("started")
    record.close()
    again = clock.record(tmp_path)
    again.add("started")
    again.close()
    assert (numbers(tmp_path), again.kept) == ([1, 2], 2)


def test_the_rest_of_a_broken_budget_file_is_no_reason_to_keep_nothing(tmp_path: Path) -> None:
    for said in (b"", b"[1", b'{"left": "x"}'):
        (tmp_path / SPENT).write_bytes(said)
        record = Clock().record(tmp_path, tmp_path)
        record.add("started")
        assert record.keep()
        record._disconnect()


def test_no_kept_row_is_lost_wherever_a_power_cut_tears_the_log_of_changes(tmp_path: Path) -> None:
    """What was synced is there; of what was being written any number of bytes may be, or others."""
    clock, source = Clock(), tmp_path / "source"
    source.mkdir()
    record = clock.record(source, every_s=1)
    for number in range(4):
        record.add("decision", Thing(number))
        record.keep(at_once=True)
    wal = source / f"{NAME}-wal"
    safe, whole = wal.stat().st_size, (source / NAME).read_bytes()
    record.add("decision", Thing(4))
    record.keep(at_once=True)
    after, chance = wal.read_bytes(), random.Random(1)
    cuts = [*range(safe, len(after), 61), len(after)]
    for number, cut in enumerate(cuts):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / NAME).write_bytes(whole)
        tail = after[:cut] + (chance.randbytes(len(after) - cut) if number % 2 else b"")
        (folder / f"{NAME}-wal").write_bytes(tail)
        again = Clock().record(folder)
        again.add("started")
        assert again.keep(at_once=True)
        again.close()
        assert numbers(folder)[:4] == [1, 2, 3, 4]
        assert len(numbers(folder)) == 5 + (cut == len(after))


@pytest.mark.parametrize("damage", ["empty", "text", "middle", "head", "newer", "other"])
def test_an_unusable_database_is_set_aside_and_the_record_goes_on(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock, path = Clock(), tmp_path / NAME
    record = clock.record(tmp_path)
    for number in range(200):
        record.add_passage(passage(number + 1))
    record.close()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_bytes(b"no database\n" * 100)
    elif damage == "newer":
        with sqlite3.connect(path) as connection:
            connection.execute(f"PRAGMA user_version={database.VERSION + 1}")
    elif damage == "other":
        path.unlink()
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE photos(a)")
            connection.execute("PRAGMA application_id=77")
    else:
        data = bytearray(path.read_bytes())
        start = 20 if damage == "head" else len(data) // 2
        data[start : start + 3000] = os.urandom(3000)
        path.write_bytes(data)
    again = clock.record(tmp_path)
    again.add("started")
    assert again.keep()
    again.add("decision", Thing(1))
    assert again.keep(at_once=True)
    aside = list(tmp_path.glob("record-*.db"))
    if damage == "empty":  # as a file system leaves a new file after a power cut: nothing was in it
        assert not aside
        return
    assert len(aside) == 1
    assert f"it is now {aside[0].name}, and a new record begins" in caplog.text
    assert {"started", "record", "decision"} <= {event["event"] for event in events.read(tmp_path)}


def test_only_the_newest_databases_set_aside_are_kept(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"record-damaged-2027010100000{number}.db").write_bytes(b"x")
    (tmp_path / NAME).write_bytes(b"no database\n" * 100)
    connection, problem = database.open_for_writing(tmp_path)
    connection.close()
    assert problem
    assert len(list(tmp_path.glob("record-*.db"))) == database.SET_ASIDE


def test_a_database_damaged_while_in_use_is_set_aside(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path, every_s=1)
    for number in range(500):
        record.add_passage(passage(number + 1))
    assert record.keep()
    record._connection.execute("PRAGMA wal_checkpoint(truncate)")  # type: ignore[union-attr]
    data = bytearray((tmp_path / NAME).read_bytes())
    for start in range(0, len(data), 1024):
        data[start : start + 100] = os.urandom(100)
    (tmp_path / NAME).write_bytes(data)
    record._connection.execute("PRAGMA shrink_memory")  # type: ignore[union-attr]
    for number in range(40):
        record.add_passage(passage(600 + number))
        clock.forward(10)
        record.keep()
    assert len(list(tmp_path.glob("record-damaged-*.db"))) == 1
    assert rows(tmp_path, "SELECT count(*) FROM passages WHERE id >= 600")[0][0] == 40


def test_a_database_deleted_under_the_service_begins_again_and_loses_nothing_more(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path, every_s=1)
    for number in range(6):
        if number == 3:
            (tmp_path / NAME).unlink()
        record.add("decision", Thing(number))
        clock.forward(1)
        assert record.keep()
    assert numbers(tmp_path) == [4, 5, 6]


def test_a_folder_that_cannot_be_written_keeps_rows_waiting_and_reports_it_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, folder = Clock(), tmp_path / "state"
    record = clock.record(folder, every_s=1)
    for number in range(3):
        record.add("decision", Thing(number))
        assert not record.keep(at_once=True)
    assert caplog.text.count("the rows wait in memory") == 1
    folder.mkdir()
    clock.forward(10)
    assert record.keep()
    assert (numbers(folder), record.kept) == ([1, 2, 3], 3)


def test_another_program_that_locks_the_database_delays_rows_only(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path, every_s=1)
    record.add("decision", Thing(1))
    record.keep()
    record._connection.execute("PRAGMA busy_timeout=10")  # type: ignore[union-attr]
    other = sqlite3.connect(tmp_path / NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    record.add("decision", Thing(2))
    record.keep(at_once=True)
    other.execute("ROLLBACK")
    other.close()
    clock.forward(10)
    record.keep()
    assert numbers(tmp_path) == [1, 2]
    assert not list(tmp_path.glob("record-*.db"))


def test_memory_is_bounded_and_what_was_lost_shows_in_the_numbers(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path, mb_a_day=1000)
    for number in range(MAX_WAITING + 7):
        record.add("decision", Thing(number))
    record.keep(at_once=True)
    assert record.lost == 7
    assert numbers(tmp_path) == list(range(8, MAX_WAITING + 8))


def test_spans_record_what_each_camera_did(tmp_path: Path) -> None:
    clock = Clock()
    record = clock.record(tmp_path)
    record.span("door", SpanState.WATCHING)
    clock.forward(100)
    record.span("door", SpanState.DARK)
    record.span("door", SpanState.DARK)
    clock.forward(20)
    record.span("door", SpanState.WATCHING)
    clock.forward(5)
    record.keep(at_once=True)
    # A power cut here: the batch has brought the span up to date.
    query = "SELECT state, (began - 1800000000000) / 1000, (ended - 1800000000000) / 1000 FROM spans ORDER BY began"
    assert rows(tmp_path, query) == [("watching", 0, 100), ("dark", 100, 120), ("watching", 120, 125)]
    clock.forward(5)
    record.close()
    assert rows(tmp_path, query)[-1] == ("watching", 120, 130)


def test_no_span_mixes_two_clocks(tmp_path: Path) -> None:
    """A Pi without a battery clock starts in the past; 40 s later the network sets the clock."""
    clock = Clock(wall_s=1_700_000_000.0, right=False)
    record = clock.record(tmp_path)
    record.span("", SpanState.WATCHING)
    clock.forward(40)
    clock.wall_s, clock.right = 1_800_000_000.0, True
    record.keep(at_once=True)
    clock.forward(60)
    record.add_passage(passage(1))
    record.close()
    assert rows(tmp_path, "SELECT began / 1000, (ended - began) / 1000, clock FROM spans ORDER BY id") == [
        (1_700_000_000, 40, 0),
        (1_800_000_000, 60, 1),
    ]
    assert rows(tmp_path, "SELECT clock FROM passages") == [(1,)]


def test_the_thread_keeps_what_was_added_by_the_end(tmp_path: Path) -> None:
    with store.keeping(tmp_path, settings()) as record:
        assert record is not None
        record.add("camera", health_message(Health("", CameraState.DARK, 1.0, "covered?")))
    assert [event["reason"] for event in events.read(tmp_path)] == ["covered?"]


def test_nothing_is_kept_where_nothing_shall_be(tmp_path: Path) -> None:
    for folder, keep in ((None, True), (tmp_path, False)):
        with store.keeping(folder, settings(keep=keep)) as record:
            assert record is None
    assert not list(tmp_path.iterdir())


def test_the_loop_never_waits_for_the_disk(tmp_path: Path) -> None:
    """While a batch is being written, rows can be added."""
    clock = Clock()
    record = clock.record(tmp_path)
    inside, go_on = threading.Event(), threading.Event()
    write = record._write

    def slow(taken: list[store._Row]) -> None:
        inside.set()
        assert go_on.wait(10)
        write(taken)

    record._write = slow  # type: ignore[method-assign]
    record.add("started")
    thread = threading.Thread(target=record.keep)
    thread.start()
    assert inside.wait(10)
    record.add("decision", Thing(1))
    record.add_passage(passage(1))
    record.span("", SpanState.DARK)
    go_on.set()
    thread.join()
    assert record.kept == 1


def test_the_log_of_an_earlier_version_moves_into_the_database(tmp_path: Path) -> None:
    old = tmp_path / "events.jsonl"
    at = "2027-01-10T08:00:00.000+00:00"
    lines = [{"n": n, "at": at, "event": "decision", "camera": "hall", "person": n} for n in (7, 8)]
    old.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"n": 9, "at": "x"}\n{"n"' + "\0" * 100)
    assert [event["n"] for event in events.read(tmp_path)] == [7, 8, 9]
    record = Clock().record(tmp_path)
    record.add("started")
    record.close()
    assert numbers(tmp_path) == [7, 8, 9]
    found = next(events.read(tmp_path))
    assert found == {"n": 7, "at": at, "event": "decision", "camera": "hall", "person": 7}
    assert not old.exists()


def test_a_schema_that_is_no_text_is_set_aside(tmp_path: Path) -> None:
    """SQLite's message quotes the damaged text, and then is no text itself."""
    database.open_for_writing(tmp_path)[0].close()
    whole = (tmp_path / NAME).read_bytes()
    assert b"passages(ended)" in whole
    (tmp_path / NAME).write_bytes(whole.replace(b"passages(ended)", b"passages(\xffnded)"))
    with pytest.raises(RecordError, match="cannot be read"):
        list(events.read(tmp_path))
    connection, problem = database.open_for_writing(tmp_path)
    connection.close()
    assert "a new record begins" in problem


@pytest.mark.parametrize(
    "values",
    [
        ("soon", "decision", "", 1, "{}"),
        (2**62, "decision", "", 1, "{}"),
        (1000, "decision", "", 1, "[1]"),
        (1000, "decision", "", 1, "no json"),
        (1000, "decision", "", 1, None),
        (1000, "decision", "", 1, "[" * 5000),
        (1000, b"\xff", "", 1, "{}"),
    ],
)
def test_a_row_of_another_program_hides_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], values: tuple[object, ...]
) -> None:
    connection, _ = database.open_for_writing(tmp_path)
    good = (1000, "decision", "", 1, '{"label": "a\\u001b[2Jb"}')
    for number, row in ((1, good), (2, values), (3, good)):
        connection.execute("INSERT INTO events VALUES(?,?,?,?,?,?)", (number, *row))
    connection.close()
    assert {1, 3} <= {event["n"] for event in events.read(tmp_path)}
    assert commands_main.main(["events", "--state", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.count(r"label=a\x1b[2Jb") == 2
    assert all(map(str.isprintable, printed.splitlines()))


def test_a_page_that_is_damaged_behind_the_first_ones_is_an_expected_error(tmp_path: Path) -> None:
    connection, _ = database.open_for_writing(tmp_path)
    for number in range(300):
        connection.execute("INSERT INTO events VALUES(?,1,'decision','',1,'{}')", (number,))
    connection.close()
    data = bytearray((tmp_path / NAME).read_bytes())
    for start in range(16 * 1024, len(data), 1024):
        data[start : start + 8] = b"\xff" * 8
    (tmp_path / NAME).write_bytes(data)
    with pytest.raises(RecordError, match="cannot be read"):
        list(events.read(tmp_path))


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
def test_root_waits_at_no_pipe_beside_the_record(tmp_path: Path, suffix: str) -> None:
    database.open_for_writing(tmp_path)[0].close()
    os.mkfifo(tmp_path / f"{NAME}{suffix}")
    with pytest.raises(RecordError, match="not a regular file"):
        database.open_for_reading(tmp_path)


def test_an_empty_record_is_not_one_of_another_version(tmp_path: Path) -> None:
    """A full disk leaves the file without a byte."""
    (tmp_path / database.NAME).touch()
    with pytest.raises(RecordError, match="nothing in the record yet; is the disk full"):
        database.open_for_reading(tmp_path)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW v AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c) SELECT x FROM c",
        "CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM events; END",
        # Written by hand: TensorFlow, loaded by other tests, brings an SQLite without modules.
        "INSERT INTO sqlite_master VALUES('table', 't', 't', 0, 'CREATE VIRTUAL TABLE t USING fts5(x)')",
    ],
)
def test_a_record_with_programs_in_it_is_not_read(tmp_path: Path, statement: str) -> None:
    connection = database.open_for_writing(tmp_path)[0]
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute(statement)
    connection.close()
    with pytest.raises(RecordError, match="views or triggers"):
        database.open_for_reading(tmp_path)


@pytest.mark.parametrize(
    "command", [["report", "--day"], ["report", "--csv", "x.csv"], ["tune", "decide.error_rate=0.1"]]
)
def test_rows_that_fmd_did_not_write_are_an_expected_error(
    tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    connection = database.open_for_writing(tmp_path)[0]
    now = round(time.time() * 1000)
    connection.execute("INSERT INTO runs VALUES(1,?,1,'','c','d','s','[[','with_mask','[]')", (now,))
    row = (now - 9000, now, now, now, now)
    connection.execute(
        "INSERT INTO passages VALUES(1,1,'',1,?,?,?,?,?,'violated','x',1,3,1,1,1,1,1,1,1,?)",
        (*row, b"\xff" * 9 if command[0] == "report" else evidence.packed([Weighed(0.0, 0.9, True, (0.5, 0.5))])),
    )
    connection.close()
    assert commands_main.main([*command, "--state", str(tmp_path)]) == 1
    assert "record.db: cannot be read: " in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become another user")
def test_a_record_that_this_user_may_not_read_gives_one_line(tmp_path: Path) -> None:
    Clock().record(tmp_path).close()
    path = tmp_path / database.NAME
    path.chmod(0o600)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o011)
    before = os.geteuid()
    os.seteuid(65534)
    try:
        with pytest.raises(RecordError, match="cannot be read: unable to open database file"):
            database.open_for_reading(tmp_path)
    finally:
        os.seteuid(before)
