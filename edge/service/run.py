"""Models, stages, outputs and signals around the pipeline: what makes a loop a service.

How live cameras take turns is in :mod:`edge.service.cameras`, what systemd hears in :mod:`edge.service.systemd`.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import FrameType

import msgspec

from edge import config, drivers, paths
from edge.config import ModelSettings, Settings
from edge.contracts import Decision, Detector, Health, Interpreter, Output, Step
from edge.errors import BundleError, CameraError, FmdError
from edge.inference import bundle, resize
from edge.inference.bundle import Model
from edge.pipeline import Pipeline
from edge.service import cameras as live
from edge.service import model_store, outputs_off, shadow_run, systemd
from edge.service.cameras import Hooks
from edge.service.model_store import TASKS, ModelStore
from edge.service.runtime import Runtime
from edge.service.shadow_run import ShadowedClassifier, ShadowedDetector, ShadowRun
from edge.service.systemd import SystemdNotifier
from edge.stages.alert import Alert, OptionalOutput, alarms
from edge.stages.classify import MaskClassifier
from edge.stages.decide import Decider
from edge.stages.detect import FaceDetector
from edge.stages.track import Tracker
from edge.stages.watch import Watch

log = logging.getLogger("fmd")

AWAY = "camera-away"
"""In the runtime directory: the process before this one ended because its camera was not there."""
PATIENCE_S = 600.0
"""How long such a one is waited for: long, for outputs are dark from one process to the next; not for ever, for a
library may know only the cameras that were there when it was loaded."""

Shadow = tuple[Model, ShadowRun]
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
    return Path(named) if named else ModelStore().chosen(task) or shipped_model(task)


def is_onnx(settings: ModelSettings) -> bool:
    """Whether the detector is YuNet's file, which carries no contract, and not one of fmd's."""
    return settings.detector.lower().endswith(".onnx")


def shipped_model(task: str) -> Path:
    """Where the model for ``task`` lies that fmd ships."""
    path = paths.shipped_model(task)
    if not path.is_file():
        raise BundleError(f"{path}: the shipped {task} is missing; install fmd again, or name one in model.{task}")
    return path


def build_pipeline(
    settings: Settings, alert: Alert, opened: OpenInterpreter = drivers.open_interpreter, shadow: Shadow | None = None
) -> Pipeline:
    """The stages as the settings want them, joined; a model on trial looks on beside them."""
    shadow = shadow or begin_shadow_run(settings, opened)
    classifier = open_classifier(settings, opened, shadow)
    return Pipeline(
        Watch(settings.watch, settings.detect),
        open_detector(settings, opened, shadow),
        Tracker(settings.track, settings.detect),
        classifier,
        Decider(settings.decide, classifier.compliant),
        alert,
        settings.classify,
    )


def begin_shadow_run(settings: Settings, opened: OpenInterpreter = drivers.open_interpreter) -> Shadow | None:
    """The model that ``fmd model install`` asked to run in the shadow, if it did and the model can be."""
    request, folder = shadow_run.take_request(ModelStore().folder), paths.runtime_folder()
    if request is None:
        return None
    begun = ShadowRun(request, folder / shadow_run.RESULT if folder else None)
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
    settings: Settings, opened: OpenInterpreter = drivers.open_interpreter, shadow: Shadow | None = None
) -> Detector:
    """The detector the settings name: one of fmd's model files, or YuNet's ONNX."""
    if is_onnx(settings.model):
        return drivers.open_onnx_detector(Path(settings.model.detector), settings.detect.min_score)
    resize.without_pool()  # which YuNet computes with
    model, min_score = load_model(settings.model, "detector", opened), settings.detect.min_score
    if shadow is None or shadow[0].contract.task != "detector":
        return FaceDetector(model, min_score)
    return ShadowedDetector(
        model, min_score, settings.detect.start_score, FaceDetector(shadow[0], min_score), shadow[1]
    )


def open_classifier(
    settings: Settings, opened: OpenInterpreter = drivers.open_interpreter, shadow: Shadow | None = None
) -> MaskClassifier:
    """The classifier the settings name; its labels must be those the settings speak of."""
    model = load_model(settings.model, "classifier", opened)
    if shadow is None or shadow[0].contract.task != "classifier":
        classifier = MaskClassifier(model)
    else:
        classifier = ShadowedClassifier(model, MaskClassifier(shadow[0]), shadow[1])
    _check_labels(settings, classifier)
    return classifier


def check(settings: Settings) -> None:
    """Everything that can be known of ``settings`` without opening a device; a service may run beside it.

    Raises what :func:`run` would: BundleError and GoldenError of the models, CameraError of a source that is nothing;
    and OutputError of a voice that cannot be played, which a run only warns of.
    """
    for camera in config.cameras(settings.camera).values():
        drivers.camera_kind(camera.source)
    if settings.voice.enabled:
        open_voice(settings).close()
    open_detector(settings)
    open_classifier(settings)


def open_voice(settings: Settings) -> Output:
    """The voice the settings name, silent; the shipped sound where they name none."""
    return drivers.open_voice(settings.voice, Path(settings.voice.file or paths.SHIPPED_SOUND))


def _check_labels(settings: Settings, classifier: MaskClassifier) -> None:
    unknown = set(settings.decide.accept) - set(classifier.labels)
    if unknown:
        raise BundleError(f"decide.accept: {sorted(unknown)}: no label of this model; it has {list(classifier.labels)}")


def _openers(settings: Settings) -> Iterator[tuple[str, Callable[[], Output]]]:
    """Every output by its name, the voice last; no heartbeat is waited for."""
    at_once = msgspec.structs.replace(settings.alert, busy_s=0.0)
    for name, pin in config.wired(settings.alert):
        yield name, partial(drivers.open_output, at_once if name == "heartbeat" else settings.alert, name, pin)
    if settings.voice.enabled:
        yield "voice", partial(open_voice, settings)


@contextmanager
def open_alert(settings: Settings, clock: Callable[[], float]) -> Iterator[Alert]:
    """All outputs, off; whatever happens inside, they are off and released afterwards."""
    with ExitStack() as stack:
        outputs_off.remember(settings.alert, paths.runtime_folder())
        outputs: dict[str, Output] = {}
        for name, open_output in _openers(settings):
            spare = name == "heartbeat" or (name == "voice" and alarms(settings.alert) & outputs.keys())
            outputs[name] = OptionalOutput(name, open_output, clock) if spare else open_output()
            stack.callback(outputs[name].close)
        alert = Alert(settings.alert, outputs.pop("led", None), outputs.pop("buzzer", None), **outputs)
        stack.callback(alert.close)
        yield alert


def run(
    settings: Settings,
    on_step: Callable[[Step], None],
    on_decision: Callable[[Decision], None],
    build: Callable[[Settings, Alert], Pipeline] | None = None,
    on_health: Callable[[Health], None] = lambda health: None,
    world: Runtime | None = None,
    reread: Callable[[], Settings] | None = None,
    on_settings: Callable[[Settings], None] = lambda settings: None,
) -> int | None:
    """Watch until the source ends or a signal asks to stop; returns that signal.

    SIGHUP calls ``reread``; the settings it returns are checked, and watching begins anew with them. Where it raises,
    or they cannot be run, those before stay.

    ``on_step`` sees every frame's step, ``on_health`` every change of what a live camera gives, ``on_settings`` those
    that watching begins with, at the start and after every reload. Whatever is raised, the
    outputs are off and released first. Raises CameraError where a camera cannot be opened at all, or has been blind for
    ``camera.give_up_s``: then another process may do better. That one, started by systemd and not by somebody who waits
    for an answer, goes on for PATIENCE_S without a first picture, blind and not ready.
    """
    world, hooks = world or Runtime(), Hooks(on_step, on_decision, on_health, on_settings)
    with stop_on_signals(reread) as stopping:
        try:
            _run_in_turn(settings, world, stopping, build, hooks)
        finally:
            systemd.notify("STOPPING=1")
    log.info("stopped: %s", "asked to" if stopping.signal else "the source has ended")
    return stopping.signal


Build = Callable[[Settings, Alert], Pipeline]


def _run_in_turn(settings: Settings, world: Runtime, stopping: RunControl, build: Build | None, hooks: Hooks) -> None:
    """With ``settings``, and with those that each reload brings, until there is an end."""
    before: Settings | None = None
    away = CameraAwayMarker(paths.runtime_folder())
    while True:
        patience_s = PATIENCE_S if away.known and before is None else 0.0
        beat = SystemdNotifier(partial(_proven, settings.model, away), patience_s > 0)
        try:
            _run_once(settings, world, stopping, build, hooks, beat, patience_s)
        except FmdError as error:
            if before is None or beat.began:
                away.tell(isinstance(error, CameraError))
                raise
            log.error("the new settings cannot be run, going on with those before: %s", error)
            settings, before = before, None
            continue
        if stopping.following is None:
            away.tell(False)
            return
        log.info("settings read again")
        settings, before, stopping.following = stopping.following, settings, None


class CameraAwayMarker:
    """What a process that ends for its camera's sake leaves word of in ``folder``, for the one after it."""

    def __init__(self, folder: Path | None) -> None:
        self._word = folder / AWAY if folder else None

    @property
    def known(self) -> bool:
        """Whether the camera is known to be away."""
        return self._word is not None and self._word.exists()

    def tell(self, away: bool) -> None:
        """Leave word, or take it back."""
        if self._word is None:
            return
        try:
            self._word.touch() if away else self._word.unlink(missing_ok=True)
        except OSError as error:  # then outputs are dark now and then, which is all
            log.warning("%s: %s", self._word, error.strerror)


