"""What the commands of :mod:`edge.commands.main` do: settings in, the pipeline run, lines out."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

from edge import config, drivers, paths
from edge.commands import model, replay
from edge.contracts import PICTURE_SUFFIXES, Change, Decision, Health, Image, Step
from edge.errors import (
    EXIT_INTERRUPTED,
    EXIT_KNOWN,
    EXIT_OK,
    CameraError,
    FmdError,
    OutputError,
    SettingsError,
    naming_stdout,
)
from edge.inference import bundle
from edge.record import events
from edge.reporting import annotate
from edge.reporting import predictor as predict
from edge.reporting import reporter as publish
from edge.service import model_store, outputs_off
from edge.service import run as service

log = logging.getLogger("fmd")

MAX_TIMINGS = 10_000
"""Of each stage, the newest: a camera runs for months."""


def _settings(arguments: argparse.Namespace, **overrides: Any) -> config.Settings:
    named = dict(config.parse_assignment(text) for text in arguments.set)
    return config.load(arguments.config, {**named, **{k: v for k, v in overrides.items() if v is not None}})


def run(arguments: argparse.Namespace) -> int:
    """Watch until the source ends or somebody asks to stop."""
    settings = _settings_to_run(arguments)
    if arguments.check:
        service.check(settings)
        publish.check(settings)
        print("settings and models are fit to run (camera and pins were not opened)")
        return EXIT_OK
    model_store.ModelStore().settle()
    teller, tally, timings = DecisionPrinter(), PassageCounts(), Timings()
    with ExitStack() as stack:
        kept = stack.enter_context(
            events.keeping(paths.state_folder(), settings.events, runtime=paths.runtime_folder())
        )
        note = kept.add if kept else lambda kind, facts: None
        note("started", {})
        reporter, follow = stack.enter_context(publish.open_reporter(settings, note))
        on_step: list[Callable[[Step], None]] = [reporter.on_step]
        if arguments.timings:
            on_step.append(timings.add)
        if arguments.annotate:
            on_step.append(_recording(stack, settings, arguments))

        def on_decision(decision: Decision) -> None:
            teller.tell(decision)
            tally.add(decision)
            reporter.on_decision(decision)
            note("decision", events.of_decision(decision))

        def on_each_step(step: Step) -> None:
            for each in on_step:
                each(step)

        def on_health(health: Health) -> None:
            reporter.on_health(health)
            note("camera", events.of_health(health))

        # A service has no terminal; one that goes away means to stop.
        again = None if sys.stdin.isatty() else lambda: _read_again(arguments, settings)
        try:
            stopped_by = service.run(
                settings, on_each_step, on_decision, on_health=on_health, reread=again, on_settings=follow
            )
        except FmdError as error:
            note("failed", {"error": str(error)})
            raise
        note("stopped", {})
    log.info("%s", tally)
    if arguments.timings:
        print(timings.table())
    return _exit_code(stopped_by)


def _settings_to_run(arguments: argparse.Namespace) -> config.Settings:
    one: dict[str, str] | None = {} if arguments.source else None
    over = {"camera.source": arguments.source, "camera.sources": one, "camera.simulate": arguments.simulate}
    return _settings(arguments, **over)


def _read_again(arguments: argparse.Namespace, before: config.Settings) -> config.Settings:
    """The settings as they are now, for a reload; says what a reload does not reach."""
    settings = _settings_to_run(arguments)
    publish.check(settings)
    if settings.events != before.events:
        log.warning("changed settings under [events] take effect at the next restart")
    return settings


def _exit_code(stopped_by: int | None) -> int:
    """Systemd's SIGTERM is an orderly end; Ctrl-C is what a shell expects to hear of."""
    return EXIT_INTERRUPTED if stopped_by == signal.SIGINT else EXIT_OK


