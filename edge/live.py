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

from edge import drivers
from edge.alert import Alert
from edge.capture import Capture
from edge.config import CameraSettings, Settings
from edge.contracts import Decision, Frame, Health, Sight, Signal, Step
from edge.pipeline import Pipeline
from edge.pulse import Pulse
from edge.world import Bell, World

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
    cameras: Mapping[str, CameraSettings],
    pipelines: Mapping[str, Pipeline],
    alert: Alert,
    world: World,
    hooks: Hooks,
    pulse: Pulse,
    stopped: Callable[[], bool],
) -> None:
    """Until ``stopped``, which is asked once a round, or until every camera, a recording, is over.

    Raises CameraError where none of them can be opened, or all have been blind for ``camera.give_up_s``.
    """
    with ExitStack() as stack:
        bell, eyes = world.bell(), list[Eye]()
        stack.callback(_let_go, eyes, max(camera.stall_s for camera in cameras.values()), world.clock)
        for name, camera in cameras.items():
            eyes.append(Eye(_capture(name, camera, world, bell), pipelines[name], alert, hooks))
        ticker = stack.enter_context(world.ticking(alert, world.clock))
        # Undone last to first: the outputs are off before anybody waits for a camera that hangs.
        stack.callback(alert.close)
        while not stopped() and not all(eye.ended for eye in eyes):
            worked = _round(eyes, world.clock)
            ticker.check()
            pulse.tell([eye.health for eye in eyes])
            if worked:
                pulse.beat()
            else:
                _rest(eyes, world, bell, pulse)
        for eye in eyes:
            eye.finish(world.clock())


def _round(eyes: Sequence[Eye], clock: Callable[[], float]) -> bool:
    """A turn for each; whether any had a frame."""
    worked = False
    for eye in eyes:
        worked |= eye.turn(clock())
        for other in eyes:
            if other is not eye:
                other.hold(clock())
    return worked


def _let_go(eyes: Sequence[Eye], within_s: float, clock: Callable[[], float]) -> None:
    """All cameras at once: several that hang take no longer than one, which the unit's time to stop has room for."""
    until_s = clock() + within_s
    for eye in eyes:
        eye.capture.stop()
    for eye in eyes:
        eye.capture.close(max(0.0, until_s - clock()))


def _rest(eyes: Sequence[Eye], world: World, bell: Bell, pulse: Pulse) -> None:
    """No camera has given anything: until one does, for a short while, unless it is no use."""
    errors = [eye.given_up(world.clock()) for eye in eyes]
    if errors[0] and all(errors):
        raise errors[0]
    pulse.rest(world.clock())
    bell.wait(TURN_S)


def _capture(name: str, camera: CameraSettings, world: World, bell: Bell) -> Capture:
    opener = drivers.camera_opener(camera, world.clock)
    return Capture(camera, lambda: world.reader(opener, bell.ring), world.clock(), drivers.frozen_s(camera), name)


def named(alert: Alert, camera: str) -> Alert:
    """The alert as one of several cameras has it: what it says stands beside what the others say."""
    return cast(Alert, _Share(alert, camera)) if camera else alert


class _Share:
    """What a pipeline sees of an alert it shares."""

    def __init__(self, alert: Alert, camera: str) -> None:
        self.renew = partial(alert.renew, camera=camera)


class Eye:
    """One live camera with its pipeline."""

    def __init__(self, capture: Capture, pipeline: Pipeline, alert: Alert, hooks: Hooks) -> None:
        self.capture, self._pipeline, self._alert, self._hooks = capture, pipeline, alert, hooks
        self._gave = False
        self.health = capture.health
        self.given_up = capture.given_up

    @property
    def ended(self) -> bool:
        """Whether its source, a recording, is over."""
        return self.capture.ended

    def turn(self, now_s: float) -> bool:
        """Take the newest frame, if there is one, all the way; whether there was one."""
        frame = self.capture.poll(now_s)
        if self.health is not self.capture.health:
            self._tell(self.health, self.capture.health)
        alarm = frame is not None and self._step(frame)
        # A lens that is covered while somebody is in violation does not end the alarm.
        if self.health.blind and self.health.sight is not Sight.STARTING and not alarm:
            self._alert.renew(Signal.BLIND, now_s, camera=self.health.camera)
        self._gave = frame is not None
        return self._gave

    def hold(self, now_s: float) -> None:
        """Another camera had its turn, which may have taken long; this one has not stopped giving frames for that."""
        if self._gave:
            self._alert.hold(now_s, self.health.camera)

    def finish(self, now_s: float) -> None:
        """Everybody leaves."""
        for decision in self._pipeline.finish(now_s):
            self._hooks.on_decision(self._signed(decision))

    def _step(self, frame: Frame) -> bool:
        step = self._pipeline.step(frame)
        decisions = tuple(map(self._signed, step.decisions))
        step = replace(step, decisions=decisions, camera=self.health.camera, dropped=self.capture.dropped)
        self._hooks.take(step)
        return step.alarm

    def _signed(self, decision: Decision) -> Decision:
        return replace(decision, camera=self.health.camera)

    def _tell(self, before: Health, now: Health) -> None:
        self.health = now
        if now.blind:
            log.warning("camera %s%s: %s", now.camera and f"{now.camera} ", now.sight.value, now.reason)
        elif before.sight is not Sight.STARTING:
            log.info("camera %ssees again after %.1f s", now.camera and f"{now.camera} ", now.since_s - before.since_s)
        self._hooks.on_health(now)
