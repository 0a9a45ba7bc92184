"""Discovery: what each entity reads, templates on real messages, and Home Assistant's own schemas."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge import config
from edge.board import Board
from edge.contracts import ENDS, Change, Decision, MessageKind, Outcome, Passage, Signal
from edge.drivers.home_assistant import (
    ALARMING,
    CAMERA,
    DOOR,
    PICTURES,
    RECORD,
    TEMPERATURE,
    VOLTAGE,
    discovery,
    measured,
)
from edge.messages import ArmingMessage, BuildMessage, DriftMessage, StateMessage, decision_message
from edge.reporting.live_state import STATES, LiveState
from edge.reporting.metrics import Metrics, metrics_message

ALL = (PICTURES, RECORD, TEMPERATURE, VOLTAGE)
NEWER = ["options"]
"""Keys that Home Assistant 2024.3 ignores and later versions know (home-assistant.io/integrations/sensor.mqtt)."""


def settings(**changed: Any) -> config.MqttSettings:
    return config.load(None, {f"mqtt.{key}": value for key, value in {"host": "broker", **changed}.items()}).mqtt


def entity(key: str, camera: str = "") -> dict[str, Any]:
    kind, _, what = key.partition("/")
    id_ = f"fmd_door-{camera}" if camera else "fmd_door"
    return discovery(settings(), "door", ALL, [camera] if camera else [])[f"homeassistant/{kind}/{id_}/{what}/config"]


def rendered(key: str, content: dict[str, Any], camera: str = "") -> str:
    jinja = pytest.importorskip("jinja2", reason="Home Assistant's template language is not installed")
    language = jinja.Environment()
    language.filters["to_json"] = json.dumps
    return str(language.from_string(entity(key, camera)["value_template"]).render(value_json=content))


def decided(signal: Signal, change: Change = Change.DECIDED, camera: str = "") -> dict[str, Any]:
    outcome = Outcome.VIOLATION if signal.alarming else Outcome.COMPLIANT
    passage = Passage(7, outcome, "without_mask", 5, signal.alarming, 1.0, 2.0, 3.5, signal)
    content: dict[str, Any] = msgspec.to_builtins(decision_message(Decision(change, passage, 2.0, camera), 1e9))
    return {**content, "camera": camera} if camera else content


def test_every_entity_has_an_id_of_its_own_and_reads_a_topic_that_fmd_publishes() -> None:
    entities = discovery(settings(), "door", ALL)
    assert entities.pop("homeassistant/image/fmd_door/picture/config")["image_topic"] == "fmd/door/picture"
    # One of two: the switch that arms, or the state that it would show. Two more are about the only camera.
    assert len({entity["unique_id"] for entity in entities.values()}) == len(entities) == len(DOOR) - 1 + 2
    for topic, found in entities.items():
        prefix, kind, device, what, end = topic.split("/")
        assert (prefix, device, end) == ("homeassistant", "fmd_door", "config")
        assert kind in ("sensor", "binary_sensor", "event")
        assert found["unique_id"] == f"fmd_door_{what}"
        assert found["state_topic"] in {f"fmd/door/{kind.value}" for kind in MessageKind}
        assert found["availability_topic"] == "fmd/door/status"
        assert found["origin"]["name"] == "fmd"


def test_arming_is_a_switch_only_where_messages_may_arm() -> None:
    topics = ("homeassistant/binary_sensor/fmd_door/armed/config", "homeassistant/switch/fmd_door/armed/config")
    assert [topic in discovery(settings(), "door") for topic in topics] == [True, False]
    found = discovery(settings(commands=True), "door")
    assert [topic in found for topic in topics] == [False, True]
    switch = found[topics[1]]
    assert (switch["state_topic"], switch["command_topic"]) == ("fmd/door/arming", "fmd/door/arming/set")
    for armed, shown in ((True, switch["state_on"]), (False, switch["state_off"])):
        content = msgspec.to_builtins(ArmingMessage(armed=armed, source="mqtt"))
        assert rendered("binary_sensor/armed", content) == shown


def test_the_device_names_its_board_and_what_the_settings_say_of_it() -> None:
    plain = entity("sensor/state")["device"]
    assert plain["model"]
    assert not {"configuration_url", "suggested_area"} & plain.keys()
    told = settings(configuration_url="http://door.local:8080/", suggested_area="Entrance")
    for found in discovery(told, "door", (), ["in"]).values():
        device = found["device"]
        assert (device["configuration_url"], device["suggested_area"]) == ("http://door.local:8080/", "Entrance")


def test_what_the_board_cannot_measure_has_no_entity() -> None:
    assert measured(Board(1, None, None)) == frozenset()
    assert measured(Board(1, 48.0, {"under_voltage": False})) == {TEMPERATURE, VOLTAGE}
    named = {topic.split("/")[3] for topic in discovery(settings(), "door")}
    assert {key.partition("/")[2] for key in DOOR} - named == {"temperature", "under_voltage"}
    assert {topic.split("/")[3] for topic in discovery(settings(), "d", (), ["in"]) if "fmd_d-in" in topic} == {
        key.partition("/")[2] for key, entity in CAMERA.items() if not entity.needs
    }


@pytest.mark.parametrize(("changed", "shown"), [(True, "ON"), (False, "OFF")])
def test_changes_of_camera_and_behaviour_are_entities_of_a_door_with_a_record(changed: bool, shown: str) -> None:
    for key, field in (("camera_changed", "changed"), ("behaviour_changed", "behaviour_changed")):
        drift = msgspec.to_builtins(msgspec.structs.replace(DriftMessage(), **{field: changed}))
        assert entity(f"binary_sensor/{key}")["state_topic"] == "fmd/door/drift"
        assert rendered(f"binary_sensor/{key}", drift) == shown
        assert entity(f"binary_sensor/{key}", "hall")["state_topic"] == "fmd/door/drift/hall"


def test_states_are_listed_and_counters_are_no_diagnostics() -> None:
    state, outcome = entity("sensor/state"), entity("sensor/outcome")
    assert (state["device_class"], sorted(state["options"])) == ("enum", sorted(STATES))
    assert (outcome["device_class"], set(outcome["options"])) == ("enum", {"compliant", "violation", "unsure"})
    for counter in ("violated", "compliant", "unsure"):
        found = entity(f"sensor/{counter}")
        assert found["state_class"] == "total_increasing"
        assert "entity_category" not in found


@pytest.mark.parametrize(
    ("state", "alarm", "blind"),
    [("no_mask", "ON", "OFF"), ("incorrect_mask", "ON", "OFF"), ("blind", "OFF", "ON"), ("running", "OFF", "OFF")],
)
def test_the_templates_translate_every_state(state: str, alarm: str, blind: str) -> None:
    assert rendered("binary_sensor/alarm", {"state": state}) == alarm
    assert rendered("binary_sensor/blind", {"state": state}) == blind


@pytest.mark.parametrize(("state", "blind"), [("streaming", "OFF"), ("dark", "ON"), ("lost", "ON")])
def test_health_reports_a_blind_camera(state: str, blind: str) -> None:
    assert entity("binary_sensor/blind", "in")["state_topic"] == "fmd/door/health/in"
    assert rendered("binary_sensor/blind", {"state": state}, "in") == blind


def test_every_violation_is_an_event_and_nothing_else_is() -> None:
    types = entity("event/violation")["event_types"]
    assert types == list(ALARMING)
    for signal in Signal:
        for change in Change:
            event = rendered("event/violation", decided(signal, change, "yard"))
            if signal.alarming and change not in ENDS:
                found = json.loads(event)
                assert (found["event_type"], found["camera"], found["label"]) == (signal.state, "yard", "without_mask")
                assert found["event_type"] in types
            else:
                assert event == ""


def home_assistant(asked: dict[str, Any]) -> dict[str, Any]:
    python = os.environ.get("FMD_HOME_ASSISTANT_PYTHON", "")
    if not python:
        pytest.skip("set FMD_HOME_ASSISTANT_PYTHON to the python of a venv with homeassistant==2024.3.3")
    ran = subprocess.run(
        [python, str(Path(__file__).with_name("home_assistant_check.py"))],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return answer


@pytest.mark.slow
def test_home_assistant_accepts_every_message_and_reads_every_value() -> None:
    told = settings(configuration_url="http://door.local:8080/", suggested_area="Entrance")
    messages = discovery(told, "door", ALL) | discovery(told, "two", ALL, ["in", "the-yard"])
    messages |= discovery(settings(commands=True), "three")
    full = metrics_message(
        Metrics(LiveState(lambda: 0.0), (), lambda: 0.0, lambda: Board(90_000_000, 48.3, {})).snapshot()
    )
    contents: dict[str, list[Any]] = {
        "state": [msgspec.to_builtins(StateMessage(state)) for state in STATES],
        "decision": [decided(signal, change) for signal in Signal for change in Change],
        "metrics": [msgspec.to_builtins(full)],
        "arming": [msgspec.to_builtins(ArmingMessage(armed=armed, source="mqtt")) for armed in (True, False)],
        "health": [{"state": "dark", "reason": "covered", "slow": ""}],
    }
    payloads = {f"fmd/door/{kind}": [json.dumps(each) for each in all_] for kind, all_ in contents.items()}
    answer = home_assistant({"discovery": messages, "payloads": payloads})
    assert answer["unknown"] == NEWER
    values = {topic.split("/")[3]: found for topic, found in answer["values"].items() if "/fmd_door/" in topic}
    assert values["state"] == list(STATES)
    assert values["armed"] == ["ON", "OFF"]
    assert set(values["outcome"]) <= set(entity("sensor/outcome")["options"])
    events = [json.loads(event) for event in values["violation"] if event]
    assert [event["event_type"] for event in events] == ["incorrect_mask"] * 2 + ["no_mask"] * 2
    assert (values["temperature"], values["memory"], values["violated"]) == (["48.3"], ["90.0"], ["0"])


@pytest.mark.slow
def test_home_assistant_refuses_what_is_wrong() -> None:
    wrong = discovery(settings(), "door")
    wrong["homeassistant/sensor/fmd_door/state/config"]["device_class"] = "mood"
    with pytest.raises(AssertionError, match="expected SensorDeviceClass"):
        home_assistant({"discovery": wrong, "payloads": {}})


def test_the_version_is_a_diagnostic_with_the_rest_of_the_build_as_attributes() -> None:
    found = entity("sensor/version")
    assert (found["state_topic"], found["json_attributes_topic"]) == ("fmd/door/build", "fmd/door/build")
    assert found["entity_category"] == "diagnostic"
    assert rendered("sensor/version", msgspec.to_builtins(BuildMessage("1.2.3", "mask"))) == "1.2.3"
