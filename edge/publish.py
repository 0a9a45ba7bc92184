"""Decisions, health and figures -> whoever listens: MQTT, Prometheus, webhooks, mail. None of them can slow the loop.

The loop hands a :class:`edge.contracts.Message` to an :class:`Outbox` and goes on; the outbox has a bounded queue and a
thread of its own, tries again what could not be sent, drops the oldest where too much waits, and counts what it drops.
A new state, and new figures, replace what still waits of their kind.

No message shows a face. Pictures are sent only where ``publish.pictures`` asks for them, and then as coarse cells from
edge to edge: a face that the detector missed is no more to be recognised than one it found.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from edge import annotate, board, drivers
from edge.board import Board
from edge.config import PublishSettings, Settings
from edge.contracts import Change, Decision, Health, Kind, Message, Messenger, Outcome, Passage, Signal, Step
from edge.errors import FmdError

log = logging.getLogger("fmd")

RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
"""How long an outbox waits after a failure; twice as long after each further one, up to the longest."""
CLOSE_S = 2.0
"""How long the end of the service waits for what is still to be sent; well within the unit's TimeoutStopSec."""
NEWEST_ONLY = frozenset({Kind.STATE, Kind.FIGURES})
STATES = ("off", *(signal.name.lower() for signal in Signal))
"""The better before the worse."""

Clock = Callable[[], float]


class Outbox:
    """A bounded queue and a thread before one messenger. ``sent``, ``failed`` and ``dropped`` count messages."""

    def __init__(
        self, name: str, messenger: Messenger, size: int, clock: Clock = time.monotonic, retry_s: float = RETRY_S
    ) -> None:
        self.name = name
        self.sent = self.failed = self.dropped = 0
        self._messenger, self._size, self._clock, self._retry_s = messenger, size, clock, retry_s
        self._queue: deque[Message] = deque()
        self._changed = threading.Condition()
        self._close_by_s: float | None = None
        self._trouble = ""
        self._thread = threading.Thread(target=self._work, name=f"publish {name}", daemon=True)
        self._thread.start()

    def post(self, message: Message) -> None:
        """Take a message; never waits for anything but the queue itself."""
        if message.kind not in self._messenger.kinds:
            return
        with self._changed:
            if self._close_by_s is not None:
                return
            if message.kind in NEWEST_ONLY:
                self._replace(message)
            if len(self._queue) >= self._size:
                self._queue.popleft()
                self.dropped += 1
            if message.picture is not None:
                self._strip()
            self._queue.append(message)
            self._changed.notify()

    def close(self, within_s: float = CLOSE_S) -> None:
        """Send what waits, as far as the time allows; a messenger that hangs is left behind with its thread."""
        with self._changed:
            self._close_by_s = self._clock() + within_s
            self._changed.notify()
        self._thread.join(within_s)
        if self._queue or self.dropped:
            log.info(
                "%s: %d messages sent, %d dropped, %d unsent", self.name, self.sent, self.dropped, len(self._queue)
            )

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self._queue)

    def _replace(self, message: Message) -> None:
        for waiting in self._queue:
            if (waiting.kind, waiting.camera) == (message.kind, message.camera):
                self._queue.remove(waiting)
                return

    def _strip(self) -> None:
        """A picture holds a whole frame in memory: of those that wait only the newest message keeps its."""
        for i, waiting in enumerate(self._queue):
            if waiting.picture is not None:
                self._queue[i] = replace(waiting, picture=None)

    def _work(self) -> None:
        self._messenger.open()
        wait_s = self._retry_s
        while (message := self._next()) is not None:
            if self._send(message):
                wait_s = self._retry_s
            elif self._rest(wait_s):
                wait_s = min(2 * wait_s, LONGEST_RETRY_S)
            else:
                break
        try:
            self._messenger.close()
        except FmdError as error:
            log.debug("%s: %s", self.name, error)

    def _next(self) -> Message | None:
        """The oldest message, as soon as there is one; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._close_by_s is not None)
            return self._queue.popleft() if self._queue and not self._late() else None

    def _late(self) -> bool:
        return self._close_by_s is not None and self._clock() >= self._close_by_s

    def _send(self, message: Message) -> bool:
        """Whether it went; what did not goes back to the head of the queue, unless that has filled up meanwhile."""
        try:
            self._messenger.send(message)
        # A messenger stands on other people's libraries and on the network: whatever breaks there ends here, told.
        except Exception as error:  # noqa: BLE001
            self._failed(message, error)
            return False
        self.sent += 1
        if self._trouble:
            log.info("%s: works again", self.name)
            self._trouble = ""
        return True

    def _failed(self, message: Message, error: Exception) -> None:
        trouble = str(error) if isinstance(error, FmdError) else f"{type(error).__name__}: {error}"
        if trouble != self._trouble:
            log.warning("%s: %s; trying again", self.name, trouble)
            self._trouble = trouble
        self.failed += 1
        with self._changed:
            outdated = message.kind in NEWEST_ONLY and any(
                (waiting.kind, waiting.camera) == (message.kind, message.camera) for waiting in self._queue
            )
            if outdated:
                return
            if len(self._queue) >= self._size:
                self.dropped += 1
            else:
                self._queue.appendleft(message)

    def _rest(self, wait_s: float) -> bool:
        """Wait before the next try; false where it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._close_by_s is not None, wait_s)
            return self._close_by_s is None


