"""A real ``fmd run`` whose settings are changed while it watches, as the web page does."""

from __future__ import annotations

import re
import signal
import urllib.request
from collections.abc import Iterator

import pytest

from edge import config, overlay
from edge.commands.main import main
from edge.record import database
from tests.edge.commands.test_arming import Service
from tests.edge.parts import fmd, free_port, wait_for


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("service"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STATE_DIRECTORY", str(made.state))
        yield made
    if made.process.poll() is None:
        made.stop()


def build_of(port: int) -> dict[str, str]:
    """Return the labels of fmd_build_info as Prometheus reads them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        (line,) = [line for line in answer.read().decode().splitlines() if line.startswith("fmd_build_info{")]
    return dict(re.findall(r'(\w+)="([^"]*)"', line))


def reload(service: Service, values: overlay.Values) -> None:
    """Write an overlay and reload, as the page does."""
    overlay.write(service.settings, values)
    service.process.send_signal(signal.SIGHUP)


def test_settings_are_changed_by_command(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    file = service.state / overlay.NAME

    def ran(*words: str) -> tuple[int, str]:
        code = main(["config", *words, "--runtime", str(service.runtime)])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    assert ran("set", "watch.contrast=8", "decide.on_unsure=alarm") == (
        0,
        "In use: decide.on_unsure, watch.contrast.\n",
    )
    assert config.read(service.settings).over == {"watch.contrast": 8, "decide.on_unsure": "alarm"}
    before = file.read_bytes()
    refused = {
        ("set", "watch.contrast=0"): "watch.contrast: expected a whole number >= 1; got 0",
        ("set", "watch.contrats=7"): "watch.contrats: unknown key; did you mean contrast?",
        ("set", "model.classifier=/tmp/x"): "model.classifier: only the settings file can set it",
        ("set", "alert.led_pin=22"): "alert.led_pin: a wrong value leaves the door without alarms, or shows more",
        ("set", "watch.contrast"): "watch.contrast: expected section.key=value",
        ("set",): "expected section.key=value",
        ("reset",): "expected settings to reset, or all",
        ("reset", "watch.gate"): "watch.gate: was not changed through the running fmd",
        ("reset", "watch.gat"): "watch.gat: unknown key; did you mean gate?",
        ("watch.gate", "watch.contrast"): "watch.contrast: expected one word; to change settings",
    }
    for words, why in refused.items():
        code, said = ran(*words)
        assert (code, said.startswith(f"error: {why}"), len(said.splitlines())) == (1, True, 1), said
    assert file.read_bytes() == before
    assert ran("reset", "watch.contrast") == (0, "In use: watch.contrast.\n")
    assert ran("set", "alert.strike_s=5", "--yes") == (0, "In use: alert.strike_s.\n")
    assert ran("reset", "all", "--yes") == (0, "In use: alert.strike_s, decide.on_unsure.\n")
    assert not file.exists()
    assert ran("reset", "all")[1] == "error: no setting was changed through the running fmd\n"


def test_a_service_survives_every_overlay(service: Service) -> None:
    file = service.state / overlay.NAME
    port = free_port()
    reload(service, {"metrics": {"port": port}, "watch": {"still_s": 0.4}})
    wait_for(lambda: overlay.is_proven(file))
    good, build = file.read_text(), build_of(port)
    assert set(build) == {"version", "model", "classifier_sha", "detector_sha", "settings_hash", "board", "os"}
    # Valid, but this machine has no such pins: the run goes back, and so does the overlay.
    pins = {"driver": "gpiod", "led_pin": "gpiochip99:1", "buzzer_pin": "gpiochip99:2"}
    reload(service, {"alert": pins})
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
    refused = [event["refused"] for event in service.events() if "refused" in event]
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
