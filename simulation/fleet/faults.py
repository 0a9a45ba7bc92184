"""What can happen to a simulated door, and which alert the hub's rules raise for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from simulation.fleet.door import Condition
from simulation.fleet.fleet import BUILD
from simulation.fleet.workers import Doors

BROKER, METRICS = 0, 1
"""Ways of a door: to the broker, and from Prometheus."""


class Event(NamedTuple):
    """Something that happens to a door: ``begin`` and ``end`` it, by name; ``alert`` is the rule's name.

    ``since_s`` returns when it has begun to count, if that is later than ``begin``; None while it has not.
    """

    begin: Callable[[Doors, str], None]
    end: Callable[[Doors, str], None]
    alert: str
    since_s: Callable[[Doors, str], float | None] | None = None


def _camera(fault: str, alert: str) -> Event:
    return Event(
        lambda doors, name: doors.set_fault(name, fault),
        lambda doors, name: doors.set_fault(name, ""),
        alert,
    )


def _wire(state: str, alert: str, ways: tuple[int, ...] = (BROKER, METRICS)) -> Event:
    return Event(
        lambda doors, name: doors.set_wire(name, state, ways),
        lambda doors, name: doors.set_wire(name, "up", ways),
        alert,
    )


def _condition(condition: Condition, alert: str) -> Event:
    return Event(
        lambda doors, name: doors.set_condition(name, condition),
        lambda doors, name: doors.set_condition(name, Condition()),
        alert,
    )


def _build(key: str, value: str, alert: str) -> Event:
    return Event(
        lambda doors, name: doors.set_build(name, {key: value}),
        lambda doors, name: doors.set_build(name, {key: getattr(BUILD, key)}),
        alert,
    )


EVENTS: dict[str, Event] = {
    "silent": _wire("refused", "FmdDoorSilent"),
    "cut": _wire("cut", "FmdDoorSilent"),
    "stopped": Event(lambda doors, name: doors.stop(name), lambda doors, name: doors.start(name), "FmdDoorSilent"),
    "no-broker": _wire("refused", "FmdMessagesFailing", (BROKER,)),
    "blind": _camera("lost", "FmdBlind"),
    "stalled": _camera("stalled", "FmdBlind"),
    "dark": _camera("dark", "FmdBlind"),
    "frozen": _camera("frozen", "FmdFrozen"),
    "under-voltage": _condition(Condition(complaints=frozenset({"under_voltage"})), "FmdUnderVoltage"),
    "throttled": _condition(Condition(complaints=frozenset({"throttled"})), "FmdThrottled"),
    # A door calls itself too slow after half of a hundred detections.
    "slow": _condition(Condition(slow_s=0.4), "FmdTooSlow")._replace(since_s=Doors.slow_since_s),
    "full-disk": _condition(Condition(disk_full=True), "FmdDiskFull"),
    "failing-record": _condition(Condition(record_failing=True), "FmdRecordFailing"),
    "small-faces": _condition(Condition(hint="faces too small"), "FmdCameraHint"),
    "changed-camera": _condition(Condition(drifted=True), "FmdComplianceWithheld"),
    "outdated": _build("version", "2.0.0", "FmdOutdated"),
    "other-model": _build("classifier_sha", "ffffffffffff", "FmdModelDiffers"),
    "fallback": _condition(Condition(fallback=True), "FmdModelFallback"),
}
"""By name; an alert that suppresses others of its door comes before these, as a door has later events first.

Clocks, and doors that are disarmed or muted for hours, are left to promtool's tests of the rules.
"""
