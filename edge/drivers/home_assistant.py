"""Discovery messages for Home Assistant (home-assistant.io/integrations/mqtt, single component discovery).

:data:`DOOR` and :data:`CAMERA` list every entity: one entry each. The door is one device, and each of several cameras
is one more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge import board
from edge.board import Board
from edge.config import MqttSettings
from edge.contracts import ENDS, CameraState, Outcome, Signal
from edge.version import version

PICTURES, TEMPERATURE, VOLTAGE = "pictures", "temperature", "voltage"
"""Features of a door that some entities need: messages with pictures, and what its board measures."""
RECORD = "record"
"""Feature of a door that keeps a record, and so notices changes."""
SWITCH, READ_ONLY = "switch", "read only"
"""Features of a door that may be armed by messages, and of one that may not."""
COMMANDS = "arming/set"
"""Topic of commands, below the door's."""
ALARMING = tuple(signal.state for signal in sorted(Signal, reverse=True) if signal.alarming)
ALARM = f"{{{{ 'ON' if value_json.state in {ALARMING} else 'OFF' }}}}"
BLIND = f"{{{{ 'ON' if value_json.state == '{Signal.BLIND.state}' else 'OFF' }}}}"
NOT_STREAMING = f"{{{{ 'OFF' if value_json.state == '{CameraState.STREAMING.value}' else 'ON' }}}}"
"""Templates of Home Assistant (Jinja): a problem is a camera that gives no pictures."""
VIOLATION = (
    f"{{% if value_json.change not in {tuple(change.value for change in ENDS)} and value_json.signal in {ALARMING} %}}"
    "{{ {'event_type': value_json.signal, 'person': value_json.person, 'label': value_json.label, "
    "'camera': value_json.camera | default('')} | to_json }}{% endif %}"
)
"""Home Assistant ignores a message for which this is empty, and takes every other one as an event, however equal."""


@dataclass(frozen=True, slots=True)
class Entity:
    """Configuration of an entity. Its topics are below those of its door, and of its camera if it belongs to one.

    ``needs`` names the feature without which the door has no such entity.
    """

    config: Mapping[str, Any]
    needs: str = ""


def _value(name: str) -> str:
    return f"{{{{ value_json.{name} | default(none) }}}}"


def _problem(name: str) -> str:
    return f"{{{{ 'ON' if value_json.{name} | default(false) else 'OFF' }}}}"


_METRIC = {"state_topic": "metrics"}
_COUNTER = {**_METRIC, "state_class": "total_increasing"}
_DIAGNOSTIC = {**_METRIC, "entity_category": "diagnostic"}
_MEASURED = {**_DIAGNOSTIC, "state_class": "measurement"}
_SHARED = {
    "binary_sensor/alarm": Entity(
        {"name": "Alarm", "device_class": "safety", "state_topic": "state", "value_template": ALARM}
    ),
    "sensor/state": Entity(
        {
            "name": "State",
            "device_class": "enum",
            "options": ["off", *(signal.state for signal in Signal)],
            "state_topic": "state",
            "value_template": "{{ value_json.state }}",
        }
    ),
}
_ARMED = {
    "name": "Armed",
    "icon": "mdi:shield",
    "state_topic": "arming",
    "value_template": "{{ 'ON' if value_json.armed else 'OFF' }}",
    "json_attributes_topic": "arming",
}
_DRIFT = {"state_topic": "drift", "json_attributes_topic": "drift"}
_OF_A_CAMERA = {
    "image/picture": Entity({"name": "Last violation", "image_topic": "picture"}, PICTURES),
    "binary_sensor/camera_changed": Entity(
        {
            **_DRIFT,
            "name": "Camera changed",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "value_template": "{{ 'ON' if value_json.changed else 'OFF' }}",
        },
        RECORD,
    ),
    "binary_sensor/behaviour_changed": Entity(
        {
            **_DRIFT,
            "name": "Behaviour changed",
            "icon": "mdi:account-question",
            "value_template": "{{ 'ON' if value_json.behaviour_changed else 'OFF' }}",
        },
        RECORD,
    ),
}

