"""Random fault drills: the real service loop, capture and alert in a simulated world of time, camera and systemd.

    python -m simulation.drills --drills 10000            # the table; exit code 1 where one failed
    python -m simulation.drills --seed 4711 --verbose     # one drill again, event by event

A drill is a run with one to three faults of its camera at random times, which ends in a random way: a signal, an
exception in the pipeline, or a camera that stays away. Nothing in it waits: waiting moves the clock on. What must hold:
every fault is named within two seconds, a camera is seen again within a second of its return, systemd never hears
"watching" of a camera that is blind nor is fed for longer than camera.give_up_s without a picture, and whichever way
the run ends, every output is off and closed.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge import config
from edge.config import Settings
from edge.contracts import CameraState, Decision, Frame, Health, Image, Signal, Step
from edge.drivers.console import ConsoleOutput
from edge.drivers.doorway import draw_doorway
from edge.drivers.faulty import spoilt
from edge.drivers.table import OUTPUTS, OutputDriver
from edge.errors import CameraError
from edge.faults import Fault, active
from edge.reporting.listener import Callbacks
from edge.service import run as service
from edge.service.runtime import Runtime, Ticker
from edge.stages.alert import Alert

NOTICED_S, BACK_S = 2.0, 1.0
"""The budgets: from a fault to its name, from the device's return to the first picture taken all the way."""
FPS = 8.0
SLOWEST_OPEN_S = 0.3
NAMES: Mapping[str, frozenset[CameraState]] = {
    "stall": frozenset({CameraState.STALLED}),
    "hang": frozenset({CameraState.STALLED}),
    "unplug": frozenset({CameraState.LOST}),
    "crash": frozenset({CameraState.LOST}),
    "freeze": frozenset({CameraState.FROZEN}),
    "dark": frozenset({CameraState.DARK}),
    "cover": frozenset({CameraState.DARK}),
}
"""What each fault is to be called."""
REOPENING_S = 4.0
"""A read that hangs for ever is over when the camera has been opened again: notice, let the old one close, open."""
ENDINGS = ("signal", "exception", "gone")


LONGEST_S = 60.0
"""A run that goes on for so long after its end has none."""


class NoEndError(Exception):
    """A run that should have ended."""


class StageBrokeError(Exception):
    """What a stage of the pipeline raises in some drills."""


@dataclass
class Drill:
    """What a seed makes of it."""

    seed: int
    faults: tuple[Fault, ...]
    ending: str
    ends_s: float
    open_s: float
    give_up_s: float

    @classmethod
    def of(cls, seed: int) -> Drill:
        """The drill of a seed."""
        rng = np.random.default_rng(seed)
        faults, at_s = [], float(rng.uniform(0.5, 2.0))
        for _ in range(int(rng.integers(1, 4))):
            kind = str(rng.choice(list(NAMES)))
            for_s = {"hang": REOPENING_S, "crash": 0.5}.get(kind, float(rng.uniform(2.1, 7.0)))
            faults.append(Fault(kind, at_s, for_s))
            at_s += for_s + float(rng.uniform(2.0, 4.0))
        ending = str(rng.choice(ENDINGS))
        if ending == "gone":
            faults.append(Fault(str(rng.choice(["stall", "unplug", "freeze"])), at_s, 1e6))
        return cls(
            seed, tuple(faults), ending, at_s, float(rng.uniform(0.02, SLOWEST_OPEN_S)), float(rng.uniform(8, 12))
        )


class Device:
    """The camera of a drill: what it gives at a time, however often it is opened."""

    def __init__(self, drill: Drill, clock: Clock) -> None:
        self.drill, self.clock = drill, clock
        self._rng = np.random.default_rng(drill.seed)
        self._hung: set[Fault] = set()
        self._still: Image | None = None

    @property
    def fault(self) -> Fault | None:
        return active(self.drill.faults, self.clock())

    def first(self, fault: Fault) -> bool:
        new = fault not in self._hung
        self._hung.add(fault)
        return new

    def frame(self, kind: str | None, now_s: float, index: int) -> Frame:
        if kind in ("dark", "cover"):
            return spoilt(Frame(SCENE, None, now_s, int(self._rng.integers(1 << 30))), kind)
        if kind != "freeze":
            self._still = None
        elif self._still is not None:
            return Frame(self._still, None, now_s, index)
        picture = SCENE + self._rng.integers(0, 4, SCENE.shape, dtype=np.uint8)
        self._still = picture if kind == "freeze" else None
        return Frame(picture, None, now_s, index)


SCENE: Image = cv2.resize(draw_doorway(), (80, 60), interpolation=cv2.INTER_AREA)


