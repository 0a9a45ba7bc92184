"""Decisions, states, health and metrics -> messages for MQTT, webhooks, mail and the record. None can slow the loop.

The loop hands each :class:`edge.contracts.Message` to one outbox per publisher (:mod:`edge.reporting.outbox`) and goes
on.

No message shows a face. Pictures are sent only if ``publish.pictures`` asks for them, and then as coarse cells from
edge to edge: a face that the detector missed is as unrecognisable as one that it found.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import msgspec

from edge import board, config, drivers, paths
from edge.config import PublishSettings, Settings
from edge.contracts import (
    ENDS,
    ConfiguredPublisher,
    Decision,
    Delivery,
    Health,
    Message,
    MessageKind,
    ModelFallback,
    Step,
)
from edge.control import Commander
from edge.errors import FmdError
from edge.messages import (
    ArmingMessage,
    BuildMessage,
    DecisionMessage,
    DriftMessage,
    HealthMessage,
    ModelMessage,
    ReportMessage,
    StateMessage,
    decision_message,
    health_message,
    model_message,
)
from edge.reporting import annotate
from edge.reporting.listener import Listener, Listeners
from edge.reporting.live_state import LiveState
from edge.reporting.metrics import Metrics, ServiceReadings, metrics_message
from edge.reporting.outbox import Clock, Outbox, Outboxes
from edge.reporting.servers import Servers

log = logging.getLogger(__name__)

RETAINED = frozenset({MessageKind.STATE, MessageKind.HEALTH, MessageKind.ARMING, MessageKind.BUILD, MessageKind.DRIFT})
"""Retained state: a new publisher gets the newest message of these kinds, for each camera."""

CLOSE_S = 1.0
"""Longest time for which the end waits for the thread that reads the board, in seconds."""

Note = Callable[[str, msgspec.Struct, str], None]
"""Records an event: (kind, content, camera)."""
Describe = Callable[[Settings], BuildMessage]
"""Returns which versions, models and settings run."""


class BoardComplaint(msgspec.Struct, frozen=True):
    """Content of the event that the board complains, such as of under-voltage."""

    complaint: str


class Reporter(Listener):
    """Turns events of a run into messages. Calls come from the loop and cost it microseconds.

    ``live`` must have received each event before. ``note`` records decisions and health in the loop's thread, which
    must not wait, and the board's complaints in the reporter's own thread.
    """

    def __init__(
        self,
        settings: PublishSettings,
        live: LiveState,
        metrics: Metrics,
        outboxes: Iterable[Outbox] = (),
        wall: Clock = time.time,
        note: Note = lambda kind, content, camera: None,
    ) -> None:
        self._settings, self._live, self._metrics = settings, live, metrics
        self._outboxes, self._wall, self._note = outboxes, wall, note
        self._complaints = set[str]()
        self._published_states: dict[str, str] = {}
        self._unpublished: list[tuple[Decision, DecisionMessage]] = []
        self._newest: dict[tuple[MessageKind, str], Message] = {}
        self._fallbacks: dict[str, ModelMessage] = {}
        self._started_at = wall()
        self._done, self._metrics_due = False, threading.Event()
        self._thread = threading.Thread(target=self._publish_metrics, name="metrics", daemon=True)
        self._thread.start()

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """Publish a changed state, and the decisions of this step with their pictures."""
        self._publish_state(step.camera)
        self._publish_decisions(step.camera, step)

    def on_decision(self, decision: Decision) -> None:
        """Record the decision; it is published with the step that follows, or at the end."""
        message = decision_message(decision, self._started_at)
        self._note("decision", message, decision.camera)
        # Not yet published: the picture of this frame comes with the step that follows.
        self._unpublished.append((decision, message))

    def on_health(self, health: Health) -> None:
        """Publish and record the state of a camera."""
        message = health_message(health, self._live.hint(health.camera))
        newest = self._newest.get((MessageKind.HEALTH, health.camera))
        if newest is None or newest.content != message:
            self._post(MessageKind.HEALTH, health.camera, message)
        # The log takes every change, also one back and forth: its reader wants to count outages.
        self._note("camera", message, health.camera)
        if health.blind:
            self._publish_state(health.camera)

    def on_arming(self, arming: ArmingMessage) -> None:
        """Publish whether fmd is armed; whatever changed it has recorded it."""
        newest = self._newest.get((MessageKind.ARMING, ""))
        if newest is None or newest.content != arming:
            self._post(MessageKind.ARMING, "", arming)

    def on_build(self, build: BuildMessage) -> None:
        """Publish which versions, models and settings run, if that has changed."""
        newest = self._newest.get((MessageKind.BUILD, ""))
        if newest is None or newest.content != build:
            self._post(MessageKind.BUILD, "", build)

    def on_hint(self, camera: str, kind: str, hint: str) -> None:
        """Publish the health of a camera again, with what may be wrong with it."""
        newest = self._newest.get((MessageKind.HEALTH, camera))
        if newest is not None and isinstance(newest.content, HealthMessage):
            content = msgspec.structs.replace(newest.content, hint=self._live.hint(camera))
            self._post(MessageKind.HEALTH, camera, content)

    def on_drift(self, camera: str, drift: DriftMessage) -> None:
        """Publish what has changed at a camera; the record has noted it."""
        newest = self._newest.get((MessageKind.DRIFT, camera))
        if newest is None or newest.content != drift:
            self._post(MessageKind.DRIFT, camera, drift)

    def on_settings(self, settings: Settings) -> None:
        """Forget cameras that the new settings no longer name. The run before is over: publish what is left of it."""
        # The last decisions of the old run have no step that follows them.
        for camera in self._live.cameras():
            self._publish_decisions(camera, None)
            if camera not in config.cameras(settings.camera):
                self._forget(camera)
        self._settings, self._started_at = settings.publish, self._wall()
        self._metrics_due.set()

    def on_models(self, fallbacks: Sequence[ModelFallback]) -> None:
        """Record each model that replaces the installed one, once for each reason, and the return to that one."""
        now = {fallback.task: model_message(fallback) for fallback in fallbacks}
        for task in sorted(now.keys() | self._fallbacks.keys()):
            message = now.get(task, ModelMessage(task, "", "", ""))
            if message != self._fallbacks.get(task):
                self._note("model", message, "")
        self._fallbacks = now
        self._metrics_due.set()

    def post_report(self, report: ReportMessage) -> None:
        """Publish a report; called from the record's thread."""
        self._post(MessageKind.REPORT, "", report)

    def retain(self, fresh: Iterable[Outbox]) -> None:
        """Post the retained state to new outboxes, which know nothing yet."""
        for outbox in fresh:
            for message in self._newest.values():
                outbox.post(message)

    def close(self) -> None:
        """Publish that fmd no longer watches, and the last counters."""
        self._done = True
        self._metrics_due.set()
        # So that no older metrics replace the last ones. It never waits for a publisher.
        self._thread.join(CLOSE_S)
        for camera in self._live.cameras():
            self._publish_decisions(camera, None)
            self._live.close(camera)
            self._publish_state(camera)
        self._post_metrics()

    def _forget(self, camera: str) -> None:
        self._live.close(camera)
        self._publish_state(camera)
        self._post(MessageKind.REMOVED, camera, None)
        self._live.forget(camera)
        self._published_states.pop(camera, None)
        for kind in (MessageKind.HEALTH, MessageKind.DRIFT):
            self._newest.pop((kind, camera), None)
        if camera:  # the empty name is the door as a whole, which goes on
            self._newest.pop((MessageKind.STATE, camera), None)

    def _publish_state(self, camera: str) -> None:
        """Publish the state of this camera, if it is one of several, and of the door: its most urgent camera's."""
        if camera:
            self._publish_if_changed(camera, self._live.state(camera))
        self._publish_if_changed("", self._live.door_state())

    def _publish_if_changed(self, camera: str, state: str) -> None:
        if self._published_states.get(camera) != state:
            self._published_states[camera] = state
            self._post(MessageKind.STATE, camera, StateMessage(state))

    def _publish_decisions(self, camera: str, step: Step | None) -> None:
        """Publish the decisions of one camera, a violation with its picture if the settings ask for that."""
        if not self._unpublished:
            return
        own = [entry for entry in self._unpublished if entry[0].camera == camera]
        self._unpublished = [entry for entry in self._unpublished if entry[0].camera != camera]
        for decision, message in own:
            shown = step is not None and self._settings.pictures == "blurred" and _is_violation(decision)
            self._post(MessageKind.DECISION, camera, message, partial(_jpeg, step) if step and shown else None)
        if own:
            self._metrics_due.set()  # the counters have changed

    def _publish_metrics(self) -> None:
        while True:
            self._metrics_due.wait(self._settings.every_s)
            self._metrics_due.clear()
            if self._done:
                return
            self._report_complaints()
            self._post_metrics()

    def _post_metrics(self) -> None:
        # Without a publisher nobody reads them, and collecting them costs time on a slow board.
        if any(self._outboxes):
            self._post(MessageKind.METRICS, "", metrics_message(self._metrics.snapshot()))

    def _report_complaints(self) -> None:
        """Report each complaint once, whether it lasts or has only occurred: a weak power supply stays weak."""
        throttled = self._metrics.read_board().throttled or {}
        now = {name.removesuffix("_occurred") for name, is_so in throttled.items() if is_so}
        for name in sorted(now - self._complaints):
            log.warning("the board has reported %s since it was switched on; run fmd doctor", name.replace("_", " "))
            self._note("board", BoardComplaint(name), "")
        self._complaints |= now

    def _post(
        self,
        kind: MessageKind,
        camera: str,
        content: msgspec.Struct | None,
        picture: Callable[[], bytes] | None = None,
    ) -> None:
        message = Message(kind, self._wall(), camera, content, picture)
        if kind in RETAINED:
            self._newest[kind, camera] = message
        for outbox in self._outboxes:
            outbox.post(message)