@dataclass(slots=True)
class Figures:
    """What is counted of one camera since the start."""

    frames: int = 0
    awake: int = 0
    dropped: int = 0
    alarms: int = 0
    alarm: bool = False
    blind: bool = False
    blind_times: int = 0
    frame_s: float | None = None
    decisions: Counter[str] = field(default_factory=Counter)
    passages: Counter[str] = field(default_factory=Counter)
    stage_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All figures as of one moment."""

    cameras: Mapping[str, Figures]
    board: Board
    uptime_s: float
    frame_age_s: Mapping[str, float]
    outboxes: Mapping[str, Mapping[str, int]]


class Reporter:
    """Turns what happens into messages and figures. Calls come from the loop and cost it microseconds."""

    def __init__(
        self,
        settings: PublishSettings,
        outboxes: Sequence[Outbox] = (),
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
        read_board: Callable[[], Board] = board.read,
    ) -> None:
        self._settings, self._clock, self._wall, self._read_board = settings, clock, wall, read_board
        self._outboxes = list(outboxes)
        self._lock = threading.Lock()
        self._cameras: dict[str, Figures] = {}
        self._states: dict[str, str] = {}
        self._state = ""
        self._untold: list[Decision] = []
        self._started_s, self._started_at = clock(), wall()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep_telling_figures, name="figures", daemon=True)
        if self._outboxes:
            self._thread.start()

    def on_step(self, step: Step) -> None:
        """One frame went all the way through."""
        with self._lock:
            figures = self._cameras.setdefault(step.camera, Figures())
            figures.frames += 1
            figures.awake += step.awake
            figures.dropped = step.dropped
            figures.frame_s = self._clock()
            figures.alarms += step.alarm and not figures.alarm
            figures.alarm = step.alarm
            for stage, seconds in step.timings_s.items():
                figures.stage_s[stage] = figures.stage_s.get(stage, 0.0) + seconds
        self._tell_state(step.camera, "blind" if figures.blind and not step.alarm else step.signal.name.lower())
        self._tell_decisions(step.camera, step)

    def on_decision(self, decision: Decision) -> None:
        """Somebody was decided, decided otherwise, or left; told with the step that follows, or at the end."""
        passage = decision.passage
        with self._lock:
            figures = self._cameras.setdefault(decision.camera, Figures())
            if decision.change is Change.LEFT:
                figures.passages["violated" if passage.violated else passage.outcome.value] += 1
            else:
                figures.decisions[passage.outcome.value] += 1
        self._untold.append(decision)

    def on_health(self, health: Health) -> None:
        """A camera's sight has changed."""
        with self._lock:
            figures = self._cameras.setdefault(health.camera, Figures())
            figures.blind_times += health.blind and not figures.blind
            figures.blind = health.blind
        self._post(Kind.HEALTH, health.camera, {"sight": health.sight.value, "reason": health.reason})
        if health.blind:
            self._tell_state(health.camera, "blind")

    def snapshot(self) -> Snapshot:
        """All figures now."""
        now_s = self._clock()
        with self._lock:
            cameras = {camera: deepcopy(figures) for camera, figures in self._cameras.items()}
        ages = {camera: now_s - figures.frame_s for camera, figures in cameras.items() if figures.frame_s is not None}
        outboxes = {
            box.name: {"sent": box.sent, "failed": box.failed, "dropped": box.dropped, "waiting": box.waiting}
            for box in self._outboxes
        }
        return Snapshot(cameras, self._read_board(), now_s - self._started_s, ages, outboxes)

    def close(self) -> None:
        """Tell that it is over, and send what still can be sent: all outboxes at once, in CLOSE_S together."""
        self._done.set()
        for camera in list(self._states):
            self._tell_decisions(camera, None)
            self._tell_state(camera, "off")
        closing = [threading.Thread(target=box.close, daemon=True) for box in self._outboxes]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join(CLOSE_S + 0.5)

    def _tell_state(self, camera: str, state: str) -> None:
        """Of this camera, where it is one of several, and of the door as a whole: its worst camera's."""
        if self._states.get(camera) == state:
            return
        self._states[camera] = state
        if camera:
            self._post(Kind.STATE, camera, {"state": state})
        worst = max(self._states.values(), key=STATES.index)
        if worst != self._state:
            self._state = worst
            self._post(Kind.STATE, "", {"state": worst})

    def _tell_decisions(self, camera: str, step: Step | None) -> None:
        """Those of one camera that nobody was told of yet, a violation with its picture where that is asked for."""
        if not self._untold:
            return
        mine = [decision for decision in self._untold if decision.camera == camera]
        self._untold = [decision for decision in self._untold if decision.camera != camera]
        for decision in mine:
            shown = step is not None and self._settings.pictures == "blurred" and _accuses(decision)
            values = {"change": decision.change.value, **self._told(decision.passage)}
            self._post(Kind.DECISION, camera, values, partial(_jpeg, step) if step and shown else None)

    def _told(self, passage: Passage) -> dict[str, Any]:
        return {
            # Passages are counted from 1 at every start; together with the start they are somebody's alone.
            "person": f"{self._started_at:.0f}-{passage.id}",
            "outcome": passage.outcome.value,
            "label": passage.label,
            "signal": passage.signal.name.lower(),
            "violated": passage.violated,
            "looks": passage.looks,
            "seconds": round(passage.seen_s - passage.entered_s, 2),
        }

    def _keep_telling_figures(self) -> None:
        while not self._done.wait(self._settings.every_s):
            self._post(Kind.FIGURES, "", plain(self.snapshot()))

    def _post(
        self, kind: Kind, camera: str, values: Mapping[str, Any], picture: Callable[[], bytes] | None = None
    ) -> None:
        message = Message(kind, self._wall(), camera, values, picture)
        for outbox in self._outboxes:
            outbox.post(message)


