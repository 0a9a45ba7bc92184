"""Random fault drills: the real service loop, supervisor and alert with simulated time, camera and systemd.

    python -m simulation.drills --drills 10000            # the table; exit code 1 if one failed
    python -m simulation.drills --seed 4711 --verbose     # one drill again, event by event

A drill is a run with one to three camera faults at random times. Meanwhile someone arms, disarms and mutes, and the
board's clock jumps. It ends in a random way: a signal, an exception in the pipeline, or a camera that stays away. No
drill waits: each wait advances the simulated clock instead.

A drill passes if all of this holds:

* fmd reports every fault within two seconds, and a camera is streaming again within a second of its return;
* a person who stands there is the same one after an outage of up to 5 s, and a new one after a long outage;
* systemd is never sent "watching" for a blind camera;
* the watchdog is fed no longer than ``camera.give_up_s`` without a picture;
* while it is disarmed, buzzer and relay are off, and while it is muted the buzzer, whatever the clock does;
* while it is armed, every frame with a person without a mask lights the LED;
* however the run ends, every output is off and closed.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from edge import config
from edge.config import Settings
from edge.contracts import Box, CameraState, Decision, Face, Frame, Health, Image, Signal, Step
from edge.control import ArmingRequest, ArmRequest, DisarmRequest, MuteRequest
from edge.drivers.console import ConsoleOutput
from edge.drivers.damage import DamagedPictures
from edge.drivers.doorway import draw_doorway
from edge.drivers.faulty import degraded
from edge.drivers.table import OUTPUTS, OutputDriver
from edge.errors import CameraError
from edge.faults import Fault, active
from edge.reporting.listener import Callbacks
from edge.service import run as service
from edge.service.arming_control import ArmingControl, BoardClock
from edge.service.runtime import FrameSignal, Runtime, Ticker
from edge.stages.alert import Alert
from edge.stages.track import OUTAGE_S, Tracker

MAX_NOTICE_S, MAX_RECOVERY_S = 2.0, 1.0
"""Longest time from a fault to its report, and from the device's return to the first picture through the pipeline."""
FPS = 8.0
STALL_S = 1.5
"""``camera.stall_s`` of the drivers; the default."""
MAX_OPEN_S = 0.3
"""Longest time that the simulated camera takes to open."""
EXPECTED_STATES: Mapping[str, frozenset[CameraState]] = {
    "stall": frozenset({CameraState.STALLED}),
    "hang": frozenset({CameraState.STALLED}),
    "unplug": frozenset({CameraState.LOST}),
    "crash": frozenset({CameraState.LOST}),
    "freeze": frozenset({CameraState.FROZEN}),
    "dark": frozenset({CameraState.DARK}),
    "cover": frozenset({CameraState.DARK}),
    "damage": frozenset({CameraState.STALLED, CameraState.LOST}),
}
"""Kind of fault -> camera states that report it."""
REOPENING_S = 4.0
"""Duration of a read that hangs forever: fmd notices it, gives the old reader time to close, and opens a new one."""
DRILL_ENDINGS = ("signal", "exception", "gone")
MAX_OVERRUN_S = 60.0
"""Time after its planned end from which a run counts as endless."""


class NoEndError(Exception):
    """A run that should have ended."""


class StageBrokeError(Exception):
    """Error that a stage of the pipeline raises in some drills."""


@dataclass(frozen=True)
class Intervention:
    """Someone gives a command at ``at_s``, or the clock jumps by ``jump_s``."""

    at_s: float
    request: ArmingRequest | None = None
    jump_s: float = 0.0


