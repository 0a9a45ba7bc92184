"""Parts of the tests of monitoring: the shipped configuration on free ports, in a folder, and on a faster clock."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge import config
from edge.board import Board
from edge.contracts import CameraState
from edge.drivers.metrics import MetricsServer
from edge.messages import ArmingMessage, BuildMessage, DriftMessage
from edge.reporting.live_state import CameraCounters
from edge.reporting.metrics import MetricsSnapshot, ServiceReadings
from tests.edge.parts import PATIENCE_S, ROOT, free_port

FLEET = ROOT / "fleet"
MONITORING = FLEET / "prometheus"
RULES = sorted((MONITORING / "rules").glob("*.yml"))
RULE_TESTS = sorted(FLEET.glob("*test*.yml"))
DURATIONS = {"scrape_interval", "scrape_timeout", "evaluation_interval", "refresh_interval"} | {
    "group_wait",
    "group_interval",
    "interval",
    "for",
    "keep_firing_for",
    "batch_send_deadline",
}
"""Keys whose values are durations that a faster clock shortens."""
UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def needs(*programs: str) -> pytest.MarkDecorator:
    """Return the mark of tests that need programs of Debian packages."""
    missing = [name for name in programs if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {' '.join(missing)}")


@cache
def rules() -> list[dict[str, Any]]:
    """Return every rule of the shipped files."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


@cache
def alerts() -> dict[str, dict[str, Any]]:
    """Return every alert rule by its name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def milliseconds(text: str) -> int:
    """Return a duration of Prometheus, such as 1h30m."""
    return sum(int(number) * UNITS_MS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhd])", text))


def metric_names(expression: str) -> set[str]:
    """Return the names of metrics and recorded values in a PromQL expression."""
    plain = re.sub(r'"[^"]*"', '""', expression)
    without_labels = re.sub(r"\{[^}]*\}|\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", " ", plain)
    found = re.findall(r"(?<![\w:$])[a-zA-Z_:][\w:]*(?![\w:]*\s*\()", re.sub(r"\[[^]]*\]", "", without_labels))
    return {name for name in found if "_" in name or ":" in name or name == "up"}


def faster(content: Any, by: float, replaced: Mapping[str, str]) -> Any:
    """Return settings with durations divided by ``by`` and with parts of texts replaced."""
    if isinstance(content, dict):
        return {
            key: f"{max(1, round(milliseconds(value) / by))}ms" if key in DURATIONS else faster(value, by, replaced)
            for key, value in content.items()
        }
    if isinstance(content, list):
        return [faster(value, by, replaced) for value in content]
    if isinstance(content, str):
        for old, new in replaced.items():
            content = content.replace(old, new)
    return content


def write_faster(path: Path, text: str, by: float, replaced: Mapping[str, str]) -> None:
    path.write_text(yaml.safe_dump(faster(yaml.safe_load(text), by, replaced), sort_keys=False))


def answer(address: str, **query: str) -> Any:
    """Return the JSON that a GET request gives."""
    with urllib.request.urlopen(f"{address}?{urllib.parse.urlencode(query)}" if query else address, timeout=10) as got:
        return json.load(got)


def post(address: str, content: object) -> None:
    request = urllib.request.Request(address, json.dumps(content).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


def wait_until(seen: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Return the first true value of ``seen``; fail without one."""
    until_s = time.monotonic() + patience_s
    while time.monotonic() < until_s:
        try:
            if found := seen():
                return found
        except OSError:
            pass
        time.sleep(0.05)
    pytest.fail(f"not seen within {patience_s:g} s: {seen()!r}")


@contextmanager
def started(log: Path, *command: str, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, env=env) as process:
        try:
            yield process
        finally:
            process.kill()  # nothing that it stores is needed again


class SimulatedDoor:
    """The product's own metrics server, with readings that a test changes."""

    def __init__(self, name: str, site: str = "mall") -> None:
        self.name, self.site = name, site
        self.camera = CameraCounters(frames=100, state=CameraState.STREAMING, frame_s=1.0, stage_s={"detect": 1.0})
        self.camera.passages.update(violated=1, compliant=3)
        self.camera.decisions.update(violation=1)
        self.version, self.classifier = "1.2.3", "a1"
        self.server = MetricsServer(config.load(None, {}).metrics, self._snapshot)
        self.port = self.server.port

    def write(self, folder: Path) -> None:
        """Write the file by which Prometheus discovers this door."""
        found = [{"targets": [f"127.0.0.1:{self.port}"], "labels": {"door": self.name, "site": self.site}}]
        (folder / f"{self.name}.json").write_text(json.dumps(found))

    def _snapshot(self) -> MetricsSnapshot:
        self.camera.passages["compliant"] += 1
        throttled = {"under_voltage": False, "throttled": False, "under_voltage_occurred": False}
        return MetricsSnapshot(
            cameras={"": self.camera},
            board=Board(2 * 10**8, 50.0, throttled, 10**10, 3 * 10**10),
            uptime_s=100.0,
            frame_age_s={"": 0.1},
            outboxes={"mqtt": dict.fromkeys(("sent", "failed", "dropped", "waiting", "failing"), 0)},
            arming=ArmingMessage(armed=True, source="default"),
            wall=time.time(),
            build=BuildMessage(self.version, "mask", self.classifier, "d1", "s1", "Pi 5", "Debian"),
            service=ServiceReadings(record_failing=False, record_lost=0),
            hinted={("", "turn"): False},
            drifts={"": DriftMessage()},
        )


