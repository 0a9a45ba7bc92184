"""Live cameras, one or several: the newest frame of each in turn, and what to do while they give none.

They take turns in one thread, so one copy of each model serves all. Each camera is read in a thread of its own, and the
loop never waits for it. Each gets one frame a round, so a camera waits at most one step of every other. What a camera
asked of the alert holds until its next turn, however slow the steps of the others are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

import msgspec

from edge import config, drivers
from edge.camera.lateness import LatenessMonitor
from edge.camera.supervisor import CameraSupervisor
from edge.config import CameraSettings, Settings
from edge.contracts import CameraState, Delivery, Frame, Health, Signal
from edge.pipeline import Pipeline
from edge.reporting.listener import Listener, report_step
from edge.service.runtime import FrameSignal, Runtime
from edge.service.systemd import SystemdNotifier
from edge.stages.alert import Alert

log = logging.getLogger(__name__)

IDLE_S = 0.1
"""How long a loop without frames waits before it checks its cameras again."""


def watch(
    settings: Settings,
    pipelines: Mapping[str, Pipeline],
    alert: Alert,
    runtime: Runtime,
    listeners: Listener,
    notifier: SystemdNotifier,
    stopped: Callable[[], bool],
    patience_s: float = 0.0,
) -> None:
    """Watch all cameras of ``settings`` until ``stopped``, which is asked once a round, or until all recordings end.

    Raises CameraError if no camera has given a picture for ``camera.give_up_s``, or a first one for ``patience_s``.
    """
    # Detection cannot run more often than frames arrive.
    wanted_s = max(settings.detect.every_s, 1 / settings.camera.fps)
    with ExitStack() as stack:
        arrived, workers = runtime.frame_signal(), list[CameraWorker]()
        stack.callback(_release, workers, config.stall_s(settings.camera), runtime.clock)
        named = config.cameras(settings.camera)
        for name, camera in named.items():
            supervisor = _supervisor(name, camera, runtime, arrived)
            ends_s = patience_s if len(named) == 1 else None
            lateness = LatenessMonitor(wanted_s)
            workers.append(CameraWorker(supervisor, pipelines[name], alert, listeners, lateness, runtime.clock, ends_s))
        ticker = stack.enter_context(runtime.ticking(alert, runtime.clock))
        # Undone last to first: the outputs are off before anything waits for a camera that hangs.
        stack.callback(alert.close)
        while not stopped() and not all(worker.ended for worker in workers):
            worked = _round(workers)
            # After the round: an output that failed in the ticking thread ends the run before it counts as alive.
            ticker.check()
            notifier.update([worker.health for worker in workers])
            if worked:
                notifier.alive()
            else:
                _wait(workers, runtime, arrived, notifier, patience_s)
        for worker in workers:
            worker.finish()


def _round(workers: Sequence[CameraWorker]) -> bool:
    """Give each camera one turn; return whether any had a frame."""
    worked = False
    for worker in workers:
        worked |= worker.turn()
        for other in workers:
            if other is not worker:
                other.hold()
    return worked


def _release(workers: Sequence[CameraWorker], within_s: float, clock: Callable[[], float]) -> None:
    """Stop all cameras at once: several that hang take no longer than one, which fits into the unit's time to stop."""
    until_s = clock() + within_s
    for worker in workers:
        worker.supervisor.stop()
    for worker in workers:
        worker.supervisor.close(max(0.0, until_s - clock()))


def _wait(
    workers: Sequence[CameraWorker],
    runtime: Runtime,
    arrived: FrameSignal,
    notifier: SystemdNotifier,
    patience_s: float,
) -> None:
    """Wait a moment for a frame; raise the first camera's error if all cameras are given up."""
    errors = [worker.supervisor.given_up(runtime.clock(), patience_s) for worker in workers]
    # One camera that still gives pictures keeps the run alive; the others are reopened meanwhile.
    if errors[0] and all(errors):
        raise errors[0]
    notifier.waiting(runtime.clock())
    arrived.wait(IDLE_S)


