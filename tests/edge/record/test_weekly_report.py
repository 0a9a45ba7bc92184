"""The weekly report: at its time, once, by mail and by MQTT's payload."""

from __future__ import annotations

import email
import json
import socket
from datetime import datetime, timedelta
from email.message import Message as Mail
from pathlib import Path

import pytest

from edge import config
from edge.contracts import Message, MessageKind
from edge.drivers import mqtt
from edge.drivers.notify import ApprisePublisher
from edge.messages import ReportMessage
from edge.record import weekly_report
from edge.record.weekly_report import WeeklyReport, last_due
from tests.edge.record.year import Day, write_days

MONDAY = datetime(2026, 1, 5).astimezone()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("state")
    write_days(folder, MONDAY, 14, lambda day: Day(60))
    return folder


class Door:
    """A door whose clock the test sets, and the reports that it published."""

    def __init__(self, folder: Path, text: str = "mon 07:00") -> None:
        self.now, self.known, self.sent = MONDAY + timedelta(days=6), True, list[ReportMessage]()
        self.folder, self.text = folder, text
        (folder / weekly_report.NAME).unlink(missing_ok=True)
        self.restart()

    def restart(self) -> None:
        self.report = WeeklyReport(
            self.folder, self.text, "door-3", self.sent.append, lambda: self.now, lambda: self.known
        )

    def at(self, days: int, hours: float) -> int:
        self.now = MONDAY + timedelta(days=days, hours=hours)
        self.report.work()
        return len(self.sent)


def test_the_report_of_the_past_week_comes_once_at_its_time(state: Path) -> None:
    door = Door(state)
    assert door.at(6, 12) == 0  # the first run: no week of its own is over
    assert door.at(7, 6.9) == 0
    assert door.at(7, 7.01) == 1
    assert door.at(7, 9) == 1
    door.restart()
    assert door.at(7, 10) == 1
    assert door.at(14, 7.5) == 2
    first = door.sent[0]
    assert first.title.startswith("door-3: Week 02, 05 January to 11 January 2026")
    assert first.passages == first.compliant + first.violated + first.unsure > 300
    assert first.compliance is not None
    assert first.compliance[1] < first.compliance[0] < first.compliance[2]
    assert first.watched_s == 7 * 12 * 3600


def test_a_board_that_was_off_at_the_time_sends_later_but_not_much_later(state: Path) -> None:
    door = Door(state)
    door.at(6, 12)
    assert door.at(8, 0) == 1
    door = Door(state)
    door.at(6, 12)
    assert door.at(11, 0) == 0


def test_without_a_set_clock_no_time_has_come(state: Path) -> None:
    door = Door(state)
    door.at(6, 12)
    door.known = False
    assert door.at(7, 8) == 0
    door.known = True
    assert door.at(7, 8) == 1


def test_a_record_that_cannot_be_read_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    door = Door(tmp_path)
    door.at(6, 12)
    assert door.at(7, 8) == 0
    assert "the weekly report waits: " in caplog.text
    write_days(tmp_path, MONDAY, 7, lambda day: Day(20))
    assert door.at(7, 8) == 1


@pytest.mark.parametrize(
    ("text", "now", "due"),
    [
        ("mon 07:00", "2026-01-12T06:59", "2026-01-05T07:00"),
        ("mon 07:00", "2026-01-12T07:00", "2026-01-12T07:00"),
        ("sun 23:30", "2026-01-12T07:00", "2026-01-11T23:30"),
        ("fri 00:00", "2026-01-12T07:00", "2026-01-09T00:00"),
    ],
)
def test_when_a_report_was_due(text: str, now: str, due: str) -> None:
    assert last_due(text, datetime.fromisoformat(now).astimezone()) == datetime.fromisoformat(due).astimezone()


def message(state: Path) -> Message:
    door = Door(state)
    door.at(6, 12)
    door.at(7, 8)
    return Message(MessageKind.REPORT, 1_800_000_000.0, "", door.sent[0])


def test_the_report_is_mailed_with_its_page(state: Path) -> None:
    controller = pytest.importorskip("aiosmtpd.controller", reason="aiosmtpd is not installed")
    pytest.importorskip("apprise", reason="apprise is not installed")
    received: list[bytes] = []

    class Inbox:
        async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802
            received.append(envelope.content)  # type: ignore[attr-defined]
            return "250 OK"

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = controller.Controller(Inbox(), hostname="127.0.0.1", port=port)
    server.start()
    try:
        url = f"mailto://127.0.0.1:{port}?from=door@example.org&to=owner@example.org&mode=insecure"
        publisher = ApprisePublisher(config.load().notify, url, "door-3")
        publisher.send(message(state))
    finally:
        server.stop()
    mail = email.message_from_bytes(received[0])
    assert "Week 02, 05 January" in str(email.header.make_header(email.header.decode_header(mail["Subject"])))
    parts = {part.get_content_type(): part for part in mail.walk()}
    assert "of those judged; corrected for known errors" in decoded(parts["text/plain"])
    page = next(part for part in mail.walk() if part.get_filename() == "report.html")
    assert decoded(page).startswith("<!DOCTYPE html>")


def decoded(part: Mail) -> str:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


def test_mqtt_carries_the_figures_without_the_page(state: Path) -> None:
    values = json.loads(mqtt._payload(message(state)))
    assert values["passages"] > 300
    assert "page" not in values
    assert mqtt._topic(message(state)) == "report"
