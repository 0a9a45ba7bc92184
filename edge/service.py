"""Signals, readiness and the watchdog around the pipeline: what makes a loop a service.

"Alive" means one thing here: a frame went all the way through. That reports READY and feeds the watchdog
(sd_notify(3)), so a loop that hangs anywhere is restarted by systemd. A camera that fails is told at once, and opened
again for a bounded time; see :class:`Pulse` for what systemd hears meanwhile.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import resources
from pathlib import Path
from types import FrameType
from typing import cast

from edge import bundle, config, drivers, install, off, pixels, speech, trial
from edge.alert import Alert
from edge.bundle import Model
from edge.capture import Capture, Reader, ThreadReader
from edge.classify import MaskClassifier
from edge.config import CameraSettings, ModelSettings, Settings
from edge.contracts import Camera, Decision, Detector, Frame, Health, Interpreter, Output, Sight, Signal, Step
from edge.decide import Decider
from edge.detect import FaceDetector
from edge.errors import BundleError, FmdError
from edge.install import TASKS, Store
from edge.pipeline import Pipeline
from edge.track import Tracker
from edge.trial import Trial, TriedClassifier, TriedDetector
from edge.watch import Watch

log = logging.getLogger("fmd")

TICK_S = 0.05
"""How often the alert's lease and rhythm are looked at between frames of a live camera."""
TURN_S = 0.1
"""A loop without frames looks about itself this often."""
REST_S = 1.0
"""How often the watchdog is fed while cameras are opened again."""
SHIPPED = {"detector": "face_detector.tflite", "classifier": "mask_classifier.tflite"}


Tried = tuple[Model, Trial]
"""A model on trial, and what becomes of it."""
OpenInterpreter = Callable[[bytes, int, str], Interpreter]
"""Flatbuffer, threads and runtime's name -> interpreter, as :func:`edge.drivers.open_interpreter`."""


def load_model(settings: ModelSettings, task: str, opened: OpenInterpreter = drivers.open_interpreter) -> Model:
    """The model for ``task`` that the settings name (the shipped one where they name none), its golden inputs replayed.

    Raises :class:`edge.errors.BundleError` or GoldenError where it must not be trusted on this machine.
    """
    path = model_path(settings, task)
    model = bundle.load(path, task, lambda data: opened(data, settings.threads, settings.runtime))
    model.replay()
    log.info("%s %s on %s: golden inputs answer as they should", task, path, model.runtime)
    return model


def model_path(settings: ModelSettings, task: str) -> Path:
    """The file for ``task``: the one the settings name, else the one installed, else the one shipped."""
    named = settings.detector if task == "detector" else settings.classifier
    return Path(named) if named else Store().chosen(task) or shipped_model(task)


def shipped_model(task: str) -> Path:
    """Where the model for ``task`` lies that fmd ships."""
    path = Path(str(resources.files("models"))) / SHIPPED[task]
    if not path.is_file():
        raise BundleError(f"{path}: the shipped {task} is missing; install fmd again, or name one in model.{task}")
    return path


def build_pipeline(
    settings: Settings, alert: Alert, opened: OpenInterpreter = drivers.open_interpreter, tried: Tried | None = None
) -> Pipeline:
    """The stages as the settings want them, joined; a model on trial looks on beside them."""
    tried = tried or begin_trial(settings, opened)
    classifier = open_classifier(settings, opened, tried)
    return Pipeline(
        Watch(settings.watch, settings.detect),
        open_detector(settings, opened, tried),
        Tracker(settings.track, settings.detect),
        classifier,
        Decider(settings.decide, classifier.compliant),
        alert,
        settings.classify,
    )


