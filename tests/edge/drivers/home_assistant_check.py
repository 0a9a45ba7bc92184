"""Checks discovery messages as Home Assistant does. Runs with a Python that has homeassistant and paho-mqtt 1.6.

Reads ``{"discovery": {topic: message}, "payloads": [payload of fmd's topics by topic, ...]}`` from standard input.
Prints ``{"unknown": [keys that this version ignores], "values": {topic: [value of each payload on its topic]}}``.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from typing import Any

COMPONENT = "homeassistant.components"


def validated(topic: str, message: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the configuration of an entity, and the keys that Home Assistant dropped. Raises vol.Invalid."""
    mixins = importlib.import_module(f"{COMPONENT}.mqtt.mixins")
    discovery = importlib.import_module(f"{COMPONENT}.mqtt.discovery")
    origin = discovery.MQTT_ORIGIN_INFO_SCHEMA(message["origin"])
    kind = topic.split("/")[1]
    config = dict(importlib.import_module(f"{COMPONENT}.mqtt.{kind}").DISCOVERY_SCHEMA(dict(message)))
    device = mixins.MQTT_ENTITY_DEVICE_INFO_SCHEMA(message["device"])
    dropped = [key for key in message if key not in config]
    dropped += [f"device.{key}" for key in message["device"] if key not in device]
    return config, dropped + [f"origin.{key}" for key in message["origin"] if key not in origin]


async def main() -> None:
    """Check everything and print the result."""
    core = importlib.import_module("homeassistant.core")
    template = importlib.import_module("homeassistant.helpers.template")
    asked = json.load(sys.stdin)
    hass = core.HomeAssistant("/nonexistent") if core.HomeAssistant.__init__.__code__.co_argcount > 1 else None
    unknown: set[str] = set()
    values: dict[str, list[str]] = {}
    for topic, message in asked["discovery"].items():
        config, dropped = validated(topic, message)
        unknown |= set(dropped)
        if "value_template" in message:
            text = template.Template(message["value_template"], hass)
            values[topic] = [
                str(text.async_render_with_possible_json_value(payload))
                for payload in asked["payloads"].get(config["state_topic"], [])
            ]
    print(json.dumps({"unknown": sorted(unknown), "values": values}))


asyncio.run(main())
