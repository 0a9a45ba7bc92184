"""MQTT with a real mosquitto: what a subscriber gets, the last will, brokers that die, refuse, or never answer."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge import config, drivers
from edge.contracts import (
    CameraState,
    Change,
    Decision,
    Delivery,
    Health,
    Message,
    MessageKind,
    Outcome,
    Passage,
    Signal,
    Step,
)
from edge.drivers.home_assistant import PICTURES, RECORD, discovery
from edge.drivers.mqtt import MqttPublisher, board_id
from edge.errors import PublishError, RuntimeMissingError, SettingsError
from edge.messages import DriftMessage
from edge.reporting.outbox import Outbox
from edge.reporting.reporter import open_reporting
from tests.edge.parts import command, environment, frame_of, free_port, texture, wait_for

mqtt = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
PATIENCE_S = 60.0
PASSAGE = Passage(1, Outcome.VIOLATION, "without_mask", 5, True, 1.0, 2.0, 3.5, Signal.NO_MASK)

needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed: apt install mosquitto")


class Broker:
    """A mosquitto of our own."""

    def __init__(self, folder: Path, extra: str = "allow_anonymous true") -> None:
        self.port = free_port()
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text(f"listener {self.port} 127.0.0.1\n{extra}\npersistence false\nuser root\n")
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [str(MOSQUITTO), "-c", str(self._settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._answers)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Subscriber:
    """Hears everything."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self._ready = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *rest: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *rest: self._ready.set()
        self._client.on_message = lambda client, userdata, m: self.heard.append((m.topic, m.payload, m.retain))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(PATIENCE_S)

    def on(self, topic: str) -> list[bytes]:
        return [payload for heard, payload, _ in self.heard if heard == topic]

    @property
    def kept(self) -> set[str]:
        """The topics that the broker keeps something under; decisions are not kept."""
        newest = {topic: payload for topic, payload, _ in list(self.heard)}
        return {topic for topic, payload in newest.items() if payload and not topic.endswith("/decision")}

    def publish(self, topic: str, payload: str, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(PATIENCE_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    made = Broker(tmp_path_factory.mktemp("broker"))
    yield made
    made.stop()


@pytest.fixture
def subscriber(broker: Broker) -> Iterator[Subscriber]:
    made = Subscriber(broker.port)
    yield made
    made.close()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[tuple[Broker, Subscriber]]:
    """A broker that no other test uses, and a subscriber of all its topics."""
    broker = Broker(tmp_path)
    subscriber = Subscriber(broker.port)
    yield broker, subscriber
    subscriber.close()
    broker.stop()


def settings_for(port: int, **changed: Any) -> config.MqttSettings:
    values = {"host": "127.0.0.1", "port": port, **changed}
    return config.load(None, {f"mqtt.{key}": value for key, value in values.items()}).mqtt


def connected(port: int, name: str, **changed: Any) -> MqttPublisher:
    publisher = opened(settings_for(port, **changed), name)
    wait_for(lambda: sends(publisher, message(MessageKind.HEALTH, state="streaming", reason="")))
    return publisher


def opened(settings: config.MqttSettings, name: str, **more: Any) -> MqttPublisher:
    publisher = MqttPublisher(settings, name, **more)
    publisher.open()
    return publisher


def sends(publisher: MqttPublisher, message: Message) -> bool:
    try:
        publisher.send(message)
    except PublishError:
        return False
    return True


def message(kind: MessageKind, camera: str = "", picture: bytes = b"", **values: Any) -> Message:
    return Message(kind, 1_800_000_000.25, camera, values, (lambda: picture) if picture else None)


@needs_broker
def test_a_subscriber_gets_status_state_decisions_and_offline(broker: Broker, subscriber: Subscriber) -> None:
    publisher = connected(broker.port, "a")
    publisher.send(message(MessageKind.STATE, state="no_mask"))
    publisher.send(message(MessageKind.DECISION, outcome="violation", change="decided"))
    publisher.close()
    wait_for(lambda: len(subscriber.on("fmd/a/status")) == 2)
    assert subscriber.on("fmd/a/status") == [b"online", b"offline"]
    assert [json.loads(p) for p in subscriber.on("fmd/a/state")] == [
        {"at": "2027-01-15T08:00:00.250+00:00", "state": "no_mask"}
    ]
    assert json.loads(subscriber.on("fmd/a/decision")[0])["outcome"] == "violation"


@needs_broker
def test_a_later_subscriber_gets_the_state_but_no_old_decision(broker: Broker) -> None:
    publisher = connected(broker.port, "b")
    publisher.send(message(MessageKind.STATE, state="running"))
    publisher.send(message(MessageKind.BUILD, version="1.0", settings_hash="abc"))
    publisher.send(message(MessageKind.METRICS, frames=7))
    publisher.send(message(MessageKind.DECISION, outcome="violation"))
    late = Subscriber(broker.port)
    wait_for(lambda: late.on("fmd/b/metrics"))
    assert {topic for topic, _, retained in late.heard if topic.startswith("fmd/b/") and retained} == {
        "fmd/b/status",
        "fmd/b/state",
        "fmd/b/health",
        "fmd/b/build",
        "fmd/b/metrics",
    }
    (build,) = (json.loads(payload) for topic, payload, _ in late.heard if topic == "fmd/b/build")
    assert (build["version"], build["settings_hash"]) == ("1.0", "abc")
    late.close()
    publisher.close()


@needs_broker
def test_each_of_several_cameras_has_topics_of_its_own(broker: Broker, subscriber: Subscriber) -> None:
    publisher = connected(broker.port, "c")
    publisher.send(message(MessageKind.STATE, "yard", state="blind"))
    publisher.send(message(MessageKind.DECISION, "yard", b"\xff\xd8jpeg", outcome="violation"))
    wait_for(lambda: subscriber.on("fmd/c/decision"))
    assert json.loads(subscriber.on("fmd/c/state/yard")[0])["camera"] == "yard"
    assert json.loads(subscriber.on("fmd/c/decision")[0])["camera"] == "yard"
    assert subscriber.on("fmd/c/picture/yard") == [b"\xff\xd8jpeg"]
    publisher.close()


@needs_broker
def test_a_change_is_a_retained_message_that_home_assistant_reads(broker: Broker, subscriber: Subscriber) -> None:
    settings = config.load(None, {"mqtt.host": "127.0.0.1", "mqtt.port": broker.port, "publish.name": "drifted"})
    changed = DriftMessage(True, "faces are 30% smaller", "2027-01-15T08:00:00+00:00")
    with open_reporting(settings) as reporting:
        for drift in (DriftMessage(), DriftMessage(), changed):
            reporting.on_drift("", drift)
        wait_for(lambda: len(subscriber.on("fmd/drifted/drift")) == 2)
    late = Subscriber(broker.port)
    wait_for(lambda: late.on("fmd/drifted/drift"))
    found = json.loads(late.on("fmd/drifted/drift")[0])
    assert {key: found[key] for key in ("changed", "message", "since", "behaviour_changed", "behaviour")} == {
        "changed": True,
        "message": changed.message,
        "since": changed.since,
        "behaviour_changed": False,
        "behaviour": "",
    }
    wait_for(lambda: late.on("homeassistant/binary_sensor/fmd_drifted/camera_changed/config"))
    entity = json.loads(late.on("homeassistant/binary_sensor/fmd_drifted/camera_changed/config")[0])
    assert (entity["state_topic"], entity["json_attributes_topic"]) == ("fmd/drifted/drift", "fmd/drifted/drift")
    late.close()


@needs_broker
def test_a_killed_fmd_is_offline_by_its_last_will(broker: Broker, subscriber: Subscriber) -> None:
    pytest.importorskip("skimage", reason="the built-in scene needs scikit-image")
    arguments = ["alert.driver=console", "camera.loop=true", "mqtt.host=127.0.0.1", "publish.name=killed"]
    sets = [word for value in (*arguments, f"mqtt.port={broker.port}") for word in ("--set", value)]
    process = subprocess.Popen(
        command("run", "--source", "doorway", *sets),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    try:
        wait_for(lambda: subscriber.on("fmd/killed/decision"), 60.0)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_for(lambda: b"offline" in subscriber.on("fmd/killed/status"))
    assert subscriber.on("fmd/killed/status") == [b"online", b"offline"]
    assert json.loads(subscriber.on("fmd/killed/decision")[0])["outcome"] == "violation"


@needs_broker
def test_counters_follow_each_person_at_once_and_every_violation_is_a_message(alone: tuple[Broker, Subscriber]) -> None:
    broker, subscriber = alone
    changed = {"mqtt.host": "127.0.0.1", "mqtt.port": broker.port, "publish.name": "busy", "publish.every_s": 3600}

    def counted() -> int:
        sent = subscriber.on("fmd/busy/metrics")
        return int(json.loads(sent[-1])["passages_violated"]) if sent else 0

    def passes(number: int) -> None:
        person = msgspec.structs.replace(PASSAGE, id=number)
        for change in (Change.DECIDED, Change.LEFT):
            reporting.on_decision(Decision(change, person, 2.0))
            frame = frame_of(texture(8, 8))
            reporting.on_step(Step(frame, True, True, (), (), {}, (), (), Signal.NO_MASK, {}), Delivery())

    with open_reporting(config.load(None, changed)) as reporting:
        passes(1)
        wait_for(lambda: counted() == 1)
        passes(2)
        wait_for(lambda: counted() == 2)
        # The last person is still there when fmd is stopped: no step follows that decision.
        reporting.on_decision(Decision(Change.LEFT, msgspec.structs.replace(PASSAGE, id=3), 2.0))
    wait_for(lambda: subscriber.on("fmd/busy/status") == [b"online", b"offline"])
    assert counted() == 3
    violations = [json.loads(p) for p in subscriber.on("fmd/busy/decision")]
    started = [one for one in violations if one["change"] == "decided"]
    # Equal but for the person: a retained or changed state would make one event of them.
    assert [one["signal"] for one in started] == ["no_mask", "no_mask"]
    assert not [topic for topic, _, retained in subscriber.heard if retained and topic.endswith("/decision")]
    late = Subscriber(broker.port)
    wait_for(lambda: late.on("fmd/busy/metrics"))
    assert json.loads(late.on("fmd/busy/metrics")[0])["passages_violated"] == 3
    assert late.on("fmd/busy/decision") == []
    late.close()


@needs_broker
def test_discovery_is_published_and_again_when_home_assistant_starts(broker: Broker, subscriber: Subscriber) -> None:
    publisher = connected(broker.port, "front-door")
    topics = discovery(settings_for(broker.port), "front-door")
    wait_for(lambda: all(len(subscriber.on(topic)) == 1 for topic in topics))
    alarm = json.loads(subscriber.on("homeassistant/binary_sensor/fmd_front_door/alarm/config")[0])
    assert alarm["state_topic"] == "fmd/front-door/state"
    assert alarm["availability_topic"] == "fmd/front-door/status"
    assert alarm["device_class"] == "safety"
    subscriber.publish("homeassistant/status", "online")
    wait_for(lambda: all(len(subscriber.on(topic)) == 2 for topic in topics))
    publisher.close()


@needs_broker
def test_each_of_several_cameras_is_a_device_with_topics_that_exist(tmp_path: Path) -> None:
    """The messages about each camera arrive on the announced topics."""
    broker = Broker(tmp_path)
    subscriber = Subscriber(broker.port)
    sources = {"in": "picamera2", "the-yard": "rtsp://x/"}
    changed = {"mqtt.host": "127.0.0.1", "mqtt.port": broker.port, "camera.sources": sources, "publish.name": "door"}
    with open_reporting(config.load(None, {**changed, "publish.pictures": "blurred"})) as reporting:
        for camera in sources:
            reporting.on_health(Health(camera, CameraState.STREAMING, 1.0))
            reporting.on_drift(camera, DriftMessage())
            decision = Decision(Change.DECIDED, PASSAGE, 2.0, camera)
            reporting.on_decision(decision)
            frame = frame_of(texture(64, 64))
            step = Step(frame, True, True, (), (), {}, (), (), Signal.NO_MASK, {}, camera)
            reporting.on_step(step, Delivery())
            # Of pictures that wait only the newest is kept.
            wait_for(lambda picture=f"fmd/door/picture/{camera}": subscriber.on(picture))
    wait_for(lambda: b"offline" in subscriber.on("fmd/door/status"))
    sent = {topic: json.loads(p) for topic, p, _ in subscriber.heard if topic.startswith("homeassistant/")}
    for camera in sources:
        own = {topic: entity for topic, entity in sent.items() if topic.split("/")[2] == f"fmd_door-{camera}"}
        assert sorted(topic.split("/")[3] for topic in own) == [
            *("alarm", "behaviour_changed", "blind", "camera_changed", "picture", "state")
        ]
        for entity in own.values():
            assert entity["device"]["identifiers"] == [f"fmd_door-{camera}"]
            assert entity["device"]["via_device"] == "fmd_door"
            assert entity["availability_topic"] == "fmd/door/status"
            assert subscriber.on(entity.get("state_topic") or entity["image_topic"])
    assert not [topic for topic in sent if topic.startswith("homeassistant/image/fmd_door/")]  # nothing would feed it
    assert len({entity["unique_id"] for entity in sent.values()}) == len(sent)
    subscriber.close()
    broker.stop()


def follow_to(port: int, subscriber: Subscriber, before: dict[str, str], after: dict[str, str]) -> None:
    """A reload from some cameras, all blind, to others without the last of them; heard when it returns."""
    changed = {"mqtt.host": "127.0.0.1", "mqtt.port": port, "publish.name": "less", "publish.pictures": "blurred"}
    settings = config.load(None, {**changed, "camera.sources": before})
    with open_reporting(settings) as reporting:
        for camera in config.cameras(settings.camera):
            reporting.on_health(Health(camera, CameraState.LOST, 1.0, "unplugged"))
            decision = Decision(Change.DECIDED, PASSAGE, 2.0, camera)
            reporting.on_drift(camera, DriftMessage())
            reporting.on_decision(decision)
            frame = frame_of(texture(64, 64))
            reporting.on_step(Step(frame, True, True, (), (), {}, (), (), Signal.NO_MASK, {}, camera), Delivery())
            picture = f"fmd/less/picture/{camera}".rstrip("/")
            wait_for(lambda topic=picture: subscriber.on(topic))
        reporting.on_settings(config.load(None, {**changed, "camera.sources": after}))
        wait_for(lambda: subscriber.on(picture)[-1] == b"")  # that of the last one, and the last message


@needs_broker
def test_a_camera_removed_by_a_reload_is_cleared_on_the_broker(alone: tuple[Broker, Subscriber]) -> None:
    broker, subscriber = alone
    follow_to(broker.port, subscriber, {"in": "picamera2", "out": "rtsp://x/"}, {"in": "picamera2"})
    gone = {topic for topic, _, _ in subscriber.heard if topic.endswith("/out") or "/fmd_less-out/" in topic}
    assert len(gone) == 4 + 6
    assert {subscriber.on(topic)[-1] for topic in gone} == {b""}
    kept = {topic for topic, _, _ in subscriber.heard} - gone
    assert {"fmd/less/state/in", "fmd/less/health/in", "homeassistant/image/fmd_less-in/picture/config"} <= kept
    assert b"" not in {subscriber.on(topic)[-1] for topic in kept}


@needs_broker
def test_when_one_camera_becomes_several_its_topics_are_cleared(
    alone: tuple[Broker, Subscriber],
) -> None:
    broker, subscriber = alone
    follow_to(broker.port, subscriber, {}, {"in": "picamera2", "out": "rtsp://x/"})
    assert {topic for topic, payload, _ in subscriber.heard if payload == b""} == {
        "fmd/less/health",
        "fmd/less/drift",
        "fmd/less/picture",
        "homeassistant/image/fmd_less/picture/config",
        "homeassistant/binary_sensor/fmd_less/camera_changed/config",
        "homeassistant/binary_sensor/fmd_less/behaviour_changed/config",
    }


def a_run(port: int, subscriber: Subscriber, **changed: Any) -> set[str]:
    """Publish everything about each camera; return what the broker retains at the end."""
    about = {"mqtt.host": "127.0.0.1", "mqtt.port": port, "publish.name": "again", "publish.pictures": "blurred"}
    settings = config.load(None, {**about, **{key.replace("__", "."): value for key, value in changed.items()}})
    before = len(subscriber.heard)
    with open_reporting(settings) as reporting:
        for camera in config.cameras(settings.camera):
            reporting.on_health(Health(camera, CameraState.STREAMING, 1.0))
            decision = Decision(Change.DECIDED, PASSAGE, 2.0, camera)
            reporting.on_decision(decision)
            sent = len(subscriber.on("fmd/again/decision"))
            step = Step(frame_of(texture(64, 64)), True, True, (), (), {}, (), (), Signal.NO_MASK, {}, camera)
            reporting.on_step(step, Delivery())
            wait_for(lambda count=sent: len(subscriber.on("fmd/again/decision")) > count)
        reporting.on_settings(settings)
        wait_for(lambda: "fmd/again/metrics" in {topic for topic, _, _ in subscriber.heard[before:]})
    wait_for(lambda: ("fmd/again/status", b"offline", False) in subscriber.heard[before:])
    return subscriber.kept


TWO = {"in": "picamera2", "out": "rtsp://x/"}


@needs_broker
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"camera__sources": TWO}, {"camera__sources": {"in": "picamera2"}}),
        ({"camera__sources": TWO}, {}),
        ({}, {"camera__sources": TWO}),
        ({}, {"publish__pictures": "none"}),
        ({"camera__sources": TWO}, {"camera__sources": TWO, "publish__pictures": "none"}),
        ({}, {"mqtt__discovery": False}),
        ({"camera__sources": TWO}, {"camera__sources": {"out": "rtsp://x/"}, "mqtt__discovery": False}),
    ],
)
def test_a_restart_leaves_only_topics_of_the_present_settings_retained(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any]
) -> None:
    kept = []
    for runs in ([after], [before, after]):
        broker = Broker(tmp_path)
        subscriber = Subscriber(broker.port)
        subscriber.publish("fmd/others/state", "of another door", retain=True)
        subscriber.publish("fmd/again/note/out", "of somebody else", retain=True)
        subscriber.publish("fmd/again/figures", "of an earlier version", retain=True)
        kept.append([a_run(broker.port, subscriber, **run) for run in runs])
        subscriber.close()
        broker.stop()
    (alone,), (first, second) = kept
    assert second == alone
    assert first - second, "the first run left nothing that the second one does not feed"
    assert {"fmd/others/state", "fmd/again/note/out"} < second
    assert "fmd/again/figures" not in second


