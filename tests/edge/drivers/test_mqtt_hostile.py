"""Hostile brokers: what they send ends neither the client nor the memory, and messages still get through."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.contracts import MessageKind
from edge.drivers.mqtt import RETAINED_TOPICS
from edge.drivers.mqtt_client import MAX_PACKET
from tests.edge.drivers.test_mqtt import (
    Broker,
    Subscriber,
    alone,  # noqa: F401 - a fixture
    connected,
    message,
    mqtt,
    needs_broker,
    opened,
    sends,
    settings_for,
)
from tests.edge.parts import wait_for

CONNACK, CONNECT, PUBLISH_IN, SUBSCRIBE, PINGREQ = b"\x20\x02\x00\x00", 1, 3, 8, 12


def remaining(length: int) -> bytes:
    """Return a length as MQTT encodes it."""
    out = b""
    while True:
        length, low = divmod(length, 128)
        out += bytes([low | (128 if length else 0)])
        if not length:
            return out


def publish(topic: bytes, payload: bytes = b"{}", retain: bool = True) -> bytes:
    body = struct.pack(">H", len(topic)) + topic + payload
    return bytes([0x30 | retain]) + remaining(len(body)) + body


class HostileBroker:
    """Accepts every client, acknowledges what it publishes, and sends ``attack`` after each subscription or connection.

    ``published`` lists the topics that arrived after the attack, ``connections`` counts clients.
    """

    def __init__(self, attack: bytes, at: int = SUBSCRIBE, flood: int = 0) -> None:
        self.published: list[bytes] = []
        self.subscribed: list[bytes] = []
        self.connections = 0
        self._attack, self._at, self._flood = attack, at, flood
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            stream = client.makefile("rb")
            while head := stream.read(1):
                length = shift = 0
                while True:
                    (byte,) = stream.read(1)
                    length |= (byte & 127) << shift
                    shift += 7
                    if byte < 128:
                        break
                self._answer(client, head[0] >> 4, head[0], stream.read(length))
        except OSError:
            return

    def _answer(self, client: socket.socket, kind: int, head: int, body: bytes) -> None:
        if kind == CONNECT:
            client.sendall(CONNACK)
        elif kind == SUBSCRIBE:
            self.subscribed.append(body[4 : 4 + body[3]])
            client.sendall(b"\x90\x03" + body[:2] + b"\x01")
        elif kind == PUBLISH_IN:
            end = 2 + struct.unpack(">H", body[:2])[0]
            self.published.append(body[2:end])
            if head & 6:
                client.sendall(b"\x40\x02" + body[end : end + 2])
        elif kind == PINGREQ:
            client.sendall(b"\xd0\x00")
        if kind == self._at:
            client.sendall(self._attack)
            for _ in range(self._flood):
                client.sendall(b"\0" * 65536)


@contextmanager
def attacked(attack: bytes, **how: Any) -> Iterator[tuple[HostileBroker, Callable[[], bool]]]:
    """Yield a broker and a function that sends a message and returns whether it was acknowledged."""
    broker = HostileBroker(attack, **how)
    publisher = opened(settings_for(broker.port), "door")
    try:
        yield broker, lambda: sends(publisher, message(MessageKind.DECISION, outcome="violation"))
    finally:
        publisher.close()
        broker.close()


BAD_TOPICS = {
    "65,500 characters": b"fmd/door/state/" + b"x" * 65485,
    "a wildcard": b"fmd/door/state/#",
    "another wildcard": b"fmd/door/state/+",
    "no UTF-8": b"fmd/door/state/\xff\xfe",
    "a null character": b"fmd/door/state/\0",
    "a surrogate": b"fmd/door/state/\xed\xa0\x80",
    "only separators": b"fmd/door///",
    "a foreign camera": b"fmd/door/state/$SYS/broker",
    "a foreign entity": b"homeassistant/" + b"y" * 60000 + b"/fmd_door/alarm/config",
}


@pytest.mark.parametrize("topic", BAD_TOPICS.values(), ids=list(BAD_TOPICS))
def test_a_retained_topic_that_nobody_may_publish_ends_nothing(topic: bytes) -> None:
    with attacked(publish(topic)) as (broker, send):
        wait_for(send)
        wait_for(lambda: b"fmd/door/decision" in broker.published)
        assert send()
    assert topic not in broker.published


MALFORMED = {
    "an empty topic": publish(b""),
    "a topic beyond the packet": b"\x31\x04\xff\xffab",
    "an empty publish": b"\x30\x00",
    "a short acknowledgement": b"\x40\x01\x00",
    "a length of five bytes": b"\x30\xff\xff\xff\xff\x01",
    "an unknown packet": b"\xf0\x00",
    "a short connack": b"\x20\x01\x00",
    "a short suback": b"\x90\x01\x00",
    "random bytes": bytes(range(255, 0, -1)),
}


@pytest.mark.parametrize("packet", MALFORMED.values(), ids=list(MALFORMED))
def test_a_malformed_packet_costs_a_connection_and_no_more(packet: bytes) -> None:
    with attacked(packet, at=CONNECT) as (broker, send):
        wait_for(lambda: broker.connections >= 2 or b"fmd/door/status" in broker.published)
        del send
        assert [thread for thread in threading.enumerate() if thread.name.startswith("paho")]


def peak_mb() -> float:
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def test_a_packet_of_240_mb_is_not_read_and_fmd_goes_on_without_subscriptions() -> None:
    size = 240 << 20
    before = peak_mb()
    attack = b"\x31" + remaining(size) + struct.pack(">H", 10) + b"fmd/door/x"
    with attacked(attack, flood=50) as (broker, send):
        wait_for(lambda: broker.connections == 2)
        wait_for(send)
        subscribed = len(broker.subscribed)
        assert send()
        assert len(broker.subscribed) == subscribed
    assert peak_mb() - before < 20


def test_any_number_of_retained_topics_costs_no_memory() -> None:
    attack = b"".join(publish(b"fmd/door/state/camera%d" % number) for number in range(1000))
    with attacked(attack) as (broker, send):
        wait_for(send)
        wait_for(send)
    assert len(broker.published) < 1000


@needs_broker
def test_a_real_broker_with_a_retained_message_of_20_mb_and_bad_topics(
    alone: tuple[Broker, Subscriber],  # noqa: F811
) -> None:
    broker, subscriber = alone
    setup = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    setup.connect("127.0.0.1", broker.port)
    setup.loop_start()
    for topic in ("fmd/door/x", "fmd/door/state/old"):
        setup.publish(topic, b"\0" * (20 << 20), qos=1, retain=True).wait_for_publish(60)
    setup.publish("fmd/door/state/" + "x" * 60000, b"x", qos=1, retain=True).wait_for_publish(60)
    setup.disconnect()
    setup.loop_stop()
    before = peak_mb()
    publisher = connected(broker.port, "door")
    publisher.send(message(MessageKind.DECISION, outcome="violation"))
    wait_for(lambda: subscriber.on("fmd/door/decision"))
    publisher.close()
    assert peak_mb() - before < 60  # the subscriber of this test is in the same process


def test_the_subscriptions_are_those_that_are_needed() -> None:
    assert not [topic for topic in RETAINED_TOPICS if topic in ("+", "#", "+/+")]
    with attacked(b"") as (broker, send):
        wait_for(send)
    assert broker.subscribed
    assert MAX_PACKET < 1 << 20
