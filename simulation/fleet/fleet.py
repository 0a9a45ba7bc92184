"""A hub and its doors, joined: names, ports, settings and versions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.messages import BuildMessage
from simulation.fleet.door import DoorPlan
from simulation.fleet.hub import EVERY_S, Hub
from simulation.fleet.usage import Ports
from simulation.fleet.workers import Doors

BUILD = BuildMessage(
    version="2.1.0",
    model="mask_classifier",
    classifier_sha="0123456789ab",
    settings_hash="ba9876543210",
    board="Raspberry Pi 5 Model B Rev 1.0",
    os="Debian GNU/Linux 13 (trixie)",
)
"""What every simulated door runs at the start."""


@dataclass(frozen=True)
class FleetOptions:
    """How many doors there are, and which. The first ``alone`` doors have a process of their own and a wire."""

    doors: int
    alone: int = 0
    watched: bool = True
    visit_s: float = 60.0
    fps: float = 2.0
    every_s: int = EVERY_S
    level: int = logging.ERROR


def door_names(count: int) -> list[str]:
    """Return the names of the doors."""
    return [f"door-{i:04d}" for i in range(count)]


@contextmanager
def running(
    folder: Path, options: FleetOptions, before: Callable[[Hub], None] = lambda hub: None
) -> Iterator[tuple[Hub, Doors]]:
    """Start a hub in ``folder`` and its doors, and stop both at the end. ``before`` is called between the two."""
    ports, names = Ports(), door_names(options.doors)
    with Hub(folder, names, ports, options.every_s) as hub:
        before(hub)
        plans = [_plan(hub, name, i, options, ports) for i, name in enumerate(names)]
        with Doors(plans, options.level) as doors:
            yield hub, doors


def _plan(hub: Hub, name: str, number: int, options: FleetOptions, ports: Ports) -> DoorPlan:
    alone, metrics = number < options.alone, ports.take()
    settings = {**hub.settings_of(name), "metrics.port": metrics}
    ways: tuple[tuple[int, int], ...] = ()
    if alone:
        to_broker, to_metrics = ports.take(), ports.take()
        ways = (to_broker, hub.mqtt_port), (to_metrics, metrics)
        settings["mqtt.port"] = to_broker
    hub.scrape(name, ways[1][0] if ways else metrics)
    return DoorPlan(
        name,
        settings,
        ways=ways,
        seed=number + 1,
        visit_s=options.visit_s,
        fps=options.fps,
        build=BUILD,
        watched=options.watched,
        alone=alone,
    )
