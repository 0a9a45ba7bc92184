"""What passes between the stages: shapes, units and colour order, said here and nowhere else.

Pictures are ``uint8`` arrays of shape (height, width, 3) in **RGB** order, always. Drivers convert at the
border (OpenCV and picamera2's "RGB888" are B, G, R in memory). Coordinates are pixels of the full frame,
x to the right, y down, the maximum exclusive. Scores and probabilities are 0..1. Times are seconds on one
monotonic clock and end in ``_s``; nobody below :mod:`edge.service.run` reads a clock, time comes with the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""(height, width, 3) uint8 RGB, or (height, width) uint8 where a docstring says luma."""

Floats = npt.NDArray[np.float32]

Stored = npt.NDArray[Any]
"""Values of a model's tensor as the file stores them: quantized, or float32."""


class Box(NamedTuple):
    """A rectangle in full-frame pixels; ``xmax`` and ``ymax`` are exclusive. May reach out of the frame."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float

    @property
    def width(self) -> float:
        return self.xmax - self.xmin

    @property
    def height(self) -> float:
        return self.ymax - self.ymin

    @property
    def centre(self) -> tuple[float, float]:
        return (self.xmin + self.xmax) / 2, (self.ymin + self.ymax) / 2

    def intersection(self, other: Box) -> float:
        """Shared area in square pixels."""
        width = min(self.xmax, other.xmax) - max(self.xmin, other.xmin)
        if width <= 0:
            return 0.0
        return width * max(0.0, min(self.ymax, other.ymax) - max(self.ymin, other.ymin))

    def iou(self, other: Box) -> float:
        """Intersection over union, 0..1; 0 for boxes without area."""
        shared = self.intersection(other)
        if not shared:
            return 0.0
        union = self.width * self.height + other.width * other.height - shared
        return shared / union if union > 0 else 0.0


LUMA_WIDTH = 160
"""About how wide the brightness plane is that is taken from a picture, in pixels."""


def luma_of(image: Image) -> Image:
    """A small brightness plane (h, w) of an RGB picture: every nth green value, which costs next to nothing."""
    step = max(1, image.shape[1] // LUMA_WIDTH)
    return np.ascontiguousarray(image[::step, ::step, 1])


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and when it was taken.

    ``image`` may be a view that reads B, G, R memory backwards (``bgr[:, :, ::-1]``): whoever uses a part of it
    converts that part and no more. ``given_luma`` is the (h, w) uint8 brightness plane a driver has for nothing
    (picamera2's low-resolution Y plane), None where it has none. ``small`` makes a smaller (h, w, 3) RGB picture of
    the same view, for the detector, where that costs a driver less than shrinking ``image``.
    """

    image: Image
    given_luma: Image | None
    captured_s: float
    index: int
    small: Callable[[], Image] | None = None

    @cached_property
    def luma(self) -> Image:
        """A small (h, w) uint8 brightness plane of the view; made when first asked for."""
        return luma_of(self.image) if self.given_luma is None else self.given_luma


class Face(msgspec.Struct, frozen=True):
    """A face found in one frame; ``score`` is the detector's confidence."""

    box: Box
    score: float


class Track(msgspec.Struct, frozen=True):
    """The same person over time, as of one frame.

    ``box`` is where the face is now (the last detection moved on at constant velocity while ``missed`` > 0);
    ``missed`` counts the detector's looks in a row that did not find it.
    """

    id: int
    box: Box
    score: float
    entered_s: float
    seen_s: float
    missed: int


