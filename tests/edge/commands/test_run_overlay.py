"""A real ``fmd run`` whose settings are changed while it watches, as the web page does."""

from __future__ import annotations

import re
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import overlay
from edge.record import database
from tests.edge.commands.test_arming import Service
from tests.edge.drivers.test_mqtt import free_port
from tests.edge.parts import fmd, wait_for


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(made.state))
    yield made
    if made.process.poll() is None:
        made.stop()


def build_of(port: int) -> dict[str, str]:
    """Return the labels of fmd_build_info as Prometheus reads them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        (line,) = [line for line in answer.read().decode().splitlines() if line.startswith("fmd_build_info{")]
    return dict(re.findall(r'(\w+)="([^"]*)"', line))


def reload(service: Service, values: overlay.Values, said: str) -> None:
    """Write an overlay, reload, and wait until the service has said something that it had not said before."""
    before = service.said.count(said)
    overlay.write(service.settings, values)
    service.process.send_signal(signal.SIGHUP)
    wait_for(lambda: service.said.count(said) > before)


def test_a_service_survives_every_overlay(service: Service) -> None:
    file = service.state / overlay.NAME
    port = free_port()
    reload(service, {"metrics": {"port": port}, "watch": {"still_s": 0.4}}, "settings read again")
    wait_for(lambda: overlay.is_proven(file) and file.exists())
    good, build = file.read_text(), build_of(port)
    assert set(build) == {"version", "model", "classifier_sha", "settings_hash", "board", "os"}
    # Valid, but this machine has no such pins: the run goes back, and so does the overlay.
    pins = {"driver": "gpiod", "led_pin": "gpiochip99:1", "buzzer_pin": "gpiochip99:2"}
    reload(service, {"alert": pins}, "are not used")
    wait_for(lambda: file.read_text() == good)
    assert "changed settings are not used: alert.led_pin" in service.said
    file.write_text("[alert")
    service.process.kill()
    service.process.wait(10)
    service.log.close()
    service.start()
    assert "not valid TOML" in service.said
    assert file.read_text() == good
    assert service.stop() == 0
    refused = [event["refused"] for event in service.events() if event["event"] == "settings"]
    assert ["not valid TOML" in why for why in refused] == [True]  # the kill lost the first one
    # The record states the same hashes for its passages.
    with database.reading(service.state) as connection:
        run = connection.execute("SELECT classifier, settings FROM runs ORDER BY id DESC LIMIT 1").fetchone()
    assert run == (build["classifier_sha"], build["settings_hash"])
    # What the check before a reload says, beside the service.
    file.write_text("[alert")
    ran = fmd("run", "--check", "--config", service.settings, "--state", service.state)
    assert (ran.returncode, "changed settings would be set aside" in ran.stderr) == (0, True)
    assert file.read_text() == "[alert"
