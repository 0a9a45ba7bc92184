"""The whole step over the bare inference calls on the same frames: the cost of everything but the networks.

Every frame passes the driver's frame-making and the whole step. The inputs of its networks then pass, byte for byte,
bare interpreters of the same runtime (set_tensor, invoke, get_tensor, nothing else).

The two sides take turns clip by clip, and the first one alternates. A door never runs a second copy of its networks
between two frames; that would drive the step's code out of the caches. One thread, so that no spinning thread pool
counts on either side.

The bar applies to the processor seconds of all rounds. Wall-clock seconds are printed as well, and the same ratio for
every frame's quickest round. The step's code is large, and cold after every inference. So programs that share the
machine's caches slow the step far more than the inference.

With ``--record`` the record of passages follows the steps, and writes to a temporary folder, as in ``fmd run``.

With ``--camera picamera2`` the frames are those of that driver: the picture, and a small YUV420 one for gate and
detector. On a Raspberry Pi the camera's image processor makes the small one; here its cost counts for neither side.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from bench import clips
from bench.loops import FmdLoop, open_pipeline
from bench.measure import Measurement, report
from edge import config, drivers
from edge.contracts import Frame, Image, Interpreter, Stored, TensorSpec
from edge.drivers.colour import frame_of_bgr
from edge.drivers.pi_camera import Streams, frame_of_streams, lores_size
from edge.errors import RuntimeMissingError
from edge.record import store
from edge.record.rows import RunRow
from edge.record.store import Record
from edge.reporting.listener import Listener
from edge.reporting.recorder import Recorder
from edge.service import models

BAR = 1.10
Tensor = npt.NDArray[np.generic]


class RecordingInterpreter:
    """An :class:`edge.contracts.Interpreter` that records its inputs."""

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
        # A copy: the pipeline reuses its buffers for the next frame.
        self._calls.append(Call(self._bare, tensor.copy()))
        return self._inner.run(tensor)


@dataclass(frozen=True)
class Call:
    """One inference of a step, which can be repeated without the step."""

    bare: Callable[[Tensor], object]
    tensor: Tensor


@dataclass
class Timing:
    """Seconds of every frame: processor and wall-clock time, of step and bare calls."""

    step_cpu_s: list[float] = field(default_factory=list)
    bare_cpu_s: list[float] = field(default_factory=list)
    step_wall_s: list[float] = field(default_factory=list)
    bare_wall_s: list[float] = field(default_factory=list)
    calls: int = 0

    def add_step(self, step: Callable[[], object]) -> None:
        """Time one whole step."""
        _timed(step, self.step_cpu_s, self.step_wall_s)

    def add_bare(self, bare: Callable[[], object]) -> None:
        """Time the bare calls of the same frame."""
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
    parser.add_argument("--rounds", type=int, default=6, help="turns of each side (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="model.threads (default: %(default)s)")
    parser.add_argument(
        "--camera",
        choices=list(CAMERAS),
        default="opencv",
        help="driver whose frames are measured (default: %(default)s)",
    )

    parser.add_argument("--record", action="store_true", help="keep a record of the passages, in a temporary folder")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the measurements, and return 1 if a bar is missed."""
    measurements: list[Measurement] = []
    for source in arguments.clips:
        driver, threads, rounds = CAMERAS[arguments.camera], arguments.threads, arguments.rounds
        timing = measured(clips.read(source), driver, threads, rounds, arguments.record)
        measurements += measurements_of(f"{source}, {arguments.camera}", timing, arguments.rounds)
    return report(measurements)


def measurements_of(name: str, timing: Timing, rounds: int) -> list[Measurement]:
    """Return the means per frame and the ratios; ``timing`` covers the same frames ``rounds`` times."""
    frames = len(timing.step_cpu_s)
    step, bare = sum(timing.step_cpu_s), sum(timing.bare_cpu_s)
    # The quickest round of a frame is the one that other programs disturbed least.
    quickest = [np.reshape(cpu_s, (rounds, -1)).min(axis=0).sum() for cpu_s in (timing.step_cpu_s, timing.bare_cpu_s)]
    wall = float(np.median(np.divide(timing.step_wall_s, timing.bare_wall_s)))
    return [
        Measurement(f"{name}: inference calls", timing.calls / frames, "a frame"),
        Measurement(f"{name}: bare inference", 1000 * bare / frames, "ms CPU/frame"),
        Measurement(f"{name}: whole step", 1000 * step / frames, "ms CPU/frame"),
        Measurement(f"{name}: the same in wall-clock time, median", wall, ""),
        Measurement(f"{name}: every frame's quickest round", float(quickest[0] / quickest[1]), ""),
        Measurement(f"{name}: whole step / bare inference", step / bare, "", BAR),
    ]


