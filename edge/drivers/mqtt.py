"""Publisher for an MQTT broker through paho, with discovery for Home Assistant.

Topics below ``TOPIC/NAME``: ``status`` (online; offline by last will), ``state``, ``health``, ``arming``, ``metrics``,
``report``, ``build``, ``drift`` and ``picture`` (JPEG) are retained, so that a later subscriber gets them;
``decision`` is not. QoS is 1: at least once.

paho keeps the connection in a thread of its own and reconnects by itself. Every connection publishes the discovery
messages again, because a broker may have lost them. Retained topics of an earlier run, for cameras or pictures that the
settings no longer name, are cleared: the publisher subscribes to its own topics to learn what the broker retains.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from edge import board
from edge.config import MqttSettings, Settings, door_name
from edge.contracts import ConfiguredPublisher, Message, MessageKind
from edge.control import Commander
from edge.drivers.home_assistant import COMMANDS, PICTURES, RECORD, device_id, discovery, measured
from edge.drivers.library import import_library, pip_extra
from edge.drivers.mqtt_client import MAX_PACKET, guarded, safely
from edge.drivers.secret_file import read_secret
from edge.errors import PublishError, SettingsError

log = logging.getLogger(__name__)

ACK_S = 5.0
"""Time that the broker has to acknowledge a message, before the message counts as not sent."""
FIRST_S = 1.0
"""Time that the first messages wait for the first attempt to connect. Otherwise they would fail, and be tried again."""
RETRY_S = (1.0, 60.0)
"""First and longest wait before the client connects again; the wait doubles."""
KEEPALIVE_S = 30
"""MQTT keep-alive: without a packet for one and a half times as long, the connection counts as lost."""
BRIEF_S = 5.0
"""A connection that is lost within this time after it was accepted is brief."""
MAX_BRIEF = 3
"""After this many brief connections in a row another client is the likely cause, and fmd reconnects less often."""
SLOW_RETRY_S = 30
"""Interval of reconnecting after that: two clients that disconnect each other must not flood the broker and the log."""
REFUSED = "the broker refuses"
BOARD_IDS = ("sys/firmware/devicetree/base/serial-number", "etc/machine-id")
"""Files that identify a board. The serial number comes first: copies of a card share the machine id."""
RETAINED = frozenset(
    {MessageKind.STATE, MessageKind.HEALTH, MessageKind.METRICS, MessageKind.ARMING, MessageKind.REPORT}
    | {MessageKind.BUILD, MessageKind.DRIFT}
)
RETAINED_TOPICS = (
    *("status", "state", "state/+", "health", "health/+", "drift", "drift/+", "metrics", "picture", "picture/+"),
    "figures",
)
"""All topics below the door's own to which fmd subscribes while it connects, to learn what the broker retains."""
MAX_CLEARED = 100
"""Most unused topics that one connection clears: a hostile broker may name any number."""
CAMERA = r"[A-Za-z0-9_-]{1,32}"
"""What the name of a camera, or of an entity, may be."""
FORMER_TOPICS = ("figures",)
"""Topics that earlier versions retained: the broker would keep their last message for ever."""


def configured(
    settings: Settings, runtime: Path | None, command: Commander | None = None
) -> Iterator[ConfiguredPublisher]:
    """Yield the publisher that the section ``[mqtt]`` configures."""
    del runtime  # the broker itself retains what must survive a restart
    mqtt, name = settings.mqtt, door_name(settings.publish)
    features = measured(board.read()) | ({PICTURES} if settings.publish.pictures != "none" else set())
    features |= {RECORD} if settings.record.keep else set()
    cameras = tuple(settings.camera.sources)
    wanted = (mqtt, name, features, cameras, _version_of(mqtt.password_file), _version_of(mqtt.ca_file))
    opening = partial(MqttPublisher, mqtt, name, features, cameras, command=command)
    yield ConfiguredPublisher("mqtt", wanted, opening, frozenset({MessageKind.DECISION}))


