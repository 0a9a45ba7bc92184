"""Parts of the tests of monitoring: the shipped configuration on free ports, in a folder, and on a faster clock."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
from tests.edge.parts import PATIENCE_S, ROOT

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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def needs(*programs: str) -> pytest.MarkDecorator:
    """Return the mark of tests that need programs of Debian packages."""
    missing = [name for name in programs if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {' '.join(missing)}")


def rules() -> list[dict[str, Any]]:
    """Return every rule of the shipped files."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


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
def started(log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.terminate()


class SimulatedDoor:
    """The product's own metrics server, with readings that a test changes."""

    def __init__(self, name: str, site: str = "mall") -> None:
        self.name, self.site = name, site
        self.camera = CameraCounters(frames=100, state=CameraState.STREAMING, frame_s=1.0, stage_s={"detect": 1.0})
        self.camera.passages["violated"] = self.camera.decisions["violation"] = 1
        self.version, self.classifier = "1.2.3", "a1"
        self.server = MetricsServer(config.load(None, {}).metrics, self._snapshot)
        self.port = self.server.port

    def write(self, folder: Path) -> None:
        """Write the file by which Prometheus discovers this door."""
        found = [{"targets": [f"127.0.0.1:{self.port}"], "labels": {"door": self.name, "site": self.site}}]
        (folder / f"{self.name}.json").write_text(json.dumps(found))

    def _snapshot(self) -> MetricsSnapshot:
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


class Monitoring:
    """Prometheus and Alertmanager with the shipped files, ``by`` times faster. ``doors`` is the folder of doors."""

    def __init__(self, folder: Path, by: float, smtp_port: int = 1) -> None:
        self.folder, self.doors = folder, folder / "doors"
        self.doors.mkdir()
        (folder / "rules").mkdir()
        self.ports = {name: free_port() for name in ("9090", "9093", "9095", "8428")}
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
    def prometheus(self) -> Iterator[None]:
        command = ["prometheus", f"--config.file={self.folder / 'prometheus.yml'}"]
        command += [
            f"--storage.tsdb.path={self.folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.ports['9090']}",
        ]
        with started(self.folder / "prometheus.log", *command):
            wait_until(lambda: urllib.request.urlopen(self.address("9090") + "/-/ready", timeout=10))
            yield

    @contextmanager
    def alertmanager(self) -> Iterator[None]:
        command = ["prometheus-alertmanager", f"--config.file={self.folder / 'alertmanager.yml'}"]
        command += [f"--storage.path={self.folder / 'am'}", f"--web.listen-address=127.0.0.1:{self.ports['9093']}"]
        with started(self.folder / "alertmanager.log", *command, "--cluster.listen-address="):
            wait_until(lambda: urllib.request.urlopen(self.address("9093") + "/-/ready", timeout=10))
            yield

    @contextmanager
    def victoria_metrics(self) -> Iterator[None]:
        command = ["victoria-metrics", f"-storageDataPath={self.folder / 'vm'}"]
        command += [f"-httpListenAddr=127.0.0.1:{self.ports['8428']}", "-retentionPeriod=2y"]
        with started(self.folder / "vm.log", *command):
            wait_until(lambda: urllib.request.urlopen(self.address("8428") + "/health", timeout=10))
            yield

    def query(self, expression: str, of: str = "9090") -> list[tuple[Mapping[str, str], float]]:
        """Return labels and value of each series now."""
        data = answer(self.address(of) + "/api/v1/query", query=expression)["data"]
        return [(found["metric"], float(found["value"][1])) for found in data["result"]]
