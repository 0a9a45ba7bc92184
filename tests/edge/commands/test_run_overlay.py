"""A real ``fmd run`` whose settings are changed while it watches, as the web page does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge import overlay
from tests.edge.commands.test_arming import Service
from tests.edge.parts import fmd, wait_for


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(made.state))
    yield made
    if made.process.poll() is None:
        made.stop()


def reload(service: Service, *, said: str, **alert: Any) -> None:
    """Write an overlay, reload, and wait until the service has said something that it had not said before."""
    before = service.said.count(said)
    overlay.write(service.settings, {"alert": alert} if alert else {})
    service.process.send_signal(signal.SIGHUP)
    wait_for(lambda: service.said.count(said) > before)


def test_a_service_survives_every_overlay(service: Service) -> None:
    file = service.state / overlay.NAME
    reload(service, led_no_mask=[0.5, 0.5], said="settings read again")
    wait_for(lambda: overlay.is_proven(file) and file.exists())
    good = file.read_text()
    # Valid, but this machine has no such pins: the run goes back, and so does the overlay.
    reload(service, driver="gpiod", led_pin="gpiochip99:1", buzzer_pin="gpiochip99:2", said="are not used")
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
    # What the check before a reload says, beside the service.
    file.write_text("[alert")
    ran = fmd("run", "--check", "--config", service.settings, "--state", service.state)
    assert (ran.returncode, "changed settings would be set aside" in ran.stderr) == (0, True)
    assert file.read_text() == "[alert"