def _supervisor(name: str, camera: CameraSettings, runtime: Runtime, arrived: FrameSignal) -> CameraSupervisor:
    opener = drivers.camera_opener(camera, runtime.clock)
    if drivers.is_paced(camera) and not camera.simulate:
        # A pause in a recording is no fault: opened again, the recording would begin again, and never get past it.
        camera = msgspec.structs.replace(camera, stall_s=float("inf"))
    return CameraSupervisor(
        camera, lambda: runtime.reader(opener, arrived.set), runtime.clock(), drivers.frozen_s(camera), name
    )


class CameraWorker:
    """One live camera and its pipeline."""

    def __init__(
        self,
        supervisor: CameraSupervisor,
        pipeline: Pipeline,
        alert: Alert,
        listeners: Listener,
        lateness: LatenessMonitor,
        clock: Callable[[], float],
        ends_s: float | None = None,
    ) -> None:
        """``ends_s``: how long an only camera may give no first picture before its error ends the run."""
        self.supervisor, self._pipeline, self._alert, self._listeners = supervisor, pipeline, alert, listeners
        self._lateness, self._clock, self._ends_s = lateness, clock, ends_s
        self._had_frame = False
        self.health = self._reported = supervisor.health

    @property
    def ended(self) -> bool:
        """Whether its source, a recording, has ended."""
        return self.supervisor.ended

    def turn(self) -> bool:
        """Process the newest frame, if there is one; return whether there was one."""
        now_s = self._clock()
        frame = self.supervisor.poll(now_s)
        if frame is not None:
            # Before the step, with the frames dropped so far: only a wait that cost frames is the board's fault.
            self._lateness.turn(now_s, self.supervisor.dropped)
        # Before the step, so that listeners hear "streaming" before the first frame of a camera that is back.
        if self._reported is not self.supervisor.health or self.health.slow != self._slow:
            self._reported = self.supervisor.health
            self._report(self.health, replace(self._reported, slow=self._slow))
        alarm = frame is not None and self._step(frame, now_s)
        # A lens that is covered during an alarm does not end the alarm.
        if self.health.blind and self.health.state is not CameraState.STARTING and not alarm:
            self._alert.renew(Signal.BLIND, now_s, camera=self.health.camera)
        self._had_frame = frame is not None
        return self._had_frame

    def hold(self) -> None:
        """Extend what this camera last asked of the alert: another camera's turn may have taken long."""
        if self._had_frame:
            self._alert.hold(self._clock(), self.health.camera)

    def finish(self) -> None:
        """End every passage."""
        for decision in self._pipeline.finish(self._clock()):
            self._listeners.on_decision(decision)

    @property
    def _slow(self) -> str:
        """Why this camera is processed too rarely; a camera that gives nothing is not the board's fault."""
        return self._lateness.slow if self.supervisor.health.state is CameraState.STREAMING else ""

    def _step(self, frame: Frame, began_s: float) -> bool:
        """Process a frame and report the step; return whether it is an alarm."""
        step = self._pipeline.step(frame)
        self._lateness.took(step.detected, began_s)
        late_s = self._clock() - frame.captured_s
        report_step(self._listeners, step, Delivery(self.supervisor.dropped, late_s))
        return step.alarm

    def _ends_run(self, now: Health) -> bool:
        """Return whether the run ends here with this reason as its error: the log need not repeat it."""
        if self._ends_s is None:
            return False
        return str(self.supervisor.given_up(self._clock(), self._ends_s)) == now.reason

    def _report(self, before: Health, now: Health) -> None:
        self.health = now
        camera = now.camera and f" {now.camera}"
        if now.blind:
            level = logging.DEBUG if self._ends_run(now) else logging.WARNING
            log.log(level, "camera%s %s: %s", camera, now.state.value, now.reason)
        elif now.slow:
            log.warning("camera%s streaming, but %s", camera, now.slow)
        elif before.slow:
            log.info("camera%s processed as often as the settings ask for again", camera)
        elif before.state is not CameraState.STARTING:
            log.info("camera%s streaming again after %.1f s", camera, now.since_s - before.since_s)
        self._listeners.on_health(now)
