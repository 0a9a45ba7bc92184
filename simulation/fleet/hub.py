"""The hub of simulated doors: Debian's mosquitto, Prometheus and Alertmanager as child processes, in a folder."""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any

import yaml

from edge.commands import enrol as enrolment
from edge.errors import FmdError
from edge.hub.folder import AUTHORITY, PASSWORD
from simulation.fleet.reader import Access
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
FLEET = Path(__file__).parents[2] / "fleet"
"""Folder with the configuration of a real hub."""
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
    """A hub for ``doors``: name -> port of its metrics.

    A context manager: it starts all processes, and leaving it stops them.

    Its configuration is that of fleet/, with other folders and ports. ``every_s`` is another interval in which
    Prometheus reads doors and evaluates rules.
    """

    def __init__(self, folder: Path, doors: Mapping[str, int], ports: Ports, every_s: int | None = None) -> None:
        self.folder, self.doors, self.ports, self._every_s = folder, doors, ports, every_s
        self._etc, self._members = folder / "etc", folder / "members"
        self._pid = folder / "run" / "mosquitto" / "mosquitto.pid"
        self._pid.parent.mkdir(parents=True)
        self.mqtt_port, self.prometheus_port, self.alertmanager_port, webhook = (ports.take() for _ in range(4))
        self._write_broker()
        self._write_monitoring(webhook)
        self.webhook = Webhook(webhook)
        self.children = {child.name: child for child in self._children()}
        self._open = ExitStack()

    def __enter__(self) -> Hub:
        self._open.callback(self.ports.close)
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

    def settings_file(self, member: str) -> Path:
        """Return the settings that fmd enrol made for a door."""
        return self._members / member / "fmd.toml"

    def access(self, member: str) -> Access:
        """Return how a door, or the reader, connects."""
        folder = self._members / member
        return Access("localhost", self.mqtt_port, folder / AUTHORITY, member, folder / PASSWORD)

    def query(self, expression: str) -> list[tuple[Mapping[str, str], float]]:
        """Return labels and value of each series of a PromQL expression now."""
        answer = self.ask("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        return [(found["metric"], float(found["value"][1])) for found in answer["data"]["result"]]

    def ask(self, path: str, method: str = "GET") -> Any:
        """Return the JSON answer of Prometheus. Raises HubError without one."""
        return json.loads(self._answer(path, method))

    def metrics(self) -> dict[str, float]:
        """Return Prometheus' metrics about itself; those with labels are summed. Raises HubError without an answer."""
        return totals(self._answer("/metrics").decode())

    def blocks(self, folder: Path) -> list[Any]:
        """Return the description of each block of Prometheus' data in a folder."""
        return [json.loads(file.read_text()) for file in sorted(folder.glob("*/meta.json"))]

    def connections(self) -> int:
        """Return the number of connections to the broker, from any place."""
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        return sum(is_established(line, self.mqtt_port) for line in lines)

    def readings(self) -> dict[str, Reading]:
        """Return processor time and memory of each process."""
        return {name: read(child.pid) for name, child in self.children.items()}

    def _answer(self, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(self.pages["prometheus"] + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=READY_S) as answer:
                return bytes(answer.read())
        except OSError as error:
            raise HubError(f"prometheus gives no answer ({error}); too many doors for this machine?") from error

    def _children(self) -> list[Child]:
        folder, pages = self.folder, self.pages
        broker = [program("mosquitto"), "-c", str(folder / "mosquitto.conf")]
        prometheus = [
            program("prometheus"),
            f"--config.file={self._etc / 'prometheus' / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.prometheus_port}",
            "--web.enable-admin-api",  # snapshots, which show the size of a finished block
        ]
        alertmanager = [
            program("alertmanager"),
            f"--config.file={self._etc / 'prometheus' / 'alertmanager.yml'}",
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
        """Enrol the doors, each with the port at which Prometheus reads it, and write what Debian's package sets."""
        self._members.mkdir()
        enrol(self.folder, "--broker", f"localhost:{self.mqtt_port}")
        enrol(self.folder, READER, "--reader", "--out", str(self._members / READER))
        for door, port in self.doors.items():
            place = ["--site", site_of(door), "--address", f"127.0.0.1:{port}"]
            enrol(self.folder, door, *place, "--out", str(self._members / door))
        places = {"/etc/mosquitto/": f"{self._etc}/mosquitto/", "listener 8883": f"listener {self.mqtt_port}"}
        fleets = replaced((self._etc / "mosquitto" / "conf.d" / "fmd.conf").read_text(encoding="utf-8"), places)
        debians = ["user root", "persistence true", f"persistence_location {self.folder}/", f"pid_file {self._pid}"]
        (self.folder / "mosquitto.conf").write_text("\n".join([*debians, fleets]), encoding="utf-8")

    def _write_monitoring(self, webhook: int) -> None:
        """Write fleet/prometheus for these folders and ports."""
        source, made = FLEET / "prometheus", self._etc / "prometheus"
        shutil.copytree(source / "rules", made / "fmd" / "rules")
        places = {
            "/etc/": f"{self._etc}/",
            "127.0.0.1:9090": f"127.0.0.1:{self.prometheus_port}",
            "127.0.0.1:9093": f"127.0.0.1:{self.alertmanager_port}",
        }
        prometheus = replaced((source / "prometheus.yml").read_text(encoding="utf-8"), places)
        (made / "prometheus.yml").write_text(timed(prometheus, self._every_s), encoding="utf-8")
        here = {"127.0.0.1:9095": f"127.0.0.1:{webhook}"}
        alertmanager = replaced((source / "alertmanager.yml").read_text(encoding="utf-8"), here)
        (made / "alertmanager.yml").write_text(without_mail(alertmanager), encoding="utf-8")


def replaced(text: str, places: Mapping[str, str]) -> str:
    """Return a configuration with other places. Raises HubError if it names one of them no more."""
    for place, other in places.items():
        if place not in text:
            raise HubError(f"{FLEET}: expected {place} in a configuration; change {__name__} with it")
        text = text.replace(place, other)
    return text


def timed(prometheus: str, every_s: int | None) -> str:
    """Return Prometheus' configuration with another interval of scrapes and evaluations; None leaves it."""
    if every_s is None:
        return prometheus
    config = yaml.safe_load(prometheus)
    every = f"{every_s}s"
    config["global"] |= {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
    return str(yaml.safe_dump(config))


def without_mail(alertmanager: str) -> str:
    """Return Alertmanager's configuration without receivers of mail: this machine has no mail server."""
    config = yaml.safe_load(alertmanager)
    for receiver in config["receivers"]:
        receiver.pop("email_configs", None)
    return str(yaml.safe_dump(config))


def enrol(root: Path, *options: str) -> None:
    """Run ``fmd enrol`` for the hub below ``root``, in this process: a thousand starts would take minutes."""
    parser = argparse.ArgumentParser()
    enrolment.add_options(parser)
    with redirect_stdout(io.StringIO()):
        enrolment.run(parser.parse_args([*options, "--root", str(root)]))


def totals(text: str) -> dict[str, float]:
    """Return the metrics of a text in Prometheus' format by name, summed over labels."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rpartition(" ")[::2]
            name = name.partition("{")[0]
            found[name] = found.get(name, 0.0) + float(value)
    return found


def is_established(line: str, port: int) -> bool:
    """Return whether a line of /proc/net/tcp is an open connection to a local port."""
    _, local, _, state, *_ = line.split()
    return state == "01" and int(local.rpartition(":")[2], 16) == port


def site_of(door: str) -> str:
    """Return the site of a simulated door: ten doors each."""
    return f"site-{int(door.rpartition('-')[2]) // 10:02d}"


def _connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), READY_S).close()


def _get(address: str) -> None:
    urllib.request.urlopen(address, timeout=READY_S).close()
