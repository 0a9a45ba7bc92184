"""The whole step over the bare inference calls on the same frames: what everything but the networks costs.

Every frame goes through the driver's frame-making and the whole step, and what its networks were given goes, byte for
byte, through bare interpreters of the same runtime (set_tensor, invoke, get_tensor, nothing else). The two take turns
clip by clip, for a door never runs a second copy of its networks between two frames, and whoever does drives the step
out of the caches; who goes first changes. One thread, so that no spinning pool counts on either side. The bar is on the
processor seconds of all rounds; wall-clock seconds stand beside them, and the same ratio of every frame's quickest
round: what shares this machine's caches slows the step, whose code is large and cold after every inference, far more
than it slows the inference.

With ``--camera picamera2`` the frames are what that driver gets: the picture and, beside it, a small YUV420 one for
gate and detector, which on a Raspberry Pi the camera's own image processor makes, and here nobody is charged for.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from bench import clips
from bench.loops import FmdLoop, open_pipeline
from bench.measure import Figure, report
from edge import config, drivers
from edge.contracts import Frame, Image, Interpreter, Stored, TensorSpec
from edge.drivers.colour import frame_of_bgr
from edge.drivers.pi_camera import Streams, frame_of_streams, lores_size
from edge.errors import RuntimeMissingError

BAR = 1.10
Tensor = npt.NDArray[np.generic]


class Recorder:
    """An interpreter that remembers what it was given; see :class:`edge.contracts.Interpreter`."""

    def __init__(self, inner: Interpreter, bare: Callable[[Tensor], object], calls: list[Call]) -> None:
        self._inner, self._bare, self._calls = inner, bare, calls

    @property
    def runtime(self) -> str:
        return self._inner.runtime

    @property
    def input(self) -> TensorSpec:
        return self._inner.input

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._inner.outputs

    def run(self, tensor: Tensor) -> Sequence[Stored]:
        self._calls.append(Call(self._bare, tensor.copy()))
        return self._inner.run(tensor)


@dataclass(frozen=True)
class Call:
    """One inference a step made, to be made again without the step."""

    bare: Callable[[Tensor], object]
    tensor: Tensor


@dataclass
class Timing:
    """Seconds of every frame: processor and wall clock, step and bare calls."""

    step_cpu_s: list[float] = field(default_factory=list)
    bare_cpu_s: list[float] = field(default_factory=list)
    step_wall_s: list[float] = field(default_factory=list)
    bare_wall_s: list[float] = field(default_factory=list)
    calls: int = 0

    def add_step(self, step: Callable[[], object]) -> None:
        """Time one whole step."""
        _timed(step, self.step_cpu_s, self.step_wall_s)

    def add_bare(self, bare: Callable[[], object]) -> None:
        """Time the same frame's bare calls."""
        _timed(bare, self.bare_cpu_s, self.bare_wall_s)


def _timed(call: Callable[[], object], cpu_s: list[float], wall_s: list[float]) -> None:
    began_cpu_s, began_wall_s = time.process_time(), time.perf_counter()
    call()
    cpu_s.append(time.process_time() - began_cpu_s)
    wall_s.append(time.perf_counter() - began_wall_s)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "clips", nargs="*", default=[clips.SCENE], help="clips with people (default: the built-in scene)"
    )
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--camera", choices=list(CAMERAS), default="opencv", help="the driver whose frames these are")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, judge."""
    figures: list[Figure] = []
    for source in arguments.clips:
        timing = measured(clips.read(source), CAMERAS[arguments.camera], arguments.threads, arguments.rounds)
        figures += figures_of(f"{source}, {arguments.camera}", timing, arguments.rounds)
    return report(figures)


