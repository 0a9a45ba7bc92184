"""Live cameras, one or several: the newest frame of each in turn, and what to do while they give none.

They take turns in one thread, so that one copy of each model does. Cameras are read in threads of their own and never
waited for; each gets one frame a round, so that none waits longer for its turn than one step of every other. What a
camera asked of the alert holds until its next turn, however many slow steps of others come before it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from edge import config, drivers
from edge.camera.lateness import LatenessMonitor
from edge.camera.supervisor import CameraSupervisor
from edge.config import CameraSettings, Settings
from edge.contracts import CameraState, Decision, Frame, Health, Signal, Step
from edge.pipeline import Pipeline
from edge.service.runtime import FrameSignal, Runtime
from edge.service.systemd import SystemdNotifier
from edge.stages.alert import Alert

log = logging.getLogger("fmd")

TURN_S = 0.1
"""A loop without frames looks about itself this often."""


@dataclass(frozen=True)
class Hooks:
    """Who wants to hear of a run's steps, decisions, changes of health, and settings."""

    on_step: Callable[[Step], None]
    on_decision: Callable[[Decision], None]
    on_health: Callable[[Health], None]
    on_settings: Callable[[Settings], None]

    def take(self, step: Step) -> None:
        """Pass on what one frame led to."""
        for decision in step.decisions:
            self.on_decision(decision)
        self.on_step(step)


def watch(
    settings: Settings,
    pipelines: Mapping[str, Pipeline],
    alert: Alert,
    world: Runtime,
    hooks: Hooks,
    pulse: SystemdNotifier,
    stopped: Callable[[], bool],
    patience_s: float = 0.0,
) -> None:
    """All cameras of ``settings``: until ``stopped``, which is asked once a round, or until each, a recording, is over.

    Raises CameraError where none of them has given a picture for ``camera.give_up_s``, or a first one for
    ``patience_s``.
    """
    # More often than there are frames nobody can look.
    asked_s = max(settings.detect.every_s, 1 / settings.camera.fps)
    with ExitStack() as stack:
        bell, eyes = world.bell(), list[CameraWorker]()
        stack.callback(_let_go, eyes, settings.camera.stall_s, world.clock)
        for name, camera in config.cameras(settings.camera).items():
            capture = _capture(name, camera, world, bell)
            eyes.append(CameraWorker(capture, pipelines[name], alert, hooks, LatenessMonitor(asked_s), world.clock))
        ticker = stack.enter_context(world.ticking(alert, world.clock))
        # Undone last to first: the outputs are off before anybody waits for a camera that hangs.
        stack.callback(alert.close)
        while not stopped() and not all(eye.ended for eye in eyes):
            worked = _round(eyes)
            ticker.check()
            pulse.tell([eye.health for eye in eyes])
            if worked:
                pulse.beat()
            else:
                _rest(eyes, world, bell, pulse, patience_s)
        for eye in eyes:
            eye.finish()


def _round(eyes: Sequence[CameraWorker]) -> bool:
    """A turn for each; whether any had a frame."""
    worked = False
    for eye in eyes:
        worked |= eye.turn()
        for other in eyes:
            if other is not eye:
                other.hold()
    return worked


def _let_go(eyes: Sequence[CameraWorker], within_s: float, clock: Callable[[], float]) -> None:
    """All cameras at once: several that hang take no longer than one, which the unit's time to stop has room for."""
    until_s = clock() + within_s
    for eye in eyes:
        eye.capture.stop()
    for eye in eyes:
        eye.capture.close(max(0.0, until_s - clock()))


def _rest(
    eyes: Sequence[CameraWorker], world: Runtime, bell: FrameSignal, pulse: SystemdNotifier, patience_s: float
) -> None:
    """No camera has given anything: until one does, for a short while, unless it is no use."""
    errors = [eye.given_up(world.clock(), patience_s) for eye in eyes]
    if errors[0] and all(errors):
        raise errors[0]
    pulse.rest(world.clock())
    bell.wait(TURN_S)


def _capture(name: str, camera: CameraSettings, world: Runtime, bell: FrameSignal) -> CameraSupervisor:
    opener = drivers.camera_opener(camera, world.clock)
    return CameraSupervisor(
        camera, lambda: world.reader(opener, bell.ring), world.clock(), drivers.frozen_s(camera), name
    )


def named(alert: Alert, camera: str) -> Alert:
    """The alert as one of several cameras has it: what it says stands beside what the others say."""
    return cast(Alert, _Share(alert, camera)) if camera else alert


class _Share:
    """What a pipeline sees of an alert it shares."""

    def __init__(self, alert: Alert, camera: str) -> None:
        self.renew = partial(alert.renew, camera=camera)


class CameraWorker:
    """One live camera with its pipeline."""

    def __init__(
        self,
        capture: CameraSupervisor,
        pipeline: Pipeline,
        alert: Alert,
        hooks: Hooks,
        pace: LatenessMonitor,
        clock: Callable[[], float],
    ) -> None:
        self.capture, self._pipeline, self._alert, self._hooks = capture, pipeline, alert, hooks
        self._pace, self._clock = pace, clock
        self._gave = False
        self.health = self._seen = capture.health
        self.given_up = capture.given_up

    @property
    def ended(self) -> bool:
        """Whether its source, a recording, is over."""
        return self.capture.ended

    def turn(self) -> bool:
        """Take the newest frame, if there is one, all the way; whether there was one."""
        now_s = self._clock()
        frame = self.capture.poll(now_s)
        if frame is not None:
            self._pace.turn(now_s, self.capture.dropped)
        if self._seen is not self.capture.health or self.health.slow != self._slow:
            self._seen = self.capture.health
            self._tell(self.health, replace(self._seen, slow=self._slow))
        alarm = frame is not None and self._step(frame, now_s)
        # A lens that is covered while somebody is in violation does not end the alarm.
        if self.health.blind and self.health.state is not CameraState.STARTING and not alarm:
            self._alert.renew(Signal.BLIND, now_s, camera=self.health.camera)
        self._gave = frame is not None
        return self._gave

    def hold(self) -> None:
        """Another camera had its turn, which may have taken long; this one has not stopped giving frames for that."""
        if self._gave:
            self._alert.hold(self._clock(), self.health.camera)

    def finish(self) -> None:
        """Everybody leaves."""
        for decision in self._pipeline.finish(self._clock()):
            self._hooks.on_decision(self._signed(decision))

    @property
    def _slow(self) -> str:
        return self._pace.slow if self.capture.health.state is CameraState.STREAMING else ""

    def _step(self, frame: Frame, began_s: float) -> bool:
        step = self._pipeline.step(frame)
        self._pace.took(step.detected, began_s)
        decisions, late_s = tuple(map(self._signed, step.decisions)), self._clock() - frame.captured_s
        dropped = self.capture.dropped
        step = replace(step, decisions=decisions, camera=self.health.camera, dropped=dropped, late_s=late_s)
        self._hooks.take(step)
        return step.alarm

    def _signed(self, decision: Decision) -> Decision:
        return replace(decision, camera=self.health.camera)

    def _tell(self, before: Health, now: Health) -> None:
        self.health = now
        camera = now.camera and f"{now.camera} "
        if now.blind:
            log.warning("camera %s%s: %s", camera, now.state.value, now.reason)
        elif now.slow:
            log.warning("camera %swatched, but %s", camera, now.slow)
        elif before.slow:
            log.info("camera %swatched as often as asked for again", camera)
        elif before.state is not CameraState.STARTING:
            log.info("camera %ssees again after %.1f s", camera, now.since_s - before.since_s)
        self._hooks.on_health(now)