WITH_MASK, WITHOUT_MASK, WITH_INCORRECT_MASK = "with_mask", "without_mask", "with_incorrect_mask"
"""Labels of a face. A badly worn mask has signals of its own; a model may lack that label."""
LABELS = (WITH_MASK, WITHOUT_MASK, WITH_INCORRECT_MASK)
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Suffixes, in lower case, of the picture files that every command reads."""


@dataclass(frozen=True, slots=True, eq=False)
class Heat:
    """Where the model looked for the label it gave: a class activation map over the square it was shown.

    ``square`` is in full-frame pixels and may reach out of the picture. ``values`` (h, w) float32 are above zero where
    the picture speaks for the label and below where against it; their unit is the model's own.
    """

    square: Box
    values: Floats


class Observation(msgspec.Struct, frozen=True, eq=False):
    """One look at one face: a probability for every label, and how far the look can be trusted.

    ``probabilities`` sum to one over the labels of a face. ``quality`` is 0 for a crop that says nothing (tiny, cut
    off, blurred) and 1 for a good one. ``background`` is the probability that this is no face at all, None where the
    model has no label for that. ``heat`` is None where the model tells of no map.
    """

    probabilities: Mapping[str, float]
    quality: float
    background: float | None = 0.0
    heat: Heat | None = None

    @property
    def label(self) -> str:
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def score(self) -> float:
        return max(self.probabilities.values())


class Outcome(Enum):
    """What is held of a person at the door."""

    UNDECIDED = "undecided"
    COMPLIANT = "compliant"
    VIOLATION = "violation"
    UNSURE = "unsure"


class Passage(msgspec.Struct, frozen=True):
    """One person's way past the door, from the first usable face to the last.

    ``label`` is the label of most weight so far, empty before the first look. ``violated`` stays true once the
    person was held to be in violation. ``looks`` counts observations used, ``belief`` is the probability (0..1)
    that the person is *not* wearing a mask as they should. ``signal`` is what the settings have shown for all that.
    """

    id: int
    outcome: Outcome
    label: str
    belief: float
    observations: int
    violated: bool
    entered_s: float
    changed_s: float
    seen_s: float
    signal: Signal


class Change(Enum):
    """Why a decision was told."""

    DECIDED = "decided"
    REVISED = "revised"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Decision:
    """Something worth telling: a passage was decided, changed its outcome, or ended."""

    change: Change
    passage: Passage
    at_s: float
    camera: str = ""
    """Which of several cameras saw it; empty where there is one."""


class Signal(IntEnum):
    """What the outputs show, the most urgent last.

    REMINDER and INCORRECT_MASK both stand for a badly worn mask: the first where the settings only show it.
    """

    RUNNING = 0
    UNSURE = 1
    REMINDER = 2
    BLIND = 3
    INCORRECT_MASK = 4
    NO_MASK = 5

    @property
    def alarming(self) -> bool:
        """True where the alarm goes off: voice, relay and messages beside LED and buzzer."""
        return self >= Signal.INCORRECT_MASK

    @property
    def pattern(self) -> str:
        """The patterns' name in the settings, as in ``alert.led_no_mask``."""
        return "incorrect" if self in (Signal.REMINDER, Signal.INCORRECT_MASK) else self.name.lower()


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """Everything one frame led to; what the log, the annotated picture and the tests read.

    ``awake`` is false when the gate let the frame cost nothing. ``looked`` is false where the detector was not asked:
    ``faces`` is empty then, and ``tracks`` are where people are expected. ``alarm`` is true where ``signal`` is an
    alarm. ``timings_s`` maps a stage's name to the seconds it took (only stages that ran).
    """

    frame: Frame
    awake: bool
    faces: tuple[Face, ...]
    tracks: tuple[Track, ...]
    observations: Mapping[int, Observation]
    passages: tuple[Passage, ...]
    decisions: tuple[Decision, ...]
    alarm: bool
    timings_s: Mapping[str, float]
    detected: bool = True
    camera: str = ""
    """Which of several cameras the frame is of; empty where there is one."""
    signal: Signal = Signal.RUNNING
    dropped: int = 0
    """How many frames of a live camera were stale so far before their turn came."""
    late_s: float | None = None
    """From the picture to the end of its step, seconds; None where the source is not live."""


class CameraState(Enum):
    """What a live camera gives. All but SEEING is blind: somebody could walk past and nobody would know."""

    STARTING = "starting"
    STREAMING = "streaming"
    STALLED = "stalled"
    FROZEN = "frozen"
    DARK = "dark"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Health:
    """How a camera is, as of one moment; the service tells every change of it.

    STALLED gives no new picture, FROZEN the same one again and again, DARK a black one or one without any contrast
    (covered lens), GONE is unplugged, off the network, or cannot be opened. ``reason`` says it in one line for the
    person who mends it; ``since_s`` is when the sight became what it is. ``camera`` names one of several. ``slow`` says
    why looks at what a seeing camera gives come more rarely than the settings ask for; it is empty where they do not.
    """

    camera: str
    state: CameraState
    since_s: float
    reason: str = ""
    slow: str = ""

    @property
    def blind(self) -> bool:
        """Whether somebody could walk past unseen."""
        return self.state is not CameraState.STREAMING


