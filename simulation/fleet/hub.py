"""The hub of simulated doors: Debian's mosquitto, Prometheus and Alertmanager as child processes, in a folder."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edge.errors import FmdError
from simulation.fleet.usage import Ports, Reading, read
from simulation.fleet.webhook import Webhook

PROGRAMS = {
    "mosquitto": "mosquitto",
    "prometheus": "prometheus",
    "alertmanager": "prometheus-alertmanager",
}
"""Name of each process -> program of the Debian package of the same name."""
READY_S = 30.0
STOP_S = 10.0
EVERY_S = 10
READER = "reader"
"""User of the broker who reads all topics."""


class HubError(FmdError):
    """A program of the hub is missing, or does not start."""


def program(name: str) -> str:
    """Return the path of a program. Raises HubError if it is not installed."""
    found = shutil.which(PROGRAMS[name], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise HubError(
            f"{PROGRAMS[name]} is not installed: sudo apt install mosquitto prometheus prometheus-alertmanager"
        )
    return found


class Child:
    """One process of the hub; its output goes to a file. It ends with this process, however that ends."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, ready: Callable[[], object]) -> None:
        self.name, self._command, self.log, self._ready = name, command, folder / f"{name}.log", ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of a started process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the process and wait until it answers. Raises HubError with its last lines if it does not."""
        with self.log.open("ab") as log:
            # Without it a kill of the command would leave the process behind.
            death = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
            self._process = subprocess.Popen(
                [*death, *self._command], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        until_s = time.monotonic() + READY_S
        while self._process.poll() is None and time.monotonic() < until_s:
            try:
                self._ready()
            except OSError:
                time.sleep(0.05)
            else:
                return
        self.stop()
        raise HubError(f"{self.name} does not start: {self.log.read_text(errors='replace')[-500:]}")

    def stop(self) -> None:
        """Stop the process as systemctl does."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Hub:
    """A hub for ``doors``, by name. A context manager: it starts all processes, and leaving it stops them.

    ``every_s`` is the interval in which Prometheus reads doors and evaluates rules.
    """

    def __init__(self, folder: Path, doors: Sequence[str], ports: Ports, every_s: int = EVERY_S) -> None:
        self.folder, self.doors, self._every_s = folder, doors, every_s
        self._targets = folder / "doors"
        self._targets.mkdir()
        self.mqtt_port, self.prometheus_port, self.alertmanager_port, webhook = (ports.take() for _ in range(4))
        self.webhook = Webhook(webhook)
        self._write_broker()
        self._write_monitoring(webhook)
        self.children = {child.name: child for child in self._children()}
        self._open = ExitStack()

    def __enter__(self) -> Hub:
        self._open.callback(self.webhook.close)
        with ExitStack() as stack:
            for child in self.children.values():
                child.start()
                stack.callback(child.stop)
            self._open.push(stack.pop_all())
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    @property
    def pages(self) -> dict[str, str]:
        """Addresses for a browser."""
        return {
            "prometheus": f"http://127.0.0.1:{self.prometheus_port}",
            "alertmanager": f"http://127.0.0.1:{self.alertmanager_port}",
        }

    def settings_of(self, door: str) -> dict[str, Any]:
        """Return the settings with which a door publishes here."""
        return {
            "mqtt.host": "localhost",
            "mqtt.port": self.mqtt_port,
            "mqtt.tls": True,
            "mqtt.ca_file": str(self.folder / "ca.pem"),
            "mqtt.username": door,
            "mqtt.password_file": str(self.folder / "passwords" / door),
            "mqtt.discovery": False,
        }

    def scrape(self, door: str, port: int) -> None:
        """Let Prometheus read the metrics of a door."""
        found = [{"targets": [f"127.0.0.1:{port}"], "labels": {"door": door, "site": site_of(door)}}]
        temporary = self._targets / f"{door}.new"
        temporary.write_text(json.dumps(found))
        temporary.replace(self._targets / f"{door}.json")

    def query(self, expression: str) -> list[tuple[Mapping[str, str], float]]:
        """Return labels and value of each series of a PromQL expression now."""
        answer = self.ask("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        return [(found["metric"], float(found["value"][1])) for found in answer["data"]["result"]]

    def ask(self, path: str, method: str = "GET") -> Any:
        """Return the JSON answer of Prometheus."""
        request = urllib.request.Request(self.pages["prometheus"] + path, method=method)
        with urllib.request.urlopen(request, timeout=READY_S) as answer:
            return json.load(answer)

    def readings(self) -> dict[str, Reading]:
        """Return processor time and memory of each process."""
        return {name: read(child.pid) for name, child in self.children.items()}

    def _children(self) -> list[Child]:
        folder, pages = self.folder, self.pages
        broker = [program("mosquitto"), "-c", str(folder / "mosquitto.conf")]
        prometheus = [
            program("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.prometheus_port}",
            "--web.enable-admin-api",  # snapshots, which show the size of a finished block
        ]
        alertmanager = [
            program("alertmanager"),
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alerts'}",
            f"--web.listen-address=127.0.0.1:{self.alertmanager_port}",
            "--cluster.listen-address=",
        ]
        return [
            Child("mosquitto", broker, folder, lambda: _connect(self.mqtt_port)),
            Child("alertmanager", alertmanager, folder, lambda: _get(pages["alertmanager"] + "/-/ready")),
            Child("prometheus", prometheus, folder, lambda: _get(pages["prometheus"] + "/-/ready")),
        ]

    def _write_broker(self) -> None:
        folder = self.folder
        (folder / "passwords").mkdir(mode=0o700)
        users = {name: secrets.token_urlsafe(18) for name in (*self.doors, READER)}
        for name, password in users.items():
            (folder / "passwords" / name).write_text(password)
            (folder / "passwords" / name).chmod(0o600)
        (folder / "users").write_text("".join(f"{name}:{password}\n" for name, password in users.items()))
        subprocess.run(["mosquitto_passwd", "-U", str(folder / "users")], check=True)
        (folder / "acl").write_text(f"pattern readwrite fmd/%u/#\nuser {READER}\ntopic read #\ntopic read $SYS/#\n")
        openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"]
        openssl += ["-keyout", str(folder / "server.key"), "-out", str(folder / "ca.pem")]
        subprocess.run(openssl, check=True, capture_output=True)
        lines = [
            f"listener {self.mqtt_port} 127.0.0.1",
            f"certfile {folder / 'ca.pem'}",
            f"keyfile {folder / 'server.key'}",
            f"password_file {folder / 'users'}",
            f"acl_file {folder / 'acl'}",
            "allow_anonymous false",
            "user root",
        ]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def _write_monitoring(self, webhook: int) -> None:
        found = {"files": [f"{self._targets}/*.json"], "refresh_interval": "5s"}
        config = {
            "global": {"scrape_interval": f"{self._every_s}s", "evaluation_interval": f"{self._every_s}s"},
            "scrape_configs": [{"job_name": "fmd", "file_sd_configs": [found]}],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{self.alertmanager_port}"]}]}]},
        }
        # JSON is YAML as well.
        (self.folder / "prometheus.yml").write_text(json.dumps(config))
        receiver = {"name": "fmd", "webhook_configs": [{"url": f"http://127.0.0.1:{webhook}/"}]}
        alerts = {"route": {"receiver": "fmd"}, "receivers": [receiver]}
        (self.folder / "alertmanager.yml").write_text(json.dumps(alerts))


def site_of(door: str) -> str:
    """Return the site of a simulated door: ten doors each."""
    return f"site-{int(door.rpartition('-')[2]) // 10:02d}"


def _connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), READY_S).close()


def _get(address: str) -> None:
    urllib.request.urlopen(address, timeout=READY_S).close()
