"""fmd's loop and the papers', each one B, G, R frame at a time, with the processor seconds of every frame.

    python -m bench.loops fmd|papers CLIP [--peers FOLDER]      prints one JSON object

Each runs in a process of its own, so that its threads, caches and memory do not count for the other.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import numpy as np

from bench import clips
from edge import config, drivers
from edge.contracts import Delivery, Frame, Image, Step
from edge.drivers.colour import frame_of_bgr
from edge.drivers.console import ConsoleOutput
from edge.errors import FmdError, exit_code_of
from edge.pipeline import Pipeline
from edge.reporting.listener import Listener, report_step
from edge.service import run as service
from edge.service.models import OpenInterpreter
from edge.stages.alert import Alert


class Run(msgspec.Struct, frozen=True):
    """Result of one loop over one clip: processor seconds of every frame, and the process's peak memory in MiB."""

    fps: float
    cpu_s: list[float]
    peak_mib: float
    inferences: int

    def per_second(self) -> float:
        """Return the processor seconds per second of video."""
        return float(np.mean(self.cpu_s) * self.fps)


Given = TypeVar("Given")
"""Type of what a camera's library passes to its driver."""


class FmdLoop(Generic[Given]):
    """The product's loop: the driver's frame, the whole step, outputs on the console.

    ``frame_of`` is the driver's part: it makes a frame of what the library gave, its time in seconds, and its number.
    ``listener`` follows the steps, as in a run.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        fps: float,
        frame_of: Callable[[Given, float, int], Frame],
        listener: Listener | None = None,
    ) -> None:
        self._listener = listener
        self._pipeline, self._fps, self._index, self._frame_of = pipeline, fps, 0, frame_of
        self.inferences = 0

    def step(self, given: Given) -> Step:
        """Process one picture, from the driver's library to the pins."""
        now_s = self._index / self._fps
        step = self._pipeline.step(self._frame_of(given, now_s, self._index))
        self._index += 1
        if self._listener is not None:
            report_step(self._listener, step, Delivery())
        self.inferences += int("detect" in step.timings_s) + len(step.observations)
        return step


def open_pipeline(settings: config.Settings, opened: OpenInterpreter = drivers.open_interpreter) -> Pipeline:
    """Return the stages as the service joins them, with outputs on the console."""
    led, buzzer = ConsoleOutput("led", 17, True), ConsoleOutput("buzzer", 27, True)
    return service.build_pipeline(settings, Alert(settings.alert, led, buzzer), opened=opened)


def timed(step: Callable[[Image], object], frames: Sequence[Image]) -> list[float]:
    """Return the processor seconds of ``step`` for each frame."""
    took = []
    for frame in frames:
        began_s = time.process_time()
        step(frame)
        took.append(time.process_time() - began_s)
    return took


def run_fmd(clip: clips.LoadedClip, threads: int) -> Run:
    """Run fmd with its default settings over a clip."""
    settings = config.load(None, {"alert.driver": "console", "model.threads": threads})
    # Only the first step of a process has this cost; it is not the loop's.
    FmdLoop(open_pipeline(settings), clip.fps, frame_of_bgr).step(clip.frames[0])
    loop = FmdLoop(open_pipeline(settings), clip.fps, frame_of_bgr)
    return Run(clip.fps, timed(loop.step, clip.frames), peak_mib(), loop.inferences)


def run_papers(clip: clips.LoadedClip, peers: Path) -> Run:
    """Run the papers' loop over a clip; ``peers`` is the folder of its face detector."""
    from bench.papers_loop import PapersLoop

    loop = PapersLoop(peers)
    loop.warm_up()
    faces = 0

    def step(frame: Image) -> None:
        nonlocal faces
        faces += len(loop.step(frame))

    took = timed(step, clip.frames)
    return Run(clip.fps, took, peak_mib(), len(clip.frames) + faces)


def peak_mib() -> float:
    """Return the largest resident size of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_own_process(which: str, source: str, *more: str) -> Run:
    """Run one loop over a clip in a process of its own. Raises FmdError with its last message if it fails."""
    command = [sys.executable, "-m", "bench.loops", which, source, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        # The last line is the message; those before it may be warnings of libraries.
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise FmdError(f"{' '.join(command[2:])}: {lines[-1].removeprefix('error: ')}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Run)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.loops", description=__doc__)
    parser.add_argument("loop", choices=["fmd", "papers"])
    parser.add_argument("clip")
    parser.add_argument("--peers", type=Path, default=Path())
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--span", type=clips.intervals_of, help="only these seconds of the clip, as 0-5.5, forwards and backwards"
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="with --span: seconds to play (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)

    def body() -> int:
        clip = clips.read(arguments.clip)
        if arguments.span:
            clip = clips.prolonged(clip, arguments.span[0], arguments.seconds)
        fmd = arguments.loop == "fmd"
        run = run_fmd(clip, arguments.threads) if fmd else run_papers(clip, arguments.peers)
        print(msgspec.json.encode(run).decode())
        return 0

    return exit_code_of(body)


if __name__ == "__main__":
    sys.exit(main())