def _interventions(seed: int, until_s: float) -> tuple[Intervention, ...]:
    # Numbers of their own: the faults of a seed stay the same.
    rng = np.random.default_rng([seed, 1])
    found = []
    for _ in range(int(rng.integers(0, 7))):
        at_s, for_s = float(rng.uniform(0.3, until_s)), float(rng.uniform(0.5, 8.0))
        requests = (ArmRequest(), DisarmRequest(), DisarmRequest(for_s=for_s), MuteRequest(for_s=for_s), None)
        request = requests[int(rng.integers(0, len(requests)))]
        jump_s = 0.0 if request else float(rng.choice([-1, 1])) * 10 ** float(rng.uniform(0, 8))
        found.append(Intervention(at_s, request, jump_s))
    return tuple(sorted(found, key=lambda one: one.at_s))


@dataclass
class Drill:
    """Plan of a drill, drawn from its seed. Times are simulated seconds."""

    seed: int
    faults: tuple[Fault, ...]
    ending: str
    ends_s: float
    open_s: float
    give_up_s: float
    interventions: tuple[Intervention, ...] = ()

    def is_armed(self, at_s: float) -> bool:
        """Return whether fmd must be armed then: the latest command counts, as long as it was meant to."""
        commands = [one for one in self.interventions if not isinstance(one.request, MuteRequest | None)]
        return _holds(commands, at_s) is None or isinstance(_holds(commands, at_s), ArmRequest)

    def is_muted(self, at_s: float) -> bool:
        """Return whether buzzer and voice must be silent then."""
        return _holds([one for one in self.interventions if isinstance(one.request, MuteRequest)], at_s) is not None

    @classmethod
    def of(cls, seed: int) -> Drill:
        """Return the drill of a seed."""
        rng = np.random.default_rng(seed)
        faults, at_s = [], float(rng.uniform(0.5, 2.0))
        for _ in range(int(rng.integers(1, 4))):
            kind = str(rng.choice(list(EXPECTED_STATES)))
            for_s = {"hang": REOPENING_S, "crash": 0.5}.get(kind, float(rng.uniform(2.1, 7.0)))
            faults.append(Fault(kind, at_s, for_s))
            # A pause between faults in which the camera streams again: each fault must be noticed on its own.
            at_s += for_s + float(rng.uniform(2.0, 4.0))
        ending = str(rng.choice(DRILL_ENDINGS))
        if ending == "gone":
            # A fault without an end: the service must give the camera up.
            faults.append(Fault(str(rng.choice(["stall", "unplug", "freeze"])), at_s, 1e6))
        open_s, give_up_s = float(rng.uniform(0.02, MAX_OPEN_S)), float(rng.uniform(8, 12))
        return cls(seed, tuple(faults), ending, at_s, open_s, give_up_s, _interventions(seed, at_s))


def _holds(commands: Sequence[Intervention], at_s: float) -> ArmingRequest | None:
    """Return the latest of the commands that were given by then, unless its time is over."""
    given = [one for one in commands if one.at_s <= at_s]
    for_s = getattr(given[-1].request, "for_s", 0.0) if given else 0.0
    return given[-1].request if given and not (for_s and at_s >= given[-1].at_s + for_s) else None


class SimulatedDevice:
    """The camera of a drill: what it gives at a time, however often it is opened."""

    def __init__(self, drill: Drill, clock: SimulatedClock) -> None:
        self.drill, self.clock = drill, clock
        self._rng = np.random.default_rng(drill.seed)
        self._begun: set[Fault] = set()
        self._still: Image | None = None

    @property
    def fault(self) -> Fault | None:
        """The fault at this moment, or None."""
        return active(self.drill.faults, self.clock())

    def is_first_read(self, fault: Fault) -> bool:
        """Return whether this is the first read during ``fault``: a hang or crash happens to one read only."""
        first = fault not in self._begun
        self._begun.add(fault)
        return first

    def frame(self, kind: str | None, now_s: float, index: int) -> Frame:
        """Return the picture that the device gives during a fault of ``kind``, or without one."""
        if kind in ("dark", "cover"):
            # A random index: the driver derives the noise of a dark picture from it, and a sensor is never still.
            return degraded(Frame(SCENE, None, now_s, int(self._rng.integers(1 << 30))), kind)
        if kind != "freeze":
            self._still = None
        elif self._still is not None:
            return Frame(self._still, None, now_s, index)
        # A little noise, so that the pictures of a working camera differ.
        picture = SCENE + self._rng.integers(0, 4, SCENE.shape, dtype=np.uint8)
        self._still = picture if kind == "freeze" else None
        return Frame(picture, None, now_s, index)


