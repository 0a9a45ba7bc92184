"""One simulated door: fmd's own loop, decisions, publisher, metrics server and TLS, on a simulated camera."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping
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
    ModelFallback,
    Outcome,
    Passage,
    Signal,
    Step,
)
from edge.errors import FmdError
from edge.messages import BuildMessage, DecisionMessage, DriftMessage
from edge.pipeline import Pipeline
from edge.reporting.listener import Listener
from edge.reporting.metrics import ServiceReadings
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
    of ports (listens, forwards to) of its wires, which can be cut. ``visit_s`` is the mean time between two
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


class Condition(msgspec.Struct, frozen=True):
    """What is wrong with a door beside its camera: nothing by default.

    ``slow_s`` is how long each detection takes. ``complaints`` are names of :data:`edge.board.THROTTLED`. ``hint`` is a
    hint of kind "size". ``drifted``, ``fallback`` and ``record_failing`` are what detection of drift, the choice of
    models and the record would report.
    """

    slow_s: float = 0.0
    complaints: frozenset[str] = frozenset()
    disk_full: bool = False
    record_failing: bool = False
    hint: str = ""
    drifted: bool = False
    fallback: bool = False


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
        self._condition = Condition()
        self._report: ConditionReport | None = None
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

    def set_condition(self, condition: Condition) -> None:
        """Let this be wrong with the door from its next frame on."""
        self._condition = condition
        self.detector.takes_s = condition.slow_s

    def slow_since_s(self) -> float | None:
        """Return since when the door calls itself too slow (monotonic), None while it does not."""
        return self._report.slow_since_s if self._report else None

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
        with open_reporting(
            self.settings, self._note, describe=lambda settings: self.plan.build, read_service=self._read_service
        ) as reporting:
            reporting.metrics.read_board = self._read_board
            self._report = ConditionReport(reporting, lambda: self._condition)
            runtime = Runtime(reader=lambda opener, notify: ThreadReader(self.device.open, notify))
            service.run(
                self.settings, [reporting, self._report], self._pipeline, runtime, control=control, arming=arming
            )

    def _pipeline(self, settings: Settings, alert: Alert, camera: str) -> Pipeline:
        return pipeline_of(settings, alert, self.detector, self.plan.seed)

    def _read_board(self) -> Board:
        return simulated_board(self.plan.seed, self._condition)

    def _read_service(self) -> ServiceReadings:
        return ServiceReadings(True, self._condition.record_failing, 0)

    def _note(self, kind: str, content: msgspec.Struct, camera: str) -> None:
        if isinstance(content, DecisionMessage):
            self.decided.append(f"{content.person} {content.change}")


class ConditionReport(Listener):
    """Reports hints, drift and fallbacks in the loop's thread, as the listeners do that would find them."""

    def __init__(self, listener: Listener, condition: Callable[[], Condition]) -> None:
        self._listener, self._condition, self._reported = listener, condition, Condition()
        self.slow_since_s: float | None = None

    def on_health(self, health: Health) -> None:
        """Note since when the door calls itself too slow."""
        if bool(health.slow) != (self.slow_since_s is not None):
            self.slow_since_s = time.monotonic() if health.slow else None

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """See :class:`edge.reporting.listener.Listener`."""
        now, before = self._condition(), self._reported
        self._reported = now
        if now.hint != before.hint:
            self._listener.on_hint("", "size", now.hint)
        if now.drifted != before.drifted:
            self._listener.on_drift("", DriftMessage(changed=now.drifted, message="simulated" * now.drifted))
        if now.fallback != before.fallback:
            failed = [ModelFallback("classifier", "new.tflite", "old.tflite", "simulated")]
            self._listener.on_models(failed * now.fallback)


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
        read_service = lambda: ServiceReadings(True, False, 0)  # noqa: E731
        reporting = open_reporting(self.settings, self._note, describe=describe, read_service=read_service)
        self._reporting = self._open.enter_context(reporting)
        self._reporting.metrics.read_board = lambda: simulated_board(self.plan.seed, Condition())
        self._reporting.on_settings(self.settings)
        self._reporting.on_health(Health("", CameraState.STREAMING, time.monotonic()))

    def stop(self) -> None:
        """See :class:`SimulatedDoor`."""
        self._reporting = None
        self._open.close()

    def feed(self, now_s: float) -> None:
        """Report one step of this moment, with the decision about the people who came or went since the last one."""
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
        step = Step(frame, here, here, (), (), {}, (), (), signal_now, TIMINGS_S)
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


TIMINGS_S = dict.fromkeys(("watch", "detect", "track", "classify", "decide", "alert"), 1e-4)
CARD_BYTES = 32_000_000_000
NOTHING = np.zeros((1, 1, 3), np.uint8)


def signal_of(visit: Visit) -> Signal:
    """Return what a door shows for a person."""
    return {WITH_MASK: Signal.RUNNING, WITHOUT_MASK: Signal.NO_MASK}.get(visit.label, Signal.INCORRECT_MASK)


def simulated_board(seed: int, condition: Condition) -> Board:
    """Return readings as of a Raspberry Pi: memory and temperature differ between boards."""
    rng = np.random.default_rng(seed)
    memory, temperature_c = int(rng.uniform(150e6, 190e6)), float(rng.uniform(45, 65) + np.sin(time.monotonic() / 300))
    throttled = {name: name in condition.complaints for name in THROTTLED.values()}
    return Board(memory, temperature_c, throttled, 10_000_000 if condition.disk_full else 20_000_000_000, CARD_BYTES)


def _with_build(plan: DoorPlan, changed: Mapping[str, str]) -> DoorPlan:
    return replace(plan, build=msgspec.structs.replace(plan.build, **changed))
