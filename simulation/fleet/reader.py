"""A reader of all topics of the hub's broker, with the times at which messages arrive."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

CONNECT_S = 15.0


@dataclass(frozen=True)
class Access:
    """How to connect to the broker as one user; the first line of ``password_file`` is the password."""

    host: str
    port: int
    ca_file: Path
    user: str
    password_file: Path

    def connect(self, topics: Sequence[str], on_message: Callable[[mqtt.MQTTMessage], None]) -> mqtt.Client:
        """Return a connected client, which has subscribed to ``topics``. Raises TimeoutError without an answer."""
        client, ready = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self.user), threading.Event()
        password = self.password_file.read_text(encoding="utf-8").partition("\n")[0]
        client.username_pw_set(self.user, password)
        client.tls_set(ca_certs=str(self.ca_file))
        client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in topics])
        client.on_subscribe = lambda *_: ready.set()
        client.on_message = lambda client, userdata, message: on_message(message)
        client.connect(self.host, self.port)
        client.loop_start()
        if not ready.wait(CONNECT_S):
            client.loop_stop()
            raise TimeoutError(f"{self.host}:{self.port}: no answer for {self.user} within {CONNECT_S:.0f} s")
        return client


class Reader:
    """Hears every message below fmd/. A context manager."""

    def __init__(self, access: Access) -> None:
        self._lock = threading.Lock()
        self.first_s: dict[tuple[str, str], float] = {}
        """(door, topic below it, a payload) -> when the first such message of a live door arrived, monotonic."""
        self._decided: dict[str, Counter[str]] = {}
        self._last_decision_s: dict[str, float] = {}
        self._heard: list[str] = []
        self._marker: bytes | None = None
        self._client = access.connect(["fmd/#"], self._receive)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def decided(self) -> dict[str, Counter[str]]:
        """Return how often each decision (person and change) has arrived, by door."""
        with self._lock:
            return {door: Counter(counts) for door, counts in self._decided.items()}

    def last_decision_s(self, door: str) -> float:
        """Return when the newest decision of a door arrived, monotonic; minus infinity before the first."""
        with self._lock:
            return self._last_decision_s.get(door, float("-inf"))

    def seen_s(self, door: str) -> float | None:
        """Return when a door was first known as online with a state; None before that."""
        with self._lock:
            found = [self.first_s.get((door, what)) for what in ("status", "state")]
        known = [at_s for at_s in found if at_s is not None]
        return max(known) if len(known) == len(found) else None

    def heard(self) -> list[str]:
        """Return the topics of the messages with the marked payload, in the order in which they arrived."""
        with self._lock:
            return list(self._heard)

    def mark(self, payload: bytes) -> None:
        """Keep the messages with this payload from now on."""
        self._marker = payload

    def _receive(self, message: mqtt.MQTTMessage) -> None:
        at_s = time.monotonic()
        door, _, what = message.topic.removeprefix("fmd/").partition("/")
        with self._lock:
            if message.payload == self._marker:
                self._heard.append(message.topic)
            elif what == "decision":
                content = json.loads(message.payload)
                self._decided.setdefault(door, Counter())[f"{content['person']} {content['change']}"] += 1
                self._last_decision_s[door] = at_s
            elif what != "status" or message.payload == b"online":
                self.first_s.setdefault((door, what), at_s)
