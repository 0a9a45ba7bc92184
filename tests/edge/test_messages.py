"""Contents of messages: built once from what the pipeline knows."""

from __future__ import annotations

from dataclasses import fields

import msgspec
import pytest

from edge.board import THROTTLED
from edge.contracts import CameraState, Change, Decision, Health, Message, MessageKind, Outcome, Passage, Signal
from edge.messages import (
    ArmingMessage,
    MetricsMessage,
    StateMessage,
    arming_in_words,
    decision_message,
    health_message,
)


def test_a_decision_names_a_person_uniquely_across_restarts() -> None:
    passage = Passage(3, Outcome.VIOLATION, "without_mask", 5, True, 1.0, 2.0, 3.456, Signal.NO_MASK)
    first, second = (decision_message(Decision(Change.DECIDED, passage, 2.0), start) for start in (1.7e9, 1.8e9))
    assert (first.person, second.person) == ("1700000000-3", "1800000000-3")
    assert msgspec.to_builtins(first) == {
        "change": "decided",
        "person": "1700000000-3",
        "outcome": "violation",
        "label": "without_mask",
        "signal": "no_mask",
        "violated": True,
        "observations": 5,
        "seconds": 2.46,
    }


def test_health_states_why_a_camera_is_blind_or_slow() -> None:
    assert msgspec.to_builtins(health_message(Health("yard", CameraState.LOST, 1.0, "unplugged"))) == {
        "state": "lost",
        "reason": "unplugged",
        "slow": "",
        "hint": "",
    }
    assert health_message(Health("", CameraState.STREAMING, 1.0, slow="too slow")).slow == "too slow"


def test_metrics_have_a_field_for_every_complaint_of_the_firmware() -> None:
    assert set(THROTTLED.values()) <= {field.name for field in msgspec.structs.fields(MetricsMessage)}


def test_a_message_gives_its_fields_and_one_without_content_gives_none() -> None:
    assert Message(MessageKind.STATE, 0.0, "", StateMessage("no_mask")).values == {"state": "no_mask"}
    assert Message(MessageKind.REMOVED, 0.0, "yard", None).values == {}


def test_what_the_board_cannot_measure_is_left_out() -> None:
    required = [f.name for f in msgspec.structs.fields(MetricsMessage) if f.default is msgspec.NODEFAULT]
    message = MetricsMessage(**dict.fromkeys(required, 1))
    assert set(msgspec.to_builtins(message)) == set(required)
    assert "temperature_c" in msgspec.to_builtins(MetricsMessage(**dict.fromkeys(required, 1), temperature_c=61.5))


@pytest.mark.parametrize("name", [field.name for field in fields(Health)])
def test_every_field_of_health_but_its_time_reaches_the_message(name: str) -> None:
    """``camera`` is the message's own, ``since_s`` is on a clock that no subscriber has."""
    sent = {field.name for field in msgspec.structs.fields(type(health_message(Health("", CameraState.DARK, 0.0))))}
    assert (name in sent) is (name not in ("camera", "since_s"))


@pytest.mark.parametrize("at", ["\x1b[2J\nforged", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_state_in_words_is_printable_whatever_it_holds(at: str) -> None:
    said = arming_in_words(ArmingMessage(armed=False, source="x", by="\x1b]0;own\x07", until=at, muted_until=at))
    assert said.isprintable()
    assert said.startswith("disarmed by ")