class SimulatedReader:
    """A :class:`edge.camera.supervisor.Reader` without a thread: what its thread would have done by now is computed."""

    dropped = 0

    def __init__(self, device: Device) -> None:
        self._device, self._stopped, self._hangs = device, False, False
        self._opened_s: float | None = None
        self._started_s = device.clock()
        self._given = -1
        self._failed = False

    def take(self) -> Frame | None:
        fault, now_s = self._device.fault, self._device.clock()
        kind = fault.kind if fault else None
        if self._hangs or kind == "stall":
            return None
        if kind == "unplug":
            self._failed = True
            raise CameraError("the device is gone")
        if fault and kind in ("hang", "crash") and self._device.first(fault):
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
        return self._device.frame(kind, now_s, index)

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


class Clock:
    """Simulated seconds."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class RecordedOutput(ConsoleOutput):
    """An output that a drill finds again."""

    made: list[RecordedOutput]

    def __init__(self, name: str, pin: int | str, active_high: bool) -> None:
        super().__init__(name, pin, active_high)
        self.made.append(self)


@dataclass
class Record:
    """What happened in a drill, by simulated time."""

    healths: list[Health] = field(default_factory=list)
    heard: list[tuple[float, str]] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    outputs: list[RecordedOutput] = field(default_factory=list)
    ended: str = ""


class Simulation:
    """One drill under way: the world around the service."""

    def __init__(self, drill: Drill, settings: Settings, systemd: socket.socket) -> None:
        self.drill, self.settings, self._systemd = drill, settings, systemd
        self.clock, self.record = Clock(), Record()
        self.device = Device(drill, self.clock)
        self._tick: Callable[[float], None] = lambda now_s: None
        self._rng = np.random.default_rng(drill.seed + 1)

    def run(self) -> Record:
        """The drill from start to end."""
        RecordedOutput.made = self.record.outputs
        runtime = Runtime(self.clock, lambda: self, lambda opener, ring: SimulatedReader(self.device), self._ticking)
        listener = Callbacks(self._on_step, on_health=self.record.healths.append)
        try:
            stopped_by = service.run(self.settings, [listener], self._build, runtime)
            self.record.ended = "signal" if stopped_by == signal.SIGTERM else "source"
        except NoEndError:
            self.record.ended = "nothing"
        except StageBrokeError:
            self.record.ended = "exception"
        except CameraError:
            self.record.ended = "gone"
        self._hear()
        return self.record

    def set(self) -> None:
        """Nothing sets this signal: time passes in :meth:`wait`."""

    def wait(self, timeout_s: float) -> None:
        """Waiting is where time passes."""
        self._pass(timeout_s)

    def step(self, frame: Frame) -> Step:
        """In the pipeline's place: takes its time, and somebody bare-faced is always there."""
        if self.drill.ending == "exception" and self.clock() >= self.drill.ends_s:
            raise StageBrokeError
        self._pass(float(self._rng.uniform(0.005, 0.12)))
        self.alert.renew(Signal.NO_MASK, frame.captured_s, [1])
        return Step(frame, True, True, (), (), {}, (), (), Signal.RUNNING, {})

    def finish(self, now_s: float) -> tuple[Decision, ...]:
        """Nobody leaves."""
        return ()

    def _build(self, settings: Settings, alert: Alert, camera: str) -> Any:
        self.alert = alert
        return self

    def _on_step(self, step: Step) -> None:
        self.record.steps.append(self.clock())
        if self.drill.ending == "signal" and self.clock() >= self.drill.ends_s:
            signal.raise_signal(signal.SIGTERM)

    def _pass(self, seconds: float) -> None:
        self._hear()
        self.clock.now_s += seconds
        if self.clock() > self.drill.ends_s + LONGEST_S:
            raise NoEndError
        self._tick(self.clock.now_s)

    def _hear(self) -> None:
        while True:
            try:
                self.record.heard.append((self.clock(), self._systemd.recv(4096).decode()))
            except BlockingIOError:
                return

    @contextmanager
    def _ticking(self, alert: Alert, clock: Callable[[], float]) -> Iterator[Ticker]:
        self._tick = alert.tick
        yield Ticker()


def troubles(drill: Drill, record: Record) -> list[str]:
    """What went otherwise than it must; empty where the drill was passed."""
    found = [*_unnoticed(drill, record), *_lies(drill, record)]
    if record.ended != drill.ending:
        found.append(f"ended by {record.ended} instead of {drill.ending}")
    found += [f"{output.name} left on" for output in record.outputs if output.on or not output.closed]
    if not record.outputs:
        found.append("no output was ever opened")
    return found


def _unnoticed(drill: Drill, record: Record) -> Iterator[str]:
    for fault in drill.faults:
        named = next((h for h in record.healths if h.since_s >= fault.at_s and h.state in NAMES[fault.kind]), None)
        if named is None or named.since_s > fault.at_s + NOTICED_S:
            yield f"{fault}: not named in time: {named}"
        if fault.until_s >= 1e6:
            continue
        back = next((h for h in record.healths if not h.blind and named and h.since_s > named.since_s), None)
        if back is None or back.since_s > fault.until_s + BACK_S:
            yield f"{fault}: not seen again in time: {back}"