def begin_trial(settings: Settings, opened: OpenInterpreter = drivers.open_interpreter) -> Tried | None:
    """The model that ``fmd model install`` asked to have tried, if it did and the model can be."""
    request, folder = trial.take_up(Store().folder), off.runtime_folder()
    if request is None:
        return None
    begun = Trial(request, folder / trial.ANSWER if folder else None)
    try:
        model = bundle.load(
            Path(request.file), request.task, lambda data: opened(data, settings.model.threads, settings.model.runtime)
        )
        model.replay()
    except FmdError as error:
        begun.fail(error)
        return None
    log.info("%s on trial for %g s", request.file, request.seconds)
    return model, begun


def open_detector(
    settings: Settings, opened: OpenInterpreter = drivers.open_interpreter, tried: Tried | None = None
) -> Detector:
    """The detector the settings name: one of fmd's model files, or YuNet's ONNX."""
    if settings.model.detector.lower().endswith(".onnx"):
        return drivers.open_onnx_detector(Path(settings.model.detector), settings.detect.min_score)
    pixels.without_pool()  # which YuNet computes with
    model, min_score = load_model(settings.model, "detector", opened), settings.detect.min_score
    if tried is None or tried[0].contract.task != "detector":
        return FaceDetector(model, min_score)
    return TriedDetector(model, min_score, settings.detect.start_score, FaceDetector(tried[0], min_score), tried[1])


def open_classifier(
    settings: Settings, opened: OpenInterpreter = drivers.open_interpreter, tried: Tried | None = None
) -> MaskClassifier:
    """The classifier the settings name; its labels must be those the settings speak of."""
    model = load_model(settings.model, "classifier", opened)
    if tried is None or tried[0].contract.task != "classifier":
        classifier = MaskClassifier(model)
    else:
        classifier = TriedClassifier(model, MaskClassifier(tried[0]), tried[1])
    _check_labels(settings, classifier)
    return classifier


def check(settings: Settings) -> None:
    """Everything that can be known of ``settings`` without opening a device; a service may run beside it.

    Raises what :func:`run` would: BundleError and GoldenError of the models, CameraError of a source that is nothing,
    OutputError of a voice that cannot be played.
    """
    for camera in config.cameras(settings.camera).values():
        drivers.camera_kind(camera.source)
    if settings.voice.enabled:
        open_voice(settings).close()
    open_detector(settings)
    open_classifier(settings)


def open_voice(settings: Settings) -> Output:
    """The voice the settings name, silent; the shipped sound where they name none."""
    return drivers.open_voice(settings.voice, Path(settings.voice.file or speech.SHIPPED))


def _check_labels(settings: Settings, classifier: MaskClassifier) -> None:
    unknown = set(settings.decide.accept) - set(classifier.labels)
    if unknown:
        raise BundleError(f"decide.accept: {sorted(unknown)}: no label of this model; it has {list(classifier.labels)}")


@contextmanager
def open_alert(settings: Settings) -> Iterator[Alert]:
    """All outputs, off; whatever happens inside, they are off and released afterwards."""
    with ExitStack() as stack:
        off.remember(settings.alert, off.runtime_folder())
        outputs = {}
        for name, pin in config.wired(settings.alert):
            outputs[name] = drivers.open_output(settings.alert, name, pin)
            stack.callback(outputs[name].close)
        if settings.voice.enabled:
            outputs["voice"] = open_voice(settings)
            stack.callback(outputs["voice"].close)
        alert = Alert(settings.alert, outputs.pop("led", None), outputs.pop("buzzer", None), **outputs)
        stack.callback(alert.close)
        yield alert