def _recording(stack: ExitStack, settings: config.Settings, arguments: argparse.Namespace) -> Callable[[Step], None]:
    """Open a video on ``stack``, of each of several cameras its own, and return what writes a step into it."""
    path, cameras = arguments.annotate, config.cameras(settings.camera)
    files = {name: path.with_stem(f"{path.stem}-{name}") if name else path for name in cameras}
    for file in files.values():
        _check_spares("--annotate", file, *_read(arguments, settings))
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the video cannot be written: no folder {path.parent}")
    writers: dict[str, Callable[[Step], None]] = {}
    fps = settings.camera.fps if all(map(drivers.is_live, cameras.values())) else None

    def record(step: Step) -> None:
        if step.camera not in writers:
            video = stack.enter_context(annotate.VideoFile(files[step.camera], fps))
            writers[step.camera] = _recording_one(video, arguments.show_faces)
        writers[step.camera](step)

    return record


def _read(arguments: argparse.Namespace, settings: config.Settings) -> Iterator[Path]:
    """What a run reads that a slip could name for writing: its settings, clips and folders."""
    if arguments.config:
        yield arguments.config
    for camera in config.cameras(settings.camera).values():
        kind, name = drivers.camera_kind(camera.source)
        if kind in ("file", "folder"):
            yield Path(name)


def _check_spares(option: str, path: Path, *sources: Path) -> None:
    """Raise SettingsError where ``path``, about to be written, is what is read: a slip must not destroy a clip."""
    for source in sources:
        is_picture = source.is_dir() and path.suffix.lower() in PICTURE_SUFFIXES
        read = source / path.name if is_picture else source
        if path.exists() and read.exists() and path.samefile(read):
            raise SettingsError(f"{option} {path}: the same file as {read}, which it would overwrite; name another")


def _recording_one(video: annotate.VideoFile, show_faces: bool) -> Callable[[Step], None]:
    shown: Image | None = None

    def record(step: Step) -> None:
        # Where nobody looked for faces all of the frame would have to be hidden: show what was last looked at instead.
        nonlocal shown
        if shown is None or step.detected or show_faces:
            shown = annotate.annotate(step, show_faces)
        video.write(shown, step.frame.captured_s)

    return record


def tell(decision: Decision) -> None:
    """One line a decision on standard output, for people and ``grep`` alike."""
    passage = decision.passage
    said = {
        Change.DECIDED: passage.outcome.value,
        Change.REVISED: f"now {passage.outcome.value}",
        Change.LEFT: f"left, {passage.outcome.value}" + (", had violated" if passage.violated else ""),
    }[decision.change]
    mark = "ALARM" if passage.signal.alarming and decision.change is not Change.LEFT else "-----"
    print(
        f"{decision.at_s:8.2f} s  {mark}  {decision.camera and f'{decision.camera}, '}person {passage.id}: {said} "
        f"({passage.label}, {passage.observations} looks, {passage.seen_s - passage.entered_s:.1f} s)",
        flush=True,
    )


class DecisionPrinter:
    """:func:`tell`, but a full disk behind standard output does not end the watch: it is said once."""

    def __init__(self) -> None:
        self._trouble = ""

    def tell(self, decision: Decision) -> None:
        """Print, if that can be done. A reader that went away (``| head``) ends the run as it ends every command."""
        try:
            tell(decision)
            self._trouble = ""
        except BrokenPipeError:
            raise
        except OSError as error:
            if self._trouble != str(error):
                log.warning("standard output: %s; watching goes on without it", error.strerror)
            self._trouble = str(error)


class PassageCounts:
    """How the passages ended, over a run."""

    def __init__(self) -> None:
        self._ended = Counter[str]()

    def add(self, decision: Decision) -> None:
        """Take note of one decision; only departures count."""
        if decision.change is Change.LEFT:
            passage = decision.passage
            self._ended["violated" if passage.violated else passage.outcome.value] += 1

    def __str__(self) -> str:
        return (
            f"passages: {self._ended.total()}, of them had violated: {self._ended['violated']}, "
            f"compliant: {self._ended['compliant']}, unsure: {self._ended['unsure']}"
        )