def _jpeg(step: Step) -> bytes:
    return annotate.encoded(annotate.unrecognisable(step))


def _is_violation(decision: Decision) -> bool:
    return decision.change not in ENDS and decision.passage.signal.alarming


class Reporting(Listeners):
    """Everything that publishes: live state, reporter and servers, which follow the settings of each run."""

    def __init__(
        self,
        live: LiveState,
        metrics: Metrics,
        reporter: Reporter,
        outboxes: Outboxes,
        servers: Servers,
        command: Commander | None = None,
        describe: Describe = lambda settings: BuildMessage(),
    ) -> None:
        super().__init__((live, reporter))
        self.live, self.metrics = live, metrics
        self._reporter, self._outboxes, self._servers, self._command = reporter, outboxes, servers, command
        self._describe = describe

    def post_report(self, report: ReportMessage) -> None:
        """Publish a report; may be called from any thread."""
        self._reporter.post_report(report)

    def on_settings(self, settings: Settings) -> None:
        """Publish where these settings say, from now on. If they cannot be opened, the publishers before stay."""
        fresh: Iterable[Outbox] = ()
        try:
            fresh = self._outboxes.follow(_publishers(settings, self._command), *_limits(settings))
        except FmdError as error:
            log.error("the publishers of the settings before stay: %s", error)
        self.live.on_settings(settings)
        self._reporter.on_settings(settings)
        self._reporter.retain(fresh)
        self.live.build = self._describe(settings)
        self._reporter.on_build(self.live.build)
        self._servers.follow(settings)