def _proven(settings: ModelSettings, away: CameraAwayMarker) -> None:
    """The first frame is through: the models in use are good, and who asks which they are shall know."""
    away.tell(False)
    for task in TASKS:
        ModelStore().prove(task)
    model_store.write_in_use(paths.runtime_folder(), *(model_path(settings, task) for task in TASKS))


def _run_once(
    settings: Settings,
    world: Runtime,
    stopping: RunControl,
    build: Build | None,
    hooks: Hooks,
    beat: SystemdNotifier,
    patience_s: float,
) -> None:
    """Open all, watch until the source ends or a signal has come, close all."""
    # Several cameras take turns in one thread, so that one copy of each model does.
    build = build or partial(build_pipeline, opened=cache(drivers.open_interpreter))

    def stopped() -> bool:
        _take_up(stopping, beat, world.clock())
        return stopping.asked()

    with open_alert(settings, world.clock) as alert:
        cameras = config.cameras(settings.camera)
        pipelines = {name: build(settings, live.named(alert, name)) for name in cameras}
        hooks.on_settings(settings)
        if all(map(drivers.is_live, cameras.values())):
            live.watch(settings, pipelines, alert, world, hooks, beat, stopped, patience_s)
        else:
            _play(settings, world, pipelines[""], hooks, beat, stopped)


