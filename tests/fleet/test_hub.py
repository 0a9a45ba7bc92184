"""A hub with the shipped files, ten times faster, and doors: a real `fmd run`, and metrics servers of the product."""

from __future__ import annotations

import re
import shutil
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edge.contracts import CameraState, Health
from tests.edge.parts import environment, free_port
from tests.fleet.monitoring import Monitoring, Received, SimulatedDoor, answer, needs, started, wait_until

pytestmark = needs("prometheus", "prometheus-alertmanager")
FASTER = 10.0
REAL = "real"
"""Name of the door that is a whole `fmd run`."""
EMPTY = ("ALERTS", "== 1")
"""Parts of queries that have no result for a healthy door."""


class HostileDoor(BaseHTTPRequestHandler):
    """Serves values of the hub's own rules, and claims to be another door."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        lines = ["fleet:version_number:median 1", 'door:up:max{door="front",site="mall"} 0', "up 0"]
        self.wfile.write("\n".join([*lines, 'fmd_armed{door="front",site="mall"} 0', ""]).encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""


@dataclass
class Hub:
    monitoring: Monitoring
    received: Received
    front: SimulatedDoor


def write_door(folder: Path, name: str, port: int) -> None:
    door = f'[{{"targets": ["127.0.0.1:{port}"], "labels": {{"door": "{name}", "site": "mall"}}}}]'
    (folder / f"{name}.json").write_text(door)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    with ExitStack() as stack:
        received = Received()
        stack.callback(received.close)
        made = Monitoring(folder, FASTER, free_port(), received.port)
        doors = [SimulatedDoor("front"), SimulatedDoor("back"), SimulatedDoor("kiosk", "station")]
        for door in doors:
            door.write(made.doors)
            stack.callback(door.server.close)
        hostile = ThreadingHTTPServer(("127.0.0.1", 0), HostileDoor)
        threading.Thread(target=hostile.serve_forever, daemon=True).start()
        stack.callback(hostile.shutdown)
        write_door(made.doors, "hostile", hostile.server_port)
        write_door(made.doors, REAL, port := free_port())
        for name in ("runtime", "state"):
            (folder / name).mkdir()
        set_ = [f"--set=metrics.port={port}", "--set=camera.live=true", "--set=alert.driver=console"]
        set_ += ["--set=mqtt.host=127.0.0.1", f"--set=mqtt.port={free_port()}", "--set=mqtt.discovery=false"]
        command = [sys.executable, "-m", "edge", "run", "--source=doorway", "--set=camera.loop=true", *set_]
        command += [f"--runtime={folder / 'runtime'}", f"--state={folder / 'state'}"]
        stack.enter_context(started(folder / "fmd.log", *command, env=environment()))
        if shutil.which("victoria-metrics"):
            stack.enter_context(made.victoria_metrics())
        for program in (made.alertmanager, made.prometheus):
            stack.enter_context(program())
        wait_until(
            lambda: made.query(f'fmd_passages_total{{door="{REAL}"}} and on (site, door) door:late_seconds:p95_5m'), 60
        )
        yield Hub(made, received, doors[0])


def test_each_rule_is_evaluated_without_an_error(hub: Hub) -> None:
    groups = answer(hub.monitoring.address("9090") + "/api/v1/rules")["data"]["groups"]
    found = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    # What is evaluated every five minutes may still be unknown.
    assert set(found.values()) <= {"ok", "unknown"}, found
    assert [name for name, health in found.items() if health == "ok"][30:]


def test_a_real_door_is_read_and_differs_from_the_simulated_ones(hub: Hub) -> None:
    assert hub.monitoring.query(f'fmd_frames_total{{door="{REAL}"}}')[0][1] > 0
    # It runs the version of this checkout and the shipped models; the broker in its settings does not exist.
    wanted = {"FmdOutdated", "FmdModelDiffers", "FmdMessagesFailing"}
    firing = f'ALERTS{{alertstate="firing",door="{REAL}"}}'
    wait_until(lambda: wanted <= {labels["alertname"] for labels, _ in hub.monitoring.query(firing)})
    # A busy machine may read the others too late, which is another alert.
    others = hub.monitoring.query('ALERTS{alertstate="firing",door="kiosk"}')
    assert wanted & {labels["alertname"] for labels, _ in others} == set()


def filled_in(expression: str, door: str) -> str:
    """Return a query of a dashboard as Grafana sends it."""
    plain = expression.replace('=~"$site"', '=~".*"').replace("$site", "mall").replace("$door", door)
    plain = plain.replace("$__rate_interval", "1m")
    assert "$" not in plain, plain
    return plain


def test_every_query_of_the_dashboards_answers(hub: Hub) -> None:
    sdk = pytest.importorskip("fleet.grafana.content", reason="grafana-foundation-sdk needs Python 3.11")
    empty = []
    for name, dashboard in sdk.DASHBOARDS.items():
        for query in (q for section in dashboard.sections for panel in section.panels for q in panel.queries):
            # Where a real door on a PC has no value, as of its voltage, a simulated one has it.
            found = [hub.monitoring.query(filled_in(query.expression, door)) for door in (REAL, "front")]
            if not any(found) and not any(part in query.expression for part in EMPTY):
                empty.append((name, query.expression))
    assert empty == []
    for variables in (dashboard.variables for dashboard in sdk.DASHBOARDS.values()):
        for _, _, query, _ in variables:
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()  # type: ignore[union-attr]
            matched = urllib.parse.quote(filled_in(series, REAL))
            address = hub.monitoring.address("9090") + f"/api/v1/label/{label}/values?match[]={matched}"
            assert len(answer(address)["data"]) > 1


@needs("victoria-metrics")
def test_victoria_metrics_answers_from_what_prometheus_sent(hub: Hub) -> None:
    wait_until(lambda: hub.monitoring.query(f'fmd_frames_total{{door="{REAL}",hub="hub"}} > 0', "8428"))
    wait_until(lambda: hub.monitoring.query("door:late_seconds:p95_5m", "8428"))
    for left_out in ("fmd_late_seconds_bucket", "fmd_stage_seconds_total"):
        assert hub.monitoring.query(left_out)
        assert hub.monitoring.query(left_out, "8428") == []


def test_a_door_cannot_add_values_of_the_hub_or_of_another_door(hub: Hub) -> None:
    assert [value for _, value in hub.monitoring.query("fleet:version_number:median")] == [1_002_003]
    assert wait_until(lambda: hub.monitoring.query('door:up:max{door="front"} == 1'))
    assert hub.monitoring.query('door:armed:max{door="front"}')[0][1] == 1
    assert hub.monitoring.query('door:armed:max{door="hostile"}')[0][1] == 0


def test_a_blind_door_is_reported_in_words(hub: Hub) -> None:
    hub.front.camera.add_health(Health("", CameraState.LOST, 1.0))
    sent: dict[str, Any] = wait_until(lambda: hub.received.alert("FmdBlind", door="front"), 30)
    assert sent["annotations"]["summary"] == "front at mall sees nothing"
    assert sent["labels"] | {"severity": "critical", "site": "mall", "hub": "hub"} == sent["labels"]


def test_a_broken_file_of_a_door_is_reported_and_the_other_doors_stay(hub: Hub) -> None:
    (hub.monitoring.doors / "broken.json").write_text("[{")
    wait_until(lambda: hub.received.alert("FmdDoorFileBroken"), 30)
    assert len(hub.monitoring.query("door:up:max")) == 5
