"""Real mosquittos with the configuration that fmd ships, on ports and in folders of a test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edge import config
from edge.contracts import Message, MessageKind
from edge.drivers.mqtt import MqttPublisher
from edge.errors import PublishError
from tests.edge.parts import fmd, free_port, wait_for

mqtt = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
MOSQUITTO = shutil.which("mosquitto", path=PLACES)
PATIENCE_S = 30.0
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed: apt install mosquitto")
# Debian's own /etc/mosquitto/mosquitto.conf, with the folders of the test.
DEBIAN = """\
pid_file {root}/run/mosquitto/mosquitto.pid
persistence true
persistence_location {root}/var/lib/mosquitto/
log_dest file {root}/mosquitto.log
user root
include_dir {root}/etc/mosquitto/conf.d
"""


class HubMachine:
    """A machine that ``fmd enrol`` made a hub, with its mosquitto."""

    def __init__(self, root: Path) -> None:
        self.root, self.port, self._log = root, free_port(), root / "mosquitto.log"
        for folder in ("run/mosquitto", "var/lib/mosquitto", "out"):
            (root / folder).mkdir(parents=True)
        self.enrol("--broker", f"localhost:{self.port}")
        (root / "mosquitto.conf").write_text(DEBIAN.format(root=root))
        self.adapt("fmd.conf")
        self.start()

    def adapt(self, name: str, port: int = 0, instead: int = 0) -> None:
        """Give a shipped configuration folder and ports of the test; all else stays as shipped."""
        file = self.root / "etc/mosquitto/conf.d" / name
        text = file.read_text().replace("/etc/mosquitto/", f"{self.root}/etc/mosquitto/")
        text = text.replace("listener 8883", f"listener {self.port} localhost")
        file.write_text(text.replace(f"localhost:{port}", f"localhost:{instead}"))

    def enrol(self, *words: str | Path) -> str:
        """Run ``fmd enrol`` here; return what it prints."""
        done = fmd("enrol", *words, "--root", self.root, cwd=self.root / "out")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> None:
        self._log.unlink(missing_ok=True)
        command = [str(MOSQUITTO), "-c", str(self.root / "mosquitto.conf")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self._answers)

    def stop(self, how: int = signal.SIGTERM) -> None:
        self._process.send_signal(how)
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        # Its port answers earlier, before all listeners and bridges are set up.
        return self._log.is_file() and "running" in self._log.read_text()

    def folder(self, name: str) -> Path:
        """Return what the owner copies to a member."""
        return self.root / "out" / name


def password_in(folder: Path) -> str:
    """Return the password in the folder of a member; a site's is in its bridge."""
    if (file := folder / "mqtt-password").exists():
        return file.read_text().strip()
    return (folder / "fmd-bridge.conf").read_text().partition("\nremote_password ")[2].partition("\n")[0]


class Client:
    """Someone with the credentials in a folder. ``heard`` are topic, payload and retain; ``ended`` counts losses."""

    def __init__(self, hub: HubMachine, name: str, *topics: str, id_: str = "") -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self.ended = 0
        self.refused: list[Any] = []
        self.connected, self._ready = threading.Event(), threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=id_)
        self._client.username_pw_set(name, password_in(hub.folder(name)))
        self._client.tls_set(str(hub.root / "etc/mosquitto/fmd/ca.pem"))
        self._topics = topics
        self._client.on_connect, self._client.on_disconnect = self._on_connect, self._on_disconnect
        self._client.on_subscribe = lambda *rest: self._ready.set()
        self._client.on_message = lambda client, userdata, m: self.heard.append((m.topic, m.payload, m.retain))
        self._client.connect("localhost", hub.port)
        self._client.loop_start()
        wait_for(lambda: self.refused or (self._ready if topics else self.connected).is_set())

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self.refused.append(reason)
            return
        if self._topics:
            client.subscribe([(topic, 1) for topic in self._topics])
        self.connected.set()

    def _on_disconnect(self, *rest: Any) -> None:
        self.ended += 1

    def publish(self, topic: str, payload: str = "x", retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(PATIENCE_S)

    def on(self, topic: str) -> list[bytes]:
        return [payload for heard, payload, _ in list(self.heard) if heard == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def publisher_of(folder: Path, **changed: Any) -> MqttPublisher:
    """Return the product's own publisher with the settings that were enrolled, opened."""
    settings = config.load(folder / "fmd.toml", {f"mqtt.{key}": value for key, value in changed.items()})
    publisher = MqttPublisher(settings.mqtt, settings.publish.name, cameras=("front", "yard"))
    publisher.open()
    return publisher


def message(kind: MessageKind, camera: str = "", picture: bytes = b"", **values: Any) -> Message:
    content: Any = values
    return Message(kind, 1_800_000_000.25, camera, content, (lambda: picture) if picture else None)


def sends(publisher: MqttPublisher, one: Message) -> bool:
    try:
        publisher.send(one)
    except PublishError:
        return False
    return True


class Cable:
    """A connection to ``port`` of this machine, through a port of its own, that can be cut.

    A cut passes nothing on and ends nothing: both ends notice by themselves. Connections of before do not come back.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._whole = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.mend()

    def cut(self) -> None:
        self._whole.clear()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def mend(self) -> None:
        for ends in self._pairs:
            for end in ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        self._pairs.clear()
        self._whole.set()
        if self._server.fileno() < 0:
            self._server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = server.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    near.close()
                    continue
                self._pairs.append((near, far))
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._whole.wait()
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
