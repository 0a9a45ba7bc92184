"""Receiver of Alertmanager's notifications, with the time of arrival of each alert."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Arrival(NamedTuple):
    """One alert of one notification: ``at_s`` is monotonic, ``status`` is firing or resolved."""

    at_s: float
    status: str
    labels: Mapping[str, str]

    @property
    def alert(self) -> str:
        """Name of the alert's rule."""
        return self.labels.get("alertname", "")


class Webhook:
    """Receives notifications at http://127.0.0.1:``port``/ until it is closed."""

    def __init__(self, port: int) -> None:
        self._arrivals: list[Arrival] = []
        self._changed = threading.Condition()
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at_s = time.monotonic()
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                webhook.receive(at_s, content)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="webhook", daemon=True)
        self._thread.start()

    def receive(self, at_s: float, notification: Mapping[str, object]) -> None:
        """Note the alerts of one notification, in Alertmanager's webhook format."""
        alerts = notification.get("alerts")
        assert isinstance(alerts, list)
        with self._changed:
            self._arrivals += [Arrival(at_s, alert["status"], alert["labels"]) for alert in alerts]
            self._changed.notify_all()

    @property
    def arrivals(self) -> list[Arrival]:
        """All alerts so far; Alertmanager repeats those that last."""
        with self._changed:
            return list(self._arrivals)

    def wait_for(self, alert: str, door: str, since_s: float, within_s: float, status: str = "firing") -> float | None:
        """Return the seconds from ``since_s`` until the first such alert of a door; None without one in time."""

        def found() -> float | None:
            wanted = (a for a in self._arrivals if a.status == status and a.alert == alert)
            return next((a.at_s for a in wanted if a.at_s >= since_s and a.labels.get("door") == door), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None, max(0.0, since_s + within_s - time.monotonic()))
            at_s = found()
        return None if at_s is None else at_s - since_s

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