def figures_of(name: str, timing: Timing, rounds: int) -> list[Figure]:
    """Means a frame, and the ratios; ``timing`` is of ``rounds`` times the same frames."""
    frames = len(timing.step_cpu_s)
    step, bare = sum(timing.step_cpu_s), sum(timing.bare_cpu_s)
    quickest = [np.reshape(cpu_s, (rounds, -1)).min(axis=0).sum() for cpu_s in (timing.step_cpu_s, timing.bare_cpu_s)]
    wall = float(np.median(np.divide(timing.step_wall_s, timing.bare_wall_s)))
    return [
        Figure(f"{name}: inference calls", timing.calls / frames, "a frame"),
        Figure(f"{name}: bare inference", 1000 * bare / frames, "ms CPU/frame"),
        Figure(f"{name}: whole step", 1000 * step / frames, "ms CPU/frame"),
        Figure(f"{name}: median of the same, wall clock", wall, ""),
        Figure(f"{name}: every frame's quickest round", float(quickest[0] / quickest[1]), ""),
        Figure(f"{name}: whole step / bare inference", step / bare, "", BAR),
    ]


class Driver(NamedTuple):
    """A camera's side of the loop: what its library gives of a (H, W, 3) B, G, R picture, and the driver's part."""

    given: Callable[[Image], Any]
    frame_of: Callable[[Any, float, int], Frame]


def streams_of(frame: Image) -> Streams:
    """Both streams of a Pi camera that sees a clip's frame."""
    height, width = frame.shape[:2]
    size = lores_size(config.load(None, {"camera.width": width, "camera.height": height}).camera)
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return Streams(frame.copy(), np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2YUV_I420), np.uint8), size)


CAMERAS = {
    "opencv": Driver(np.copy, frame_of_bgr),
    "picamera2": Driver(streams_of, frame_of_streams),
}


def measured(clip: clips.Clip, driver: Driver, threads: int, rounds: int) -> Timing:
    """Time every frame that had any inference; ``rounds`` times over the clip."""
    settings = config.load(None, {"alert.driver": "console", "model.threads": threads})
    recorded = recorded_calls(clip, driver, settings)
    timing = Timing(calls=rounds * sum(map(len, recorded)))
    for turn in range(rounds):
        loop = FmdLoop(open_pipeline(settings), clip.fps, driver.frame_of)
        halves = [partial(_steps, loop, driver, clip, recorded, timing), partial(_bares, recorded, timing)]
        for walk in reversed(halves) if turn % 2 else halves:
            walk()
    return timing


def _steps(
    loop: FmdLoop[Any], driver: Driver, clip: clips.Clip, recorded: Sequence[list[Call]], timing: Timing
) -> None:
    # As a live camera's library just wrote it: from a clip held whole every frame would come out of cold memory.
    for frame, calls in zip(map(driver.given, clip.frames), recorded, strict=True):
        if calls:
            timing.add_step(partial(loop.step, frame))
        else:
            loop.step(frame)


def _bares(recorded: Sequence[list[Call]], timing: Timing) -> None:
    for calls in filter(None, recorded):
        timing.add_bare(partial(again, calls))


def recorded_calls(clip: clips.Clip, driver: Driver, settings: config.Settings) -> list[list[Call]]:
    """The inferences each frame led to. A step depends on its frames alone, so the next walk makes the same ones."""
    calls: list[Call] = []

    def recording(data: bytes, threads: int, runtime: str) -> Interpreter:
        return Recorder(drivers.open_interpreter(data, threads, runtime), bare_interpreter(data, threads), calls)

    loop = FmdLoop(open_pipeline(settings, recording), clip.fps, driver.frame_of)
    calls.clear()  # those were golden inputs
    frames = []
    for frame in clip.frames:
        loop.step(driver.given(frame))
        frames.append(calls.copy())
        calls.clear()
    return frames


def again(calls: Sequence[Call]) -> None:
    """The same inferences, and nothing else."""
    for call in calls:
        call.bare(call.tensor)


def bare_interpreter(flatbuffer: bytes, threads: int) -> Callable[[Tensor], object]:
    """The runtime as it comes: tensor in, stored output tensors out."""
    try:
        from ai_edge_litert.interpreter import Interpreter as Bare
    except ImportError as error:
        raise RuntimeMissingError(f"ai-edge-litert cannot be imported ({error}); pip install ai-edge-litert") from error
    interpreter: Any = Bare(model_content=flatbuffer, num_threads=threads)
    interpreter.allocate_tensors()
    (taken,) = (details["index"] for details in interpreter.get_input_details())
    given = [details["index"] for details in interpreter.get_output_details()]

    def infer(tensor: Tensor) -> list[Tensor]:
        interpreter.set_tensor(taken, tensor)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in given]

    return infer