SCENE: Image = cv2.resize(draw_doorway(), (80, 60), interpolation=cv2.INTER_AREA)


class SimulatedReader:
    """A :class:`edge.camera.supervisor.Reader` without a thread: it computes what a thread would have done by now."""

    dropped = 0

    def __init__(self, device: SimulatedDevice) -> None:
        self._device, self._stopped, self._hangs = device, False, False
        self._opened_s: float | None = None
        self._started_s = device.clock()
        self._given = -1
        self._failed = False
        self._damaged = DamagedPictures("drill", STALL_S, device.clock)

    def take(self) -> Frame | None:
        fault, now_s = self._device.fault, self._device.clock()
        kind = fault.kind if fault else None
        if self._hangs or kind == "stall":
            return None
        if kind == "unplug":
            self._failed = True
            raise CameraError("the device is gone")
        if fault and kind in ("hang", "crash") and self._device.is_first_read(fault):
            self._break(fault)
            return None
        if self._opened_s is None:
            if now_s - self._started_s < self._device.drill.open_s:
                return None
            self._opened_s = now_s
        index = int((now_s - self._opened_s) * FPS)
        if index == self._given:
            return None
        self._given = index
        if kind == "damage":
            self._skip()
            return None
        self._damaged.good()
        return self._device.frame(kind, now_s, index)

    def _skip(self) -> None:
        """Skip a damaged picture as drivers do, which raises CameraError once there was no other for too long."""
        try:
            self._damaged.skip()
        except CameraError:
            self._failed = True
            raise

    def _break(self, fault: Fault) -> None:
        if fault.kind == "hang":
            self._hangs = True
            return
        self._failed = True
        raise RuntimeError("the driver crashed")

    @property
    def running(self) -> bool:
        fault = self._device.fault
        stalled = fault is not None and fault.kind == "stall"
        return not self._failed and (self._hangs or stalled or not self._stopped)

    def stop(self) -> None:
        self._stopped = True

    def join(self, timeout_s: float) -> None:
        pass


