"""A network cut between door and hub, and between a site's broker and the hub: no decision is lost.

The cut is a real one, of seconds; ``pytest -m slow tests/fleet/test_cut.py`` cuts for ten minutes.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from edge import config, drivers
from edge.contracts import Message, MessageKind
from edge.messages import DecisionMessage, StateMessage
from edge.reporting.outbox import Outboxes
from tests.edge.parts import wait_for
from tests.fleet.brokers import Cable, Client, HubMachine, needs_mosquitto

pytestmark = needs_mosquitto
CUTS = [3.0, pytest.param(600.0, marks=pytest.mark.slow)]
EVERY_S = 0.02
"""Time between two decisions in the fast test; a door that decides so often does not exist."""
PATIENCE_S = 300.0
"""Both ends reconnect less often after a long cut."""
START = 1_800_000_000.0


def decision(number: int) -> Message:
    content = DecisionMessage("decided", f"1-{number}", "violation", "without_mask", "no_mask", True, 5, 2.5)
    return Message(MessageKind.DECISION, START + number, "", content)


class Door:
    """An enrolled door as the service publishes: its settings, its outboxes, the real client."""

    def __init__(self, folder: Path, port: int, state: Path) -> None:
        settings = config.load(folder / "fmd.toml", {"mqtt.port": port})
        self._outboxes, limits = Outboxes(), settings.publish
        publishers = drivers.publishers(settings)
        (self.outbox,) = self._outboxes.follow(publishers, limits.queue, limits.decisions, state)
        self._numbers = 0

    def decide(self, for_s: float, every_s: float) -> None:
        """Decide for this time, with messages of the camera's health between."""
        until_s = time.monotonic() + for_s
        while time.monotonic() < until_s:
            self.outbox.post(decision(self._numbers))
            self.outbox.post(Message(MessageKind.HEALTH, START, "", StateMessage(str(self._numbers))))
            self._numbers += 1
            threading.Event().wait(every_s)

    @property
    def decided(self) -> list[str]:
        return [f"1-{number}" for number in range(self._numbers)]

    def close(self) -> None:
        self._outboxes.close()


def people(reader: Client, topic: str) -> list[str]:
    return [json.loads(payload)["person"] for payload in reader.on(topic)]


def keys(reader: Client, topic: str) -> list[tuple[str, str, str]]:
    """What identifies a decision, once for each, in the order in which they came first."""
    found = [json.loads(payload) for payload in reader.on(topic)]
    return list(dict.fromkeys((one["person"], one["change"], one["at"]) for one in found))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubMachine]:
    made = HubMachine(tmp_path_factory.mktemp("hub"))
    made.enrol("door-1")
    made.enrol("board", "--reader")
    yield made
    made.stop()


@pytest.mark.parametrize("cut_s", CUTS)
def test_a_door_behind_a_cut_publishes_every_decision_afterwards(hub: HubMachine, tmp_path: Path, cut_s: float) -> None:
    cable, every_s = Cable(hub.port), max(EVERY_S, cut_s / 1000)
    reader = Client(hub, "board", "fmd/#")
    door = Door(hub.folder("door-1"), cable.port, tmp_path)
    door.decide(0.5, every_s)
    wait_for(lambda: people(reader, "fmd/door-1/decision") == door.decided)
    cable.cut()
    door.decide(cut_s, every_s)
    before = len(keys(reader, "fmd/door-1/decision"))
    cable.mend()
    wait_for(lambda: len(keys(reader, "fmd/door-1/decision")) >= len(door.decided), PATIENCE_S)
    assert [person for person, _, _ in keys(reader, "fmd/door-1/decision")] == door.decided
    # QoS 1: the one that was on its way may arrive a second time, with the same person, change and time.
    assert len(people(reader, "fmd/door-1/decision")) - len(door.decided) <= 1
    assert len(door.decided) - before > 100  # the queue of other messages is shorter
    door.close()
    reader.close()
    assert not list(tmp_path.iterdir())


