"""Alertmanager with the shipped file: what is grouped, what is suppressed, and what people read."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.edge.parts import PATIENCE_S
from tests.fleet.monitoring import MONITORING, Monitoring, alerts, free_port, needs, post, wait_until

controller = pytest.importorskip("aiosmtpd.controller", reason="aiosmtpd is not installed")
SECRETS = re.compile(r"(?i)(password|token|secret|bearer|credentials)\s*:\s*\S")

FASTER = 15.0
"""Alertmanager sends a second after the first alert, instead of 15 s."""


class Received:
    """Mails and webhook calls, as they arrive."""

    def __init__(self, port: int) -> None:
        self.mails: list[Any] = []
        self.calls: list[dict[str, Any]] = []
        self.smtp_port = free_port()
        self.smtp = controller.Controller(
            self,
            hostname="127.0.0.1",
            port=self.smtp_port,
            server_hostname="hub",  # else it asks a name server
        )
        received = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.calls.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                """Log nothing."""

        self.webhook = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.webhook.serve_forever, daemon=True).start()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"

    def close(self) -> None:
        self.smtp.stop()
        self.webhook.shutdown()
        self.webhook.server_close()

    def names(self, site: str) -> list[list[str]]:
        """Names of the alerts of each call for a site."""
        calls = [call for call in self.calls if call["groupLabels"] == {"site": site}]
        return [sorted(alert["labels"]["alertname"] for alert in call["alerts"]) for call in calls]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Monitoring, Received]]:
    smtp_port = 0
    made = Monitoring(tmp_path_factory.mktemp("alertmanager"), FASTER)
    with ExitStack() as stack:
        received = Received(made.ports["9095"])
        stack.callback(received.close)
        received.smtp.start()
        smtp_port = received.smtp_port
        settings = made.folder / "alertmanager.yml"
        settings.write_text(settings.read_text().replace("localhost:1", f"localhost:{smtp_port}"))
        stack.enter_context(made.alertmanager())
        yield made, received


def raised(name: str, site: str, door: str = "", **labels: str) -> dict[str, Any]:
    """Return an alert as Prometheus sends it, with texts of its rule; templates stay as they are."""
    rule = alerts()[name]
    named = {"alertname": name, "site": site, "severity": rule["labels"]["severity"], **labels}
    return {"labels": named | ({"door": door} if door else {}), "annotations": rule["annotations"]}


@needs("amtool")
def test_amtool_accepts_the_file() -> None:
    command = ["amtool", "check-config", str(MONITORING / "alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_holds_a_secret() -> None:
    for path in MONITORING.rglob("*.yml"):
        lines = [line.partition("#")[0] for line in path.read_text().splitlines()]
        assert [line for line in lines if SECRETS.search(line)] == [], path


@needs("prometheus-alertmanager")
def test_a_power_cut_of_forty_doors_is_one_message_with_one_alert(running: tuple[Monitoring, Received]) -> None:
    made, received = running
    doors = [raised("FmdDoorSilent", "mall", f"door-{n}") for n in range(40)]
    blind = [raised("FmdBlind", "mall", "door-3", camera="hall"), raised("FmdOutdated", "mall", "door-4")]
    post(made.address("9093") + "/api/v2/alerts", [*doors, *blind])
    post(made.address("9093") + "/api/v2/alerts", [raised("FmdSiteSilent", "mall")])
    wait_until(lambda: received.names("mall") and len(received.mails) >= 1)
    assert received.names("mall") == [["FmdSiteSilent"]]
    mail = received.mails[-1]
    assert mail["Subject"] == f"fmd mall: {alerts()['FmdSiteSilent']['annotations']['summary']}"
    assert mail.get_content_type() == "text/plain" or mail.is_multipart()
    assert alerts()["FmdSiteSilent"]["annotations"]["description"] in body(mail)


def body(mail: Any) -> str:
    part = next(part for part in mail.walk() if part.get_content_type() == "text/plain")
    return str(part.get_payload(decode=True).decode())


@needs("prometheus-alertmanager")
def test_a_cause_suppresses_what_follows_from_it(running: tuple[Monitoring, Received]) -> None:
    made, received = running
    sent = [
        *(raised(name, "kiosk", "silent") for name in ("FmdDoorSilent", "FmdBlind", "FmdOutdated", "FmdDiskFull")),
        *(raised(name, "kiosk", "frozen") for name in ("FmdFrozen", "FmdBlind", "FmdComplianceWithheld")),
        *(raised(name, "kiosk", "weak") for name in ("FmdUnderVoltage", "FmdThrottled", "FmdTooSlow")),
        *(raised(name, "kiosk", "full") for name in ("FmdDiskFull", "FmdRecordFailing", "FmdBlind")),
    ]
    post(made.address("9093") + "/api/v2/alerts", sent)
    wait_until(lambda: len(received.names("kiosk")) == 2)
    # What needs a visit within days is a message of its own, which is repeated more rarely.
    assert sorted(received.names("kiosk")) == [
        ["FmdBlind", "FmdDoorSilent", "FmdFrozen"],
        ["FmdDiskFull", "FmdUnderVoltage"],
    ]
    # The groups are apart: the other site has heard nothing of this.
    assert all("FmdFrozen" not in names for names in received.names("mall"))


@needs("prometheus-alertmanager")
def test_an_alert_that_is_over_is_reported_as_such(running: tuple[Monitoring, Received]) -> None:
    made, received = running
    alert = raised("FmdBlind", "shop", "front")
    post(made.address("9093") + "/api/v2/alerts", [alert])
    wait_until(lambda: received.names("shop"))
    ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
    post(made.address("9093") + "/api/v2/alerts", [alert | {"startsAt": "2026-01-01T00:00:00Z", "endsAt": ended}])
    wait_until(lambda: [mail for mail in received.mails if mail["Subject"].startswith("fmd shop: over: ")])


@needs("prometheus-alertmanager")
def test_the_heartbeat_reaches_no_person(running: tuple[Monitoring, Received]) -> None:
    made, received = running
    post(made.address("9093") + "/api/v2/alerts", [raised("FmdHubHeartbeat", ""), raised("FmdNoDoors", "")])
    wait_until(lambda: [call for call in received.calls if not call["groupLabels"].get("site")], PATIENCE_S)
    names = {alert["labels"]["alertname"] for call in received.calls for alert in call["alerts"]}
    assert "FmdNoDoors" in names
    assert "FmdHubHeartbeat" not in names


@needs("amtool")
def test_each_severity_has_its_route() -> None:
    def route(**labels: str) -> str:
        command = ["amtool", "config", "routes", "test", f"--config.file={MONITORING / 'alertmanager.yml'}"]
        command += [f"{name}={value}" for name, value in labels.items()]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert {severity: route(severity=severity) for severity in ("critical", "warning", "info", "heartbeat")} == {
        "critical": "people",
        "warning": "people",
        "info": "people",
        "heartbeat": "heartbeat",
    }


def test_every_alert_in_the_file_exists() -> None:
    named = set(re.findall(r"\bFmd\w+", Path(MONITORING / "alertmanager.yml").read_text()))
    assert named - set(alerts()) == set()
