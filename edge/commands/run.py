"""``fmd run``: watch the door, decide, and drive the outputs. The systemd unit starts this command."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge import board, paths, process
from edge.commands import common, logs
from edge.errors import EXIT_OK, FmdError, SettingsError
from edge.version import version

if TYPE_CHECKING:
    from edge.config import Layers, Settings
    from edge.messages import BuildMessage
    from edge.record.rows import RunRow
    from edge.record.store import Record
    from edge.reporting.listener import Listener
    from edge.reporting.metrics import ServiceReadings
    from edge.service.arming_control import BoardClock
    from edge.service.model_choice import ModelChooser
    from edge.service.reloads import Reloads

log = logging.getLogger(__name__)

EXAMPLES = """\
SIGTERM and Ctrl-C switch all outputs off and end the run. SIGHUP (systemctl
reload fmd) reads the settings again.

examples:
  fmd run --config /etc/fmd/fmd.toml            what the service runs
  fmd run --check --config /etc/fmd/fmd.toml    beside a running service
  fmd run --source clip.mp4 --annotate seen.webm
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd run``."""
    common.add_settings_options(parser)
    parser.add_argument(
        "--source",
        metavar="CAMERA",
        help="override camera.source: auto, picamera2, csi, /dev/videoN, rtsp://..., a clip, a folder, doorway",
    )
    parser.add_argument("--check", action="store_true", help="check settings and models, open no device, and exit")
    parser.add_argument("--simulate", metavar="FAULTS", help="rehearse camera faults, as in stall@30,unplug@60+5")
    parser.add_argument(
        "--annotate", type=Path, metavar="FILE.webm", help="write a video of the run with blurred faces"
    )
    parser.add_argument("--show-faces", action="store_true", help="do not blur faces in --annotate")
    parser.add_argument("--timings", action="store_true", help="print how long each stage took, at the end")
    parser.add_argument(
        "--runtime", type=Path, metavar="DIR", help="folder for the control socket, without systemd (in memory)"
    )
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="folder for events and what must survive a restart, without systemd"
    )


def run(arguments: argparse.Namespace) -> int:
    """Watch until the source ends or a signal asks to stop."""
    from edge import config, drivers
    from edge.page_service.serving import RunParts, serving_page
    from edge.record import store
    from edge.record.weekly_report import WeeklyReport
    from edge.reporting import console, recorder, reporter, sources
    from edge.reporting.door_display import DoorDisplay
    from edge.reporting.listener import Listeners
    from edge.reporting.status_file import StatusFile
    from edge.service import arming_control, control_server
    from edge.service import run as service
    from edge.service.model_choice import ModelChooser, TrialRecord
    from edge.service.reloads import Reloads
    from edge.service.settings_keeper import SettingsKeeper
    from edge.service.signals import stop_on_signals

    process.take_hangups()  # the settings are read after it
    for folder in (arguments.runtime, arguments.state):
        if folder is not None and not folder.is_dir():
            raise SettingsError(f"{folder}: no such folder; make it first")
    # Before the settings are read: the state directory has the overlay.
    paths.use(arguments.runtime, arguments.state)
    if arguments.check:
        settings = _checked(arguments)
        service.check(settings)
        reporter.check(settings)
        print("settings and models are fit to run (camera and pins were not opened)")
        return EXIT_OK
    runtime, state = paths.runtime_folder(), paths.state_folder()
    _check_owner(runtime, state)
    counts, timings = console.PassageCounts(), console.Timings()
    reloads: Reloads
    # A service has no terminal; a terminal that goes away (SIGHUP) means to stop, not to reload.
    reread = None if sys.stdin.isatty() else lambda: _reread(reloads, settings)
    # Around everything: until the last event is on the card, a second signal must not end the process.
    with stop_on_signals(reread) as control, ExitStack() as stack:
        # Before anything is written there.
        stack.enter_context(control_server.claimed(runtime))
        stack.enter_context(logs.native_lines_counted())
        keeper = SettingsKeeper(partial(_layers, arguments))
        stack.callback(keeper.close)
        reloads = Reloads(keeper, control)
        settings = keeper.layers.settings
        clock = arming_control.BoardClock(runtime, trusted=settings.arm.trust_clock)
        record = stack.enter_context(
            store.keeping(state, settings.record, synchronised=lambda: clock.known, runtime=runtime)
        )
        note = record.add if record else lambda kind, content=None, camera="": None
        note("started")
        keeper.attach(lambda why: note("settings", store.SettingsRefused(why)))
        chooser = ModelChooser(record=TrialRecord(state, runtime))
        arming = arming_control.ArmingControl(settings, clock, state and state / arming_control.NAME, note)
        reporting = stack.enter_context(
            reporter.open_reporting(
                settings,
                note,
                command=arming.command,
                describe=partial(_build, chooser),
                read_service=partial(_readings, clock, record),
            )
        )
        if record and state:
            weekly = WeeklyReport(
                state,
                settings.report.weekly,
                config.door_name(settings.publish),
                reporting.post_report,
                lambda: datetime.now().astimezone(),
                lambda: clock.known,
            )
            stack.enter_context(weekly.working())
        stack.enter_context(clock.checking())
        stack.enter_context(arming.working())
        stack.enter_context(control_server.serving(runtime, control_server.table(arming, control.hang_up)))
        try:
            # A missing clip is reported here, before outputs are opened that this machine may not have.
            live = drivers.all_live(settings)
            printer = console.DecisionPrinter(time.time if live else None)
            # The console comes first: what a slow disk behind it holds up is at most its own line.
            status = StatusFile(runtime, reporting.live)
            listeners: list[Listener] = [printer, counts, reporting, status]
            hinted = Listeners([reporting, status])
            listeners += [sources.SourceLog(), sources.FaceSizeMonitor(hinted.on_hint)]
            listeners += [turns := sources.TurnReport(hinted.on_hint), sources.PictureReport(hinted.on_hint)]
            listeners += [sources.driver_hints(hinted.on_hint), sources.sensor_hints(hinted.on_hint)]
            settings = _with_examples(settings, record is not None)
            listeners.append(recorder.ExampleHints(hinted.on_hint))
            if record:
                listeners.append(recorder.Recorder(record, partial(_describe_run, chooser)))
                listeners.append(recorder.DriftReport(record, hinted))
            listeners.append(stack.enter_context(DoorDisplay(time.monotonic)))
            page = RunParts(
                live=reporting.live,
                arming=arming,
                note=note,
                state=state,
                turns=turns.rotations,
                models=partial(_models_in_use, chooser),
                options=_settings_options(arguments),
                version=version(),
                repeats=logs.RepeatFilter(),
                reloads=reloads,
            )
            listeners.append(stack.enter_context(serving_page(runtime, page)))
            if arguments.timings:
                listeners.append(timings)
            if arguments.annotate:
                listeners.append(_open_video(stack, settings, arguments, live))
            stopped_by = service.run(
                settings,
                listeners,
                control=control,
                arming=arming,
                chooser=chooser,
                fallback=keeper.fallback(),
                keeper=reloads,
            )
        except FmdError as error:
            note("failed", store.Failure(str(error)))
            raise
        note("stopped")
    log.info("%s", counts)
    if arguments.timings:
        print(timings.table())
    return common.exit_code(stopped_by)


def _check_owner(*folders: Path | None) -> None:
    """Raise SettingsError if root would write into another user's folder, who could lead it elsewhere by a link."""
    if not paths.is_root():
        return
    for folder in folders:
        if folder is not None and folder.is_dir() and (owner := folder.stat().st_uid):
            raise SettingsError(
                f"{folder}: belongs to user {owner}, not to root; run fmd as that user: sudo -u '#{owner}'"
            )


