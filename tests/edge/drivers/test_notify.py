"""Sentences through Apprise, to a real web server and a real mail socket; servers that are dead or never answer."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edge import config, drivers
from edge.contracts import Message, MessageKind
from edge.drivers.notify import EVENTS, ApprisePublisher, urls_of
from edge.errors import PublishError, RuntimeMissingError, SettingsError
from edge.reporting.outbox import Outbox

pytest.importorskip("apprise", reason="apprise is not installed")


class Web:
    """A web server that keeps what it is sent, and answers ``status``."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 200
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.got.append(json.loads(body))
                self.send_response(web.status)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                """Nothing on the terminal."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server.server_port}/hook"


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def publisher_for(
    url: str, clock: Clock | None = None, history: Path | None = None, **changed: Any
) -> ApprisePublisher:
    settings = config.load(None, {f"notify.{key}": value for key, value in changed.items()}).notify
    return ApprisePublisher(settings, url, "door", clock or Clock(), history)


def decided(
    outcome: str = "violation", change: str = "decided", camera: str = "", picture: bytes = b"", signal: str = ""
) -> Message:
    signal = signal or {"violation": "no_mask", "unsure": "unsure"}.get(outcome, "running")
    values = {"outcome": outcome, "change": change, "label": "without_mask", "signal": signal}
    return Message(MessageKind.DECISION, 1.8e9, camera, values, (lambda: picture) if picture else None)


def health(state: str, reason: str = "", camera: str = "") -> Message:
    return Message(MessageKind.HEALTH, 1.8e9, camera, {"state": state, "reason": reason})


def test_a_webhook_gets_a_sentence_about_a_violation(web: Web) -> None:
    publisher_for(web.url).send(decided(camera="yard"))
    assert web.got[0]["title"] == "fmd door"
    assert web.got[0]["message"].endswith("at yard: a person without a proper mask (without_mask)")
    assert web.got[0]["type"] == "warning"
    assert not web.got[0].get("attachments")


def test_a_picture_is_attached_if_there_is_one(web: Web) -> None:
    publisher_for(web.url).send(decided(picture=b"\xff\xd8\xff\xe0jpeg"))
    (attached,) = web.got[0]["attachments"]
    assert (attached["filename"], attached["mimetype"]) == ("door.jpg", "image/jpeg")


@pytest.mark.parametrize(
    ("publisher", "event"),
    [
        (decided("violation"), "violation"),
        (decided("violation", signal="reminder"), "reminder"),
        (decided("compliant", "revised"), "compliant"),
        (decided("violation", signal="incorrect_mask"), "violation"),
        (decided("unsure"), "unsure"),
        (decided("unsure", signal="no_mask"), "violation"),
        (decided("unsure", signal="running"), "unsure"),
        (health("dark", "the picture is black"), "blind"),
        (health("lost"), "blind"),
        (health("streaming"), "recovered"),
    ],
)
def test_only_configured_events_are_sent(web: Web, publisher: Message, event: str) -> None:
    asked = publisher_for(web.url, on=[event])
    if event == "recovered":
        asked.send(health("lost"))
    asked.send(publisher)
    assert len(web.got) == 1
    publisher_for(web.url, on=[other for other in EVENTS if other != event]).send(publisher)
    assert len(web.got) == 1


def test_an_alarm_for_an_unsure_outcome_claims_no_missing_mask(web: Web) -> None:
    publisher_for(web.url).send(decided("unsure", signal="no_mask"))
    assert web.got[0]["message"].endswith(": the alarm is on for a person who could not be judged")
    assert web.got[0]["type"] == "warning"


@pytest.mark.parametrize("publisher", [decided(change="left"), health("starting")])
def test_departures_and_starts_are_not_sent(web: Web, publisher: Message) -> None:
    publisher_for(web.url, on=list(EVENTS)).send(publisher)
    assert web.got == []


def words(web: Web) -> list[str]:
    return [each["message"].partition(": ")[2].partition(":")[0] for each in web.got]


def test_a_recovery_is_sent_only_after_a_blindness(web: Web) -> None:
    publisher = publisher_for(web.url, every_s=0.0)
    for state in ("streaming", "lost", "stalled", "lost", "streaming", "streaming"):
        publisher.send(health(state))
    assert words(web) == ["the camera is blind", "the camera works again"]
    publisher.send(health("dark", camera="yard"))
    publisher.send(health("streaming"))
    publisher.send(health("streaming", camera="yard"))
    assert words(web)[2:] == ["the camera is blind", "the camera works again"]


def test_a_blindness_is_sent_once_over_many_restarts(web: Web, tmp_path: Path) -> None:
    clock, history = Clock(), tmp_path / "notify-1.json"
    for state in ["lost"] * 20 + ["streaming"] * 3:
        clock.now_s += 60.0
        publisher_for(web.url, clock, history, every_s=10.0).send(health(state))
    assert words(web) == ["the camera is blind", "the camera works again"]


def test_the_interval_of_violations_holds_over_many_restarts(web: Web, tmp_path: Path) -> None:
    clock, history = Clock(), tmp_path / "notify-1.json"
    for _ in range(12):
        clock.now_s += 6.0
        publisher_for(web.url, clock, history, every_s=60.0).send(decided())
    assert len(web.got) == 2


def test_a_refused_message_is_sent_by_the_next_process(web: Web, tmp_path: Path) -> None:
    history = tmp_path / "notify-1.json"
    web.status = 500
    with pytest.raises(PublishError):
        publisher_for(web.url, history=history).send(health("lost"))
    web.status = 200
    publisher_for(web.url, history=history).send(health("lost"))
    assert words(web) == ["the camera is blind"] * 2


def test_a_history_of_another_url_or_a_damaged_one_hides_nothing(web: Web, tmp_path: Path) -> None:
    history = tmp_path / "notify-1.json"
    publisher_for("json://127.0.0.1:9/other", history=history, on=["recovered"]).send(health("lost"))
    assert history.exists()
    publisher_for(web.url, history=history).send(health("lost"))
    history.write_bytes(b'{"where": 1')
    publisher_for(web.url, history=history).send(health("lost"))
    publisher_for(web.url, history=tmp_path / "missing" / "notify-1.json").send(health("lost"))
    assert len(web.got) == 3


def test_the_history_holds_no_secret_of_the_url(web: Web, tmp_path: Path) -> None:
    url = web.url.replace("://", "://user:Secret7@")
    publisher_for(url, history=tmp_path / "notify-1.json").send(health("lost"))
    assert "Secret7" not in (tmp_path / "notify-1.json").read_text()


def test_each_event_is_sent_once_per_interval_with_the_number_omitted(web: Web) -> None:
    clock = Clock()
    publisher = publisher_for(web.url, clock, every_s=60.0)
    for second in range(0, 59, 10):
        clock.now_s = second
        publisher.send(decided())
    publisher.send(health("lost", "unplugged"))
    clock.now_s = 60.0
    publisher.send(decided())
    clock.now_s = 120.0
    publisher.send(decided())
    said = [each["message"] for each in web.got]
    assert [("more" in each, "blind" in each) for each in said] == [
        (False, False),
        (False, True),
        (True, False),
        (False, False),
    ]
    assert "(5 more since the last message)" in said[2]


def test_a_refused_message_is_an_error_and_does_not_count_as_sent(web: Web) -> None:
    publisher = publisher_for(web.url)
    web.status = 500
    with pytest.raises(PublishError, match="500"):
        publisher.send(decided())
    web.status = 200
    publisher.send(decided())
    assert len(web.got) == 2


def test_a_dead_server_is_an_error_with_its_reason() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(PublishError, match=r"JSON|onnection"):
        publisher_for(f"json://127.0.0.1:{port}/").send(decided())


def test_a_server_that_never_answers_blocks_nothing() -> None:
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(16)
        before_s = time.monotonic()
        outbox = Outbox("json", publisher_for(f"json://127.0.0.1:{hole.getsockname()[1]}/", every_s=0.0), 5)
        for _ in range(1000):
            outbox.post(decided())
        outbox.close(within_s=0.3)
        assert time.monotonic() - before_s < 15
    assert outbox.waiting <= 5
    assert outbox.dropped >= 994


class Mail(threading.Thread):
    """As much of a mail server (RFC 5321) as one message needs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.text = b""

    def run(self) -> None:
        connection, _ = self._listening.accept()
        with connection, connection.makefile("rwb") as lines:
            self._say(lines, b"220 test")
            for line in lines:
                command = line[:4].upper()
                if command == b"DATA":
                    self._say(lines, b"354 go on")
                    for part in lines:
                        if part == b".\r\n":
                            break
                        self.text += part
                self._say(lines, b"221 bye" if command == b"QUIT" else b"250 ok")
                if command == b"QUIT":
                    return

    @staticmethod
    def _say(lines: Any, text: bytes) -> None:
        lines.write(text + b"\r\n")
        lines.flush()


