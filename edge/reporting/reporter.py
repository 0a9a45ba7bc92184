"""Decisions, health and figures -> whoever listens: MQTT, Prometheus, webhooks, mail. None of them can slow the loop.

The loop hands a :class:`edge.contracts.Message` to an outbox each (:mod:`edge.reporting.outbox`) and goes on.

No message shows a face. Pictures are sent only where ``publish.pictures`` asks for them, and then as coarse cells from
edge to edge: a face that the detector missed is no more to be recognised than one it found.
"""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from edge import board, config, drivers, paths
from edge.board import Board
from edge.config import MetricsSettings, PublishSettings, Settings
from edge.contracts import CameraState, Change, Decision, Health, Message, MessageKind, Outcome, Passage, Signal, Step
from edge.errors import FmdError, OutputError
from edge.reporting import annotate
from edge.reporting.outbox import Clock, Outbox, Outboxes

log = logging.getLogger("fmd")

RETOLD = frozenset({MessageKind.STATE, MessageKind.HEALTH})
"""What whoever comes later must know: the newest of these, of each camera."""
STATES = ("off", *(signal.name.lower() for signal in Signal))
"""The better before the worse."""


AGAIN_S = 60.0
"""How often a port that cannot be served is tried again: a network's address may come late, and another's port go."""

LATE_S = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, float("inf"))
"""Frames are counted by how late their steps ended, up to each of these."""


@dataclass(slots=True)
class CameraCounters:
    """What is counted of one camera since the start. ``late`` counts each frame once, under the next of LATE_S."""

    frames: int = 0
    awake: int = 0
    dropped: int = 0
    alarms: int = 0
    alarm: bool = False
    blind: bool = False
    blind_times: int = 0
    slow: bool = False
    late: dict[float, int] = field(default_factory=lambda: dict.fromkeys(LATE_S, 0))
    late_sum_s: float = 0.0
    frame_s: float | None = None
    decisions: Counter[str] = field(default_factory=Counter)
    passages: Counter[str] = field(default_factory=Counter)
    stage_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """All figures as of one moment."""

    cameras: Mapping[str, CameraCounters]
    board: Board
    uptime_s: float
    frame_age_s: Mapping[str, float]
    outboxes: Mapping[str, Mapping[str, int]]