def _layers(arguments: argparse.Namespace, over: str | None) -> Layers:
    """Return the settings with the command line's camera in place of all that the file names."""
    from edge import config

    # --source names the only camera: several in the file (camera.sources) would otherwise win over it.
    one = config.only_camera(arguments.source) if arguments.source is not None else {}
    return common.read_settings(arguments, over, **one, **{"camera.simulate": arguments.simulate})


def _checked(arguments: argparse.Namespace) -> Settings:
    """Return the settings that a run would use; an overlay that it would set aside is logged."""
    from edge import overlay

    layers = _layers(arguments, overlay.NAME)
    if layers.problem:
        log.warning("changed settings would be set aside: %s", layers.problem)
    return layers.settings


def _reread(reloads: Reloads, before: Settings) -> Settings:
    """Return the settings as they are now, for a reload, and warn of changes that a reload does not reach."""
    import msgspec

    from edge.reporting import reporter

    settings = reloads.read()
    # A wrong broker or token must be refused here: the settings in use stay, and their messages go on.
    reporter.check(settings)
    kept = msgspec.structs.replace(settings.record, examples=before.record.examples)
    if (kept, settings.report) != (before.record, before.report):
        log.warning("changed settings under [record] and [report] take effect at the next restart")
    return _with_examples(settings, before.record.keep and paths.state_folder() is not None)