def test_mail_is_sent() -> None:
    mail = Mail()
    mail.start()
    url = f"mailto://127.0.0.1:{mail.port}?from=door@example.org&to=desk@example.org&mode=insecure"
    publisher_for(url).send(health("lost", "unplugged"))
    mail.join(10)
    assert b"To: desk@example.org" in mail.text
    assert b"fmd door" in mail.text


def test_urls_come_from_settings_and_file(tmp_path: Path) -> None:
    (tmp_path / "urls").write_text("# ours\n\njson://b/\n  mailto://c  \n")
    settings = config.load(None, {"notify.urls": ["json://a/"], "notify.urls_file": str(tmp_path / "urls")})
    assert list(urls_of(settings.notify)) == ["json://a/", "json://b/", "mailto://c"]


def test_a_missing_file_of_urls_is_reported(tmp_path: Path) -> None:
    settings = config.load(None, {"notify.urls_file": str(tmp_path / "nowhere")})
    with pytest.raises(SettingsError, match=r"^notify\.urls_file: .*nowhere: No such file"):
        list(drivers.publishers(settings))


def test_telegram_urls_are_accepted_and_keep_their_secrets() -> None:
    made = publisher_for("tgram://123456789:abcdefg_hijklmnop/12315544/")
    assert made.where.startswith("tgram://")
    assert "abcdefg_hijklmnop" not in made.where


def test_an_unusable_url_is_refused_at_the_start_without_its_secrets() -> None:
    with pytest.raises(SettingsError, match=r"^notify\.urls: .* nonsense://\.\.\. \(.+\)$") as caught:
        publisher_for("nonsense://user:s3cret@host")
    assert "s3cret" not in str(caught.value)


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(RuntimeMissingError, match=r"^notify\.urls: .*pip install '\.\[notify\]'"):
        next(drivers.publishers(config.load(None, {"notify.urls": ["json://localhost/"]}))).open()