@cache
def served_names() -> frozenset[str]:
    """Return the names of all metrics that the product serves on a Raspberry Pi."""
    door = SimulatedDoor("front")
    with urllib.request.urlopen(f"http://127.0.0.1:{door.port}/metrics", timeout=10) as got:
        text = got.read().decode()
    door.server.close()
    return frozenset(re.findall(r"^(\w+)[{ ]", text, re.MULTILINE))


class Received:
    """Calls of Alertmanager's webhook, as they arrive."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        received = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.calls.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def names(self, site: str) -> list[list[str]]:
        """Names of the alerts of each call for a site."""
        calls = [call for call in self.calls if call["groupLabels"] == {"site": site}]
        return [sorted(alert["labels"]["alertname"] for alert in call["alerts"]) for call in calls]

    def alert(self, name: str, **labels: str) -> dict[str, Any] | None:
        """Return the first alert of this name, and with these labels, that has arrived."""
        wanted = {"alertname": name, **labels}.items()
        alerts = (alert for call in self.calls for alert in call["alerts"])
        return next((alert for alert in alerts if wanted <= alert["labels"].items()), None)


class Monitoring:
    """Prometheus and Alertmanager with the shipped files, ``by`` times faster. ``doors`` is the folder of doors."""

    def __init__(self, folder: Path, by: float, smtp_port: int, webhook_port: int) -> None:
        self.folder, self.doors = folder, folder / "doors"
        self.doors.mkdir()
        (folder / "rules").mkdir()
        self.ports = {name: free_port() for name in ("9090", "9093", "8428")} | {"9095": webhook_port}
        replaced = {f"127.0.0.1:{name}": f"127.0.0.1:{port}" for name, port in self.ports.items()}
        replaced |= {"/etc/prometheus/fmd": str(folder), "localhost:25": f"localhost:{smtp_port}"}
        text = (MONITORING / "prometheus.yml").read_text() + (MONITORING / "remote-write.yml").read_text()
        write_faster(folder / "prometheus.yml", text, by, replaced)
        write_faster(folder / "alertmanager.yml", (MONITORING / "alertmanager.yml").read_text(), by, replaced)
        for path in RULES:
            write_faster(folder / "rules" / path.name, path.read_text(), by, replaced)

    def address(self, name: str) -> str:
        """Return the address of the program that listens on this port in the shipped files."""
        return f"http://127.0.0.1:{self.ports[name]}"

    @contextmanager
    def running(self, program: str, ready: str, port: str, *more: str) -> Iterator[None]:
        """Run a program with the arguments of its file in default/, on its free port and in this folder."""
        text = (MONITORING / "default" / program).read_text()
        arguments = re.search(r'^ARGS="(.*)"$', text, re.MULTILINE)
        assert arguments, program
        places = {f"127.0.0.1:{port}": f"127.0.0.1:{self.ports[port]}", "/etc/prometheus": str(self.folder)}
        places |= {"/var/lib": str(self.folder / "data"), "Offset=5s": "Offset=0s"}
        command = [program, *faster(arguments[1].split(), 1, places), *more]
        with started(self.folder / f"{program}.log", *command):
            wait_until(lambda: urllib.request.urlopen(self.address(port) + ready, timeout=10))
            yield

    def prometheus(self) -> AbstractContextManager[None]:
        config = f"--config.file={self.folder / 'prometheus.yml'}"
        return self.running("prometheus", "/-/ready", "9090", config, f"--storage.tsdb.path={self.folder / 'tsdb'}")

    def alertmanager(self) -> AbstractContextManager[None]:
        data = f"--storage.path={self.folder / 'alerts'}"
        return self.running("prometheus-alertmanager", "/-/ready", "9093", data)

    def victoria_metrics(self) -> AbstractContextManager[None]:
        return self.running("victoria-metrics", "/health", "8428")

    def query(self, expression: str, of: str = "9090") -> list[tuple[Mapping[str, str], float]]:
        """Return labels and value of each series now."""
        data = answer(self.address(of) + "/api/v1/query", query=expression)["data"]
        return [(found["metric"], float(found["value"][1])) for found in data["result"]]