class Timings:
    """How long the stages took, over a run."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = {}
        self._frames = 0

    def add(self, step: Step) -> None:
        """Take note of one step."""
        self._frames += 1
        for stage, seconds in step.timings_s.items():
            self._seconds.setdefault(stage, deque(maxlen=MAX_TIMINGS)).append(seconds)

    def table(self) -> str:
        """Stage, frames it ran on, median and 95th percentile in milliseconds."""
        lines = [f"{'stage':<10}{'frames':>8}{'median ms':>12}{'p95 ms':>10}   of {self._frames} frames"]
        for stage, seconds in self._seconds.items():
            ordered = sorted(seconds)
            median, p95 = (ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1e3 for q in (0.5, 0.95))
            lines.append(f"{stage:<10}{len(ordered):>8}{median:>12.2f}{p95:>10.2f}")
        return "\n".join(lines)


def demo(arguments: argparse.Namespace) -> int:
    """The built-in scene through the whole loop, onto simulated pins, a video and a contact sheet."""
    settings = config.load(None, {"alert.driver": "console", "camera.source": "doorway"})
    folder: Path = arguments.out
    folder.mkdir(parents=True, exist_ok=True)
    pictures: list[Image] = []
    pins = f"LED (GPIO{settings.alert.led_pin}) and buzzer (GPIO{settings.alert.buzzer_pin})"
    alarm = False

    def on_step(step: Step) -> None:
        nonlocal alarm
        if step.alarm is not alarm:
            alarm = step.alarm
            print(f"{step.frame.captured_s:8.2f} s  {'ALARM' if alarm else '-----'}  {pins} {'on' if alarm else 'off'}")
        picture = annotate.annotate(step, show_faces=True)
        video.write(picture, step.frame.captured_s)
        if step.frame.index % 17 == 8:
            pictures.append(picture)

    with annotate.VideoFile(folder / "demo.mp4") as video:
        stopped_by = service.run(settings, on_step, tell)
    if pictures:
        annotate.save_picture(folder / "contact-sheet.png", annotate.contact_sheet(pictures))
    print(f"annotated video: {folder / 'demo.mp4'}\ncontact sheet:   {folder / 'contact-sheet.png'}")
    return _exit_code(stopped_by)


def predict_each(arguments: argparse.Namespace) -> int:
    """Faces and labels of every picture, as a CSV."""
    settings = _settings(arguments)
    unreadable = Unreadable()
    # Before the CSV is opened: a mistyped source must not empty the file of an earlier run.
    frames = predict.named_frames(arguments.source, settings.camera, unreadable.add)
    _check_csv(arguments.csv, arguments.source, *filter(None, [arguments.config]))
    predictor = predict.Predictor(service.open_detector(settings), service.open_classifier(settings))
    if arguments.annotate:
        arguments.annotate.mkdir(parents=True, exist_ok=True)
    progress = Progress()
    with _csv_file(arguments.csv) as out:
        out.write(",".join(predict.COLUMNS) + "\n")
        for name, frame in frames:
            found = predictor.predict(frame)
            predict.write_rows(out, name, found)
            if arguments.annotate:
                picture = predictor.annotated(frame, found, arguments.show_faces)
                annotate.save_picture(arguments.annotate / f"{name.replace('#', '-')}.png", picture)
            progress.count(len(found))
    progress.done()
    unreadable.complain(arguments.source)
    return EXIT_OK


class Unreadable:
    """The pictures of a folder that could not be read: told as they come, and counted for the end."""

    def __init__(self) -> None:
        self._errors: list[CameraError] = []

    def add(self, error: CameraError) -> None:
        """Tell of one picture, and go on."""
        log.warning("left out %s", error)
        self._errors.append(error)

    def complain(self, source: Path) -> None:
        """Raise CameraError if there were any: whoever reads the CSV alone would take it for complete."""
        if self._errors:
            raise CameraError(
                f"{source}: {len(self._errors)} of its pictures could not be read and are not in the rows; the first: "
                f"{self._errors[0]}"
            )


def _check_csv(path: Path | None, *sources: Path) -> None:
    """Complain before the models are loaded; what is there already stays as it is."""
    if path is None:
        return
    _check_spares("--csv", path, *sources)
    there = path.exists()
    with _csv_file(path, "a"):
        pass
    if not there:
        path.unlink()


@contextmanager
def _csv_file(path: Path | None, mode: Literal["w", "a"] = "w") -> Iterator[TextIO]:
    """``path`` opened for rows, or standard output; a full disk is told with the file's name."""
    if path is None:
        with naming_stdout():
            yield sys.stdout
        return
    try:
        with path.open(mode, newline="") as handle:
            yield handle
    except FmdError:
        raise
    except OSError as error:
        # Errors of opening name their file, those of writing do not.
        raise OutputError(f"{error.filename or path}: {error.strerror}") from error


