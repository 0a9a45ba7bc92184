"""Long answers: from a child process, one at a time, with limits, and errors that name the reason."""

from __future__ import annotations

import io
import logging
import threading
import time
import zipfile
from concurrent.futures import Future
from pathlib import Path

import msgspec
import pytest

from edge.control import DoneReply, Message
from edge.errors import ControlError, FmdError, RecordError, SettingsError
from edge.page_messages import (
    PIECE,
    BackupRequest,
    DoctorReply,
    DoctorRequest,
    FileReply,
    LogReply,
    LogRequest,
    PassagesReply,
    PassagesRequest,
    ReportReply,
    ReportRequest,
    TuneReply,
    TuneRequest,
)
from edge.page_service import tasks
from edge.page_service.answers import Backup
from edge.page_service.jobs import LIMITS, MOST_WAITING, PREFIX, Jobs, working
from edge.page_service.tasks import Context
from edge.record.report import Report
from edge.record.rows import RunRow, SpanState
from edge.record.tune import Effect
from tests.edge.page_service.parts import settings
from tests.edge.record.parts import Clock, passage, violation

LABELS = ("with_mask", "without_mask", "with_incorrect_mask")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A record of today: two compliant passages, a violation, an unsure one, and an event."""
    clock = Clock(wall_s=time.time())
    record = clock.record(tmp_path)
    record.begin_run(RunRow(labels=LABELS, compliant="with_mask"))
    record.span("", SpanState.WATCHING)
    ended_s = time.time() - 1
    for number, row in enumerate((passage, passage, violation, passage), 1):
        unsure = {"outcome": "unsure", "decided": None} if number == 4 else {}
        record.add_passage(row(number, ended_s, **unsure))
    record.add("started")
    clock.forward(1)
    record.close()
    return Context(state=str(tmp_path), door="hall", decide=msgspec.to_builtins(settings().decide))


def answer(asked: Message, context: Context, folder: Path) -> Message:
    return Jobs(folder).in_child(asked, context)


def test_a_report_comes_as_json_and_as_html_without_scripts_and_styles(context: Context, tmp_path: Path) -> None:
    reply = answer(ReportRequest(period="day"), context, tmp_path)
    assert isinstance(reply, ReportReply)
    report = msgspec.json.decode(reply.report, type=Report)
    assert (report.sums.compliant, report.sums.violated, report.sums.unsure) == (2, 1, 1)
    assert "<h1>hall</h1>" in reply.html
    assert not any(word in reply.html for word in ("<script", "<style", "style=", "<html"))
    assert list(tmp_path.glob(f"{PREFIX}*")) == [], "the child's folder is gone"


def test_passages_are_the_newest_of_an_outcome_in_words(context: Context) -> None:
    found = tasks.passages(PassagesRequest(outcome="unsure"), context)
    assert [each.words for each in found.passages] == ["could not be judged"]
    found = tasks.passages(PassagesRequest(outcome="", limit=3), context)
    assert [each.outcome for each in found.passages] == ["unsure", "violation", "compliant"]
    assert (found.passages[1].words, found.passages[1].seconds, found.passages[1].face_px) == ("no mask", 5.0, 80.0)
    assert isinstance(found, PassagesReply)
    assert found.drift == ()


def test_tuning_compares_the_settings_in_use_with_others(context: Context) -> None:
    found = tasks.tune(TuneRequest(changes={"decide.error_rate": "0.3"}), context)
    assert isinstance(found, TuneReply)
    before, after = (msgspec.json.decode(each, type=Effect) for each in (found.before, found.after))
    assert before.passages == after.passages == 4
    assert found.differing <= 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"alert.led_pin": "4"}, "only settings of"),
        ({"decide.error_rate": "9"}, "decide.error_rate"),
        ({"decide.nonsense": "1"}, "decide.nonsense"),
        ({"decide.accept": '["cap"]'}, "no label of the model"),
        ({"decide.": "1"}, "decide."),
        ({"decide.error_rate": "0.1\n[alert]\nled_pin = 4"}, "decide.error_rate"),
    ],
)
def test_settings_that_cannot_be_tried_are_named(context: Context, changes: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        tasks.tune(TuneRequest(changes=changes), context)


def test_events_of_today_are_lines(context: Context) -> None:
    found = tasks.log(LogRequest(), context)
    assert isinstance(found, LogReply)
    assert [line.split()[1] for line in found.events] == ["started"]
    assert tasks.log(LogRequest(), Context(state="", door="")) == LogReply(lines=(), events=())


def test_a_backup_of_the_settings_holds_no_secrets(context: Context, tmp_path: Path) -> None:
    base = tmp_path / "fmd.toml"
    base.write_text('[camera]\nsource = "rtsp://a:secret-of-the-test@192.0.2.1/x"\n[decide]\nerror_rate = 0.01\n')
    reply = tasks.backup(BackupRequest(), msgspec.structs.replace(context, base=str(base)))
    assert (reply.name, reply.size) == ("hall-settings.fmd", len(reply.content))
    with zipfile.ZipFile(io.BytesIO(reply.content)) as found:
        texts = [found.read(name) for name in found.namelist()]
    assert any(b"error_rate = 0.01" in text for text in texts)
    assert not any(b"secret-of-the-test" in text for text in texts)
    with pytest.raises(SettingsError, match="without a settings file"):
        tasks.backup(BackupRequest(), context)


def test_a_backup_is_taken_in_pieces_of_one_moment() -> None:
    made = iter((b"x" * (PIECE + 5), b"y"))

    def make(request: BackupRequest) -> FileReply:
        content = next(made)
        return FileReply(name="a.fmd", content=content, size=len(content))

    backup = Backup(make)
    first, second = backup.piece(BackupRequest()), backup.piece(BackupRequest(offset=PIECE))
    assert (len(first.content), len(second.content), first.size) == (PIECE, 5, PIECE + 5)
    assert backup.piece(BackupRequest(offset=10 * PIECE)).content == b""
    assert backup.piece(BackupRequest()).content == b"y"


@pytest.mark.parametrize(("back", "period"), [(0, "week"), (3, "day"), (14, "month"), (120, "month")])
def test_a_period_of_long_ago_is_empty_not_wrong(context: Context, back: int, period: str) -> None:
    reply = tasks.report(ReportRequest(period=period, back=back), context)  # type: ignore[arg-type]
    report = msgspec.json.decode(reply.report, type=Report)
    assert report.sums.compliant == (0 if back else 2)


@pytest.mark.slow
def test_the_doctor_examines_this_machine_in_the_child(tmp_path: Path) -> None:
    options = ("--set", 'camera.source="doorway"')
    reply = answer(DoctorRequest(), Context(state="", door="", options=options), tmp_path)
    assert isinstance(reply, DoctorReply)
    assert {"system", "python", "settings", "models"} <= {each.title for each in reply.findings}
    assert all(each.status in ("ok", "note", "warning", "error") for each in reply.findings)
    assert [each.words for each in reply.findings if each.title == "models" and each.status == "error"] == []


@pytest.mark.parametrize(
    ("context", "error", "said"),
    [
        (Context(state="", door=""), SettingsError, "keeps no record"),
        (Context(state="/nonexistent", door=""), RecordError, "there is no record yet"),
    ],
)
def test_an_expected_error_reaches_the_asker(
    tmp_path: Path, context: Context, error: type[FmdError], said: str
) -> None:
    with pytest.raises(error, match=said):
        answer(ReportRequest(), context, tmp_path)


def test_requests_wait_their_turn_and_a_crowd_is_refused(tmp_path: Path) -> None:
    begun, free, order = threading.Event(), threading.Event(), []

    def work(number: int) -> Message:
        order.append(number)
        begun.set()
        free.wait()
        return DoneReply()

    with working(tmp_path) as jobs:
        results: list[Future[Message]] = [jobs.submit(lambda: work(0))]
        assert begun.wait(10)
        results += [jobs.submit(lambda number=number: work(number)) for number in range(1, 1 + MOST_WAITING)]  # type: ignore[misc]
        with pytest.raises(ControlError, match="fmd is busy"):
            jobs.submit(lambda: work(99))
        assert order == [0]
        assert jobs.quick.submit(DoneReply).result(10) == DoneReply(), "it does not wait for a child"
        free.set()
        assert [result.result(10) for result in results] == [DoneReply()] * (1 + MOST_WAITING)
        assert order == [0, 1, 2, 3]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / f"{PREFIX}abc"
    left.mkdir()
    (left / "x").touch()
    with working(tmp_path):
        assert not left.exists()


def test_a_bug_in_one_answer_does_not_end_the_next(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Message:
        raise ZeroDivisionError("of the test")

    caplog.set_level(logging.INFO)
    with working(tmp_path) as jobs:
        with pytest.raises(ZeroDivisionError):
            jobs.submit(broken).result(10)
        assert jobs.submit(DoneReply).result(10) == DoneReply()


def test_a_child_has_the_lowest_priority_and_limits() -> None:
    assert LIMITS.nice == 19
    assert LIMITS.memory_mb
    assert LIMITS.seconds
