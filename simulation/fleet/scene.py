"""People who come past a simulated door: drawn as coloured patches, and read by a scripted detector and model.

The detector knows where the people of its door are, and the model reads the colour of a crop. Both take microseconds,
so that a hundred doors fit on a laptop. All other stages are fmd's own.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edge.config import Settings
from edge.contracts import (
    LABELS,
    WITH_INCORRECT_MASK,
    WITH_MASK,
    WITHOUT_MASK,
    Box,
    Face,
    Floats,
    Frame,
    Image,
    Stored,
    TensorSpec,
    luma_of,
)
from edge.drivers.doorway import draw_doorway
from edge.inference.bundle import Bundle, Contract, InputSpec, Model
from edge.pipeline import Pipeline
from edge.stages.alert import Alert
from edge.stages.classify import MaskClassifier
from simulation.stages import joined

WIDTH, HEIGHT = 160, 120
FACE = 56
"""Width of a face in pixels; wide enough that an observation of it counts fully."""
SHARES = {WITH_MASK: 0.8, WITHOUT_MASK: 0.15, WITH_INCORRECT_MASK: 0.05}
"""Label -> share of the people who wear their mask so."""
STAY_S = (4.0, 9.0)
"""Shortest and longest time that a person is in view."""
SIDE = 68
"""Height and width of the model's input."""
NOISE = 16
"""Number of pictures of noise that take turns: a picture that repeats to the last bit is a frozen camera's."""
MISREAD = 1 / 40
"""Share of observations in which the model leans to another label."""


class Visit(NamedTuple):
    """One person at the door, from ``from_s`` to ``to_s``, who wears the mask as ``label`` says."""

    from_s: float
    to_s: float
    label: str

    def box(self, at_s: float) -> Box:
        """Return where the face is: it sways a little, as people do."""
        x = (WIDTH - FACE) / 2 + 6 * math.sin(2 * at_s)
        y = (HEIGHT - FACE) / 2 + 3 * math.sin(5 * at_s)
        return Box(x, y, x + FACE, y + FACE)


def visits(seed: int, every_s: float, from_s: float) -> Iterator[Visit]:
    """Yield the people of one door without end, the earliest first: one every ``every_s`` on average, one at a time."""
    rng = np.random.default_rng(seed)
    labels, shares = list(SHARES), list(SHARES.values())
    at_s = from_s
    while True:
        stays_s = float(rng.uniform(*STAY_S))
        # Later than track.lost_s after the person before, who has left by then.
        at_s += 3.0 + float(rng.exponential(max(0.0, every_s - sum(STAY_S) / 2 - 3.0)))
        yield Visit(at_s, at_s + stays_s, str(rng.choice(labels, p=shares)))
        at_s += stays_s


class Scene:
    """What is in view of one door at a time of the monotonic clock. Equal seeds give equal scenes.

    After a stall, the threads of the old and of the new reader of a camera may both ask for a moment.
    """

    def __init__(self, seed: int, every_s: float, from_s: float) -> None:
        self._visits = visits(seed, every_s, from_s)
        self._now, self._lock = next(self._visits), threading.Lock()

    def visit(self, at_s: float) -> Visit | None:
        """Return who is in view; times must not go back."""
        with self._lock:
            while at_s >= self._now.to_s:
                self._now = next(self._visits)
            return self._now if at_s >= self._now.from_s else None


@dataclass(frozen=True)
class Pictures:
    """Pictures from which every door's frames are put together; one copy serves all doors of a process."""

    empty: Sequence[Image]
    faces: dict[str, Image]

    @classmethod
    def drawn(cls) -> Pictures:
        """Return the empty doorway with noise, and the patch of each label: its own channel is the brightest."""
        rng = np.random.default_rng(1)
        room = cv2.resize(draw_doorway(), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        empty = [np.clip(room + rng.normal(0, 2, room.shape).round(), 0, 255).astype(np.uint8) for _ in range(NOISE)]
        faces = {}
        for channel, label in enumerate(LABELS):
            patch = rng.integers(40, 120, (FACE, FACE, 3), dtype=np.uint8)
            patch[:, :, channel] += 120
            faces[label] = patch
        return cls(empty, faces)

    def picture(self, visit: Visit | None, at_s: float, index: int) -> Image:
        """Return the picture at a time, (HEIGHT, WIDTH, 3) RGB uint8, with the person who is in view."""
        scene = self.empty[index % NOISE].copy()
        if visit is not None:
            x, y = (round(v) for v in visit.box(at_s)[:2])
            scene[y : y + FACE, x : x + FACE] = self.faces[visit.label]
        return scene

    def frame(self, scene: Scene, at_s: float, index: int) -> Frame:
        """Return the frame of a scene at a time."""
        image = self.picture(scene.visit(at_s), at_s, index)
        return Frame(image, luma_of(image), at_s, index)


class ScriptedDetector:
    """Detector that knows who is in view; see :class:`edge.contracts.Detector`. ``takes_s`` is how long it works."""

    def __init__(self, scene: Scene, wait: Callable[[float], object] = time.sleep) -> None:
        self._scene, self._wait, self.takes_s = scene, wait, 0.0

    def detect(self, frame: Frame) -> tuple[Face, ...]:
        """See :class:`edge.contracts.Detector`."""
        if self.takes_s:
            self._wait(self.takes_s)
        visit = self._scene.visit(frame.captured_s)
        return () if visit is None else (Face(visit.box(frame.captured_s), 0.9),)


class ColourReader:
    """Interpreter that reads a crop's brightest channel; see :class:`edge.contracts.Interpreter`."""

    runtime = "scripted"
    input = TensorSpec("crop", (1, SIDE, SIDE, 3), np.dtype(np.uint8), 1.0, 0)
    outputs = (TensorSpec("labels", (1, len(LABELS)), np.dtype(np.float32), 0.0, 0),)

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def run(self, tensor: npt.NDArray[np.generic]) -> Sequence[Stored]:
        """Return the probabilities of one crop, (1, 3) float32; one crop in forty leans to another label."""
        middle = np.asarray(tensor)[0, SIDE // 3 : -SIDE // 3, SIDE // 3 : -SIDE // 3]
        said, sure = int(middle.mean(axis=(0, 1)).argmax()), self._rng.uniform(0.85, 0.999)
        if self._rng.random() < MISREAD:
            said, sure = (said + 1) % len(LABELS), self._rng.uniform(0.55, 0.7)
        answer: Floats = np.full((1, len(LABELS)), (1 - sure) / (len(LABELS) - 1), np.float32)
        answer[0, said] = sure
        return [answer]


CONTRACT = Contract(
    format=1,
    task="classifier",
    name="scripted",
    input=InputSpec(height=SIDE, width=SIDE, scale=1.0, offset=0.0),
    sha256="0" * 64,
    source_sha256="0" * 64,
    quantization="none",
    reason="a simulated door has no model",
    versions={},
    parity={},
    labels=LABELS,
    compliant=WITH_MASK,
)


def pipeline_of(settings: Settings, alert: Alert, detector: ScriptedDetector, seed: int) -> Pipeline:
    """Return fmd's stages for one door; only detector and model are scripted."""
    classifier = MaskClassifier(Model(Bundle(b"", CONTRACT, {}), ColourReader(seed), "scripted"))
    return joined(settings, detector, classifier, alert)