def _lies(drill: Drill, record: Record) -> Iterator[str]:
    """False words to systemd."""
    status, first_s = "", record.steps[0] if record.steps else float("inf")
    for at_s, said in record.heard:
        status = said.partition("STATUS=")[2] or status
        fault = active(drill.faults, at_s)
        if said.startswith("READY") and at_s < first_s:
            yield f"ready at {at_s:.2f} before the first frame"
        if fault and fault.kind not in ("hang", "crash") and at_s > fault.at_s + NOTICED_S and "watching" in status:
            yield f"{fault}: still called watching at {at_s:.2f}"
        seen_s = max((step_s for step_s in record.steps if step_s <= at_s), default=0.0)
        if "WATCHDOG" in said and at_s > seen_s + drill.give_up_s + NOTICED_S:
            yield f"fed the watchdog at {at_s:.2f}, blind since {seen_s:.2f}"


@contextmanager
def simulated_outputs_and_systemd() -> Iterator[socket.socket]:
    """Console outputs that are found again, and the other end of $NOTIFY_SOCKET; as before afterwards."""
    before = OUTPUTS["console"], os.environ.get("NOTIFY_SOCKET"), logging.getLogger("fmd").level
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(os.environ.setdefault("NOTIFY_SOCKET", str(Path(folder) / "notify")))
        systemd.setblocking(False)
        OUTPUTS["console"] = OutputDriver(f"{__name__}:RecordedOutput")
        logging.getLogger("fmd").setLevel(logging.CRITICAL)
        try:
            yield systemd
        finally:
            OUTPUTS["console"] = before[0]
            del os.environ["NOTIFY_SOCKET"]
            logging.getLogger("fmd").setLevel(before[2])


SETTINGS = {"camera.source": "doorway", "camera.live": True, "alert.driver": "console"}


def rehearse(seed: int, systemd: socket.socket, **changed: Any) -> tuple[Drill, Record, list[str]]:
    """The drill of a seed with some camera settings changed, and what went wrong in it."""
    drill = Drill.of(seed)
    more = {f"camera.{key}": value for key, value in changed.items()}
    settings = config.load(None, {**SETTINGS, "camera.give_up_s": drill.give_up_s, **more})
    record = Simulation(drill, settings, systemd).run()
    return drill, record, troubles(drill, record)


@dataclass
class Table:
    """Results of many drills."""

    drills: int = 0
    failed: dict[int, list[str]] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    named_s: dict[str, list[float]] = field(default_factory=dict)
    back_s: dict[str, list[float]] = field(default_factory=dict)

    def add(self, drill: Drill, record: Record, wrong: list[str]) -> None:
        self.drills += 1
        self.endings[record.ended] += 1
        if wrong:
            self.failed[drill.seed] = wrong
        for fault in drill.faults:
            self.kinds[fault.kind] += 1
            named = next((h for h in record.healths if h.since_s >= fault.at_s and h.blind), None)
            back = next((h for h in record.healths if named and h.since_s > named.since_s and not h.blind), None)
            if named:
                self.named_s.setdefault(fault.kind, []).append(named.since_s - fault.at_s)
            if back:
                self.back_s.setdefault(fault.kind, []).append(max(0.0, back.since_s - fault.until_s))

    def __str__(self) -> str:
        lines = [f"{'fault':<8}{'times':>8}{'named after, most':>20}{'back after, most':>20}   seconds"]
        for kind, times in sorted(self.kinds.items()):
            named, back = max(self.named_s.get(kind, [0.0])), max(self.back_s.get(kind, [0.0]))
            lines.append(f"{kind:<8}{times:>8}{named:>20.2f}{back:>20.2f}")
        lines.append(f"ended by {dict(self.endings)}")
        lines.append(f"{self.drills} drills, {len(self.failed)} failed")
        lines += [f"  --seed {seed}: {'; '.join(wrong)}" for seed, wrong in list(self.failed.items())[:20]]
        return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--drills", type=int, default=10_000)
    parser.add_argument("--seed", type=int, help="this drill only")
    parser.add_argument("--verbose", action="store_true", help="every change of health and word to systemd")
    arguments = parser.parse_args()
    table, started_s = Table(), time.process_time()
    with simulated_outputs_and_systemd() as systemd:
        for seed in range(arguments.drills) if arguments.seed is None else [arguments.seed]:
            drill, record, wrong = rehearse(seed, systemd)
            table.add(drill, record, wrong)
            if arguments.verbose:
                print(drill, *record.healths, *[f"{at_s:8.2f} {said!r}" for at_s, said in record.heard], sep="\n")
    print(table)
    print(f"{time.process_time() - started_s:.0f} s of processor time")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main())