@needs_broker
def test_the_publisher_unsubscribes_once_it_knows_the_retained_topics(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch(mode=0o666)
    broker = Broker(tmp_path, f"allow_anonymous true\nlog_dest file {log}\nlog_type all")
    publisher = connected(broker.port, "echo")
    wait_for(lambda: "UNSUBACK to fmd-echo" in log.read_text())
    publisher.send(message(MessageKind.STATE, state="no_mask"))
    publisher.send(message(MessageKind.HEALTH, "yard", state="dark", reason=""))
    publisher.close()
    broker.stop()
    after = log.read_text().partition("UNSUBACK to fmd-echo")[2]
    assert "Received PUBLISH from fmd-echo" in after
    assert "Sending PUBLISH to fmd-echo" not in after


@needs_broker
def test_a_publisher_without_read_permission_publishes_anyway(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic write fmd/#\ntopic write homeassistant/#\n")
    (tmp_path / "acl").chmod(0o600)
    broker = Broker(tmp_path, f"allow_anonymous true\nacl_file {tmp_path / 'acl'}")
    publisher = connected(broker.port, "mute")
    publisher.send(message(MessageKind.STATE, state="no_mask"))
    publisher.close()
    broker.stop()


@needs_broker
def test_a_camera_that_returns_stays_announced(broker: Broker, subscriber: Subscriber) -> None:
    """The message about its removal waited for a broker that was down."""
    publisher = MqttPublisher(settings_for(broker.port), "back", [PICTURES, RECORD], ["in", "out"])
    publisher.open()
    wait_for(lambda: sends(publisher, message(MessageKind.HEALTH, state="streaming", reason="")))
    publisher.send(message(MessageKind.REMOVED, "out"))
    wait_for(lambda: subscriber.on("fmd/back/picture/out") == [b""])
    publisher.close()
    assert {topic for topic, payload, _ in subscriber.heard if payload == b"" and "fmd_back" in topic} == set()


@needs_broker
def test_every_one_of_many_cameras_is_announced(broker: Broker, subscriber: Subscriber) -> None:
    cameras = [f"camera{number}" for number in range(40)]
    publisher = MqttPublisher(settings_for(broker.port), "many", cameras=cameras)
    publisher.open()
    wait_for(lambda: sends(publisher, message(MessageKind.HEALTH, state="streaming", reason="")))
    topics = discovery(settings_for(broker.port), "many", cameras=cameras)
    assert len(topics) > 120
    wait_for(lambda: all(subscriber.on(topic) for topic in topics))
    publisher.close()


@needs_broker
def test_a_broker_that_restarts_gets_the_waiting_messages(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "edge")
    broker = Broker(tmp_path)
    publisher = MqttPublisher(settings_for(broker.port), "d")
    outbox = Outbox("mqtt", publisher, 10, retry_s=0.1)
    outbox.post(message(MessageKind.DECISION, number=1))
    wait_for(lambda: outbox.sent == 1)
    broker.stop()
    outbox.post(message(MessageKind.DECISION, number=2))
    wait_for(lambda: outbox.failed > 0)
    broker.start()
    subscriber = Subscriber(broker.port)
    wait_for(lambda: outbox.sent == 2)
    wait_for(lambda: subscriber.on("fmd/d/decision"))
    # At least once: an acknowledgement that is lost with the broker has the message sent again.
    assert {json.loads(p)["number"] for p in subscriber.on("fmd/d/decision")} == {2}
    wait_for(lambda: b"online" in subscriber.on("fmd/d/status"))
    assert "mqtt: works again" in caplog.text
    outbox.close()
    subscriber.close()
    broker.stop()


@needs_broker
def test_a_reload_to_another_broker_keeps_the_queue_and_publishes_the_state(
    alone: tuple[Broker, Subscriber],
) -> None:
    """The first address was mistyped. What the door had to say since then reaches the right one."""
    broker, subscriber = alone
    changed = {"mqtt.host": "127.0.0.1", "publish.name": "moved"}
    with open_reporting(config.load(None, {**changed, "mqtt.port": free_port()})) as reporting:
        reporting.on_health(Health("", CameraState.STREAMING, 1.0))
        reporting.on_decision(Decision(Change.DECIDED, PASSAGE, 2.0))
        reporting.on_step(Step(frame_of(texture(8, 8)), True, True, (), (), {}, (), (), Signal.NO_MASK, {}), Delivery())
        wait_for(lambda: reporting.metrics.snapshot().outboxes["mqtt"]["failed"] > 0)
        reporting.on_settings(config.load(None, {**changed, "mqtt.port": broker.port}))
        wait_for(lambda: subscriber.on("fmd/moved/metrics"))
        wait_for(lambda: b"online" in subscriber.on("fmd/moved/status"))
        reporting.on_settings(config.load(None, {**changed, "mqtt.port": broker.port}))  # the same again
    wait_for(lambda: b"offline" in subscriber.on("fmd/moved/status"))
    assert [json.loads(p)["outcome"] for p in subscriber.on("fmd/moved/decision")] == ["violation"]
    assert {json.loads(p)["state"] for p in subscriber.on("fmd/moved/health")} == {"streaming"}
    assert "no_mask" in [json.loads(p)["state"] for p in subscriber.on("fmd/moved/state")]
    assert subscriber.on("fmd/moved/status") == [b"online", b"offline"]


def test_a_rewritten_password_file_makes_another_publisher(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    settings = config.load(None, {"mqtt.host": "broker", "mqtt.username": "me", "mqtt.password_file": str(secret)})
    secret.write_text("one\n")
    (before,), (same,) = drivers.publishers(settings), drivers.publishers(settings)
    secret.write_text("two two\n")
    (after,) = drivers.publishers(settings)
    assert before.wanted == same.wanted != after.wanted
    assert "broker" not in repr(before)


def test_a_missing_broker_is_reported_and_costs_nothing() -> None:
    publisher = opened(settings_for(free_port()), "e")
    sent = message(MessageKind.STATE, state="running")
    wait_for(lambda: not sends(publisher, sent) and "cannot be reached" in reason(publisher, sent))
    publisher.close()


def reason(publisher: MqttPublisher, message: Message) -> str:
    with pytest.raises(PublishError) as caught:
        publisher.send(message)
    return str(caught.value)


def test_a_broker_that_never_answers_blocks_nothing() -> None:
    """A server whose kernel accepts connections, and that never reads."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(16)
        before_s = time.monotonic()
        outbox = Outbox("mqtt", MqttPublisher(settings_for(hole.getsockname()[1]), "f"), 5)
        for number in range(1000):
            outbox.post(message(MessageKind.DECISION, number=number))
        posted_s = time.monotonic() - before_s
        outbox.close(within_s=0.5)
        closed_s = time.monotonic() - before_s
    assert posted_s < 10
    assert closed_s < 15
    assert outbox.waiting <= 5
    assert outbox.dropped >= 994


class Deaf(threading.Thread):
    """A broker (MQTT 3.1.1) that takes the connection, lets Home Assistant ask who is there ``asks`` times, and never
    acknowledges what it is sent."""

    def __init__(self, asks: int) -> None:
        super().__init__(daemon=True)
        self._listening, self._asks = socket.create_server(("127.0.0.1", 0)), asks
        self.port = int(self._listening.getsockname()[1])
        self.heard = b""
        self.hung_up = False
        self.start()

    @property
    def asked(self) -> bool:
        """Whether the last question has been dealt with: it is acknowledged afterwards."""
        return b"\x40\x02" + self._asks.to_bytes(2, "big") in self.heard

    def run(self) -> None:
        connection, _ = self._listening.accept()
        with connection, self._listening:
            connection.recv(4096)
            connection.sendall(b"\x20\x02\x00\x00")  # CONNACK, then PUBLISH at QoS 1
            topic = b"homeassistant/status"
            for number in range(1, self._asks + 1):
                body = len(topic).to_bytes(2, "big") + topic + number.to_bytes(2, "big") + b"online"
                connection.sendall(bytes([0x32, len(body)]) + body)
            while part := connection.recv(4096):
                self.heard += part
        self.hung_up = True


def test_close_disconnects_even_if_offline_is_not_acknowledged() -> None:
    before, broker = set(threading.enumerate()), Deaf(asks=20)
    publisher = opened(settings_for(broker.port), "m")
    wait_for(lambda: broker.asked)
    publisher.close()  # too many messages wait for another one
    wait_for(lambda: broker.hung_up)
    assert broker.heard.endswith(b"\xe0\x00")  # DISCONNECT
    assert set(threading.enumerate()) - before <= {broker}


@needs_broker
def test_the_broker_accepts_the_password_from_its_file(tmp_path: Path) -> None:
    made = shutil.which("mosquitto_passwd")
    if made is None:
        pytest.skip("mosquitto_passwd is not installed")
    subprocess.run([made, "-b", "-c", str(tmp_path / "users"), "door", "s3cret"], check=True, capture_output=True)
    (tmp_path / "users").chmod(0o600)
    broker = Broker(tmp_path, f"allow_anonymous false\npassword_file {tmp_path / 'users'}")
    (tmp_path / "right").write_text("s3cret\n")
    (tmp_path / "wrong").write_text("guess\n")
    publisher = connected(broker.port, "g", username="door", password_file=str(tmp_path / "right"))
    publisher.close()
    refused = opened(settings_for(broker.port, username="door", password_file=str(tmp_path / "wrong")), "h")
    sent = message(MessageKind.STATE, state="running")
    wait_for(lambda: "refuses" in reason(refused, sent))
    assert "guess" not in reason(refused, sent)
    refused.close()
    broker.stop()


@needs_broker
def test_an_encrypted_broker_needs_a_certificate_of_the_configured_ca(tmp_path: Path) -> None:
    made = shutil.which("openssl")
    if made is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    ask = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    subprocess.run([made, *ask, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    broker = Broker(tmp_path, f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}")
    publisher = connected(broker.port, "k", tls=True, ca_file=str(certificate))
    publisher.close()
    stranger = opened(settings_for(broker.port, tls=True), "l")
    sent = message(MessageKind.STATE, state="running")
    wait_for(lambda: "cannot be reached" in reason(stranger, sent))
    stranger.close()
    broker.stop()


@needs_broker
def test_two_boards_of_one_name_do_not_disconnect_each_other(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    doors = []
    with caplog.at_level("INFO", "edge"):
        for board in ("1000000012345678", "1000000087654321"):
            monkeypatch.setattr(drivers.mqtt, "board_id", lambda board=board: board)
            doors.append(connected(broker.port, "same"))
        for _ in range(10):
            for door in doors:
                door.send(message(MessageKind.METRICS, frames=1))
    for door in doors:
        door.close()
    assert [record.message.split(" to ")[0] for record in caplog.records] == 2 * ["mqtt: connected"]


@needs_broker
def test_a_client_that_another_one_disconnects_reports_it_once_and_slows_down(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "edge"):
        # A twentieth of a second between attempts instead of one: what follows takes a twentieth of the time as well.
        first, second = (opened(settings_for(broker.port), "twin", retry_s=(0.05, 60.0)) for _ in range(2))
        wait_for(lambda: any("uses the same client id" in record.message for record in caplog.records))
        connections = sum("connected to" in record.message for record in caplog.records)
        threading.Event().wait(0.5)
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warnings
    assert len(warnings) == len({record.args for record in caplog.records if record.levelname == "WARNING"}) <= 2
    assert "the broker closed 3 connections in a row right after it accepted them" in warnings[0]
    assert f"(fmd-twin-{board_id()})" in warnings[0]
    # Without the longer interval they would go on to disconnect each other, about ten times in this time.
    assert sum("connected to" in record.message for record in caplog.records) <= connections + 2
    first.close()
    second.close()


def test_the_id_of_a_board_is_its_serial_number_or_else_the_machines(tmp_path: Path) -> None:
    serial = tmp_path / "sys" / "firmware" / "devicetree" / "base" / "serial-number"
    machine = tmp_path / "etc" / "machine-id"
    for file in (serial, machine):
        file.parent.mkdir(parents=True)
    named = board_id(tmp_path)
    machine.write_text("0123456789abcdef0123456789abcdef\n")
    by_machine = board_id(tmp_path)
    serial.write_bytes(b"10000000abcdef01\0")
    by_serial = board_id(tmp_path)
    machine.write_text("another copy of the card\n")
    assert board_id(tmp_path) == by_serial
    assert len({named, by_machine, by_serial}) == 3
    assert all(re.fullmatch("[0-9a-f]{8}", found) for found in (named, by_machine, by_serial))


def test_an_unreadable_password_file_is_reported_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^mqtt\.password_file: .*nowhere: No such file"):
        MqttPublisher(settings_for(1883, username="door", password_file=str(tmp_path / "nowhere")), "i")


def test_an_invalid_certificate_is_reported_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(SettingsError, match=r"^mqtt\.ca_file: "):
        MqttPublisher(settings_for(8883, tls=True, ca_file=str(tmp_path / "ca.pem")), "j")


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(RuntimeMissingError, match=r"^mqtt\.host: .*pip install '\.\[mqtt\]'"):
        next(drivers.publishers(config.load(None, {"mqtt.host": "localhost"}))).open()
    monkeypatch.undo()
    assert importlib.import_module("paho.mqtt.client") is mqtt