def _version_of(path: str) -> tuple[int, int] | None:
    """Return what changes when a file is rewritten (time of change in ns, bytes), or None if there is no file."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


class MqttPublisher:
    """Publisher for one broker.

    ``features`` are those of :mod:`edge.drivers.home_assistant`. ``cameras`` is empty for a single camera.
    ``command`` carries out messages to ``arming/set``, if ``mqtt.commands`` allows them. ``retry_s`` are the first and
    the longest wait before it connects again.
    """

    kinds = frozenset(MessageKind)

    def __init__(
        self,
        settings: MqttSettings,
        name: str,
        features: Collection[str] = (),
        cameras: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
        command: Commander | None = None,
        retry_s: tuple[float, float] = RETRY_S,
    ) -> None:
        mqtt = import_library("paho.mqtt.client", "mqtt.host", pip_extra("mqtt"))
        self._settings, self._name = settings, name
        self._command = command if settings.commands else None
        self._announced = discovery(settings, name, features, cameras) if settings.discovery else {}
        self._base = f"{settings.topic}/{name}"
        self._cameras = cameras or [""]
        self._published = {f"{self._base}/{what}" for what in ("status", "state", "arming", "metrics", "build")}
        self._published |= {
            topic for camera in self._cameras for topic in self._topics_of(camera, PICTURES in features)
        }
        self._retained = [f"{self._base}/{topic}" for topic in RETAINED_TOPICS]
        self._retained += [f"{settings.discovery_topic}/+/{device_id(name, of)}/+/config" for of in ("", *cameras)]
        self._pending: tuple[Message, Any] | None = None
        self._trouble = "not connected yet"
        self._clock, self._connected_s, self._brief = clock, float("-inf"), 0
        self._cleared, self._retry_s = 0, retry_s
        self._tried = threading.Event()
        self._tried.set()
        # A fixed id: the broker then closes a connection of this door that a crash left open. It is unique per board:
        # the broker would do the same to another door, which would reconnect, and so on without end.
        self._client_id = f"fmd-{name}-{board_id()}"
        self._client = guarded(mqtt.Client)(mqtt.CallbackAPIVersion.VERSION2, client_id=self._client_id)
        # paho drops messages beyond this limit silently, and discovery publishes all its messages at once.
        self._client.max_queued_messages_set(64 + len(self._announced))
        self._client.reconnect_delay_set(*retry_s)
        # The broker gets the last will with the connection, so it must be set before.
        self._client.will_set(f"{self._base}/status", "offline", qos=1, retain=True)
        self._client.on_connect, self._client.on_disconnect = safely(self._on_connect), safely(self._on_disconnect)
        self._client.on_connect_fail = safely(self._on_connect_fail)
        self._client.on_message = safely(self._on_message)
        self._set_credentials()

    def open(self) -> None:
        """Start paho's thread, which connects, now and after every loss of the connection."""
        self._tried.clear()
        self._client.connect_async(self._settings.host, self._settings.port, KEEPALIVE_S)
        self._client.loop_start()

    def send(self, message: Message) -> None:
        """Publish and wait until the broker acknowledges. Raises PublishError if it does not."""
        self._tried.wait(FIRST_S)
        if not self._client.is_connected():
            raise PublishError(f"{self._settings.host}:{self._settings.port}: {self._trouble}")
        # paho still has a message that is not acknowledged yet; publishing it again would send it twice.
        if self._pending is None or self._pending[0] is not message:
            self._pending = (message, self._publish(message))
        info = self._pending[1]
        try:
            info.wait_for_publish(ACK_S)
        except (ValueError, RuntimeError) as error:
            self._pending = None
            raise PublishError(f"{self._settings.host}:{self._settings.port}: {error}") from error
        if not info.is_published():
            raise PublishError(f"{self._settings.host}:{self._settings.port}: no acknowledgement within {ACK_S:.0f} s")
        self._pending = None

    def close(self) -> None:
        """Publish offline: the broker sends the last will only if the connection breaks."""
        try:
            # ValueError, RuntimeError: too many messages wait, or the connection has just been lost.
            with suppress(ValueError, RuntimeError):
                if not self._client.is_connected():
                    return
                # At most a second, because the unit's TimeoutStopSec is running.
                self._client.publish(f"{self._base}/status", "offline", qos=1, retain=True).wait_for_publish(1.0)
        finally:
            try:
                self._client.disconnect()
            finally:
                self._client.loop_stop()

    def _publish(self, message: Message) -> Any:
        if message.kind is MessageKind.REMOVED:
            return self._clear(message.camera)
        if message.picture is not None:
            picture = f"{self._base}/picture" + (f"/{message.camera}" if message.camera else "")
            self._client.publish(picture, message.picture(), qos=1, retain=True)
        retain = message.kind in RETAINED
        return self._client.publish(f"{self._base}/{_topic(message)}", _payload(message), qos=1, retain=retain)

    def _clear(self, camera: str) -> Any:
        """Clear all retained topics of this camera alone, so that the broker and Home Assistant forget it."""
        own = sorted(self._entities(camera)) if self._settings.discovery else []
        return [self._client.publish(topic, "", qos=1, retain=True) for topic in [*own, *self._topics_of(camera)]][-1]

    def _topics_of(self, camera: str, pictures: bool = True) -> list[str]:
        """Return the topics of one camera alone; a single camera has no state of its own, the door has it."""
        kinds = ["state"] * bool(camera) + ["health", "drift"] + ["picture"] * pictures
        return [f"{self._base}/{kind}" + (f"/{camera}" if camera else "") for kind in kinds]

    def _entities(self, camera: str) -> set[str]:
        """Return the discovery topics of one camera alone, without those that are in use now."""
        settings, name = self._settings, self._name
        all_of_it = discovery(settings, name, [PICTURES, RECORD], [camera] if camera else [])
        own = all_of_it.keys() - discovery(settings, name).keys()
        return own - self._announced.keys()

    def _clear_if_unused(self, topic: str) -> None:
        """Clear a topic that the broker retains, with all others of its camera, unless this run publishes it."""
        if topic in self._published or topic in self._announced or self._cleared >= MAX_CLEARED:
            return
        if not self._may_be_ours(topic):
            return
        self._cleared += 1
        topics = {topic}
        if topic.startswith(f"{self._base}/"):
            kind, _, camera = topic.removeprefix(f"{self._base}/").partition("/")
            if kind not in ("state", "health", "drift", "picture", *FORMER_TOPICS):
                return
            if camera not in self._cameras:
                topics |= self._entities(camera)
        for each in topics:
            # QoS 0: if the connection breaks first, the next connection finds the topic retained and clears it.
            self._client.publish(each, "", qos=0, retain=True)

    def _may_be_ours(self, topic: str) -> bool:
        """Return whether fmd could have published this topic. Others may be too long or invalid to be cleared."""
        own, sign, rest = topic.partition(f"{self._base}/")
        if sign and not own:
            return re.fullmatch(rf"[a-z]{{1,16}}(/{CAMERA})?", rest) is not None
        rest = topic.removeprefix(f"{self._settings.discovery_topic}/")
        return re.fullmatch(rf"[a-z_]{{1,32}}/[A-Za-z0-9_-]{{1,128}}/{CAMERA}/config", rest) is not None

    def _set_credentials(self) -> None:
        settings = self._settings
        if settings.username:
            self._client.username_pw_set(settings.username, _password(settings.password_file))
        elif settings.password_file:
            raise SettingsError("mqtt.password_file: the user is missing; set mqtt.username too")
        if settings.tls:
            try:
                self._client.tls_set(ca_certs=settings.ca_file or None)
            except (OSError, ssl.SSLError) as error:
                raise SettingsError(f"mqtt.ca_file: {settings.ca_file}: {error}") from error

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._trouble = f"{REFUSED}: {reason}"
            self._tried.set()
            return
        self._trouble, self._connected_s, self._cleared = "", self._clock(), 0
        log.info("mqtt: connected to %s:%d", self._settings.host, self._settings.port)
        # What ended several connections would come again with the subscriptions; messages are more important.
        listen = not client.oversized and self._brief < MAX_BRIEF
        if listen:
            client.subscribe([(topic, 1) for topic in self._retained])
        client.publish(f"{self._base}/status", "online", qos=1, retain=True)
        if self._command is not None and listen:
            client.subscribe(f"{self._base}/{COMMANDS}", 1)
        if self._settings.discovery:
            if listen:
                client.subscribe(f"{self._settings.discovery_topic}/status")
            self._announce()
        self._tried.set()

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        if message.topic == f"{self._base}/{COMMANDS}":
            self._obey(message)
        elif message.topic == f"{self._settings.discovery_topic}/status":
            # Home Assistant has started and has no entities yet.
            if message.payload == b"online":
                self._announce()
        elif message.retain:
            self._clear_if_unused(message.topic)
        elif message.topic == f"{self._base}/status":
            # Our own "online", sent after the subscription: every retained message has arrived before it, and all
            # further messages on these topics are our own.
            client.unsubscribe(self._retained)

    def _obey(self, message: Any) -> None:
        """Carry out a command. A retained one is an old one, which the broker repeats at every connection."""
        if self._command is None:
            return
        refused = "it is retained; publish it without retain" if message.retain else ""
        if refused := refused or self._command(message.payload, "mqtt"):
            log.warning("mqtt: a command was not carried out: %s", refused)

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        # A broker that refuses states the reason and then disconnects; only the reason helps the user.
        if self._trouble.startswith(REFUSED):
            return
        if client.oversized:
            # Whatever it was, it would come again with the subscription.
            self._trouble = (
                f"the broker sent a packet of more than {MAX_PACKET >> 10} kB; fmd subscribes to nothing more"
            )
            if client.oversized == 1:
                log.warning("mqtt: %s, until it is restarted", self._trouble)
            return
        self._brief = self._brief + 1 if self._clock() - self._connected_s < BRIEF_S else 0
        if self._brief < MAX_BRIEF:
            client.reconnect_delay_set(*self._retry_s)
            self._trouble = f"connection lost: {reason}"
            return
        client.reconnect_delay_set(SLOW_RETRY_S, 2 * SLOW_RETRY_S)
        self._trouble = (
            f"the broker closed {MAX_BRIEF} connections in a row right after it accepted them; another fmd on this "
            f"board probably uses the same client id ({self._client_id}): stop one, or give it another publish.name"
        )
        if self._brief == MAX_BRIEF:
            log.warning("mqtt: %s", self._trouble)

    def _on_connect_fail(self, client: Any, userdata: Any) -> None:
        self._trouble = f"cannot be reached ({client.unconnected})" if client.unconnected else "cannot be reached"
        self._tried.set()

    def _announce(self) -> None:
        for topic, entity in self._announced.items():
            self._client.publish(topic, json.dumps(entity), qos=1, retain=True)


def board_id(root: Path = Path("/")) -> str:
    """Return eight characters that differ between boards: a hash, as the ids themselves are not for a network."""
    found = next(filter(None, (board.text(root / file) for file in BOARD_IDS)), socket.gethostname())
    return hashlib.sha256(f"fmd {found}".encode()).hexdigest()[:8]


def _topic(message: Message) -> str:
    """Return the topic of a message: several cameras have one each for what is retained."""
    own = message.camera and message.kind in RETAINED
    return f"{message.kind.value}/{message.camera}" if own else message.kind.value


def _payload(message: Message) -> str:
    at = datetime.fromtimestamp(message.at, timezone.utc).isoformat(timespec="milliseconds")
    # The page of a report is for publishers that attach files.
    values: Mapping[str, Any] = {"at": at, **{key: value for key, value in message.values.items() if key != "page"}}
    return json.dumps({**values, "camera": message.camera} if message.camera else values)


def _password(path: str) -> str | None:
    """Return the first line of the password's file, or None if the settings name no file."""
    if not path:
        return None
    password = read_secret("mqtt.password_file", path).partition("\n")[0]
    if not password:
        raise SettingsError(f"mqtt.password_file: {path}: empty, expected the password in its first line")
    return password
