"""One run of the service: opens models, outputs and cameras, watches, and closes everything on every way out.

:mod:`edge.service.cameras` describes how live cameras take turns, :mod:`edge.service.systemd` what systemd hears.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from edge import config, drivers, paths
from edge.config import Settings
from edge.contracts import Delivery
from edge.errors import CameraError, FmdError, StopRequestedError
from edge.inference.presence import SensorView
from edge.paths import TASKS
from edge.pipeline import Pipeline
from edge.reporting.listener import Listener, Listeners, report_step
from edge.service import cameras, model_store, sensor, systemd
from edge.service.arming_control import ArmingControl
from edge.service.model_choice import ModelChooser, TrialRecord
from edge.service.models import (
    OpenInterpreter,
    Shadow,
    begin_shadow_run,
    open_classifier,
    open_detector,
    path_in_use,
)
from edge.service.outputs import open_alert, open_voice
from edge.service.runtime import Runtime
from edge.service.sensor import SensorReader
from edge.service.settings_keeper import Keeper, NoKeeper
from edge.service.signals import RunControl, stop_on_signals
from edge.service.systemd import SystemdNotifier
from edge.stages.alert import Alert
from edge.stages.decide import Decider
from edge.stages.presence import PresenceCheck
from edge.stages.regions import Regions
from edge.stages.schedule import Scheduler
from edge.stages.static import StaticFaces
from edge.stages.track import Tracker
from edge.stages.upright import UprightCheck
from edge.stages.watch import COLUMNS, ROWS, Watch

log = logging.getLogger(__name__)

AWAY = "camera-away"
"""File in the runtime directory that marks a process that exited because its camera was unavailable."""
PATIENCE_S = 600.0
"""How long the next process waits for such a camera. It waits long, because outputs are dark between two processes;
not for ever, because a camera library may know only the cameras that were there when it was loaded."""

Build = Callable[[Settings, Alert, str], Pipeline]
"""(settings, alert, camera's name) -> the pipeline of one camera."""


def run(
    settings: Settings,
    listeners: Sequence[Listener] = (),
    build: Build | None = None,
    runtime: Runtime | None = None,
    reread: Callable[[], Settings] | None = None,
    control: RunControl | None = None,
    arming: ArmingControl | None = None,
    chooser: ModelChooser | None = None,
    fallback: Settings | None = None,
    keeper: Keeper | None = None,
) -> int | None:
    """Watch until the source ends or a signal asks to stop; return that signal.

    SIGHUP calls ``reread`` and restarts the run with the settings it returns. If it raises, or those settings cannot
    run, the run goes on with the present ones. A caller that handles signals itself gives its ``control`` instead
    (:func:`edge.service.signals.stop_on_signals`). If ``settings`` cannot run, the run goes on with those of
    ``fallback``; ``keeper`` follows which ones work. Without ``arming`` fmd is always armed. ``chooser`` chooses among
    the installed models.

    Whatever is raised, the outputs are off and released first. Raises CameraError if a camera cannot be opened at all,
    or has been blind for ``camera.give_up_s``: another process may do better. That next process waits up to PATIENCE_S
    for its first picture, blind and not ready, because systemd started it and no person waits for an answer.
    """
    chooser = chooser or ModelChooser(record=TrialRecord(paths.state_folder(), paths.runtime_folder()))
    with stop_on_signals(reread) if control is None else nullcontext(control) as control:
        try:
            of_all = _Run(runtime or Runtime(), Listeners(listeners), build, chooser, arming, keeper or NoKeeper())
            _run_until_stopped(settings, control, of_all, fallback)
        except FmdError as error:
            chooser.release(error)
            raise
        else:
            chooser.release(None)
        finally:
            control.closing = True
            systemd.notify("STOPPING=1")
    log.info("stopped: %s", "a signal asked for it" if control.signal else "the source has ended")
    return control.signal


def check(settings: Settings, chooser: ModelChooser | None = None) -> None:
    """Check everything about ``settings`` that needs no device; a service may run beside it.

    ``chooser`` is the run's, if this is the process of a run. An installed model that was fit and no longer is
    fails the check: what runs at present has a good one.

    Raises what :func:`run` would: BundleError and GoldenError for the models, CameraError for a source that does not
    exist; and OutputError for a voice that cannot be played, which a run only warns of.
    """
    # Cheap checks first: models take seconds on a Pi.
    for name, camera in config.cameras(settings.camera).items():
        drivers.check_camera(camera)
        Regions(*config.regions(settings, name))
    if settings.voice.enabled:
        open_voice(settings).close()
    if chooser is None:
        chooser = ModelChooser(record=TrialRecord(paths.state_folder(), paths.runtime_folder(), read_only=True))
    open_detector(settings, chooser=chooser, strict=True)
    open_classifier(settings, chooser=chooser, strict=True)


def build_pipeline(
    settings: Settings,
    alert: Alert,
    camera: str = "",
    opened: OpenInterpreter = drivers.open_interpreter,
    shadow: Shadow | None = None,
    chooser: ModelChooser | None = None,
    feed: SensorReader | None = None,
) -> Pipeline:
    """Return the stages that the settings describe, joined, for one camera; a shadow run takes part if there is one.

    ``feed`` is the presence sensor's, which counts for the camera that it hangs beside. ``chooser`` chooses among the
    installed models (default: the installed ones, without a record of trials).
    """
    chooser = chooser or ModelChooser()
    shadow = shadow or begin_shadow_run(settings, opened)
    classifier = open_classifier(settings, opened, shadow, chooser)
    regions = Regions(*config.regions(settings, camera))
    return Pipeline(
        Watch(settings.watch, settings.detect, regions.cells(COLUMNS, ROWS)),
        open_detector(settings, opened, shadow, chooser),
        Tracker(settings.track, settings.detect),
        Scheduler(settings.classify),
        classifier,
        Decider(settings.decide, classifier.compliant, camera),
        alert,
        camera,
        regions=regions,
        static=StaticFaces(settings.watch.static_s),
        upright=UprightCheck(classifier),
        presence=_presence(settings, camera, feed),
    )


def _presence(settings: Settings, camera: str, feed: SensorReader | None) -> PresenceCheck | None:
    if feed is None or settings.sensor.camera != camera:
        return None
    view = SensorView(settings.sensor.camera_field_deg, settings.sensor.offset_deg)
    return PresenceCheck(view, feed, feed.counts, feed.keep)


@dataclass(frozen=True)
class _Run:
    """What stays the same over reloads."""

    runtime: Runtime
    listeners: Listener
    build: Build | None
    chooser: ModelChooser
    arming: ArmingControl | None
    keeper: Keeper


def _run_until_stopped(settings: Settings, control: RunControl, run: _Run, before: Settings | None) -> None:
    """Run with ``settings``, and with those that each reload brings, until the source or a signal ends it.

    ``before`` are the settings to return to if these cannot run. After a reload, they are those of the run before it.
    """
    failed: FmdError | None = None
    away = CameraAwayMarker(paths.runtime_folder())
    while control.signal is None:
        # Only the first run of a process waits: after a reload the previous settings are the better choice.
        patience_s = PATIENCE_S if away.is_set and before is None else 0.0
        notifier = SystemdNotifier(partial(_prove, settings, run, away, failed), patience_s > 0)
        try:
            _run_once(settings, control, run, notifier, patience_s)
        except StopRequestedError:
            return
        except FmdError as error:
            # After the first frame the new settings have proven themselves: then this is a fault of the hardware.
            if before is None or notifier.began:
                away.set(isinstance(error, CameraError))
                raise
            log.error("the new settings cannot run, going on with the previous ones: %s", error)
            settings, before, failed = before, None, error
            continue
        failed = None
        if control.following is None:
            break
        log.info("settings read again")
        settings, before, control.following = control.following, settings, None
    away.set(False)


class CameraAwayMarker:
    """Marks that the previous process exited because its camera was unavailable. A folder of None marks nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._file = folder / AWAY if folder else None

    @property
    def is_set(self) -> bool:
        """Whether the camera was unavailable."""
        return self._file is not None and self._file.exists()

    def set(self, away: bool) -> None:
        """Set the mark, or remove it."""
        if self._file is None:
            return
        try:
            self._file.touch() if away else self._file.unlink(missing_ok=True)
        except OSError as error:  # the worst of it: outputs are dark for a moment at each restart
            log.warning("%s: %s", self._file, error.strerror)


def _prove(settings: Settings, run: _Run, away: CameraAwayMarker, failed: FmdError | None) -> None:
    """Note after the first frame that settings and models in use work; ``failed`` is why newer settings did not."""
    away.set(False)
    run.keeper.proven() if failed is None else run.keeper.refused(failed)
    run.chooser.prove()
    used = (path_in_use(settings.model, task, run.chooser) for task in TASKS)
    model_store.write_in_use(paths.runtime_folder(), *used)


def _run_once(settings: Settings, control: RunControl, run: _Run, notifier: SystemdNotifier, patience_s: float) -> None:
    """Open everything, watch until the source ends or a signal has come, close everything."""

    def stopped() -> bool:
        _reload_if_asked(control, notifier, run)
        control.closing = control.signal is not None
        if run.arming is not None and (changed := run.arming.take()) is not None:
            notifier.set_arming(changed)
            run.listeners.on_arming(changed)
        return control.asked()

    with _open_sensor(settings, run) as feed, open_alert(settings, run.runtime.clock) as alert:
        # Several cameras take turns in one thread, so one copy of each model serves all.
        opened = cache(drivers.open_interpreter)
        build = run.build or partial(build_pipeline, opened=opened, chooser=run.chooser, feed=feed)
        if run.arming is not None:
            run.arming.follow(settings)
            run.arming.attach(alert)
        pipelines = {name: build(settings, alert, name) for name in config.cameras(settings.camera)}
        # After outputs and models, so that listeners never hear of settings that cannot run.
        run.listeners.on_settings(settings)
        if run.arming is not None:
            notifier.set_arming(run.arming.message)
            run.listeners.on_arming(run.arming.message)
        fallbacks = tuple(run.chooser.fallbacks.values())
        run.listeners.on_models(fallbacks)
        alert.set_fallback(bool(fallbacks))
        alert.set_examples(settings.record.examples != "none")
        notifier.set_fallbacks(fallbacks)
        if feed is not None:
            feed.wait_for_first()
        if drivers.all_live(settings):
            cameras.watch(settings, pipelines, alert, run.runtime, run.listeners, notifier, stopped, patience_s)
        else:
            _play(settings, run, pipelines[""], notifier, stopped)


def _open_sensor(settings: Settings, run: _Run) -> AbstractContextManager[SensorReader | None]:
    """Begin to read the presence sensor, while models are opened. What it measures now says nothing of a recording."""
    if settings.sensor.driver != "none" and not drivers.all_live(settings):
        log.info("sensor.driver: not used, because the source is a recording")
        return nullcontext(None)
    return sensor.reading(settings.sensor, run.runtime.clock, paths.state_folder())


def _play(
    settings: Settings, run: _Run, pipeline: Pipeline, notifier: SystemdNotifier, stopped: Callable[[], bool]
) -> None:
    """Process a clip, a folder or the scene: every frame, on the recording's own time, to its end."""
    now_s = 0.0
    with closing(drivers.open_camera(settings.camera, run.runtime.clock)) as camera:
        while not stopped() and (frame := camera.read()) is not None:
            now_s = frame.captured_s
            report_step(run.listeners, pipeline.step(frame), Delivery())
            notifier.alive()
    for decision in pipeline.finish(now_s):
        run.listeners.on_decision(decision)


def _reload_if_asked(control: RunControl, notifier: SystemdNotifier, run: _Run) -> None:
    """Read the settings again after SIGHUP; invalid ones change nothing."""
    if not control.hung_up or control.reread is None:
        return
    control.hung_up = False
    notifier.reloading(run.runtime.clock())
    try:
        settings = control.reread()
        # While the present run goes on: a reload of settings that cannot work must not leave the door unwatched.
        check(settings, run.chooser)
    except FmdError as error:
        log.error("reload refused, going on as before: %s", error)
        notifier.refused(error)
        run.keeper.refused(error)
    else:
        control.following = settings
