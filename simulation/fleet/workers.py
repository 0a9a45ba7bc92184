"""Processes that hold doors. paho waits with select(2), which knows no file above number 1023: so a process holds few.

The command's process asks, a worker answers: one request and one reply at a time, over a pipe. A worker ends with its
pipe, so that none outlives the command.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Any

from simulation.fleet.door import Condition, DoorPlan, LightDoor, WatchedDoor
from simulation.fleet.scene import Pictures
from simulation.fleet.wire import Wires

WATCHED_EACH, LIGHT_EACH = 25, 50
"""Most doors of one process: with a loop each, and without."""
FEED_S = 2.0
"""Interval of the steps of doors without a loop."""
REPLY_S = 120.0
SWITCH_S = 0.05
"""How often a thread that waits for the interpreter asks for it: hundreds that ask every 5 ms take a core."""
STOPS = 32
"""Number of doors of one process that stop at a time."""


class Worker:
    """The doors of one process; each public method answers a request."""

    def __init__(self, plans: Sequence[DoorPlan]) -> None:
        pictures, self._wires = Pictures.drawn(), Wires()
        self.doors: dict[str, WatchedDoor | LightDoor] = {
            plan.name: WatchedDoor(plan, pictures) if plan.watched else LightDoor(plan) for plan in plans
        }
        self._wires_of = {plan.name: [self._wires.wire(*way) for way in plan.ways] for plan in plans}
        self._started_s: dict[str, float] = {}
        self._light = [door for door in self.doors.values() if isinstance(door, LightDoor)]
        self._done = threading.Event()
        self._feeding = threading.Thread(target=self._feed, name="feed", daemon=True)

    def start(self) -> None:
        """Start all doors, one after the other."""
        for name, door in self.doors.items():
            self._started_s[name] = time.monotonic()
            door.start()
        self._feeding.start()

    def stop(self) -> None:
        """Stop all doors."""
        self._done.set()
        self._feeding.join()
        with ThreadPoolExecutor(STOPS) as pool:
            list(pool.map(lambda door: door.stop(), self.doors.values()))
        self._wires.close()

    def on_door(self, name: str, method: str, *values: Any) -> Any:
        """Call a method of one door and return its result."""
        return getattr(self.doors[name], method)(*values)

    def set_wire(self, name: str, state: str, ways: Sequence[int]) -> None:
        """Change these ways of the wire of one door."""
        for way in ways:
            self._wires_of[name][way].set(state)

    def started_s(self) -> Mapping[str, float]:
        """Return when each door was started, in seconds of the monotonic clock, which all processes share."""
        return dict(self._started_s)

    def decided(self) -> Mapping[str, Sequence[str]]:
        """Return person and change of every decision so far, by door."""
        return {name: list(door.decided) for name, door in self.doors.items()}

    def _feed(self) -> None:
        while self._light and not self._done.is_set():
            round_s = time.monotonic()
            for i, door in enumerate(self._light):
                # Spread over the interval: a hundred doors at one instant would be a load of our own.
                self._done.wait(max(0.0, round_s + i * FEED_S / len(self._light) - time.monotonic()))
                door.feed(time.monotonic())
            self._done.wait(max(0.0, round_s + FEED_S - time.monotonic()))


def work(plans: Sequence[DoorPlan], requests: Connection, level: int) -> None:
    """Serve requests until the pipe closes: the main function of a worker's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command closes the pipe
    logging.basicConfig(level=level, format="%(asctime)s %(name)s: %(message)s")
    os.environ.pop("NOTIFY_SOCKET", None)
    sys.setswitchinterval(SWITCH_S)
    with tempfile.TemporaryDirectory(prefix="fmd-doors-") as folder, ExitStack() as stack:
        # fmd has one such folder per process: there a door notes that it ended blind, and waits at its next start.
        if any(plan.alone for plan in plans):
            os.environ["RUNTIME_DIRECTORY"] = folder
        worker = Worker(plans)
        stack.callback(worker.stop)
        worker.start()
        requests.send(None)
        while (request := _next(requests)) is not None:
            method, values = request
            try:
                requests.send(getattr(worker, method)(*values))
            except Exception as error:  # noqa: BLE001 - the command raises it
                requests.send(error)