DOOR: Mapping[str, Entity] = {
    **_SHARED,
    "binary_sensor/blind": Entity(
        {"name": "Camera blind", "device_class": "problem", "state_topic": "state", "value_template": BLIND}
    ),
    "binary_sensor/armed": Entity(_ARMED, READ_ONLY),
    "switch/armed": Entity(
        {**_ARMED, "command_topic": COMMANDS, "payload_on": "ARM", "payload_off": "DISARM", "qos": 1}
        | {"state_on": "ON", "state_off": "OFF"},
        SWITCH,
    ),
    "event/violation": Entity(
        {
            "name": "Violation",
            "event_types": list(ALARMING),
            "state_topic": "decision",
            "value_template": VIOLATION,
        }
    ),
    "sensor/outcome": Entity(
        {
            "name": "Last decision",
            "device_class": "enum",
            "options": [outcome.value for outcome in Outcome if outcome is not Outcome.UNDECIDED],
            "state_topic": "decision",
            "value_template": "{{ value_json.outcome }}",
            "json_attributes_topic": "decision",
        }
    ),
    "sensor/violated": Entity({**_COUNTER, "name": "Violations", "value_template": _value("passages_violated")}),
    "sensor/compliant": Entity({**_COUNTER, "name": "Compliant", "value_template": _value("passages_compliant")}),
    "sensor/unsure": Entity({**_COUNTER, "name": "Unsure", "value_template": _value("passages_unsure")}),
    "sensor/frame_age": Entity(
        {
            **_MEASURED,
            "name": "Frame age",
            "device_class": "duration",
            "unit_of_measurement": "s",
            "value_template": _value("frame_age_s"),
        }
    ),
    "sensor/memory": Entity(
        {
            **_MEASURED,
            "name": "Memory",
            "device_class": "data_size",
            "unit_of_measurement": "MB",
            "value_template": _value("memory_mb"),
        }
    ),
    "sensor/temperature": Entity(
        {
            **_MEASURED,
            "name": "Temperature",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "value_template": _value("temperature_c"),
        },
        TEMPERATURE,
    ),
    "binary_sensor/under_voltage": Entity(
        {
            **_DIAGNOSTIC,
            "name": "Under-voltage",
            "device_class": "problem",
            "value_template": _problem("under_voltage"),
        },
        VOLTAGE,
    ),
    "binary_sensor/model_fallback": Entity(
        {
            **_DIAGNOSTIC,
            "name": "Not the installed model",
            "device_class": "problem",
            "value_template": _problem("model_fallback"),
        }
    ),
    "sensor/version": Entity(
        {
            "name": "Version",
            "entity_category": "diagnostic",
            "state_topic": "build",
            "value_template": "{{ value_json.version }}",
            "json_attributes_topic": "build",
        }
    ),
    "binary_sensor/too_slow": Entity(
        {**_DIAGNOSTIC, "name": "Too slow", "device_class": "problem", "value_template": _problem("too_slow")}
    ),
}
"""Entities of the door by component and object id."""

CAMERA: Mapping[str, Entity] = {
    **_SHARED,
    "binary_sensor/blind": Entity(
        {
            "name": "Camera blind",
            "device_class": "problem",
            "state_topic": "health",
            "value_template": NOT_STREAMING,
            "json_attributes_topic": "health",
        }
    ),
    **_OF_A_CAMERA,
}
"""Entities of each of several cameras."""


def measured(readings: Board) -> frozenset[str]:
    """Return the features that a board with these readings has."""
    found = {TEMPERATURE: readings.temperature_c, VOLTAGE: readings.throttled}
    return frozenset(name for name, reading in found.items() if reading is not None)


def discovery(
    settings: MqttSettings, name: str, features: Collection[str] = (), cameras: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Return the discovery messages of a door by topic; ``cameras`` is empty for a single one."""
    id_ = device_id(name)
    device = {
        "identifiers": [id_],
        "name": f"fmd {name}",
        "manufacturer": "fmd",
        "model": board.model() or "PC",
        "sw_version": version(),
    }
    for key in ("configuration_url", "suggested_area"):
        if value := getattr(settings, key):
            device[key] = value
    features = {*features, SWITCH if settings.commands else READ_ONLY}
    # Pictures and changes are of a camera: of the only one, or of each.
    of_door = DOOR if cameras else {**DOOR, **_OF_A_CAMERA}
    topics = _announced(settings, name, "", device, of_door, features)
    for camera in cameras:
        own = {"identifiers": [device_id(name, camera)], "name": f"fmd {name} {camera}", "via_device": id_}
        topics |= _announced(settings, name, camera, {**device, **own}, CAMERA, features)
    return topics


def device_id(name: str, camera: str = "") -> str:
    """Return the id of a door's device, or of its camera's. A door's id has no "-", so the two can never be equal."""
    id_ = f"fmd_{name.replace('-', '_')}"
    return f"{id_}-{camera}" if camera else id_


def _announced(
    settings: MqttSettings,
    name: str,
    camera: str,
    device: Mapping[str, Any],
    entities: Mapping[str, Entity],
    features: Collection[str],
) -> dict[str, dict[str, Any]]:
    """Return the messages about one device by topic, with the topics of its entities in full."""
    base, id_, topics = f"{settings.topic}/{name}", device_id(name, camera), {}
    for key, entity in entities.items():
        if entity.needs and entity.needs not in features:
            continue
        kind, _, what = key.partition("/")
        config = {
            key: f"{base}/{value}{camera and f'/{camera}'}" if key.endswith("_topic") else value
            for key, value in entity.config.items()
        }
        topics[f"{settings.discovery_topic}/{kind}/{id_}/{what}/config"] = {
            "unique_id": f"{id_}_{what}",
            "availability_topic": f"{base}/status",
            "device": device,
            "origin": {"name": "fmd", "sw_version": version()},
            **config,
        }
    return topics