def _play(
    settings: Settings,
    world: Runtime,
    pipeline: Pipeline,
    hooks: Hooks,
    beat: SystemdNotifier,
    stopped: Callable[[], bool],
) -> None:
    """A clip, a folder or the scene: frame by frame, none skipped, on its own time, to its end."""
    now_s = 0.0
    with closing(drivers.open_camera(settings.camera, world.clock)) as camera:
        while not stopped() and (frame := camera.read()) is not None:
            now_s = frame.captured_s
            hooks.take(pipeline.step(frame))
            beat.beat()
    for decision in pipeline.finish(now_s):
        hooks.on_decision(decision)


def _take_up(stopping: RunControl, beat: SystemdNotifier, now_s: float) -> None:
    """A reload, if one was asked for: settings that are no good change nothing."""
    if not stopping.hung_up or stopping.reread is None:
        return
    stopping.hung_up = False
    beat.reloading(now_s)
    try:
        settings = stopping.reread()
        check(settings)
    except FmdError as error:
        log.error("reload refused, going on as before: %s", error)
        beat.refused(error)
    else:
        stopping.following = settings


@dataclass
class RunControl:
    """What signals have asked for: ``signal`` to stop, or, with ``following``, to begin anew with those settings."""

    reread: Callable[[], Settings] | None = None
    signal: int | None = None
    hung_up: bool = False
    following: Settings | None = None

    def asked(self) -> bool:
        """Whether to end what goes on; a signal may come at any moment."""
        return self.signal is not None or self.following is not None


@contextmanager
def stop_on_signals(reread: Callable[[], Settings] | None = None) -> Iterator[RunControl]:
    """Take note of SIGTERM, SIGINT and SIGHUP instead of dying; a second interrupts at once. Only in the main thread.

    SIGHUP asks a service to read its settings again; from a terminal that went away it asks to stop.
    """
    stopping = RunControl(reread)

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