def plain(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as flat names and numbers, all cameras together; what the board does not tell is left out."""
    cameras = snapshot.cameras.values()
    told: dict[str, Any] = {
        "uptime_s": round(snapshot.uptime_s, 1),
        "frames": sum(figures.frames for figures in cameras),
        "frames_dropped": sum(figures.dropped for figures in cameras),
        "frame_age_s": round(max(snapshot.frame_age_s.values(), default=0.0), 2),
        "alarms": sum(figures.alarms for figures in cameras),
        "blind_times": sum(figures.blind_times for figures in cameras),
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


def _jpeg(step: Step) -> bytes:
    return annotate.encoded(annotate.unrecognisable(step))


def _accuses(decision: Decision) -> bool:
    told = decision.passage
    return decision.change is not Change.LEFT and told.outcome is Outcome.VIOLATION and told.signal.alarming


@contextmanager
def open_reporter(settings: Settings) -> Iterator[Reporter]:
    """Whoever the settings name is told of what the reporter inside is; no network is waited for, now or later.

    Raises SettingsError or RuntimeMissingError where a messenger cannot even be tried.
    """
    with ExitStack() as stack:
        size = settings.publish.queue
        outboxes = [Outbox(name, messenger, size) for name, messenger in drivers.open_messengers(settings)]
        reporter = Reporter(settings.publish, outboxes)
        stack.callback(reporter.close)
        if settings.metrics.port:
            stack.callback(drivers.open_metrics(settings.metrics, reporter.snapshot).close)
        yield reporter


def check(settings: Settings) -> None:
    """Everything that can be known of whom the settings want told, telling nobody; raises what opening would."""
    for _ in drivers.open_messengers(settings):
        pass
    if settings.metrics.port:
        drivers.check_metrics()