def _with_examples(settings: Settings, recorded: bool) -> Settings:
    """Return the settings, which keep no pictures in a run without a record: LED and state must not say otherwise."""
    import msgspec

    if recorded or settings.record.examples == "none":
        return settings
    log.warning("record.examples: this run has no state directory (--state DIR), so no pictures are kept")
    record = msgspec.structs.replace(settings.record, examples="none")
    return msgspec.structs.replace(settings, record=record)


def _settings_options(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the options of this run that name its settings, for the doctor."""
    from edge import config, toml

    one = config.only_camera(arguments.source) if arguments.source is not None else {}
    changed = (*arguments.set, *(f"{key}={toml.in_one_line(value)}" for key, value in one.items()))
    file = ("--config", str(arguments.config)) if arguments.config else ()
    return (*file, *(option for text in changed for option in ("--set", text)))


def _models_in_use(chooser: ModelChooser, settings: Settings) -> tuple[str, ...]:
    """Return task and file name of each model of a run."""
    from edge.service import models

    used = {task: models.path_in_use(settings.model, task, chooser).name for task in paths.TASKS}
    return tuple(f"{task} {name}" for task, name in used.items())


def _describe_run(chooser: ModelChooser, settings: Settings) -> RunRow:
    """Return which models and settings the next passages are of."""
    import msgspec

    from edge.inference import bundle
    from edge.record.rows import RunRow
    from edge.service import models

    deciding = [settings.watch, settings.detect, settings.track, settings.classify, settings.decide]
    classifier = bundle.unpack(models.path_in_use(settings.model, "classifier", chooser)).contract
    foreign = models.is_foreign(settings.model)
    detector = "" if foreign else bundle.unpack(models.path_in_use(settings.model, "detector", chooser)).contract.sha256
    return RunRow(
        version=version(),
        model=classifier.name,
        classifier=classifier.sha256[:12],
        detector=detector[:12],
        settings=bundle.sha256(msgspec.json.encode(deciding))[:12],
        labels=classifier.worn,
        compliant=classifier.compliant,
        confusion=msgspec.json.encode(classifier.confusion).decode() if classifier.confusion else "",
        margin=classifier.crop_margin,
    )


def _build(chooser: ModelChooser, settings: Settings) -> BuildMessage:
    """Return what runs, for metrics and messages."""
    from edge.messages import BuildMessage

    run = _describe_run(chooser, settings)
    shas = (run.classifier, run.detector)
    return BuildMessage(run.version, run.model, *shas, run.settings, board.model() or "PC", board.system())


def _readings(clock: BoardClock, record: Record | None) -> ServiceReadings:
    """Return what the service knows about its clock and its record, for metrics."""
    from edge.reporting.metrics import ServiceReadings

    if record is None:
        return ServiceReadings(clock.known)
    return ServiceReadings(clock.known, record.failing, record.lost)


def _open_video(stack: ExitStack, settings: Settings, arguments: argparse.Namespace, live: bool) -> Listener:
    """Open the video of ``--annotate``, one file per camera, and return the listener that writes it."""
    from edge import config
    from edge.reporting import annotate, own_files

    path: Path = arguments.annotate
    cameras = config.cameras(settings.camera)
    files = {name: path.with_stem(f"{path.stem}-{name}") if name else path for name in cameras}
    # Before any camera is opened: a clip named for reading and for writing is lost once it is opened for writing.
    for file in files.values():
        common.check_spares("--annotate", file, *common.files_read(arguments, settings))
        annotate.check_video(file)
        common.check_replaceable("--annotate", file, "a video of fmd", own_files.is_video)
    # A clip's frames are evenly apart; a live camera's video needs the settings' rate to keep real time.
    fps = settings.camera.fps if live else None
    regions = {name: config.regions(settings, name) for name in cameras}
    return stack.enter_context(annotate.StepVideos(files, fps, arguments.show_faces, regions))