class Reporter:
    """Turns what happens into messages and figures. Calls come from the loop and cost it microseconds."""

    def __init__(
        self,
        settings: PublishSettings,
        outboxes: Iterable[Outbox] = (),
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
        read_board: Callable[[], Board] = board.read,
        note: Callable[[str, Mapping[str, Any]], None] = lambda kind, facts: None,
    ) -> None:
        """``note`` keeps what the board complains of; it is called in a thread of the reporter's own."""
        self._settings, self._clock, self._wall, self._read_board = settings, clock, wall, read_board
        self._outboxes, self._note, self._complained = outboxes, note, set[str]()
        self._lock = threading.Lock()
        self._cameras: dict[str, CameraCounters] = {}
        self._states: dict[str, str] = {}
        self._state = ""
        self._untold: list[Decision] = []
        self._newest: dict[tuple[MessageKind, str], Message] = {}
        self._started_s, self._started_at = clock(), wall()
        self._done, self._figures_due = False, threading.Event()
        self._thread = threading.Thread(target=self._keep_telling_figures, name="figures", daemon=True)
        self._thread.start()

    def on_step(self, step: Step) -> None:
        """One frame went all the way through."""
        with self._lock:
            figures = self._cameras.setdefault(step.camera, CameraCounters())
            figures.frames += 1
            figures.awake += step.awake
            figures.dropped = step.dropped
            figures.frame_s = self._clock()
            figures.alarms += step.alarm and not figures.alarm
            figures.alarm = step.alarm
            if step.late_s is not None:
                figures.late[LATE_S[bisect_left(LATE_S, step.late_s)]] += 1
                figures.late_sum_s += step.late_s
            for stage, seconds in step.timings_s.items():
                figures.stage_s[stage] = figures.stage_s.get(stage, 0.0) + seconds
        self._tell_state(step.camera, "blind" if figures.blind and not step.alarm else step.signal.name.lower())
        self._tell_decisions(step.camera, step)

    def on_decision(self, decision: Decision) -> None:
        """Somebody was decided, decided otherwise, or left; told with the step that follows, or at the end."""
        passage = decision.passage
        with self._lock:
            figures = self._cameras.setdefault(decision.camera, CameraCounters())
            if decision.change is Change.LEFT:
                figures.passages["violated" if passage.violated else passage.outcome.value] += 1
            else:
                figures.decisions[passage.outcome.value] += 1
        self._untold.append(decision)

    def on_health(self, health: Health) -> None:
        """A camera's sight has changed, or whether the machine keeps up with it, which figures alone tell."""
        with self._lock:
            figures = self._cameras.setdefault(health.camera, CameraCounters())
            figures.blind_times += health.blind and not figures.blind
            figures.blind, figures.slow = health.blind, bool(health.slow)
            # Without pictures nobody renews the alarm; a dark one may, in the step that follows.
            figures.alarm = figures.alarm and health.state in (CameraState.STREAMING, CameraState.DARK)
        values = {"state": health.state.value, "reason": health.reason}
        told = self._newest.get((MessageKind.HEALTH, health.camera))
        if told is None or told.values != values:
            self._post(MessageKind.HEALTH, health.camera, values)
        if health.blind:
            self._tell_state(health.camera, "blind")

    def snapshot(self) -> MetricsSnapshot:
        """All figures now."""
        now_s = self._clock()
        with self._lock:
            cameras = {camera: deepcopy(figures) for camera, figures in self._cameras.items()}
        ages = {camera: now_s - figures.frame_s for camera, figures in cameras.items() if figures.frame_s is not None}
        outboxes = {
            box.name: {"sent": box.sent, "failed": box.failed, "dropped": box.dropped, "waiting": box.waiting}
            for box in self._outboxes
        }
        return MetricsSnapshot(cameras, self._read_board(), now_s - self._started_s, ages, outboxes)

    def follow(self, settings: Settings, fresh: Iterable[Outbox] = ()) -> None:
        """A run begins with these settings, the one before it is over; ``fresh`` outboxes know nothing yet."""
        for camera in list(self._states):
            self._tell_decisions(camera, None)
            if camera not in config.cameras(settings.camera):
                self._forget(camera)
        self._settings, self._started_at = settings.publish, self._wall()
        for outbox in fresh:
            for message in self._newest.values():
                outbox.post(message)
        self._figures_due.set()

    def close(self) -> None:
        """Tell that it is over."""
        self._done = True
        self._figures_due.set()
        for camera in list(self._states):
            self._tell_decisions(camera, None)
            self._tell_state(camera, "off")

    def _forget(self, camera: str) -> None:
        """One that is watched no longer must not be the worst one for ever, nor its last frame the oldest."""
        self._tell_state(camera, "off")
        self._post(MessageKind.REMOVED, camera, {})
        del self._states[camera]
        with self._lock:
            self._cameras.pop(camera, None)
        self._newest.pop((MessageKind.HEALTH, camera), None)
        if camera:  # without one it is the state of the door as a whole, which goes on
            self._newest.pop((MessageKind.STATE, camera), None)

    def _tell_state(self, camera: str, state: str) -> None:
        """Of this camera, where it is one of several, and of the door as a whole: its worst camera's."""
        if self._states.get(camera) == state:
            return
        self._states[camera] = state
        if camera:
            self._post(MessageKind.STATE, camera, {"state": state})
        worst = max(self._states.values(), key=STATES.index)
        if worst != self._state:
            self._state = worst
            self._post(MessageKind.STATE, "", {"state": worst})

    def _tell_decisions(self, camera: str, step: Step | None) -> None:
        """Those of one camera that nobody was told of yet, a violation with its picture where that is asked for."""
        if not self._untold:
            return
        mine = [decision for decision in self._untold if decision.camera == camera]
        self._untold = [decision for decision in self._untold if decision.camera != camera]
        for decision in mine:
            shown = step is not None and self._settings.pictures == "blurred" and _accuses(decision)
            values = {"change": decision.change.value, **self._told(decision.passage)}
            self._post(MessageKind.DECISION, camera, values, partial(_jpeg, step) if step and shown else None)

    def _told(self, passage: Passage) -> dict[str, Any]:
        return {
            # Passages are counted from 1 at every start; together with the start they are somebody's alone.
            "person": f"{self._started_at:.0f}-{passage.id}",
            "outcome": passage.outcome.value,
            "label": passage.label,
            "signal": passage.signal.name.lower(),
            "violated": passage.violated,
            "observations": passage.observations,
            "seconds": round(passage.seen_s - passage.entered_s, 2),
        }

    def _keep_telling_figures(self) -> None:
        while True:
            self._figures_due.wait(self._settings.every_s)
            self._figures_due.clear()
            if self._done:
                return
            self._tell_complaints(self._read_board().throttled or {})
            if any(self._outboxes):
                self._post(MessageKind.METRICS, "", plain(self.snapshot()))

    def _tell_complaints(self, throttled: Mapping[str, bool]) -> None:
        """Each once, whether it lasts or has only occurred: a power supply that is too weak stays so."""
        now = {name.removesuffix("_occurred") for name, is_so in throttled.items() if is_so}
        for name in sorted(now - self._complained):
            log.warning("the board tells of %s since it was switched on; fmd doctor says what to do", _spaced(name))
            self._note("board", {"trouble": name})
        self._complained |= now

    def _post(
        self, kind: MessageKind, camera: str, values: Mapping[str, Any], picture: Callable[[], bytes] | None = None
    ) -> None:
        message = Message(kind, self._wall(), camera, values, picture)
        if kind in RETOLD:
            self._newest[kind, camera] = message
        for outbox in self._outboxes:
            outbox.post(message)