class CameraSide(NamedTuple):
    """A camera: its library's result for a (H, W, 3) B, G, R picture, and the driver's conversion to a frame."""

    given: Callable[[Image], Any]
    frame_of: Callable[[Any, float, int], Frame]


def streams_of(frame: Image) -> Streams:
    """Return both streams of a Pi camera for a frame of a clip."""
    height, width = frame.shape[:2]
    size = lores_size(config.load(None, {"camera.width": width, "camera.height": height}).camera)
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return Streams(frame.copy(), np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2YUV_I420), np.uint8), size)


CAMERAS = {
    "opencv": CameraSide(np.copy, frame_of_bgr),
    "picamera2": CameraSide(streams_of, frame_of_streams),
}


def measured(clip: clips.LoadedClip, driver: CameraSide, threads: int, rounds: int, record: bool = False) -> Timing:
    """Time every frame with an inference, ``rounds`` times over the clip, with a record or without."""
    settings = config.load(None, {"alert.driver": "console", "model.threads": threads})
    recorded = recorded_calls(clip, driver, settings)
    timing = Timing(calls=rounds * sum(map(len, recorded)))
    for turn in range(rounds):
        with following(settings, record) as listener:
            loop = FmdLoop(open_pipeline(settings), clip.fps, driver.frame_of, listener)
            _turn(turn, partial(_steps, loop, driver, clip, recorded, timing), partial(_bares, recorded, timing))
    return timing


@contextmanager
def following(settings: config.Settings, record: bool) -> Iterator[Listener | None]:
    """Yield the listener that records passages, None without a ``record``."""
    contract = models.load_model(settings.model, "classifier").contract
    described = RunRow(labels=contract.worn, compliant=contract.compliant)
    with TemporaryDirectory(prefix="fmd-bench-") as folder, _kept(Path(folder), settings, record) as kept:
        yield Recorder(kept, lambda _: described) if kept else None


def _kept(folder: Path, settings: config.Settings, record: bool) -> AbstractContextManager[Record | None]:
    return store.keeping(folder if record else None, settings.record)


def _turn(turn: int, steps: Callable[[], None], bares: Callable[[], None]) -> None:
    # Which side goes first alternates: the first one finds colder caches.
    for walk in (bares, steps) if turn % 2 else (steps, bares):
        walk()


def _steps(
    loop: FmdLoop[Any], driver: CameraSide, clip: clips.LoadedClip, recorded: Sequence[list[Call]], timing: Timing
) -> None:
    # A copy, as a live camera's library has just written it: frames of a clip in memory would come from cold memory.
    for frame, calls in zip(map(driver.given, clip.frames), recorded, strict=True):
        if calls:
            timing.add_step(partial(loop.step, frame))
        else:
            loop.step(frame)


def _bares(recorded: Sequence[list[Call]], timing: Timing) -> None:
    for calls in filter(None, recorded):
        timing.add_bare(partial(again, calls))


def recorded_calls(clip: clips.LoadedClip, driver: CameraSide, settings: config.Settings) -> list[list[Call]]:
    """Return the inferences of each frame; every round makes the same ones, as a step depends only on its frames."""
    calls: list[Call] = []

    def recording(data: bytes, threads: int, runtime: str) -> Interpreter:
        return RecordingInterpreter(
            drivers.open_interpreter(data, threads, runtime), bare_interpreter(data, threads), calls
        )

    loop = FmdLoop(open_pipeline(settings, recording), clip.fps, driver.frame_of)
    calls.clear()  # the golden inputs, replayed when the pipeline was opened
    frames = []
    for frame in clip.frames:
        loop.step(driver.given(frame))
        frames.append(calls.copy())
        calls.clear()
    return frames


def again(calls: Sequence[Call]) -> None:
    """Repeat the same inferences, and nothing else."""
    for call in calls:
        call.bare(call.tensor)


def bare_interpreter(flatbuffer: bytes, threads: int) -> Callable[[Tensor], object]:
    """Return the bare runtime as a function: input tensor -> stored output tensors."""
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
