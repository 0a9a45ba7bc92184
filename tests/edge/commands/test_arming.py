"""``fmd arm``, ``disarm`` and ``mute`` against a real ``fmd run``, with a real socket, broker and contact."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge import config
from edge.commands.main import main
from edge.control import SOCKET, Client, DoneReply, ReloadRequest
from edge.errors import EXIT_KNOWN, EXIT_OK, EXIT_USAGE
from edge.reporting.status_file import ServiceStatus, read_status
from edge.service import control_server
from tests.edge.drivers.test_mqtt import Broker, Subscriber, needs_broker
from tests.edge.parts import command, fmd, wait_for

SETTINGS = """
[camera]
source = "doorway"
live = true
loop = true
[alert]
led_disarmed = [0.2, 0.2]
[arm]
pin = "{contact}"
[publish]
name = "door"
[mqtt]
host = "{host}"
port = {port}
commands = {commands}
"""


class Service:
    """A real ``fmd run`` in a folder of its own."""

    def __init__(self, folder: Path, port: int = 0, commands: bool = True) -> None:
        self.folder, self.contact = folder, folder / "contact"
        self.runtime, self.state = folder / "run", folder / "state"
        for each in (self.runtime, self.state):
            each.mkdir(exist_ok=True)
        self.contact.write_text("0")
        self.settings = folder / "fmd.toml"
        host = "127.0.0.1" if port else ""
        self.settings.write_text(
            SETTINGS.format(contact=self.contact, host=host, port=port or 1883, commands=str(commands).lower())
        )
        self.start()

    def arguments(self) -> list[str | Path]:
        return ["run", "--config", self.settings, "--runtime", self.runtime, "--state", self.state]

    def start(self) -> None:
        self.log = (self.folder / "log").open("w")
        self.process = subprocess.Popen(
            [*command("--verbose", *self.arguments())],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            # Without simulated pins, a PC uses the console for the outputs of a recording.
            env={key: value for key, value in os.environ.items() if key != "GPIOZERO_PIN_FACTORY"},
        )
        wait_for(lambda: self.watching or self.process.poll() is not None)
        assert self.process.poll() is None, self.said

    @property
    def status(self) -> ServiceStatus | None:
        return read_status(self.runtime)

    @property
    def watching(self) -> bool:
        return self.status is not None and self.status.watching and (self.runtime / SOCKET).exists()

    @property
    def armed(self) -> bool:
        return self.status is not None and self.status.arming is not None and self.status.arming.armed

    @property
    def said(self) -> str:
        return (self.folder / "log").read_text()

    def press_until(self, seen: Callable[[], bool]) -> None:
        """Press and release the button; a press counts only once the service knows that it was released before."""

        def pressed() -> bool:
            self.contact.write_text("0")
            threading.Event().wait(0.15)
            self.contact.write_text("1")
            threading.Event().wait(0.15)
            return seen()

        if not pressed():
            wait_for(lambda: seen() or pressed())
        self.contact.write_text("0")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        self.log.close()
        return code

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in fmd("events", "--json", "--state", self.state).stdout.splitlines()]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("service"))
    yield made
    if made.process.poll() is None:
        made.stop()


def test_the_life_of_a_disarming(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """Through reload, stop and restart; every change is in the log of events, and the outputs follow."""
    runtime = ["--runtime", str(service.runtime)]
    assert main(["disarm", "--for", "2h", *runtime]) == EXIT_OK
    said = capsys.readouterr().out
    assert said.startswith("disarmed by ")
    assert " until 20" in said
    wait_for(lambda: not service.armed)
    before = service.said.count("alarm begins")
    with Client(service.runtime) as client:
        client.ask(ReloadRequest(), DoneReply)
        wait_for(lambda: "settings read again" in service.said)
        wait_for(lambda: service.watching)
        assert not service.armed
        client.ask(ReloadRequest(), DoneReply)  # the same connection, after the reload
    wait_for(lambda: service.said.count("settings read again") == 2 and service.watching)
    assert service.said.count("alarm begins") == before
    assert main(["mute", "10m", *runtime]) == EXIT_OK
    assert ", muted until 20" in capsys.readouterr().out
    assert service.stop() == 0
    assert not (service.runtime / SOCKET).exists()
    assert main(["arm", *runtime]) == EXIT_KNOWN
    assert "error: fmd does not run (" in capsys.readouterr().err
    service.start()
    assert not service.armed, "after a restart"
    assert main(["mute", "off", *runtime]) == EXIT_OK
    assert main(["arm", *runtime]) == EXIT_OK
    wait_for(lambda: service.armed)
    service.press_until(lambda: not service.armed)
    assert service.stop() == 0
    changes = [(e["event"], e["armed"], e["source"]) for e in service.events() if e["event"] in ("arming", "mute")]
    assert changes[:6] == [
        ("arming", False, "command"),
        ("mute", False, "command"),
        ("arming", False, "command"),  # the restart
        ("mute", False, "command"),
        ("arming", True, "command"),
        ("arming", False, "pin"),
    ]
    assert {source for _, _, source in changes[6:]} <= {"pin"}, "a press may have come twice on a busy machine"
    given_by = {event["by"] for event in service.events() if event["event"] == "arming"}
    assert given_by == {control_server.Peer(0, os.getuid(), False).name, "button"}
    assert "led (17) on" in service.said, "the pattern of disarmed"


def test_a_second_run_in_the_same_folder_is_refused_in_one_line(service: Service) -> None:
    if service.process.poll() is not None:
        service.start()
    found = fmd(*service.arguments())
    assert found.returncode == EXIT_KNOWN
    assert found.stderr == (
        f"error: {service.runtime}: another fmd (process {service.process.pid}) runs with this runtime directory; stop "
        "it first, or name another folder with --runtime\n"
    )
    assert service.process.poll() is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["disarm", "--for", "2"],
            "--for: got '2', expected a time such as 45s, 10m or 1h30m, at most 7 days",
        ),
        (["disarm", "--for", "8d"], "argument --for: got '8d', expected a time"),
        (["disarm", "--for", "0s"], "argument --for: got '0s', expected a time"),
        (["disarm", "--until", "24:00"], "argument --until: got '24:00', expected a time of day such as 18:00"),
        (["disarm", "--for", "1h", "--until", "18:00"], "not allowed with argument --for"),
        (["mute"], "the following arguments are required: TIME"),
        (["mute", "25h"], "argument TIME: got '25h', expected a time such as 45s, 10m or 1h30m, at most 24 hours"),
        (["mute", "ten minutes"], "got 'ten minutes', expected a time"),
    ],
)
def test_wrong_times_are_explained(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == EXIT_USAGE
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--runtime", "--state"])
def test_folders_that_do_not_exist_are_named(tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing"
    assert main(["run", "--source", "doorway", option, str(missing)]) == EXIT_KNOWN
    assert capsys.readouterr().err == f"error: {missing}: no such folder; make it first\n"


@needs_broker
@pytest.mark.parametrize("commands", [True, False])
def test_messages_arm_and_disarm_only_where_the_settings_allow_it(tmp_path: Path, commands: bool) -> None:
    broker = Broker(tmp_path)
    subscriber = Subscriber(broker.port)
    subscriber.publish("fmd/door/arming/set", "DISARM", retain=True)
    service = Service(tmp_path, broker.port, commands)
    try:
        entity = f"homeassistant/{'switch' if commands else 'binary_sensor'}/fmd_door/armed/config"
        wait_for(lambda: subscriber.on("fmd/door/arming") and subscriber.on(entity))
        if commands:
            wait_for(lambda: "a command was not carried out: it is retained" in service.said)
            switch = json.loads(subscriber.on(entity)[-1])
            assert switch["command_topic"] == "fmd/door/arming/set"
            for payload, armed in ((switch["payload_off"], False), (switch["payload_on"], True)):
                subscriber.publish(switch["command_topic"], payload)
                wait_for(lambda armed=armed: json.loads(subscriber.on("fmd/door/arming")[-1])["armed"] is armed)
            subscriber.publish(switch["command_topic"], '{"kind": "mute", "for_s": 60}')
            wait_for(lambda: b"muted_until" in subscriber.on("fmd/door/arming")[-1])
            subscriber.publish(switch["command_topic"], "nonsense")
            wait_for(lambda: "expected ARM, DISARM or a request in JSON" in service.said)
        else:
            subscriber.publish("fmd/door/arming/set", "DISARM")
        main(["disarm", "--runtime", str(service.runtime)])
        # The two topics follow each other in any order.
        wait_for(lambda: b'"state": "disarmed"' in b"".join(subscriber.on("fmd/door/state")[-1:]))
        wait_for(lambda: json.loads(subscriber.on("fmd/door/arming")[-1])["source"] == "command")
    finally:
        code = service.stop()
        subscriber.close()
        broker.stop()
    assert code == 0, service.said
    sources = [event["source"] for event in service.events() if event["event"] == "arming"]
    assert sources == (["mqtt", "mqtt", "command"] if commands else ["command"])


def test_commands_over_mqtt_are_off_by_default() -> None:
    assert not config.load().mqtt.commands