def plain(snapshot: MetricsSnapshot) -> dict[str, Any]:
    """A snapshot as flat names and numbers, all cameras together; what the board does not tell is left out."""
    cameras = snapshot.cameras.values()
    told: dict[str, Any] = {
        "uptime_s": round(snapshot.uptime_s, 1),
        "frames": sum(figures.frames for figures in cameras),
        "frames_dropped": sum(figures.dropped for figures in cameras),
        "frame_age_s": round(max(snapshot.frame_age_s.values(), default=0.0), 2),
        "alarms": sum(figures.alarms for figures in cameras),
        "blind_times": sum(figures.blind_times for figures in cameras),
        "too_slow": any(figures.slow for figures in cameras),
        "messages_dropped": sum(box["dropped"] for box in snapshot.outboxes.values()),
    }
    for outcome in ("violated", Outcome.COMPLIANT.value, Outcome.UNSURE.value):
        told[f"passages_{outcome}"] = sum(figures.passages[outcome] for figures in cameras)
    now = snapshot.board
    if now.memory_bytes is not None:
        told["memory_mb"] = round(now.memory_bytes / 1e6, 1)
    if now.temperature_c is not None:
        told["temperature_c"] = round(now.temperature_c, 1)
    return {**told, **(now.throttled or {})}


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _jpeg(step: Step) -> bytes:
    return annotate.encoded(annotate.unrecognisable(step))


def _accuses(decision: Decision) -> bool:
    return decision.change is not Change.LEFT and decision.passage.signal.alarming