@contextmanager
def open_reporting(
    settings: Settings,
    note: Note = lambda kind, content, camera: None,
    clock: Clock = time.monotonic,
    command: Commander | None = None,
    describe: Describe = lambda settings: BuildMessage(),
    read_service: Callable[[], ServiceReadings] = ServiceReadings,
) -> Iterator[Reporting]:
    """Open all publishers and servers; no network is waited for, now or later.

    ``note`` is the :class:`Reporter`'s, ``read_service`` the :class:`Metrics`'; ``command`` carries out commands that
    come as messages; ``describe`` returns what runs with these settings, once the models are open. Raises SettingsError
    or RuntimeMissingError if a publisher cannot even be tried.
    """
    with ExitStack() as stack:
        outboxes, live = Outboxes(), LiveState(clock)
        stack.callback(outboxes.close)
        outboxes.follow(_publishers(settings, command), *_limits(settings))
        metrics = Metrics(live, outboxes, clock, partial(board.read, state=paths.state_folder()), read_service)
        reporter = Reporter(settings.publish, live, metrics, outboxes, note=note)
        servers = Servers(metrics.snapshot)
        stack.callback(servers.close)
        servers.begin(settings)
        stack.callback(reporter.close)
        yield Reporting(live, metrics, reporter, outboxes, servers, command, describe)


def check(settings: Settings) -> None:
    """Check everything about the configured publishers that needs no network; raises what opening them would."""
    for publisher in _publishers(settings):
        publisher.open()
    for _ in drivers.servers(settings, lambda: None):  # each is configured, which needs its library, and not opened
        pass


def _limits(settings: Settings) -> tuple[int, int, Path | None]:
    """Return how many messages may wait for a publisher, how many decisions besides them, and where on the card."""
    state = paths.state_folder() if settings.record.keep else None
    return settings.publish.queue, settings.publish.decisions, state


def _publishers(settings: Settings, command: Commander | None = None) -> Iterable[ConfiguredPublisher]:
    return drivers.publishers(settings, paths.runtime_folder(), command)
