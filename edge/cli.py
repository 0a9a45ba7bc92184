"""fmd: watch a doorway, and the tools around it.

fmd run       watch, decide, alert (what the service starts)
fmd demo      the whole loop on a built-in scene with simulated pins
fmd predict   faces and labels of pictures or a clip, as a CSV
fmd verify    is this model file what it says, and does this machine compute it rightly?
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edge import annotate, bundle, config, drivers, service
from edge.contracts import Change, Decision, Image, Outcome, Step
from edge.errors import EXIT_OK, exit_code_of

log = logging.getLogger("fmd")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    arguments = _parser().parse_args(argv)
    level = logging.DEBUG if arguments.verbose else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    return exit_code_of(lambda: int(arguments.run(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fmd", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--verbose", action="store_true", help="say more, such as every change of a pin")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="watch, decide, alert")
    _add_settings_options(run)
    run.add_argument("--source", help="camera.source: auto, picamera2, /dev/videoN, a clip, a folder of pictures")
    run.add_argument("--annotate", type=Path, metavar="MP4", help="write what was seen as a video, faces blurred")
    run.add_argument("--show-faces", action="store_true", help="do not blur faces in --annotate")
    run.add_argument("--timings", action="store_true", help="print the time each stage took, at the end")
    run.set_defaults(run=_run)

    demo = commands.add_parser("demo", help="the whole loop on a built-in scene with simulated pins")
    demo.add_argument("--out", type=Path, default=Path("demo-out"), help="folder for video and contact sheet")
    demo.set_defaults(run=_demo)

    predict = commands.add_parser("predict", help="faces and labels of pictures or a clip, as a CSV")
    predict.add_argument("source", type=Path, help="a picture, a folder of pictures, or a clip")
    predict.add_argument("--csv", type=Path, help="where to write (default: standard output)")
    predict.add_argument("--annotate", type=Path, metavar="DIR", help="also write every picture with its faces marked")
    _add_settings_options(predict)
    predict.set_defaults(run=_predict)

    verify = commands.add_parser("verify", help="check a model file and replay its golden inputs")
    verify.add_argument("model", type=Path)
    verify.set_defaults(run=_verify)
    return parser


def _add_settings_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, help="settings file (TOML); what it leaves out keeps its default")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, as in --set alert.led_pin=22"
    )


def _settings(arguments: argparse.Namespace, **overrides: Any) -> config.Settings:
    named = dict(config.parse_assignment(text) for text in arguments.set)
    return config.load(arguments.config, {**named, **{k: v for k, v in overrides.items() if v is not None}})


def _run(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments, **{"camera.source": arguments.source})
    tally, timings = Counter[str](), Timings()
    with ExitStack() as stack:
        on_step: list[Callable[[Step], None]] = [timings.add] if arguments.timings else []
        if arguments.annotate:
            video = annotate.VideoFile(arguments.annotate)
            stack.callback(video.close)
            on_step.append(
                lambda step: video.write(annotate.annotate(step, arguments.show_faces), step.frame.captured_s)
            )

        def on_decision(decision: Decision) -> None:
            tell(decision)
            tally[decision.change.value] += 1
            if decision.change is Change.LEFT:
                tally["violated" if decision.passage.violated else decision.passage.outcome.value] += 1

        def on_each_step(step: Step) -> None:
            for each in on_step:
                each(step)

        service.run(settings, on_each_step, on_decision)
    log.info(
        "passages: %d, of them in violation: %d, compliant: %d, unsure: %d",
        *(tally[key] for key in ("left", "violated", "compliant", "unsure")),
    )
    if arguments.timings:
        print(timings.table())
    return EXIT_OK


def tell(decision: Decision) -> None:
    """One line a decision on standard output, for people and ``grep`` alike."""
    passage = decision.passage
    said = {
        Change.DECIDED: passage.outcome.value,
        Change.REVISED: f"now {passage.outcome.value}",
        Change.LEFT: f"left, {passage.outcome.value}" + (", had violated" if passage.violated else ""),
    }[decision.change]
    mark = "ALARM" if passage.outcome is Outcome.VIOLATION and decision.change is not Change.LEFT else "-----"
    print(
        f"{decision.at_s:8.2f} s  {mark}  person {passage.id}: {said} "
        f"({passage.label}, {passage.looks} looks, {passage.seen_s - passage.entered_s:.1f} s)",
        flush=True,
    )


class Timings:
    """How long the stages took, over a run."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}
        self._frames = 0

    def add(self, step: Step) -> None:
        """Take note of one step."""
        self._frames += 1
        for stage, seconds in step.timings_s.items():
            self._seconds.setdefault(stage, []).append(seconds)

    def table(self) -> str:
        """Stage, frames it ran on, median and 95th percentile in milliseconds."""
        lines = [f"{'stage':<10}{'frames':>8}{'median ms':>12}{'p95 ms':>10}   of {self._frames} frames"]
        for stage, seconds in self._seconds.items():
            ordered = sorted(seconds)
            median, p95 = (ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1e3 for q in (0.5, 0.95))
            lines.append(f"{stage:<10}{len(ordered):>8}{median:>12.2f}{p95:>10.2f}")
        return "\n".join(lines)


def _demo(arguments: argparse.Namespace) -> int:
    settings = config.load(None, {"alert.driver": "console", "camera.source": "doorway"})
    folder: Path = arguments.out
    folder.mkdir(parents=True, exist_ok=True)
    video = annotate.VideoFile(folder / "demo.mp4")
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

    service.run(settings, on_step, tell)
    video.close()
    annotate.save_picture(folder / "contact-sheet.png", annotate.contact_sheet(pictures))
    print(f"annotated video: {folder / 'demo.mp4'}\ncontact sheet:   {folder / 'contact-sheet.png'}")
    return EXIT_OK


def _predict(arguments: argparse.Namespace) -> int:
    from edge import predict

    settings = _settings(arguments)
    predictor = predict.Predictor(
        service.open_detector(settings), service.open_classifier(settings), settings.detect.start_score
    )
    if arguments.annotate:
        arguments.annotate.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        out = stack.enter_context(arguments.csv.open("w", newline="")) if arguments.csv else sys.stdout
        out.write(",".join(predict.COLUMNS) + "\n")
        progress = Progress()
        for name, frame in predict.named_frames(arguments.source, settings.camera):
            found = predictor.predict(frame)
            predict.write_rows(out, name, found)
            if arguments.annotate:
                predictor.annotated(arguments.annotate / f"{name.replace('#', '-')}.png", frame, found)
            progress.count(len(found))
        progress.done()
    return EXIT_OK


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


def _verify(arguments: argparse.Namespace) -> int:
    loaded = bundle.unpack(arguments.model)
    model = bundle.load(arguments.model, loaded.contract.task, drivers.open_interpreter)
    worst = model.replay()
    print(json.dumps(bundle.described(loaded.contract), indent=1))
    print(
        f"{arguments.model}: contract, hash and {len(loaded.golden['inputs'])} golden inputs are right on "
        f"{model.runtime} (largest difference: {worst:.0%} of what is allowed)"
    )
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