def _next(requests: Connection) -> tuple[str, tuple[Any, ...]] | None:
    try:
        request: tuple[str, tuple[Any, ...]] | None = requests.recv()
    except EOFError:
        return None
    return request


def groups_of(plans: Sequence[DoorPlan]) -> list[Sequence[DoorPlan]]:
    """Return the doors of each process: doors of one kind share processes, and some are alone in theirs."""
    groups: list[Sequence[DoorPlan]] = [[plan] for plan in plans if plan.alone]
    for watched, each in ((True, WATCHED_EACH), (False, LIGHT_EACH)):
        kind = [plan for plan in plans if plan.watched is watched and not plan.alone]
        groups += [kind[i : i + each] for i in range(0, len(kind), each)]
    return groups


class Doors:
    """All doors, in several processes. A context manager: leaving it stops them."""

    def __init__(self, plans: Sequence[DoorPlan], level: int = logging.ERROR) -> None:
        self.plans = {plan.name: plan for plan in plans}
        self._level = level
        self._of: dict[str, int] = {}
        self._processes: list[tuple[multiprocessing.process.BaseProcess, Connection]] = []

    def __enter__(self) -> Doors:
        # One process loads the libraries, and workers are copies of it: twenty that load them at once take a minute.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        for group in groups_of(list(self.plans.values())):
            ours, theirs = context.Pipe()
            process = context.Process(target=work, args=(group, theirs, self._level), daemon=True)
            process.start()
            theirs.close()
            self._of.update(dict.fromkeys((plan.name for plan in group), len(self._processes)))
            self._processes.append((process, ours))
        for _, ours in self._processes:
            _reply(ours)
        return self

    def __exit__(self, *error: object) -> None:
        for _, requests in self._processes:
            requests.close()
        for process, _ in self._processes:
            process.join(REPLY_S)
            process.kill()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [process.pid for process, _ in self._processes if process.pid]

    def set_fault(self, name: str, fault: str) -> None:
        """Let the camera of a door fail; see :meth:`WatchedDoor.set_fault`."""
        self._ask(name, "on_door", name, "set_fault", fault)

    def set_condition(self, name: str, condition: Condition) -> None:
        """See :meth:`WatchedDoor.set_condition`."""
        self._ask(name, "on_door", name, "set_condition", condition)

    def slow_since_s(self, name: str) -> float | None:
        """See :meth:`WatchedDoor.slow_since_s`."""
        found: float | None = self._ask(name, "on_door", name, "slow_since_s")
        return found

    def set_build(self, name: str, changed: Mapping[str, str]) -> None:
        """See :meth:`WatchedDoor.set_build`."""
        self._ask(name, "on_door", name, "set_build", changed)

    def set_wire(self, name: str, state: str, ways: Sequence[int] = (0, 1)) -> None:
        """Change ways of a door; see :mod:`simulation.fleet.wire`. Way 0 is to the broker, 1 from Prometheus."""
        self._ask(name, "set_wire", name, state, ways)

    def start(self, name: str) -> None:
        """Start a door that was stopped."""
        self._ask(name, "on_door", name, "start")

    def stop(self, name: str) -> None:
        """Stop a door as systemctl does."""
        self._ask(name, "on_door", name, "stop")

    def started_s(self) -> dict[str, float]:
        """Return when each door was started, in seconds of the monotonic clock."""
        return self._all("started_s")

    def decided(self) -> dict[str, Sequence[str]]:
        """Return person and change of every decision so far, by door."""
        return self._all("decided")

    def _all(self, method: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _, requests in self._processes:
            found |= _ask(requests, method)
        return found

    def _ask(self, name: str, method: str, *values: Any) -> Any:
        return _ask(self._processes[self._of[name]][1], method, *values)


def _ask(requests: Connection, method: str, *values: Any) -> Any:
    requests.send((method, values))
    return _reply(requests)


def _reply(requests: Connection) -> Any:
    if not requests.poll(REPLY_S):
        raise TimeoutError(f"a worker gave no answer within {REPLY_S:.0f} s")
    answer = requests.recv()
    if isinstance(answer, Exception):
        raise answer
    return answer