class Site:
    """A site's broker, made a hub of its doors by ``fmd enrol``, with the bridge that the hub's ``fmd enrol`` wrote."""

    def __init__(self, hub: HubMachine, name: str, root: Path) -> None:
        root.mkdir()
        self.broker, self.cable = HubMachine(root), Cable(hub.port)
        self.broker.enrol("door-7")
        hub.enrol(name, "--bridge")
        shutil.copy(hub.folder(name) / "hub-ca.pem", root / "etc/mosquitto/fmd")
        shutil.copy(hub.folder(name) / "fmd-bridge.conf", root / "etc/mosquitto/conf.d")
        self.broker.adapt("fmd-bridge.conf", hub.port, self.cable.port)
        self.broker.stop()
        self.broker.start()


@pytest.fixture(scope="module")
def site(hub: HubMachine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(hub, "annex", tmp_path_factory.mktemp("site") / "root")
    yield made
    made.broker.stop()


@pytest.mark.parametrize("cut_s", CUTS)
def test_a_sites_broker_keeps_what_its_doors_publish_during_a_cut(
    hub: HubMachine, site: Site, tmp_path: Path, cut_s: float
) -> None:
    topic, every_s = "fmd/annex/door-7/decision", max(EVERY_S, cut_s / 1000)
    reader = Client(hub, "board", "fmd/#")
    door = Door(site.broker.folder("door-7"), site.broker.port, tmp_path)
    door.decide(0.5, every_s)
    wait_for(lambda: people(reader, topic) == door.decided)
    site.cable.cut()
    door.decide(cut_s / 2, every_s)
    wait_for(lambda: not door.outbox.waiting)  # the site has them, and the hub has not
    site.broker.stop()
    site.broker.start()
    door.decide(cut_s / 2, every_s)
    wait_for(lambda: not door.outbox.waiting)
    assert len(keys(reader, topic)) < len(door.decided) / 2
    site.cable.mend()
    wait_for(lambda: len(keys(reader, topic)) >= len(door.decided), PATIENCE_S)
    assert [person for person, _, _ in keys(reader, topic)] == door.decided
    assert reader.on("fmd/annex/door-7/status")[-1] == b"online"
    door.close()
    reader.close()


def test_a_command_for_a_door_of_a_site_passes_the_bridge_and_no_other_message_does(
    hub: HubMachine, site: Site
) -> None:
    hub.enrol("desk", "--operator")
    desk = Client(hub, "desk")
    door = Client(site.broker, "door-7", "#")
    desk.publish("fmd/annex/door-7/state", "not a command")
    desk.publish("fmd/door-7/arming/set", "of another door")
    wait_for(partial(_arrives, desk, "fmd/annex/door-7/arming/set", door))  # the bridge may be connecting
    assert {heard[:2] for heard in door.heard if not heard[2]} == {("fmd/door-7/arming/set", b"armed")}
    for client in (desk, door):
        client.close()


def _arrives(desk: Client, topic: str, door: Client) -> list[bytes]:
    desk.publish(topic, "armed")
    return door.on("fmd/door-7/arming/set")


def test_a_stolen_credential_of_a_site_writes_its_own_doors_alone(hub: HubMachine, site: Site) -> None:
    site.cable.cut()
    thief, reader = Client(hub, "annex", "#"), Client(hub, "board", "#")
    for topic in ("fmd/door-1/state", "fmd/other/door-7/state", "fmd/annex/door-7/arming/set"):
        thief.publish(topic, "stolen")
    thief.publish("fmd/annex/door-7/health", "own")
    wait_for(lambda: b"own" in reader.on("fmd/annex/door-7/health"))
    assert b"stolen" not in {payload for _, payload, _ in reader.heard}
    assert {topic for topic, _, _ in thief.heard if not topic.startswith("fmd/annex/")} == set()
    thief.close()
    reader.close()
    site.cable.mend()
