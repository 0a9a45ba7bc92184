"""What credentials of the hub's broker can do, with a real mosquitto over TLS and the product's own publisher."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from edge import certificates, paths
from edge.contracts import MessageKind
from edge.drivers.mqtt import RETAINED, RETAINED_TOPICS, MqttPublisher
from edge.errors import PublishError
from tests.edge.parts import wait_for
from tests.fleet.brokers import Client, HubMachine, message, needs_mosquitto, publisher_of, sends

pytestmark = needs_mosquitto
STATE = message(MessageKind.STATE, state="running")


def reason(publisher: MqttPublisher) -> str:
    """Why a publisher cannot send now; empty if it can."""
    try:
        publisher.send(STATE)
    except PublishError as error:
        return str(error)
    return ""


def is_kept_out(publisher: MqttPublisher) -> bool:
    found = reason(publisher)
    assert found, "it was let in"
    return "not connected yet" not in found


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubMachine]:
    made = HubMachine(tmp_path_factory.mktemp("hub"))
    for name in ("door-1", "door-2"):
        made.enrol(name)
    made.enrol("board", "--reader")
    made.enrol("desk", "--operator")
    yield made
    made.stop()


@pytest.fixture
def reader(hub: HubMachine) -> Iterator[Client]:
    made = Client(hub, "board", "#")
    yield made
    made.close()


def test_an_enrolled_door_may_publish_all_that_the_product_publishes(hub: HubMachine, reader: Client) -> None:
    publisher = publisher_of(hub.folder("door-1"))
    wait_for(lambda: sends(publisher, STATE))
    for kind in MessageKind:
        for camera in ("", "front"):
            publisher.send(message(kind, camera, b"\xff\xd8jpeg" if kind is MessageKind.DECISION else b"", a=1))
    # What is retained is published below "a/camera" as well; pictures with a decision.
    wanted = {kind.value for kind in MessageKind if kind is not MessageKind.REMOVED} | {"status", "picture"}
    wanted |= {f"{name}/front" for name in ("state", "health", "drift", "picture")}
    wait_for(lambda: {f"fmd/door-1/{name}" for name in wanted} <= {topic for topic, _, _ in reader.heard})
    assert reader.on("fmd/door-1/health/front")[-1] == b""  # REMOVED clears what is retained
    assert reader.on("fmd/door-1/status") == [b"online"]
    publisher.close()
    wait_for(lambda: reader.on("fmd/door-1/status")[-1] == b"offline")


def test_the_rights_name_each_topic_that_the_product_retains() -> None:
    rights = paths.broker_template("acl").read_text().splitlines()
    for topic in {*RETAINED_TOPICS, *(kind.value for kind in RETAINED)}:
        assert f"pattern write fmd/%u/{topic}" in rights


def test_a_door_finds_and_clears_what_the_broker_retains_of_an_earlier_run(hub: HubMachine, reader: Client) -> None:
    desk = Client(hub, "desk")
    desk.publish("fmd/door-1/health/attic", '{"state": "lost"}', retain=True)
    publisher = publisher_of(hub.folder("door-1"))
    wait_for(lambda: b"" in reader.on("fmd/door-1/health/attic"))
    publisher.close()
    desk.close()


def test_the_broker_publishes_the_last_will_of_a_door_that_vanishes(hub: HubMachine, reader: Client) -> None:
    publisher = publisher_of(hub.folder("door-2"))
    wait_for(lambda: sends(publisher, STATE))
    cable = publisher._client.socket()
    cable.shutdown(socket.SHUT_RDWR)
    wait_for(lambda: b"offline" in reader.on("fmd/door-2/status"))
    publisher.close()


@pytest.mark.parametrize(
    "topic",
    [
        "fmd/door-2/state",
        "fmd/door-2/status",
        "fmd/door-2/arming/set",
        "fmd/door-1/arming/set",
        "fmd/door-1/anything",
        "fmd/door-1",
        "fmd/state",
        "fmd/board/state",
        "fmd/x/door-1/state",
        "homeassistant/sensor/fmd_door_1/state/config",
        "$SYS/broker/uptime",
    ],
)
def test_a_stolen_credential_cannot_write_there(hub: HubMachine, reader: Client, topic: str) -> None:
    thief = Client(hub, "door-1")
    thief.publish(topic, "stolen", retain=True)
    thief.publish("fmd/door-1/state", "own")
    wait_for(lambda: reader.on("fmd/door-1/state")[-1:] == [b"own"])  # the broker handles one client in order
    late = Client(hub, "desk", "#", "$SYS/broker/uptime")
    late.publish("fmd/door-1/state", "", retain=True)
    assert b"stolen" not in {payload for _, payload, _ in [*reader.heard, *late.heard]}
    late.close()
    thief.close()


def test_a_stolen_credential_reads_its_own_topics_alone(hub: HubMachine) -> None:
    desk = Client(hub, "desk")
    desk.publish("fmd/door-2/health", "secret", retain=True)
    thief = Client(hub, "door-1", "#", "fmd/#", "fmd/door-2/#", "fmd/+/health", "$SYS/#", "+/door-2/health")
    desk.publish("fmd/door-2/decision", "secret")
    desk.publish("fmd/door-1/arming/set", "armed")
    wait_for(lambda: thief.on("fmd/door-1/arming/set"))
    assert {topic for topic, _, _ in thief.heard if not topic.startswith("fmd/door-1/")} == set()
    thief.close()
    desk.close()


def test_a_stolen_credential_cannot_end_another_doors_connection_by_its_client_id(hub: HubMachine) -> None:
    desk = Client(hub, "desk", "fmd/door-2/status")
    door = Client(hub, "door-2", "fmd/door-2/arming/set", id_="fmd-door-2-01234567")
    thief = Client(hub, "door-1", id_="fmd-door-2-01234567")
    desk.publish("fmd/door-2/arming/set", "armed")
    wait_for(lambda: door.on("fmd/door-2/arming/set"))
    assert door.ended == 0
    for client in (thief, door, desk):
        client.close()


def test_a_reader_may_read_all_and_write_nothing(hub: HubMachine, reader: Client) -> None:
    desk = Client(hub, "desk", "fmd/#")
    reader.publish("fmd/door-1/arming/set", "from the reader")
    desk.publish("fmd/door-1/arming/set", "from the desk")
    wait_for(lambda: reader.on("fmd/door-1/arming/set"))
    assert reader.on("fmd/door-1/arming/set") == desk.on("fmd/door-1/arming/set") == [b"from the desk"]
    desk.close()


def test_without_a_user_or_without_tls_nobody_gets_in(hub: HubMachine, tmp_path: Path) -> None:
    for changed in ({"username": "", "password_file": ""}, {"tls": False}, {"username": "nobody"}):
        publisher = publisher_of(hub.folder("door-1"), **changed)
        wait_for(partial(is_kept_out, publisher))
        publisher.close()


def test_a_broker_of_another_authority_gets_no_password(hub: HubMachine, tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_bytes(certificates.authority().certificate)
    publisher = publisher_of(hub.folder("door-1"), ca_file=str(tmp_path / "other.pem"))
    wait_for(lambda: "its certificate: unable to get local issuer" in reason(publisher))
    publisher.close()


def test_a_revoked_door_is_thrown_out_and_stays_out_and_the_others_stay_in(hub: HubMachine, reader: Client) -> None:
    hub.enrol("door-3")
    other, door = Client(hub, "door-2"), publisher_of(hub.folder("door-3"))
    wait_for(lambda: sends(door, STATE))
    printed = hub.enrol("door-3", "--revoke")
    assert printed == "door-3 is revoked: the broker ends its connection and accepts no other\n"
    wait_for(lambda: "the broker refuses: Not authorized" in reason(door))
    heard = len(reader.on("fmd/door-3/state"))
    assert not sends(door, STATE)
    door.close()
    assert Client(hub, "door-3").refused
    assert len(reader.on("fmd/door-3/state")) == heard
    assert (other.ended, reader.ended) == (0, 0)
    assert not (hub.root / "etc/prometheus/fmd/doors/door-3.json").exists()
    other.close()


def test_a_new_password_ends_the_connection_of_the_old_one(hub: HubMachine) -> None:
    hub.enrol("door-4")
    thief = Client(hub, "door-4")
    hub.enrol("door-4", "--rotate")
    wait_for(lambda: thief.ended)
    wait_for(lambda: thief.refused)
    door = publisher_of(hub.folder("door-4"))
    wait_for(lambda: sends(door, STATE))
    door.close()
    thief.close()


def test_a_new_certificate_of_the_hub_is_read_and_doors_trust_it(hub: HubMachine) -> None:
    before = (hub.root / "etc/mosquitto/fmd/server.pem").read_bytes()
    assert "the broker reads it now" in hub.enrol("--broker", f"localhost:{hub.port}", "--broker", "127.0.0.1")
    assert (hub.root / "etc/mosquitto/fmd/server.pem").read_bytes() != before
    door = publisher_of(hub.folder("door-1"), host="127.0.0.1")
    wait_for(lambda: sends(door, STATE))
    door.close()


def test_retained_state_survives_a_broker_that_is_killed_after_its_save(hub: HubMachine) -> None:
    desk = Client(hub, "desk")
    desk.publish("fmd/door-1/build", "kept", retain=True)
    desk.close()
    hub.stop(signal.SIGTERM)
    hub.start()
    reader = Client(hub, "board", "fmd/door-1/build")
    wait_for(lambda: reader.on("fmd/door-1/build") == [b"kept"])
    reader.close()
