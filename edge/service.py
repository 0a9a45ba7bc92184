"""Signals, readiness and the watchdog around the pipeline: what makes a loop a service.

"Alive" means one thing here: a frame went all the way through. Only that reports READY and only that feeds the
watchdog (sd_notify(3)), so a loop that hangs anywhere is restarted by systemd.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import FrameType

from edge import bundle, config, drivers
from edge.alert import Alert
from edge.bundle import Model
from edge.capture import Capture
from edge.classify import MaskClassifier
from edge.config import ModelSettings, Settings
from edge.contracts import Decision, Frame, Step
from edge.decide import Decider
from edge.detect import FaceDetector
from edge.errors import BundleError, CameraError, FmdError
from edge.pipeline import Pipeline
from edge.track import Tracker
from edge.watch import Watch

log = logging.getLogger("fmd")

TICK_S = 0.05
"""How often the alert's lease and rhythm are looked at between frames of a live camera."""
SHIPPED = {"detector": "face_detector.tflite", "classifier": "mask_classifier.tflite"}


def load_model(settings: ModelSettings, task: str) -> Model:
    """The model for ``task`` that the settings name (the shipped one where they name none), its golden inputs replayed.

    Raises :class:`edge.errors.BundleError` or GoldenError where it must not be trusted on this machine.
    """
    named = settings.detector if task == "detector" else settings.classifier
    path = Path(named) if named else shipped_model(task)
    model = bundle.load(path, task, lambda data: drivers.open_interpreter(data, settings.threads, settings.runtime))
    model.replay()
    log.info("%s %s on %s: golden inputs answer as they should", task, path, model.runtime)
    return model


def shipped_model(task: str) -> Path:
    """Where the model for ``task`` lies that fmd ships."""
    path = Path(str(resources.files("models"))) / SHIPPED[task]
    if not path.is_file():
        raise BundleError(f"{path}: the shipped {task} is missing; install fmd again, or name one in model.{task}")
    return path


def build_pipeline(settings: Settings, alert: Alert) -> Pipeline:
    """The stages as the settings want them, joined."""
    classifier = open_classifier(settings)
    return Pipeline(
        Watch(settings.watch),
        open_detector(settings),
        Tracker(settings.track, settings.detect),
        classifier,
        Decider(settings.decide, classifier.compliant),
        alert,
        settings.classify,
    )


def open_detector(settings: Settings) -> FaceDetector:
    """The detector the settings name."""
    return FaceDetector(load_model(settings.model, "detector"), settings.detect.min_score)


def open_classifier(settings: Settings) -> MaskClassifier:
    """The classifier the settings name; its labels must be those the settings speak of."""
    classifier = MaskClassifier(load_model(settings.model, "classifier"))
    _check_labels(settings, classifier)
    return classifier


def _check_labels(settings: Settings, classifier: MaskClassifier) -> None:
    unknown = set(settings.decide.accept) - set(classifier.labels)
    if unknown:
        raise BundleError(f"decide.accept: {sorted(unknown)}: no label of this model; it has {list(classifier.labels)}")


@contextmanager
def open_alert(settings: Settings) -> Iterator[Alert]:
    """All outputs, off; whatever happens inside, they are off and released afterwards."""
    with ExitStack() as stack:
        outputs = {}
        for key in config.PINS:
            name, pin = key.removesuffix("_pin"), getattr(settings.alert, key)
            if pin != "":
                outputs[name] = drivers.open_output(settings.alert, name, pin)
                stack.callback(outputs[name].close)
        alert = Alert(settings.alert, outputs.pop("led", None), outputs.pop("buzzer", None), **outputs)
        stack.callback(alert.close)
        yield alert


def run(
    settings: Settings,
    on_step: Callable[[Step], None],
    on_decision: Callable[[Decision], None],
    clock: Callable[[], float] = time.monotonic,
    build: Callable[[Settings, Alert], Pipeline] = build_pipeline,
) -> int | None:
    """Watch until the source ends or a signal asks to stop; returns that signal.

    ``on_step`` sees every frame's step. Whatever is raised, the outputs are off and released first.
    """
    with ExitStack() as stack:
        stopping = stack.enter_context(stop_on_signals())
        alert = stack.enter_context(open_alert(settings))
        pipeline = build(settings, alert)
        capture = Capture(drivers.open_camera(settings.camera, clock), settings.camera.stall_s)
        stack.callback(capture.close)
        ticker = stack.enter_context(_ticking(alert, clock)) if capture.live else Ticker()
        # Undone last to first: LED and buzzer are off before anybody waits for a camera that hangs.
        stack.callback(alert.close)
        stack.callback(notify, "STOPPING=1")
        _loop(stopping, capture, pipeline, ticker, on_step, on_decision)
        log.info("stopped: %s", "asked to" if stopping.signal else "the source has ended")
    return stopping.signal


def _loop(
    stopping: Stopping,
    capture: Capture,
    pipeline: Pipeline,
    ticker: Ticker,
    on_step: Callable[[Step], None],
    on_decision: Callable[[Decision], None],
) -> None:
    now_s = 0.0
    said = "READY=1\nSTATUS=watching"
    while (frame := _next_frame(stopping, capture)) is not None:
        now_s = frame.captured_s
        step = pipeline.step(frame)
        for decision in step.decisions:
            on_decision(decision)
        on_step(step)
        ticker.check()
        notify(said)
        said = "WATCHDOG=1"
    for decision in pipeline.finish(now_s):
        on_decision(decision)


def _next_frame(stopping: Stopping, capture: Capture) -> Frame | None:
    """The next frame; None where the source has ended or a signal asked to stop, also while the camera was stalled."""
    if stopping.asked():
        return None
    try:
        return capture.read()
    except CameraError:
        if stopping.asked():
            return None
        raise


@dataclass
class Stopping:
    """The signal that asked to stop; None while none has."""

    signal: int | None = None

    def asked(self) -> bool:
        """Whether a signal has come; it may at any moment."""
        return self.signal is not None


@contextmanager
def stop_on_signals() -> Iterator[Stopping]:
    """Take note of SIGTERM and SIGINT instead of dying; a second one interrupts at once. Only in the main thread."""
    stopping = Stopping()

    def handle(number: int, frame: FrameType | None) -> None:
        if stopping.signal:
            raise KeyboardInterrupt
        stopping.signal = number

    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
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


def notify(state: str) -> None:
    """Tell systemd; silent where it does not listen (sd_notify(3): a datagram to $NOTIFY_SOCKET)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            log.debug("systemd does not listen at %s: %s", address, error)
