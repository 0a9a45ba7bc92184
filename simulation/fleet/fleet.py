"""A hub and its doors, joined: names, ports, settings and versions."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edge.messages import BuildMessage
from simulation.fleet.door import DoorPlan
from simulation.fleet.hub import Hub
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

ALONE_FPS = 10.0
"""Frames per second of doors to which events happen: a board that is too slow is noticed after 50 frames."""


@dataclass(frozen=True)
class FleetOptions:
    """How many doors there are, and which. The first ``alone`` doors have a process of their own and a wire."""

    doors: int
    alone: int = 0
    watched: bool = True
    visit_s: float = 60.0
    fps: float = 2.0
    every_s: int | None = None
    level: int = logging.ERROR


def door_names(count: int) -> list[str]:
    """Return the names of the doors."""
    return [f"door-{i:04d}" for i in range(count)]


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder in memory, if this machine allows: enrolment waits for the disk after each file of a door."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fmd-hub-", dir=memory) as folder:
        yield Path(folder)


def make_hub(folder: Path, options: FleetOptions) -> Hub:
    """Return a hub in an empty folder with its doors enrolled, not yet started."""
    ports = Ports()
    # What Prometheus reads: a door's own port, or its wire's.
    return Hub(folder, {name: ports.take() for name in door_names(options.doors)}, ports, options.every_s)


def make_doors(hub: Hub, options: FleetOptions) -> Doors:
    """Return the doors of a hub, not yet started."""
    return Doors([_plan(hub, name, i, options) for i, name in enumerate(hub.doors)], options.level)


def _plan(hub: Hub, name: str, number: int, options: FleetOptions) -> DoorPlan:
    broker, metrics = hub.mqtt_port, hub.doors[name]
    plan = DoorPlan(
        name,
        {},
        hub.settings_file(name),
        seed=number + 1,
        visit_s=options.visit_s,
        fps=options.fps,
        build=BUILD,
        watched=options.watched,
    )
    if number >= options.alone:
        return replace(plan, settings={"metrics.port": metrics, "mqtt.port": broker})
    to_broker, own = hub.ports.take(), hub.ports.take()
    # Each frame is inspected, so that a slow detector is noticed at once.
    settings = {"metrics.port": own, "mqtt.port": to_broker, "watch.gate": False}
    return replace(plan, alone=True, fps=ALONE_FPS, ways=((to_broker, broker), (metrics, own)), settings=settings)