class Progress:
    """A line on stderr every few seconds; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, every_s: float = 3.0) -> None:
        self._clock, self._every_s = clock, every_s
        self._started_s = self._said_s = clock()
        self._frames = self._faces = 0

    def count(self, faces: int) -> None:
        """One more frame, with so many faces."""
        self._frames += 1
        self._faces += faces
        if self._clock() - self._said_s >= self._every_s:
            self._said_s = self._clock()
            self.done()

    def done(self) -> None:
        """Say how far it is."""
        rate = self._frames / max(1e-9, self._clock() - self._started_s)
        log.info("%d pictures, %d faces, %.1f pictures/s", self._frames, self._faces, rate)


def print_events(arguments: argparse.Namespace) -> int:
    """The log of events, oldest first, a line each."""
    for event in events.read(arguments.state or paths.state_folder() or paths.STATE):
        if arguments.json:
            print(json.dumps(event))
        else:
            facts = " ".join(f"{key}={value}" for key, value in event.items() if key not in ("n", "at", "event"))
            print(f"{event['at']}  {event['event']:<9} {facts}")
    return EXIT_OK


def switch_off(arguments: argparse.Namespace) -> int:
    """Switch every output off: for what starts after fmd was killed and could not do so itself."""
    outputs_off.switch_off(lambda: _settings(arguments), paths.runtime_folder())
    return EXIT_OK


def verify(arguments: argparse.Namespace) -> int:
    """Is this model file what it says, and does this machine compute it rightly?"""
    loaded = bundle.unpack(arguments.model)
    model = bundle.Model(loaded, drivers.open_interpreter(loaded.flatbuffer), str(arguments.model))
    worst = model.replay()
    print(json.dumps(bundle.described(loaded.contract), indent=1))
    # The sentence goes where the log goes: standard output is one JSON value, for programs.
    log.info(
        "%s: contract, hash and %d golden inputs are right on %s (largest difference: %.0f%% of what is allowed)",
        arguments.model,
        len(loaded.golden["inputs"]),
        model.runtime,
        100 * worst,
    )
    return EXIT_OK


def replay_clip(arguments: argparse.Namespace) -> int:
    """A clip through the whole service, against what is expected of it; exit code 1 where something else came."""
    named = dict(config.parse_assignment(text) for text in arguments.set)
    settings = replay.settings_for(arguments.clip, arguments.config, named)
    if arguments.write:
        _check_spares("--expect", arguments.expect, *_read(arguments, settings))
    # Before the clip, which takes its time: a mistyped file should not.
    expected = replay.read(arguments.expect) if arguments.expect and not arguments.write else None
    course, stopped_by = replay.watched(settings, tell)
    if stopped_by is not None:
        return _exit_code(stopped_by)
    if arguments.write:
        replay.write(arguments.expect, course, Path(arguments.clip).name)
        print(f"{arguments.expect}: {len(course.passages)} passages; look at the clip and correct what is wrong there")
    if expected is None:
        return EXIT_OK
    lines = list(replay.compared(expected, course))
    print(*lines, f"{sum(not line.good for line in lines)} of {len(lines)} not as expected", sep="\n")
    return EXIT_OK if all(line.good for line in lines) else EXIT_KNOWN


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "run": run,
    "demo": demo,
    "predict": predict_each,
    "replay": replay_clip,
    "events": print_events,
    "model": model.run,
    "off": switch_off,
    "verify": verify,
}