class SimulatedClock:
    """Simulated seconds."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class RecordedOutput(ConsoleOutput):
    """A console output that the drill can find again, in ``made``."""

    made: list[RecordedOutput]

    def __init__(self, name: str, pin: int | str, active_high: bool) -> None:
        super().__init__(name, pin, active_high)
        self.made.append(self)


@dataclass
class DrillRecord:
    """Events of a drill, by simulated time. ``notified`` are the messages to systemd, ``people`` the tracks' ids.

    ``shown`` are the names of the outputs that are on, and whether a frame has just asked for an alarm.
    """

    healths: list[Health] = field(default_factory=list)
    notified: list[tuple[float, str]] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    people: list[tuple[float, int]] = field(default_factory=list)
    outputs: list[RecordedOutput] = field(default_factory=list)
    shown: list[tuple[float, frozenset[str], bool]] = field(default_factory=list)
    ended: str = ""

    def show(self, at_s: float, alarm: bool) -> None:
        """Note which outputs are on."""
        self.shown.append((at_s, frozenset(output.name for output in self.outputs if output.on), alarm))


class Simulation(FrameSignal):
    """One drill in progress: everything around the service, the frame signal included."""

    def __init__(self, drill: Drill, settings: Settings, systemd: socket.socket) -> None:
        self.drill, self.settings, self._systemd = drill, settings, systemd
        self.clock, self.record = SimulatedClock(), DrillRecord()
        self.device = SimulatedDevice(drill, self.clock)
        self._tracker = Tracker(settings.track, settings.detect)
        self._tick: Callable[[float], None] = lambda now_s: None
        self._rng = np.random.default_rng(drill.seed + 1)
        self._due = list(drill.interventions)
        self._wall_offset_s = 1.8e9
        known = BoardClock(None, lambda: True, lambda: True)
        self._arming = ArmingControl(settings, known, clock=self.clock, wall=self._wall, boot="this one")

    def run(self) -> DrillRecord:
        """Run the drill from start to end."""
        RecordedOutput.made = self.record.outputs
        runtime = Runtime(self.clock, lambda: self, lambda opener, ring: SimulatedReader(self.device), self._ticking)
        listener = Callbacks(self._on_step, on_health=self.record.healths.append)
        try:
            stopped_by = service.run(self.settings, [listener], self._build, runtime, arming=self._arming)
            self.record.ended = "signal" if stopped_by == signal.SIGTERM else "source"
        except NoEndError:
            self.record.ended = "nothing"
        except StageBrokeError:
            self.record.ended = "exception"
        except CameraError:
            self.record.ended = "gone"
        self._receive()
        return self.record

    def set(self) -> None:
        """Nothing sets this signal: time passes in :meth:`wait`."""

    def wait(self, timeout_s: float) -> None:
        """Advance the clock: time passes only while the service waits or works."""
        self._pass(timeout_s)

    def step(self, frame: Frame) -> Step:
        """Replace the pipeline: take a while, and show one person without a mask in every frame."""
        if self.drill.ending == "exception" and self.clock() >= self.drill.ends_s:
            raise StageBrokeError
        # A step takes 5 to 120 ms, up to about one interval of the camera.
        self._pass(float(self._rng.uniform(0.005, 0.12)))
        x, y = self._rng.normal(0, 1, 2)
        tracks = self._tracker.update([Face(Box(20 + x, 15 + y, 60 + x, 55 + y), 0.9)], frame.captured_s)
        self.record.people += [(frame.captured_s, track.id) for track in tracks if not track.missed]
        self.alert.renew(Signal.NO_MASK, frame.captured_s, [1])
        self.record.show(self.clock(), alarm=True)
        return Step(frame, True, True, (), (), {}, (), (), Signal.RUNNING, {})

    def finish(self, now_s: float) -> tuple[Decision, ...]:
        """Return no decision: no person leaves."""
        return ()

    def _build(self, settings: Settings, alert: Alert, camera: str) -> Any:
        self.alert = alert
        return self

    def _on_step(self, step: Step) -> None:
        self.record.steps.append(self.clock())
        if self.drill.ending == "signal" and self.clock() >= self.drill.ends_s:
            signal.raise_signal(signal.SIGTERM)

    def _pass(self, seconds: float) -> None:
        self._receive()
        self.clock.now_s += seconds
        # Without this bound a service that never ends would hang the drill.
        if self.clock() > self.drill.ends_s + MAX_OVERRUN_S:
            raise NoEndError
        self._intervene()
        self._tick(self.clock.now_s)
        self.record.show(self.clock(), alarm=False)

    def _wall(self) -> float:
        return self.clock() + self._wall_offset_s

    def _intervene(self) -> None:
        """Do what is due, as the threads of socket and arming would."""
        while self._due and self._due[0].at_s <= self.clock():
            due = self._due.pop(0)
            self._wall_offset_s += due.jump_s
            if due.request is not None:
                # A request for a time counts from when it was planned, so that the plan says when it is over.
                late_s, for_s = self.clock() - due.at_s, getattr(due.request, "for_s", 0.0)
                rest = {"for_s": max(0.001, for_s - late_s)} if for_s else {}
                self._arming.request(msgspec.structs.replace(due.request, **rest), "command", "the drill")
        self._arming.tick()

    def _receive(self) -> None:
        while True:
            try:
                self.record.notified.append((self.clock(), self._systemd.recv(4096).decode()))
            except BlockingIOError:
                return

    @contextmanager
    def _ticking(self, alert: Alert, clock: Callable[[], float]) -> Iterator[Ticker]:
        self._tick = alert.tick
        yield Ticker()


def failures_of(drill: Drill, record: DrillRecord) -> list[str]:
    """Return every requirement that a drill did not meet; an empty list if it passed."""
    found = [*_unnoticed(drill, record), *_false_notifications(drill, record), *_mistaken_people(record)]
    found += list(_disobedience(drill, record))[:3]
    if record.ended != drill.ending:
        found.append(f"ended by {record.ended}, expected {drill.ending}")
    found += [f"{output.name} left on" for output in record.outputs if output.on or not output.closed]
    if not record.outputs:
        found.append("no output was ever opened")
    return found


def _unnoticed(drill: Drill, record: DrillRecord) -> Iterator[str]:
    for fault in drill.faults:
        expected = EXPECTED_STATES[fault.kind]
        noticed = next((h for h in record.healths if h.since_s >= fault.at_s and h.state in expected), None)
        if noticed is None or noticed.since_s > fault.at_s + MAX_NOTICE_S:
            yield f"{fault}: not reported in time: {noticed}"
        if fault.until_s >= 1e6:  # the fault that ends the drill
            continue
        back = next((h for h in record.healths if not h.blind and noticed and h.since_s > noticed.since_s), None)
        if back is None or back.since_s > fault.until_s + MAX_RECOVERY_S:
            yield f"{fault}: not streaming again in time: {back}"


def _mistaken_people(record: DrillRecord) -> Iterator[str]:
    for (before_s, before), (at_s, person) in pairwise(record.people):
        if (person == before) is not (at_s - before_s <= OUTAGE_S[1]):
            yield f"person {before} at {before_s:.2f} is {person} at {at_s:.2f}"


def _disobedience(drill: Drill, record: DrillRecord) -> Iterator[str]:
    for at_s, on, alarm in record.shown:
        forbidden = {"buzzer"} if drill.is_muted(at_s) else set()
        if not drill.is_armed(at_s):
            forbidden = {"buzzer", "relay"}
        if on & forbidden:
            yield f"{', '.join(sorted(on & forbidden))} on at {at_s:.2f}, disarmed or muted"
        if alarm and drill.is_armed(at_s) and "led" not in on:
            yield f"no LED for a person without a mask at {at_s:.2f}, armed"


def _false_notifications(drill: Drill, record: DrillRecord) -> Iterator[str]:
    status, first_s = "", record.steps[0] if record.steps else float("inf")
    for at_s, message in record.notified:
        status = message.partition("STATUS=")[2] or status
        fault = active(drill.faults, at_s)
        if message.startswith("READY") and at_s < first_s:
            yield f"ready at {at_s:.2f} before the first frame"
        # A hang or a crash happens to one read: the camera may be streaming again before the fault's time is over.
        if fault and fault.kind not in ("hang", "crash") and at_s > fault.at_s + MAX_NOTICE_S and "watching" in status:
            yield f"{fault}: still reported as watching at {at_s:.2f}"
        # The watchdog is fed by frames, and while a camera is reopened, but no longer than give_up_s.
        seen_s = max((step_s for step_s in record.steps if step_s <= at_s), default=0.0)
        if "WATCHDOG" in message and at_s > seen_s + drill.give_up_s + MAX_NOTICE_S:
            yield f"fed the watchdog at {at_s:.2f}, blind since {seen_s:.2f}"


@contextmanager
def simulated_outputs_and_systemd() -> Iterator[socket.socket]:
    """Install recorded console outputs and yield the other end of $NOTIFY_SOCKET; restore both at the end."""
    logger = logging.getLogger("edge")
    before, level = OUTPUTS["console"], logger.level
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(os.environ.setdefault("NOTIFY_SOCKET", str(Path(folder) / "notify")))
        systemd.setblocking(False)
        OUTPUTS["console"] = OutputDriver(f"{__name__}:RecordedOutput")
        logger.setLevel(logging.CRITICAL)  # thousands of faults would fill the screen with warnings
        try:
            yield systemd
        finally:
            OUTPUTS["console"] = before
            del os.environ["NOTIFY_SOCKET"]
            logger.setLevel(level)


DRILL_SETTINGS = {
    "camera.source": "doorway",
    "camera.live": True,
    "alert.driver": "console",
    "alert.relay_pin": 22,
    "alert.relay": "hold",
}


def run_drill(seed: int, systemd: socket.socket, **changed: Any) -> tuple[Drill, DrillRecord, list[str]]:
    """Run the drill of a seed; return it, its record and its failures. ``changed`` are camera settings."""
    drill = Drill.of(seed)
    more = {f"camera.{key}": value for key, value in changed.items()}
    settings = config.load(None, {**DRILL_SETTINGS, "camera.give_up_s": drill.give_up_s, **more})
    record = Simulation(drill, settings, systemd).run()
    return drill, record, failures_of(drill, record)


@dataclass
class DrillTable:
    """Results of many drills. ``noticed_s`` and ``back_s`` are seconds by kind of fault."""

    drills: int = 0
    failed: dict[int, list[str]] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    interventions: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    noticed_s: dict[str, list[float]] = field(default_factory=dict)
    back_s: dict[str, list[float]] = field(default_factory=dict)

    def add(self, drill: Drill, record: DrillRecord, failures: list[str]) -> None:
        """Add the result of one drill."""
        self.drills += 1
        self.endings[record.ended] += 1
        if failures:
            self.failed[drill.seed] = failures
        for one in drill.interventions:
            self.interventions["clock jump" if one.request is None else type(one.request).__name__] += 1
        for fault in drill.faults:
            self.kinds[fault.kind] += 1
            noticed = next((h for h in record.healths if h.since_s >= fault.at_s and h.blind), None)
            back = next((h for h in record.healths if noticed and h.since_s > noticed.since_s and not h.blind), None)
            if noticed:
                self.noticed_s.setdefault(fault.kind, []).append(noticed.since_s - fault.at_s)
            if back:
                self.back_s.setdefault(fault.kind, []).append(max(0.0, back.since_s - fault.until_s))

    def __str__(self) -> str:
        lines = [f"{'fault':<8}{'times':>8}{'reported after, max':>20}{'back after, max':>20}   seconds"]
        for kind, times in sorted(self.kinds.items()):
            noticed, back = max(self.noticed_s.get(kind, [0.0])), max(self.back_s.get(kind, [0.0]))
            lines.append(f"{kind:<8}{times:>8}{noticed:>20.2f}{back:>20.2f}")
        lines.append(f"meanwhile {dict(sorted(self.interventions.items()))}")
        lines.append(f"ended by {dict(self.endings)}")
        lines.append(f"{self.drills} drills, {len(self.failed)} failed")
        lines += [f"  --seed {seed}: {'; '.join(failures)}" for seed, failures in list(self.failed.items())[:20]]
        return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--drills", type=int, default=10_000, help="number of drills (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="run only the drill of this seed")
    parser.add_argument("--verbose", action="store_true", help="print every change of health and message to systemd")
    arguments = parser.parse_args()
    table, started_s = DrillTable(), time.process_time()
    with simulated_outputs_and_systemd() as systemd:
        for seed in range(arguments.drills) if arguments.seed is None else [arguments.seed]:
            drill, record, failures = run_drill(seed, systemd)
            table.add(drill, record, failures)
            if arguments.verbose:
                print(drill, *record.healths, *[f"{at_s:8.2f} {text!r}" for at_s, text in record.notified], sep="\n")
    print(table)
    print(f"{time.process_time() - started_s:.0f} s of processor time")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main())