def run(
    settings: Settings,
    on_step: Callable[[Step], None],
    on_decision: Callable[[Decision], None],
    build: Callable[[Settings, Alert], Pipeline] | None = None,
    on_health: Callable[[Health], None] = lambda health: None,
    world: World | None = None,
    reread: Callable[[], Settings] | None = None,
    on_settings: Callable[[Settings], None] = lambda settings: None,
) -> int | None:
    """Watch until the source ends or a signal asks to stop; returns that signal.

    SIGHUP calls ``reread``; the settings it returns are checked, and watching begins anew with them. Where it raises,
    or they cannot be run, those before stay.

    ``on_step`` sees every frame's step, ``on_health`` every change of what a live camera gives, ``on_settings`` those
    that watching begins with, at the start and after every reload. Whatever is raised, the
    outputs are off and released first. Raises CameraError where a camera cannot be opened at all, or has been blind for
    ``camera.give_up_s``: then another process may do better.
    """
    world, hooks = world or World(), Hooks(on_step, on_decision, on_health, on_settings)
    with stop_on_signals(reread) as stopping:
        try:
            _run_in_turn(settings, world, stopping, build, hooks)
        finally:
            notify("STOPPING=1")
    log.info("stopped: %s", "asked to" if stopping.signal else "the source has ended")
    return stopping.signal


Build = Callable[[Settings, Alert], Pipeline]


def _run_in_turn(settings: Settings, world: World, stopping: Stopping, build: Build | None, hooks: Hooks) -> None:
    """With ``settings``, and with those that each reload brings, until there is an end."""
    before: Settings | None = None
    while True:
        pulse = Pulse(partial(_proven, settings.model))
        try:
            _run_once(settings, world, stopping, build, hooks, pulse)
        except FmdError as error:
            if before is None or pulse.began:
                raise
            log.error("the new settings cannot be run, going on with those before: %s", error)
            settings, before = before, None
            continue
        if stopping.following is None:
            return
        log.info("settings read again")
        settings, before, stopping.following = stopping.following, settings, None


def _proven(settings: ModelSettings) -> None:
    """The first frame is through: the models in use are good, and who asks which they are shall know."""
    for task in TASKS:
        Store().prove(task)
    install.tell_in_use(off.runtime_folder(), *(model_path(settings, task) for task in TASKS))


def _run_once(
    settings: Settings, world: World, stopping: Stopping, build: Build | None, hooks: Hooks, pulse: Pulse
) -> None:
    """Open all, watch until the source ends or a signal has come, close all."""
    # Several cameras take turns in one thread, so that one copy of each model does.
    build = build or partial(build_pipeline, opened=cache(drivers.open_interpreter))
    with ExitStack() as stack:
        alert = stack.enter_context(open_alert(settings))
        cameras = config.cameras(settings.camera)
        pipelines = {name: build(settings, named(alert, name)) for name in cameras}
        hooks.on_settings(settings)
        if all(map(drivers.is_live, cameras.values())):
            _watch(stack, cameras, world, stopping, alert, pipelines, hooks, pulse)
        else:
            _play(settings, world, stopping, pipelines[""], hooks, pulse)


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


def _play(settings: Settings, world: World, stopping: Stopping, pipeline: Pipeline, hooks: Hooks, pulse: Pulse) -> None:
    """A clip, a folder or the scene: frame by frame, none skipped, on its own time, to its end."""
    now_s = 0.0
    with closing(drivers.open_camera(settings.camera, world.clock)) as camera:
        while not stopping.asked() and (frame := camera.read()) is not None:
            now_s = frame.captured_s
            hooks.take(pipeline.step(frame))
            pulse.beat()
            _take_up(stopping, pulse, world.clock())
    for decision in pipeline.finish(now_s):
        hooks.on_decision(decision)


def _watch(
    stack: ExitStack,
    cameras: Mapping[str, CameraSettings],
    world: World,
    stopping: Stopping,
    alert: Alert,
    pipelines: Mapping[str, Pipeline],
    hooks: Hooks,
    pulse: Pulse,
) -> None:
    """Live cameras: the newest frame of each in turn, and what to do while they give none."""
    bell, eyes = world.bell(), []
    for name, camera in cameras.items():
        capture = _capture(name, camera, world, bell)
        stack.callback(capture.close, camera.stall_s)
        eyes.append(Eye(capture, pipelines[name], alert, hooks))
    ticker = stack.enter_context(world.ticking(alert, world.clock))
    # Undone last to first: the outputs are off before anybody waits for a camera that hangs.
    stack.callback(alert.close)
    while not stopping.asked() and not all(eye.ended for eye in eyes):
        worked = [eye.turn(world.clock()) for eye in eyes]
        ticker.check()
        pulse.tell([eye.health for eye in eyes])
        _take_up(stopping, pulse, world.clock())
        if any(worked):
            pulse.beat()
            continue
        errors = [eye.given_up(world.clock()) for eye in eyes]
        if errors[0] and all(errors):
            raise errors[0]
        pulse.rest(world.clock())
        bell.wait(TURN_S)
    for eye in eyes:
        eye.finish(world.clock())


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