class MetricsEndpoint:
    """The figures where others come for them, at any time where the settings say; nowhere where those name no port."""

    def __init__(self, snapshot: Callable[[], MetricsSnapshot], again_s: float = AGAIN_S) -> None:
        self._snapshot, self._again_s, self._lock = snapshot, again_s, threading.Lock()
        self._wanted: MetricsSettings | None = None
        self._now: MetricsSettings | None = None
        self._server: Any = None
        self._other, self._said = threading.Event(), ""

    def open(self, settings: MetricsSettings | None) -> None:
        """Serve there and nowhere else; waits for a request under way. Raises OutputError where it cannot be served."""
        self._want(settings)
        self._serve()

    def begin(self, settings: MetricsSettings) -> None:
        """The same at the start, going on trying where it cannot be served now: the door is watched meanwhile.

        Raises RuntimeMissingError where it never can.
        """
        try:
            self.open(settings)
        except OutputError as error:
            self._tell(error)
            self.follow(settings)

    def follow(self, settings: MetricsSettings) -> threading.Thread:
        """The same, for a loop that neither waits nor ends for it: in the thread that is returned."""
        # Before the thread begins: whoever was asked last counts, whichever thread is first.
        other = self._want(settings)

        def work() -> None:
            while not other.is_set() and not self._can_serve():
                other.wait(self._again_s)

        thread = threading.Thread(target=work, name="metrics reload", daemon=True)
        thread.start()
        return thread

    def _can_serve(self) -> bool:
        """Serve; where it cannot be, that is told."""
        try:
            self._serve()
        except FmdError as error:
            self._tell(error)
            return False
        return True

    def _want(self, settings: MetricsSettings | None) -> threading.Event:
        """What is set as soon as something else is wanted."""
        self._wanted = settings
        self._other.set()
        self._other = threading.Event()
        return self._other

    def _tell(self, error: FmdError) -> None:
        if str(error) != self._said:
            self._said = str(error)
            log.error("no figures are served: %s; trying again every %g s", error, self._again_s)

    def _serve(self) -> None:
        with self._lock:
            wanted = self._wanted
            if self._now == wanted:
                return
            if self._server is not None:
                self._server.close()
            # Until it is served it is not: a port that is taken is tried again.
            self._server = self._now = None
            if wanted is not None and wanted.port:
                self._server = drivers.open_metrics(wanted, self._snapshot)
            self._now, self._said = wanted, ""


@contextmanager
def open_reporter(
    settings: Settings, note: Callable[[str, Mapping[str, Any]], None] = lambda kind, facts: None
) -> Iterator[tuple[Reporter, Callable[[Settings], None]]]:
    """Whoever the settings name is told of what the reporter inside is; no network is waited for, now or later.

    With it comes what has all of that follow other settings; ``note`` is the :class:`Reporter`'s. Raises SettingsError
    or RuntimeMissingError where a messenger cannot even be tried.
    """
    with ExitStack() as stack:
        outboxes = Outboxes()
        stack.callback(outboxes.close)
        outboxes.follow(drivers.publishers(settings, paths.runtime_folder()), settings.publish.queue)
        reporter = Reporter(settings.publish, outboxes, note=note)
        served = MetricsEndpoint(reporter.snapshot)
        stack.callback(served.open, None)
        served.begin(settings.metrics)
        stack.callback(reporter.close)

        def follow(settings: Settings) -> None:
            fresh: Iterable[Outbox] = ()
            try:
                fresh = outboxes.follow(drivers.publishers(settings, paths.runtime_folder()), settings.publish.queue)
            except FmdError as error:
                log.error("those who were told before are told on: %s", error)
            reporter.follow(settings, fresh)
            served.follow(settings.metrics)

        yield reporter, follow


def check(settings: Settings) -> None:
    """Everything that can be known of whom the settings want told, telling nobody; raises what opening would."""
    for receiver in drivers.publishers(settings):
        receiver.open()
    if settings.metrics.port:
        drivers.check_metrics()
