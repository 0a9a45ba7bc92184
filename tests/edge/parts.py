"""Small parts for the tests of edge: frames, stages with a known answer, the real command in its own process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge import config
from edge.contracts import (
    LABELS,
    Box,
    Decision,
    Face,
    Floats,
    Frame,
    Image,
    Message,
    MessageKind,
    Step,
    Stored,
    TensorSpec,
    luma_of,
)
from edge.drivers import fake_picamera2
from edge.inference.bundle import Bundle, Contract, InputSpec, Model
from edge.pipeline import Pipeline
from edge.stages.alert import Alert
from edge.stages.classify import MaskClassifier
from edge.stages.decide import Decider
from edge.stages.detect import FaceDetector, cell_centres
from edge.stages.schedule import Scheduler
from edge.stages.track import Tracker
from edge.stages.watch import Watch
from tests.edge import forks

ROOT = Path(__file__).parents[2]
SIZE = 64
"""Height and width of the stub models' input."""
STRIDES = (8, 16)
PATIENCE_S = 20.0
"""Longest time that a test waits for something that normally comes at once."""
COMMAND_S = 180
"""Longest time that a command may take: on a busy machine the whole scene takes a minute."""
BARE: Mapping[str, float] = {"with_mask": 0.02, "without_mask": 0.97, "with_incorrect_mask": 0.01}
MASKED: Mapping[str, float] = {"with_mask": 0.98, "without_mask": 0.01, "with_incorrect_mask": 0.01}


def texture(height: int, width: int, seed: int = 0) -> Image:
    """Return sharp random colours, (height, width, 3) RGB uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def frame_of(image: Image, captured_s: float = 0.0, index: int = 0) -> Frame:
    return Frame(image, luma_of(image), captured_s, index)


def face(x: float, y: float = 100.0, width: float = 40.0, score: float = 0.9) -> Face:
    """Return a square face centred at (x, y)."""
    return Face(Box(x - width / 2, y - width / 2, x + width / 2, y + width / 2), score)


def contract(task: str, **more: Any) -> Contract:
    kind: dict[str, Any] = (
        {"output": "anchor-free", "strides": STRIDES}
        if task == "detector"
        else {"labels": LABELS, "compliant": "with_mask", "crop_margin": 0.2}
    )
    plain: dict[str, Any] = {
        "format": 1,
        "task": task,
        "name": "stub",
        "input": InputSpec(height=SIZE, width=SIZE, scale=1.0, offset=0.0),
        "sha256": "",
        "source_sha256": "",
        "quantization": "none",
        "reason": "",
        "versions": {},
        "parity": {},
    }
    return Contract(**{**plain, **kind, **more})


@dataclass
class StubInterpreter:
    """An interpreter with the same outputs for every input; ``seen`` records the inputs."""

    answers: Sequence[Stored]
    size: int = SIZE
    runtime: str = "stub 1"
    dtype: npt.DTypeLike = np.uint8
    scale: float = 1.0
    zero_point: int = 0
    seen: list[npt.NDArray[np.generic]] = field(default_factory=list)

    @property
    def input(self) -> TensorSpec:
        return TensorSpec("in", (1, self.size, self.size, 3), np.dtype(self.dtype), self.scale, self.zero_point)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec("out", a.shape, np.dtype(np.float32), 0.0, 0) for a in self.answers)

    def run(self, tensor: npt.NDArray[np.generic]) -> Sequence[Stored]:
        self.seen.append(tensor)
        return self.answers


def detector_answers(faces: Sequence[Face], size: int = SIZE) -> list[Floats]:
    """Return outputs of a detector that finds ``faces``, in input pixels: boxes (1, cells, 4), scores (1, cells, 1)."""
    centres, strides = cell_centres(size, size, STRIDES)
    scores, distances = np.zeros(len(strides), np.float32), np.zeros((len(strides), 4), np.float32)
    for one in faces:
        cell = int(np.argmin(np.abs(centres - np.array(one.box.centre)).sum(axis=1)))
        (x, y), box = centres[cell], one.box
        reach = np.array([x - box.xmin, y - box.ymin, box.xmax - x, box.ymax - y])
        scores[cell], distances[cell] = one.score, np.log(reach / strides[cell])
    return [distances[None], scores[None, :, None]]


def detector_of(faces: Sequence[Face], min_score: float = 0.2) -> FaceDetector:
    """Return a detector that finds ``faces`` (boxes in its 64 x 64 input) in every picture."""
    bundle = Bundle(b"", contract("detector"), {})
    return FaceDetector(Model(bundle, StubInterpreter(detector_answers(faces)), "stub"), min_score)


def classifier_of(probabilities: Mapping[str, float], **more: Any) -> MaskClassifier:
    """Return a classifier with the same ``probabilities`` for every face; ``more`` goes into its contract."""
    answer = np.array([list(probabilities.values())], np.float32)
    spec = contract("classifier", labels=tuple(probabilities), **more)
    return MaskClassifier(Model(Bundle(b"", spec, {}), StubInterpreter([answer]), "stub"))


def stages_of(settings: config.Settings, alert: Alert, camera: str = "") -> dict[str, Any]:
    """Return the real stages with a detector that always finds one face, without a mask."""
    return {
        "watch": Watch(settings.watch, settings.detect),
        "detector": detector_of([face(32, 32, 24)]),
        "tracker": Tracker(settings.track, settings.detect),
        "classifier": classifier_of(BARE),
        "decider": Decider(settings.decide, "with_mask", camera),
        "alert": alert,
        "camera": camera,
        "scheduler": Scheduler(settings.classify),
    }


def pipeline_of(settings: config.Settings, alert: Alert, camera: str = "", **stages: Any) -> Pipeline:
    """Return a pipeline of :func:`stages_of`, some of them replaced by ``stages``."""
    return Pipeline(**{**stages_of(settings, alert, camera), **stages})


def write_clip(path: Path, frames: int = 30, fps: float = 15.0, seed: int = 0) -> Path:
    """Write a video of 160 x 120 noise, an MP4 or, by its suffix, an AVI; return its path."""
    codec = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (160, 120))
    for i in range(frames):
        writer.write(texture(120, 160, seed + i))
    writer.release()
    return path


def command(*arguments: str | Path) -> list[str]:
    """Return the command line of the ``fmd`` that is installed beside this Python."""
    return [str(Path(sys.executable).with_name("fmd")), *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment with simulated pins."""
    return {**os.environ, "GPIOZERO_PIN_FACTORY": "mock", **more}