def _take_up(stopping: Stopping, pulse: Pulse, now_s: float) -> None:
    """A reload, if one was asked for: settings that are no good change nothing."""
    if not stopping.hung_up or stopping.reread is None:
        return
    stopping.hung_up = False
    pulse.reloading(now_s)
    try:
        settings = stopping.reread()
        check(settings)
    except FmdError as error:
        log.error("reload refused, going on as before: %s", error)
        pulse.refused(error)
    else:
        stopping.following = settings


class Eye:
    """One live camera with its pipeline."""

    def __init__(self, capture: Capture, pipeline: Pipeline, alert: Alert, hooks: Hooks) -> None:
        self._capture, self._pipeline, self._alert, self._hooks = capture, pipeline, alert, hooks
        self.health = capture.health
        self.given_up = capture.given_up

    @property
    def ended(self) -> bool:
        """Whether its source, a recording, is over."""
        return self._capture.ended

    def turn(self, now_s: float) -> bool:
        """Take the newest frame, if there is one, all the way; whether there was one."""
        frame = self._capture.poll(now_s)
        if self.health is not self._capture.health:
            self._tell(self.health, self._capture.health)
        alarm = frame is not None and self._step(frame)
        # A lens that is covered while somebody is in violation does not end the alarm.
        if self.health.blind and self.health.sight is not Sight.STARTING and not alarm:
            self._alert.renew(Signal.BLIND, now_s, camera=self.health.camera)
        return frame is not None

    def finish(self, now_s: float) -> None:
        """Everybody leaves."""
        for decision in self._pipeline.finish(now_s):
            self._hooks.on_decision(self._signed(decision))

    def _step(self, frame: Frame) -> bool:
        step = self._pipeline.step(frame)
        decisions = tuple(map(self._signed, step.decisions))
        step = replace(step, decisions=decisions, camera=self.health.camera, dropped=self._capture.dropped)
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


class Pulse:
    """What systemd hears: ready, alive, and the state in words (``systemctl status``).

    READY and the watchdog's food come with frames that went all the way through, and with nothing else but one: while
    cameras that have worked are opened again. That counts as work for ``camera.give_up_s`` at most, for then the run
    ends. The words never say "watching" of a camera that is blind.
    """

    def __init__(self, on_ready: Callable[[], None] = lambda: None) -> None:
        self.ready, self._on_ready, self.began = False, on_ready, False
        self._rested_s = float("-inf")
        self._status = self._said = "watching"

    def tell(self, healths: Sequence[Health]) -> None:
        """What the cameras give now."""
        self._status = "; ".join(map(_in_words, healths))
        if self.ready and self._status != self._said:
            self._say("")

    def beat(self) -> None:
        """A frame went all the way through."""
        if not self.began:
            self.began = True
            self._on_ready()
        if self.ready:
            notify("WATCHDOG=1")
        else:
            self.ready = self._say("READY=1\n")

    def rest(self, now_s: float) -> None:
        """No frame came, and somebody sees to that. Nothing is said before the first frame ever."""
        if self.ready and now_s - self._rested_s >= REST_S:
            self._rested_s = now_s
            notify("WATCHDOG=1")

    def reloading(self, now_s: float) -> None:
        """Settings are about to be read again; READY=1 follows, from here or from the first frame with new ones."""
        if self.ready:
            notify(f"RELOADING=1\nMONOTONIC_USEC={now_s * 1e6:.0f}")

    def refused(self, error: FmdError) -> None:
        """They were no good, and all is as before."""
        if self.ready:
            notify(f"READY=1\nSTATUS={self._status}; reload refused: {' '.join(str(error).split())}")

    def _say(self, before: str) -> bool:
        """Whether it was heard; if not, the next frame says it again."""
        heard = notify(f"{before}STATUS={self._status}")
        if heard:
            self._said = self._status
        return heard