class Camera(Protocol):
    """A source of frames. Drivers implement it; see :mod:`edge.drivers`."""

    @property
    def live(self) -> bool:
        """True if frames arrive in real time whether read or not; false for files and folders."""

    def read(self) -> Frame | None:
        """The newest frame, or None where the source has ended.

        Raises :class:`edge.errors.CameraError` where the source is broken or gone.
        """

    def close(self) -> None:
        """Give the device back. Safe to call twice."""


class Detector(Protocol):
    """What finds faces: :class:`edge.stages.detect.FaceDetector`, or a driver that brings its own model format."""

    def detect(self, frame: Frame) -> tuple[Face, ...]:
        """Faces of one frame, best first, in full-frame pixels, cut to the frame."""


class Interpreter(Protocol):
    """A loaded TFLite model. Drivers implement it; see :mod:`edge.drivers`."""

    @property
    def runtime(self) -> str:
        """Name and version of the runtime, such as ``"ai-edge-litert 2.3.0"``."""

    @property
    def input(self) -> TensorSpec: ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    def run(self, tensor: npt.NDArray[np.generic]) -> Sequence[Stored]:
        """One inference: ``tensor`` has :attr:`input`'s shape and dtype, answers are as :attr:`outputs` store them."""


class TensorSpec(NamedTuple):
    """A model tensor: ``real = (stored - zero_point) * scale``; scale 0 marks a float tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    scale: float
    zero_point: int

    def real(self, stored: Stored) -> Floats:
        """Stored values of this tensor, or of a part of it, as float32 real ones."""
        if not self.scale:
            return np.asarray(stored, np.float32)
        real: Floats = np.subtract(stored, np.float32(self.zero_point), dtype=np.float32)
        real *= np.float32(self.scale)
        return real

    def reading(self, function: Callable[[Floats], Floats]) -> Callable[[Stored], Floats]:
        """What gives ``function`` of the real values behind stored ones: where those are bytes, by a table."""
        if not self.scale or np.dtype(self.dtype).itemsize > 1:
            return lambda stored: function(self.real(stored))
        # In the order of the bytes' patterns: its last half is found by negative numbers, too.
        return function(self.real(np.arange(256).astype(np.uint8).view(self.dtype))).take


class Output(Protocol):
    """Something that can be switched on and off at the door: a lamp, a buzzer, a console line.

    Off when constructed. ``close`` switches off and releases the line; safe to call twice.
    """

    def set(self, on: bool) -> None: ...

    def close(self) -> None: ...


class MessageKind(Enum):
    """What a message is about."""

    STATE = "state"
    """``state``: a :class:`Signal`'s name in lower case, or "off"."""
    DECISION = "decision"
    """``change``, ``outcome``, ``person``, ``label``, ``signal``, ``violated``, ``looks``, ``seconds``."""
    HEALTH = "health"
    """``sight`` of a camera and the ``reason``."""
    METRICS = "metrics"
    """Counts and the board's readings, flat."""
    REMOVED = "removed"
    """Nothing: the camera is watched no longer, and what was told of it alone is to be forgotten."""


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """Something to tell the world outside.

    ``at`` is the wall clock's time in seconds since 1970 (UTC). ``picture`` makes the JPEG that goes with it, in which
    no face can be recognised, where there is one: in the messenger's thread, as it takes milliseconds.
    """

    kind: MessageKind
    at: float
    camera: str
    values: Mapping[str, str | float | bool]
    picture: Callable[[], bytes] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ConfiguredPublisher:
    """Somebody the settings want told: ``open`` makes the messenger, and raises what making one does.

    ``wanted`` is all that depends on; two publishers that are equal in it are the same. It holds passwords.
    """

    name: str
    wanted: object = field(repr=False)
    open: Callable[[], Publisher] = field(repr=False)


class Publisher(Protocol):
    """A way out into the world. Drivers implement it; but for its making, all of it is called from one thread that may
    wait. Making one checks what can be checked without the network."""

    @property
    def kinds(self) -> Collection[MessageKind]:
        """What it wants to hear of."""

    def open(self) -> None:
        """Begin, before the first message."""

    def send(self, message: Message) -> None:
        """Deliver, waiting a few seconds at most; raises PublishError where it could not be, to be called again."""

    def close(self) -> None:
        """Say goodbye."""