def fmd(*arguments: str | Path, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the real command and return its result; in a fork, unless Python itself must start in another way."""
    if not any(key.startswith("PYTHON") for key in more):
        return forks.run([str(word) for word in arguments], cwd, environment(**more), COMMAND_S)
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
        cwd=cwd,
        env=environment(**more),
    )


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(seen: Callable[[], object], patience_s: float = 3 * PATIENCE_S) -> None:
    """Wait until ``seen`` returns something true; it may have to wait for a broker or a browser on a busy machine."""
    until_s = time.monotonic() + patience_s
    while not seen() and time.monotonic() < until_s:
        threading.Event().wait(0.005)
    assert seen()


class RecordingPublisher:
    """A publisher that records its messages; it fails with ``fails``, and hangs while ``free`` is not set."""

    kinds = frozenset(MessageKind)

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.tries = 0
        self.fails: Exception | None = None
        self.free = threading.Event()
        self.free.set()
        self.hangs = threading.Event()
        self.opened = self.closed = False

    def open(self) -> None:
        self.opened = True

    def send(self, message: Message) -> None:
        self.tries += 1
        if not self.free.is_set():
            self.hangs.set()
            self.free.wait()
        if self.fails is not None:
            raise self.fails
        self.got.append(message)

    def close(self) -> None:
        self.closed = True

    def values_of(self, kind: MessageKind) -> list[Any]:
        """Return the values of all messages of one kind so far."""
        return [message.values for message in self.got if message.kind is kind]


LED, BUZZER = 17, 27
"""Default pins of both outputs."""


class Systemd:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))

    def received(self) -> list[str]:
        """Return the messages since the last call."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


def settings_for(clip: Path, **changed: Any) -> config.Settings:
    more = {key.replace("__", "."): value for key, value in changed.items()}
    return config.load(None, {"camera.source": str(clip), "alert.driver": "gpiozero", **more})


def nothing(_: Step | Decision) -> None:
    """Ignore a step or a decision."""


def levels(mock_pins: Any, number: int) -> list[bool]:
    """Return every state of a pin so far."""
    return [state.state for state in mock_pins.pin(number).states]


def assert_off_and_released(mock_pins: Any) -> None:
    from gpiozero import DigitalOutputDevice

    assert not mock_pins.pin(LED).state
    assert not mock_pins.pin(BUZZER).state
    for number in (LED, BUZZER):
        DigitalOutputDevice(number).close()  # raises PinInUse if the service still holds it


class LiveCamera(fake_picamera2.Picamera2):
    """The fake camera, which gives about twenty pictures a second forever."""

    interval = threading.Event()

    def capture_request(self, wait: float | None = None) -> fake_picamera2.Request:
        self.interval.wait(0.05)  # never set: each wait is one frame interval
        return fake_picamera2.Request(texture(240, 320), self.configuration)

    def configure(self, configuration: dict[str, Any]) -> None:
        super().configure(configuration)
        self.configuration = configuration