def _in_words(health: Health) -> str:
    said = "watching" if health.sight is Sight.SEEING else "starting"
    if health.blind and health.sight is not Sight.STARTING:
        said = f"blind, camera {health.sight.value}: {' '.join(health.reason.split())}"
    return f"{health.camera}: {said}" if health.camera else said


@dataclass
class Stopping:
    """What signals have asked for: ``signal`` to stop, or, with ``following``, to begin anew with those settings."""

    reread: Callable[[], Settings] | None = None
    signal: int | None = None
    hung_up: bool = False
    following: Settings | None = None

    def asked(self) -> bool:
        """Whether to end what goes on; a signal may come at any moment."""
        return self.signal is not None or self.following is not None


@contextmanager
def stop_on_signals(reread: Callable[[], Settings] | None = None) -> Iterator[Stopping]:
    """Take note of SIGTERM, SIGINT and SIGHUP instead of dying; a second interrupts at once. Only in the main thread.

    SIGHUP asks a service to read its settings again; from a terminal that went away it asks to stop.
    """
    stopping = Stopping(reread)

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP and reread is not None:
            stopping.hung_up = True
            return
        if stopping.signal:
            raise KeyboardInterrupt
        stopping.signal = number

    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class Ticker:
    """What became of the thread that keeps the alert's time."""

    error: FmdError | None = None

    def check(self) -> None:
        """Raise what an output raised there: a loop whose alarm cannot fire must not count as alive."""
        if self.error is not None:
            raise self.error


@contextmanager
def _ticking(alert: Alert, clock: Callable[[], float]) -> Iterator[Ticker]:
    """Keep the alert's time while the loop is busy or stuck: the lease must end even then."""
    done = threading.Event()
    ticker = Ticker()

    def tick() -> None:
        while not done.wait(TICK_S):
            try:
                alert.tick(clock())
            except FmdError as error:  # told by the loop; ticking goes on, as the next try may switch off
                ticker.error = ticker.error or error

    thread = threading.Thread(target=tick, name="alert", daemon=True)
    thread.start()
    try:
        yield ticker
    finally:
        done.set()
        thread.join()


class Bell:
    """Rung by whoever has brought a frame; wakes the loop."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def ring(self) -> None:
        """There is something to take."""
        self._event.set()

    def wait(self, timeout_s: float) -> None:
        """Until it is rung, or the time is over. A ring while nobody waits is not lost."""
        self._event.wait(timeout_s)
        self._event.clear()


@dataclass(frozen=True)
class World:
    """What a run takes from the world around it: time, threads that read cameras, and one that keeps the alert's time.

    Rehearsals put simulated ones in their place; nothing else in a run waits or reads a clock.
    """

    clock: Callable[[], float] = time.monotonic
    bell: Callable[[], Bell] = Bell
    reader: Callable[[Callable[[], Camera], Callable[[], None]], Reader] = ThreadReader
    ticking: Callable[[Alert, Callable[[], float]], AbstractContextManager[Ticker]] = _ticking


def notify(state: str) -> bool:
    """Tell systemd; whether it took it. Silent where it does not listen (sd_notify(3): a datagram to $NOTIFY_SOCKET).

    Never waits: a system manager that is busy must not hold up the door.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return True
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        try:
            sender.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            log.debug("systemd does not listen at %s: %s", address, error)
            return False
    return True
