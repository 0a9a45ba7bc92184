"""Receiver of Alertmanager's notifications."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from simulation.fleet.usage import Ports
from simulation.fleet.webhook import Webhook


def notification(status: str, alert: str, door: str) -> dict[str, Any]:
    return {"version": "4", "alerts": [{"status": status, "labels": {"alertname": alert, "door": door}}]}


@pytest.fixture
def port() -> int:
    return Ports(31_200).take()


@pytest.fixture
def webhook(port: int) -> Iterator[Webhook]:
    made = Webhook(port)
    yield made
    made.close()


def test_a_notification_wakes_whoever_waits_for_its_alert_of_this_door(webhook: Webhook, port: int) -> None:
    began_s, delays = time.monotonic(), list[float | None]()
    waiting = threading.Thread(target=lambda: delays.append(webhook.wait_for("FmdBlind", "door-0001", began_s, 10.0)))
    waiting.start()
    for content in (
        notification("firing", "FmdBlind", "door-0002"),
        notification("resolved", "FmdBlind", "door-0001"),
        notification("firing", "FmdBlind", "door-0001"),
    ):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", json.dumps(content).encode()).close()
    waiting.join(10.0)
    assert [a.status for a in webhook.arrivals] == ["firing", "resolved", "firing"]
    assert delays == [webhook.arrivals[2].at_s - began_s]


def test_only_alerts_since_the_event_count_and_none_within_the_time_is_none(webhook: Webhook) -> None:
    webhook.receive(5.0, notification("firing", "FmdBlind", "door-0001"))
    assert webhook.wait_for("FmdBlind", "door-0001", 4.0, 0.0) == 1.0
    assert webhook.wait_for("FmdBlind", "door-0001", 6.0, 0.0) is None
