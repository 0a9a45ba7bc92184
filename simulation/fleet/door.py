"""One simulated door: fmd's own loop, decisions, publisher, metrics server and TLS, on a simulated camera."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from edge import config
from edge.board import THROTTLED, Board
from edge.camera.supervisor import ThreadReader
from edge.config import Settings
from edge.contracts import (
    WITH_MASK,
    WITHOUT_MASK,
    CameraState,
    Change,
    Decision,
    Delivery,
    Frame,
    Health,
    Outcome,
    Passage,
    Signal,
    Step,
)
from edge.errors import FmdError
from edge.messages import BuildMessage, DecisionMessage
from edge.pipeline import Pipeline
from edge.reporting.reporter import Reporting, open_reporting
from edge.service import run as service
from edge.service.arming_control import ArmingControl, BoardClock
from edge.service.runtime import Runtime
from edge.service.signals import RunControl
from edge.stages.alert import Alert
from simulation.fleet.camera import SimulatedDevice
from simulation.fleet.scene import Pictures, Scene, ScriptedDetector, Visit, pipeline_of, visits

log = logging.getLogger(__name__)

RESTART_S = 5.0
"""RestartSec of the unit."""
STOP_S = 15.0
"""Longest time that a door takes to stop."""
BASE: Mapping[str, Any] = {
    "camera.source": "doorway",
    "camera.live": True,
    "camera.width": 160,
    "camera.height": 120,
    "alert.driver": "console",
    "metrics.address": "127.0.0.1",
}
"""Settings of every simulated door; the camera is replaced by a :class:`SimulatedDevice`."""


@dataclass(frozen=True)
class DoorPlan:
    """What one door is.

    ``file`` holds its settings, if a command has made them, and ``settings`` those that differ. ``ways`` are the pairs
    of ports (listens, forwards to) of its wire; without any it has no wire. ``visit_s`` is the mean time between two
    people. Without ``watched`` the door has no loop: only messages and metrics. ``alone`` gives it a process of its
    own, with a runtime folder as the unit has: a door that is blind for long needs one.
    """

    name: str
    settings: Mapping[str, Any]
    file: Path | None = None
    ways: tuple[tuple[int, int], ...] = ()
    seed: int = 1
    visit_s: float = 60.0
    fps: float = 2.0
    build: BuildMessage = field(default_factory=BuildMessage)
    watched: bool = True
    alone: bool = False

    def read_settings(self) -> Settings:
        """Return the settings of the file, and over them those of the plan."""
        return config.load(self.file, {**BASE, "camera.fps": self.fps, "publish.name": self.name, **self.settings})


class SimulatedDoor(Protocol):
    """A door in this process."""

    @property
    def decided(self) -> list[str]:
        """Person and change of every decision so far."""

    def start(self) -> None:
        """Begin to watch."""

    def stop(self) -> None:
        """Stop as systemctl does, and wait for it."""


class WatchedDoor:
    """A door with fmd's own loop. It starts again as systemd would let it, if its run ends with an error."""

    def __init__(self, plan: DoorPlan, pictures: Pictures) -> None:
        self.plan, self.settings = plan, plan.read_settings()
        self.decided: list[str] = []
        began_s = time.monotonic()
        scene, again = (Scene(plan.seed, plan.visit_s, began_s) for _ in range(2))
        self.device = SimulatedDevice(scene, pictures, plan.fps, time.monotonic)
        # A scene of its own: the loop's thread runs behind the camera's.
        self.detector = ScriptedDetector(again)
        self._complaints = frozenset[str]()
        self._stopping, self._control = threading.Event(), RunControl()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """See :class:`SimulatedDoor`."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._live, name=self.plan.name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """See :class:`SimulatedDoor`."""
        if self._thread is not None:
            self._stopping.set()
            self._control.signal = signal.SIGTERM
            self._thread.join(STOP_S)
            self._thread = None

    def set_fault(self, fault: str) -> None:
        """Let the camera fail in this manner (:data:`simulation.fleet.camera.FAULTS`), or work again for ``""``."""
        self.device.fault = fault

    def set_slow(self, seconds: float) -> None:
        """Let each detection take this long."""
        self.detector.takes_s = seconds

    def set_complaints(self, names: frozenset[str]) -> None:
        """Let the board report these of :data:`edge.board.THROTTLED`."""
        self._complaints = names

    def set_build(self, changed: Mapping[str, str]) -> None:
        """Install another version or model: fields of :class:`BuildMessage`. The door restarts."""
        self.stop()
        self.plan = _with_build(self.plan, changed)
        self.start()

    def _live(self) -> None:
        while True:
            self._control = RunControl()
            if self._stopping.is_set():
                return
            try:
                self._run(self._control)
            except FmdError as error:
                log.info("%s: %s", self.plan.name, error)
            if self._stopping.wait(RESTART_S):
                return

    def _run(self, control: RunControl) -> None:
        arming = ArmingControl(self.settings, BoardClock(None, lambda: True, lambda: True))
        with open_reporting(self.settings, self._note, describe=lambda settings: self.plan.build) as reporting:
            reporting.metrics.read_board = self._read_board
            runtime = Runtime(reader=lambda opener, notify: ThreadReader(self.device.open, notify))
            service.run(self.settings, [reporting], self._pipeline, runtime, control=control, arming=arming)

    def _pipeline(self, settings: Settings, alert: Alert, camera: str) -> Pipeline:
        return pipeline_of(settings, alert, self.detector, self.plan.seed)

    def _read_board(self) -> Board:
        return simulated_board(self.plan.seed, self._complaints)

    def _note(self, kind: str, content: msgspec.Struct, camera: str) -> None:
        if isinstance(content, DecisionMessage):
            self.decided.append(f"{content.person} {content.change}")


class LightDoor:
    """A door without a loop: fmd's messages and metrics only, of the same people. :meth:`feed` takes its steps."""

    def __init__(self, plan: DoorPlan) -> None:
        self.plan, self.settings = plan, plan.read_settings()
        self.decided: list[str] = []
        self._visits = visits(plan.seed, plan.visit_s, time.monotonic())
        self._visit, self._known, self._people = next(self._visits), False, 0
        self._open = ExitStack()
        self._reporting: Reporting | None = None

    def start(self) -> None:
        """See :class:`SimulatedDoor`."""
        if self._reporting is not None:
            return
        describe = lambda settings: self.plan.build  # noqa: E731
        self._reporting = self._open.enter_context(open_reporting(self.settings, self._note, describe=describe))
        self._reporting.metrics.read_board = lambda: simulated_board(self.plan.seed, frozenset())
        self._reporting.on_settings(self.settings)
        self._reporting.on_health(Health("", CameraState.STREAMING, time.monotonic()))

    def stop(self) -> None:
        """See :class:`SimulatedDoor`."""
        self._reporting = None
        self._open.close()

    def feed(self, now_s: float) -> None:
        """Report one step of this moment, with the decision about whoever came or went since the last one."""
        if self._reporting is None:
            return
        visit = self._visit
        here = visit.from_s <= now_s < visit.to_s
        if here and not self._known:
            self._known, self._people = True, self._people + 1
            self._reporting.on_decision(self._decision(Change.DECIDED, now_s))
        if now_s >= visit.to_s:
            if self._known:
                self._reporting.on_decision(self._decision(Change.LEFT, now_s))
            self._visit, self._known = next(self._visits), False
        signal_now = signal_of(visit) if here else Signal.RUNNING
        frame = Frame(NOTHING, NOTHING[:, :, 0], now_s, 0)
        step = Step(frame, here, here, (), (), {}, (), (), signal_now, {"watch": 1e-4})
        self._reporting.on_step(step, Delivery(0, 0.05))

    def _decision(self, change: Change, now_s: float) -> Decision:
        visit = self._visit
        bad = signal_of(visit).alarming
        outcome = Outcome.VIOLATION if bad else Outcome.COMPLIANT
        passage = Passage(
            self._people, outcome, visit.label, 8, bad, visit.from_s, visit.from_s, now_s, signal_of(visit)
        )
        return Decision(change, passage, now_s)

    def _note(self, kind: str, content: msgspec.Struct, camera: str) -> None:
        if isinstance(content, DecisionMessage):
            self.decided.append(f"{content.person} {content.change}")


NOTHING = np.zeros((1, 1, 3), np.uint8)


def signal_of(visit: Visit) -> Signal:
    """Return what a door shows for a person."""
    return {WITH_MASK: Signal.RUNNING, WITHOUT_MASK: Signal.NO_MASK}.get(visit.label, Signal.INCORRECT_MASK)


def simulated_board(seed: int, complaints: frozenset[str]) -> Board:
    """Return readings as of a Raspberry Pi: memory and temperature differ between boards."""
    rng = np.random.default_rng(seed)
    temperature_c = float(rng.uniform(45, 65)) + float(np.sin(time.monotonic() / 300))
    throttled = {name: name in complaints for name in THROTTLED.values()}
    return Board(int(rng.uniform(150e6, 190e6)), temperature_c, throttled)


def _with_build(plan: DoorPlan, changed: Mapping[str, str]) -> DoorPlan:
    return replace(plan, build=msgspec.structs.replace(plan.build, **changed))
