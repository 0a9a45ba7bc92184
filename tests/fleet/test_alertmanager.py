"""Alertmanager with the shipped file: what is grouped, what is suppressed, and what people read."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from tests.edge.parts import PATIENCE_S, free_port
from tests.fleet.monitoring import MONITORING, Monitoring, Received, alerts, needs, post, wait_until

controller = pytest.importorskip("aiosmtpd.controller", reason="aiosmtpd is not installed")
SECRETS = re.compile(r"(?i)(password|token|secret|bearer|credentials)\s*:\s*\S")

FASTER = 15.0
"""Alertmanager sends a second after the first alert, instead of 15 s."""


class ReceivedMail(Received):
    """Mails as well, as they arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Any] = []
        self.smtp_port = free_port()
        # With a name of its own, else it asks a name server.
        self.smtp = controller.Controller(self, hostname="127.0.0.1", port=self.smtp_port, server_hostname="hub")
        self.smtp.start()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"

    def close(self) -> None:
        self.smtp.stop()
        super().close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Monitoring, ReceivedMail]]:
    with ExitStack() as stack:
        received = ReceivedMail()
        stack.callback(received.close)
        made = Monitoring(tmp_path_factory.mktemp("alertmanager"), FASTER, received.smtp_port, received.port)
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
def test_a_power_cut_of_forty_doors_is_one_message_with_one_alert(running: tuple[Monitoring, ReceivedMail]) -> None:
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
def test_a_cause_suppresses_what_follows_from_it(running: tuple[Monitoring, ReceivedMail]) -> None:
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
def test_an_alert_that_is_over_is_reported_as_such(running: tuple[Monitoring, ReceivedMail]) -> None:
    made, received = running
    alert = raised("FmdBlind", "shop", "front")
    post(made.address("9093") + "/api/v2/alerts", [alert])
    wait_until(lambda: received.names("shop"))
    ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
    post(made.address("9093") + "/api/v2/alerts", [alert | {"startsAt": "2026-01-01T00:00:00Z", "endsAt": ended}])
    wait_until(lambda: [mail for mail in received.mails if mail["Subject"].startswith("fmd shop: over: ")])


@needs("prometheus-alertmanager")
def test_the_heartbeat_reaches_no_person(running: tuple[Monitoring, ReceivedMail]) -> None:
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
