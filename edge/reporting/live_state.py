"""The latest state of every camera, and what has been counted since the start, for readers in other threads.

The loop writes it as a listener; messages, metrics and the status file read it. A lock protects it: the loop holds it
for microseconds, so that a slow reader cannot hold up the loop.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

from edge.config import Settings
from edge.contracts import CameraState, Change, Decision, Delivery, Health, ModelFallback, Signal, Step
from edge.messages import ArmingMessage, BuildMessage, DriftMessage
from edge.reporting.listener import Listener

OFF = "off"
"""State of a door, or of one of its cameras, that fmd no longer watches."""
STATES = (OFF, *(signal.state for signal in Signal))
"""Every state, the less urgent first."""
LATE_S = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, float("inf"))
"""Upper bounds of the lateness histogram, seconds."""
VIOLATED = "violated"
"""Name under which passages with a violation at any time are counted; other passages count under their outcome."""


@dataclass(slots=True)
class CameraCounters:
    """Counters of one camera since the start. ``late`` counts each frame once, under the next bound of LATE_S.

    ``state`` is that of the camera, None before it is known.
    """

    frames: int = 0
    awake: int = 0
    dropped: int = 0
    alarms: int = 0
    alarm: bool = False
    blind: bool = False
    blind_times: int = 0
    slow: bool = False
    state: CameraState | None = None
    late: dict[float, int] = field(default_factory=lambda: dict.fromkeys(LATE_S, 0))
    late_sum_s: float = 0.0
    frame_s: float | None = None
    decisions: Counter[str] = field(default_factory=Counter)
    passages: Counter[str] = field(default_factory=Counter)
    stage_s: dict[str, float] = field(default_factory=dict)

    def add_step(self, step: Step, delivery: Delivery, now_s: float) -> None:
        """Count one frame."""
        self.frames += 1
        self.awake += step.awake
        self.dropped = delivery.dropped
        self.frame_s = now_s
        self.alarms += step.alarm and not self.alarm
        self.alarm = step.alarm
        if delivery.late_s is not None:
            self.late[LATE_S[bisect_left(LATE_S, delivery.late_s)]] += 1
            self.late_sum_s += delivery.late_s
        for stage, seconds in step.timings_s.items():
            self.stage_s[stage] = self.stage_s.get(stage, 0.0) + seconds

    def add_decision(self, decision: Decision) -> None:
        """Count one decision: its outcome, or the end of the passage."""
        passage = decision.passage
        if decision.change is Change.LEFT:
            self.passages[VIOLATED if passage.violated else passage.outcome.value] += 1
        elif decision.change is not Change.PICTURE:
            self.decisions[passage.outcome.value] += 1

    def add_health(self, health: Health) -> None:
        """Count the beginning of a blindness."""
        self.blind_times += health.blind and not self.blind
        self.blind, self.slow, self.state = health.blind, bool(health.slow), health.state
        # Without pictures the alarm is not renewed; a dark picture may still renew it, in the step that follows.
        self.alarm = self.alarm and health.state in (CameraState.STREAMING, CameraState.DARK)


class LiveState(Listener):
    """What the door's cameras see and show now. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counters: dict[str, CameraCounters] = {}
        self._healths: dict[str, Health] = {}
        self._steps: dict[str, Step] = {}
        self._states: dict[str, str] = {}
        self.arming = ArmingMessage(armed=True, source="default")
        self.build = BuildMessage()
        self._fallbacks: tuple[ModelFallback, ...] = ()
        self._hints: dict[tuple[str, str], str] = {}  # by camera and kind
        self._drifts: dict[str, DriftMessage] = {}

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """See :class:`edge.reporting.listener.Listener`."""
        with self._lock:
            counters = self._of(step.camera)
            counters.add_step(step, delivery, self._clock())
            self._steps[step.camera] = step
            # A lens that is covered during an alarm does not end the alarm.
            blind = counters.blind and not step.alarm
            self._states[step.camera] = Signal.BLIND.state if blind else step.signal.state

    def on_decision(self, decision: Decision) -> None:
        """See :class:`edge.reporting.listener.Listener`."""
        with self._lock:
            self._of(decision.camera).add_decision(decision)

    def on_health(self, health: Health) -> None:
        """See :class:`edge.reporting.listener.Listener`."""
        with self._lock:
            self._of(health.camera).add_health(health)
            self._healths[health.camera] = health
            if health.blind:
                self._states[health.camera] = Signal.BLIND.state

    def on_arming(self, arming: ArmingMessage) -> None:
        """See :class:`edge.reporting.listener.Listener`."""
        self.arming = arming

    def on_hint(self, camera: str, kind: str, hint: str) -> None:
        """See :class:`edge.reporting.listener.Listener`."""
        with self._lock:
            self._hints[camera, kind] = hint

    def on_drift(self, camera: str, drift: DriftMessage) -> None:
        """See :class:`edge.reporting.listener.Listener`."""
        with self._lock:
            self._drifts[camera] = drift

    def on_settings(self, settings: Settings) -> None:
        """Forget healths and steps, as all cameras start again; counters and shown states go on over a reload."""
        with self._lock:
            self._hints.clear()
            self._healths.clear()
            self._steps.clear()

    def on_models(self, fallbacks: Sequence[ModelFallback]) -> None:
        """See :class:`edge.reporting.listener.Listener`."""
        with self._lock:
            self._fallbacks = tuple(fallbacks)

    def fallbacks(self) -> tuple[ModelFallback, ...]:
        """Return the tasks that do not use their installed model."""
        with self._lock:
            return self._fallbacks

    def state(self, camera: str) -> str:
        """Return what one camera leads to, one of :data:`STATES`."""
        with self._lock:
            return self._states.get(camera, OFF)

    def door_state(self) -> str:
        """Return the most urgent state of all cameras."""
        with self._lock:
            return max(self._states.values(), key=STATES.index, default=OFF)

    def cameras(self) -> list[str]:
        """Return the names of the cameras that have a state."""
        with self._lock:
            return list(self._states)

    def counters(self) -> dict[str, CameraCounters]:
        """Return a copy of every camera's counters."""
        with self._lock:
            # Copied inside the lock: the loop changes the counters while a scrape formats them.
            return {camera: deepcopy(counters) for camera, counters in self._counters.items()}

    def healths(self) -> list[Health]:
        """Return the latest health of every live camera that has reported one."""
        with self._lock:
            return list(self._healths.values())

    def hints(self, camera: str) -> tuple[str, ...]:
        """Return the hints about a camera, one for each kind."""
        with self._lock:
            return tuple(hint for (of, _), hint in self._hints.items() if of == camera and hint)

    def hinted(self) -> dict[tuple[str, str], bool]:
        """Return by camera and kind whether there is a hint; a kind that was never reported is missing."""
        with self._lock:
            return {key: bool(hint) for key, hint in self._hints.items()}

    def drifts(self) -> dict[str, DriftMessage]:
        """Return what has changed at each camera; one of which nothing is known is missing."""
        with self._lock:
            return dict(self._drifts)

    def hint(self, camera: str) -> str:
        """Return all hints about a camera, empty if there is none."""
        return "; ".join(self.hints(camera))

    def latest(self, camera: str) -> Step | None:
        """Return the newest step of a camera, None before the first."""
        with self._lock:
            return self._steps.get(camera)

    def close(self, camera: str) -> None:
        """Note that a camera is no longer watched."""
        with self._lock:
            self._states[camera] = OFF

    def forget(self, camera: str) -> None:
        """Remove a camera that the settings no longer name, so that its last state and frame do not count for ever."""
        with self._lock:
            for each in (self._counters, self._healths, self._steps, self._states, self._drifts):
                each.pop(camera, None)

    def _of(self, camera: str) -> CameraCounters:
        return self._counters.setdefault(camera, CameraCounters())
