"""Types that pass between the stages, with their shapes, units and colour order. Nothing here imports another module.

Pictures are ``uint8`` arrays of shape (height, width, 3) in **RGB** order, always. Drivers convert at the border,
because OpenCV and picamera2's "RGB888" are B, G, R in memory. Coordinates are pixels of the full frame: x to the right,
y down, the maximum exclusive. Scores and probabilities are 0..1. Times are seconds on one monotonic clock and their
names end in ``_s``. Only :mod:`edge.service` and above read a clock; below it, time comes with the frame.
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

WITH_MASK, WITHOUT_MASK, WITH_INCORRECT_MASK = "with_mask", "without_mask", "with_incorrect_mask"
"""Labels of a face. A badly worn mask has signals of its own; a model may lack that label."""
LABELS = (WITH_MASK, WITHOUT_MASK, WITH_INCORRECT_MASK)
PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".avif", ".jp2", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
"""Suffixes, in lower case, of the picture files that every command reads."""


class Box(NamedTuple):
    """Rectangle in full-frame pixels; ``xmax`` and ``ymax`` are exclusive. It may reach out of the frame."""

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
        """Return the shared area in square pixels."""
        width = min(self.xmax, other.xmax) - max(self.xmin, other.xmin)
        # Most pairs do not overlap, and the tracker compares many pairs in every frame: leave early.
        if width <= 0:
            return 0.0
        return width * max(0.0, min(self.ymax, other.ymax) - max(self.ymin, other.ymin))

    def iou(self, other: Box) -> float:
        """Return the intersection over union, 0..1; 0 for boxes without area."""
        shared = self.intersection(other)
        if not shared:
            return 0.0
        union = self.width * self.height + other.width * other.height - shared
        return shared / union if union > 0 else 0.0


LUMA_WIDTH = 160
"""Approximate width, in pixels, of the brightness plane that is taken from a picture."""


def luma_of(image: Image) -> Image:
    """Return a small brightness plane (h, w) of an RGB picture.

    It takes every nth green value: green carries most of the brightness, and a strided copy costs next to nothing.
    """
    step = max(1, image.shape[1] // LUMA_WIDTH)
    return np.ascontiguousarray(image[::step, ::step, 1])


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and the time it was taken.

    ``image`` may be a view that reads B, G, R memory backwards (``bgr[:, :, ::-1]``): code that uses a part converts
    only that part. ``given_luma`` is the (h, w) uint8 brightness plane that a driver has at no cost (picamera2's
    low-resolution Y plane), or None. ``small`` makes a smaller (h, w, 3) RGB picture of the same view for the detector,
    where the driver can do so cheaper than by shrinking ``image``. ``hint`` says what is wrong with a camera that
    works, to the person who repairs it, and is empty otherwise. ``device`` is the camera that a ``camera.source``
    of "auto" found, and empty for a source that names one.
    """

    image: Image
    given_luma: Image | None
    captured_s: float
    index: int
    small: Callable[[], Image] | None = None
    hint: str = ""
    device: str = ""

    @cached_property
    def luma(self) -> Image:
        """A small (h, w) uint8 brightness plane of the view, computed at first use."""
        return luma_of(self.image) if self.given_luma is None else self.given_luma


class Face(msgspec.Struct, frozen=True):
    """A face that the detector found in one frame; ``score`` is its confidence."""

    box: Box
    score: float


class Turned(NamedTuple):
    """A face, and by how many degrees the picture must be turned clockwise to show it upright (0: not at all)."""

    degrees: int
    box: Box


class Track(msgspec.Struct, frozen=True):
    """One person over time, as of one frame.

    ``box`` is where the face is now: the last detection, moved on at constant velocity while ``missed`` > 0.
    ``missed`` counts the detections in a row that did not find the face.
    """

    id: int
    box: Box
    score: float
    entered_s: float
    seen_s: float
    missed: int


class View(NamedTuple):
    """A face that shall be classified, as it is or as its mirror image."""

    face: Face
    mirrored: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Heat:
    """Class activation map: which parts of the crop made the model choose its label.

    ``square`` is in full-frame pixels and may reach out of the picture. ``values`` (h, w) float32 are positive where
    the picture speaks for the label and negative where it speaks against it; their unit is the model's own.
    """

    square: Box
    values: Floats


class Observation(msgspec.Struct, frozen=True, eq=False):
    """One classification of one face: a probability for every label, and how far to trust it.

    ``probabilities`` sum to one over the labels of a face. ``quality`` is 0 for a useless crop (tiny, cut off, blurred)
    and 1 for a good one. ``background`` is the probability that this is no face at all, None if the model has no label
    for that. ``heat`` is None if the model has no heat map.
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


class Presence(Enum):
    """Who is at the door, as far as it matters for how often to run the detector."""

    NOBODY = "nobody"
    SETTLED = "settled"
    OPEN = "open"


class Outcome(Enum):
    """Result of a passage so far."""

    UNDECIDED = "undecided"
    COMPLIANT = "compliant"
    VIOLATION = "violation"
    UNSURE = "unsure"


class Passage(msgspec.Struct, frozen=True):
    """One person's way past the camera, from the first usable face to the last.

    ``label`` is the label with the most weight so far, empty before the first observation. ``violated`` stays true once
    the outcome was a violation. ``observations`` counts the observations that were used. ``signal`` is what the
    settings show for this outcome. After ``settled_s`` frequent observations add nothing: it lies in the past for a
    decided person without contrary evidence, and is infinite while the outcome may still change. ``suspicion`` is the
    share, 0..1, of the evidence that raises the alarm for a person without one. ``evidence`` is -1 to 1: at 1 it
    decides on a violation, at -1 it clears.
    """

    id: int
    outcome: Outcome
    label: str
    observations: int
    violated: bool
    entered_s: float
    changed_s: float
    seen_s: float
    signal: Signal
    settled_s: float = float("inf")
    suspicion: float = 0.0
    evidence: float = 0.0


class Change(Enum):
    """Why a decision is reported."""

    DECIDED = "decided"
    REVISED = "revised"
    LEFT = "left"
    PICTURE = "picture"
    """The face is a picture (``watch.static_s``, ``[sensor]``): this was no passage of a person."""


ENDS = frozenset({Change.LEFT, Change.PICTURE})
"""Changes that end a passage, and give no signal."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A reported change of a passage: it was decided, changed its outcome, or ended.

    ``camera`` names the camera if there are several, and is empty otherwise.
    """

    change: Change
    passage: Passage
    at_s: float
    camera: str = ""


class Signal(IntEnum):
    """What the outputs show; a higher value is more urgent.

    REMINDER and INCORRECT_MASK both stand for a badly worn mask. REMINDER is no alarm: the settings only show it.
    DISARMED takes the place of all signals for people; a blind camera is still shown.
    """

    RUNNING = 0
    UNSURE = 1
    REMINDER = 2
    DISARMED = 3
    BLIND = 4
    INCORRECT_MASK = 5
    NO_MASK = 6

    @property
    def alarming(self) -> bool:
        """True if voice, relay and messages act as well as LED and buzzer."""
        return self >= Signal.INCORRECT_MASK

    @property
    def state(self) -> str:
        """Name of this signal in messages, such as ``"no_mask"``."""
        return self.name.lower()

    @property
    def pattern(self) -> str:
        """Name of this signal's patterns in the settings, as in ``alert.led_no_mask``."""
        return "incorrect" if self in (Signal.REMINDER, Signal.INCORRECT_MASK) else self.state


class Assessment(NamedTuple):
    """What the decider concludes from one frame: all passages, what changed, and what the outputs shall show.

    ``signal`` is the most urgent signal of all passages; nothing else computes it. ``offenders`` are the ids of the
    people it is shown for. ``cleared`` is true if a person was decided who needs no signal (a door strike opens).
    """

    passages: tuple[Passage, ...]
    decisions: tuple[Decision, ...]
    signal: Signal
    offenders: tuple[int, ...]
    cleared: bool


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """Everything that the pipeline knows after one frame.

    ``awake`` is false if the gate skipped the frame. ``detected`` is false if the detector did not run: then ``faces``
    is empty and ``tracks`` are where people are expected. ``observations`` are by track id. ``timings_s`` maps the name
    of each stage that ran to its seconds. ``camera`` is empty if there is only one. ``ignored`` are further faces,
    outside the regions that are watched; ``pictures`` are tracks that count as pictures, not people. ``turned`` is the
    vote of a face on how the camera hangs, None in most frames. ``measured`` are the ids of those ``pictures`` that a
    presence sensor shows to be none but a picture, and ``sensor`` is what is wrong with that sensor, empty if nothing.
    """

    frame: Frame
    awake: bool
    detected: bool
    faces: tuple[Face, ...]
    tracks: tuple[Track, ...]
    observations: Mapping[int, Observation]
    passages: tuple[Passage, ...]
    decisions: tuple[Decision, ...]
    signal: Signal
    timings_s: Mapping[str, float]
    camera: str = ""
    ignored: tuple[Face, ...] = ()
    pictures: tuple[Track, ...] = ()
    turned: Turned | None = None
    measured: frozenset[int] = frozenset()
    sensor: str = ""

    @property
    def alarm(self) -> bool:
        """True if ``signal`` is an alarm."""
        return self.signal.alarming


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a frame reached the pipeline, as its camera worker knows.

    ``dropped`` counts this camera's frames that were outdated before the pipeline could take them, since the start.
    ``late_s`` is the time from the picture to the end of its step, None if the source is not live.
    """

    dropped: int = 0
    late_s: float | None = None


class CameraState(Enum):
    """What a live camera delivers. In every state but STREAMING a person could walk past unseen."""

    STARTING = "starting"
    STREAMING = "streaming"
    STALLED = "stalled"
    FROZEN = "frozen"
    DARK = "dark"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Health:
    """State of one camera; the service reports every change.

    STALLED gives no new picture and FROZEN the same one again and again. DARK gives a black picture or one without
    contrast (covered lens). LOST is unplugged, off the network, or cannot be opened. ``reason`` explains it in one line
    to the person who repairs it. ``since_s`` is when the state began. ``slow`` explains why a streaming camera is
    processed less often than the settings ask for, and is empty otherwise.
    """

    camera: str
    state: CameraState
    since_s: float
    reason: str = ""
    slow: str = ""

    @property
    def blind(self) -> bool:
        """True if a person could walk past unseen."""
        return self.state is not CameraState.STREAMING


class ModelFallback(NamedTuple):
    """A task that does not use its installed model: the files' names and why, in one line.

    ``wanted`` is empty if fmd cannot read which model was installed.
    """

    task: str
    wanted: str
    used: str
    reason: str


class Camera(Protocol):
    """A source of frames; :mod:`edge.drivers` implements it."""

    @property
    def live(self) -> bool:
        """True if frames arrive in real time whether read or not; false for files and folders."""

    def read(self) -> Frame | None:
        """Return the newest frame, or None if the source has ended.

        Raises :class:`edge.errors.CameraError` if the source is broken or lost.
        """

    def close(self) -> None:
        """Release the device. Safe to call twice."""


class Detector(Protocol):
    """Finds faces: :class:`edge.stages.detect.FaceDetector`, or a driver with a model format of its own."""

    def detect(self, frame: Frame) -> tuple[Face, ...]:
        """Return the faces of one frame, best first, in full-frame pixels, cut to the frame."""


class Interpreter(Protocol):
    """A loaded model; :mod:`edge.drivers` implements it."""

    @property
    def runtime(self) -> str:
        """Name and version of the runtime, such as ``"ai-edge-litert 2.3.0"``."""

    @property
    def input(self) -> TensorSpec: ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    def run(self, tensor: npt.NDArray[np.generic]) -> Sequence[Stored]:
        """Run one inference.

        ``tensor`` has the shape and dtype of :attr:`input`; the results are as :attr:`outputs` store them.
        """


class TensorSpec(NamedTuple):
    """A model tensor: ``real = (stored - zero_point) * scale``; scale 0 marks a float tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    scale: float
    zero_point: int

    def real(self, stored: Stored) -> Floats:
        """Return stored values of this tensor, or of a part of it, as float32 real values."""
        if not self.scale:
            return np.asarray(stored, np.float32)
        real: Floats = np.subtract(stored, np.float32(self.zero_point), dtype=np.float32)
        real *= np.float32(self.scale)
        return real

    def reading(self, function: Callable[[Floats], Floats]) -> Callable[[Stored], Floats]:
        """Return a callable that gives ``function`` of the real values behind stored ones.

        For bytes it is a table of 256 results, which is much quicker than computing thousands of them.
        """
        if not self.scale or np.dtype(self.dtype).itemsize > 1:
            return lambda stored: function(self.real(stored))
        # In the order of the bit patterns: negative int8 numbers index the second half of the table from its end.
        return function(self.real(np.arange(256).astype(np.uint8).view(self.dtype))).take


class Output(Protocol):
    """Something at the door that can be switched on and off: a lamp, a buzzer, a console line.

    It is off when constructed. ``close`` switches it off and releases the line; it is safe to call twice.
    """

    def set(self, on: bool) -> None: ...

    def close(self) -> None: ...


class Input(Protocol):
    """A contact at the door, such as a button; :mod:`edge.drivers` implements it."""

    def closed(self) -> bool:
        """Return whether the contact is closed now, without debouncing. Raises :class:`edge.errors.OutputError`."""

    def close(self) -> None:
        """Release the line. Safe to call twice."""


class Screen(Protocol):
    """A screen at the door that shows signs; :mod:`edge.drivers` implements it."""

    def show(self, kind: str, text: str) -> None:
        """Show a sign of a kind (thanks, please, remind, waiting) with a text; the empty kind is a dark screen.

        Raises :class:`edge.errors.OutputError`.
        """

    def close(self) -> None:
        """Leave the screen dark. Safe to call twice."""


class MessageKind(Enum):
    """What a message is about; :mod:`edge.messages` defines the content of each kind."""

    STATE = "state"
    DECISION = "decision"
    HEALTH = "health"
    METRICS = "metrics"
    ARMING = "arming"
    REPORT = "report"
    DRIFT = "drift"
    BUILD = "build"
    REMOVED = "removed"
    """The camera is no longer watched: what was published about it alone must be removed."""


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """Something to publish.

    ``at`` is wall-clock time in seconds since 1970 (UTC). ``content`` is a struct of :mod:`edge.messages`, None for
    REMOVED. ``picture`` makes the JPEG that goes with it, in which no face can be recognised; the publisher's thread
    calls it, because that takes milliseconds.
    """

    kind: MessageKind
    at: float
    camera: str
    content: msgspec.Struct | None
    picture: Callable[[], bytes] | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The content's fields as JSON types; empty for REMOVED."""
        return {} if self.content is None else dict(msgspec.to_builtins(self.content))


@dataclass(frozen=True, slots=True, eq=False)
class ConfiguredPublisher:
    """A configured publisher, not yet opened: ``open`` makes it, and raises what making one raises.

    ``wanted`` is everything that the publisher depends on; two of equal ``wanted`` are the same. It holds passwords.
    ``kept`` are kinds that must not be lost while it cannot send.
    """

    name: str
    wanted: object = field(repr=False)
    open: Callable[[], Publisher] = field(repr=False)
    kept: frozenset[MessageKind] = frozenset()


class Sensed(Enum):
    """What a presence sensor measures: warmth in degrees Celsius, or distance in metres."""

    WARMTH = "warmth"
    DISTANCE = "distance"


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One reading of a presence sensor, as the camera sees the view: its first row on top, its first column left.

    ``values`` (rows, columns) float32 are in the unit of ``sensed``, NaN where nothing was measured. ``field_deg`` is
    the field of view, width and height in degrees. ``began_s`` and ``ended_s`` are when the sensor measured.
    """

    sensed: Sensed
    values: Floats
    field_deg: tuple[float, float]
    began_s: float
    ended_s: float


class Sensor(Protocol):
    """A presence sensor beside the camera; :mod:`edge.drivers` implements it."""

    @property
    def sensed(self) -> Sensed:
        """What it measures."""

    @property
    def field_deg(self) -> tuple[float, float]:
        """Its field of view, width and height in degrees."""

    def read(self) -> Floats:
        """Wait for the next values and return them, (rows, columns) float32, as the sensor hangs upright.

        Raises :class:`edge.errors.SensorError` if the sensor does not answer.
        """

    def close(self) -> None:
        """Release the device. Safe to call twice."""


class SensorFeed(Protocol):
    """The newest reading of a sensor that another thread reads."""

    @property
    def newest(self) -> Reading | None:
        """The newest reading, None before the first and while the sensor fails."""

    @property
    def fault(self) -> str:
        """What is wrong with the sensor, in one line; empty while it works."""


class Publisher(Protocol):
    """A way to send messages; :mod:`edge.drivers` implements it.

    Constructing one checks what can be checked without the network. One thread, which may wait, makes all other calls.
    """

    @property
    def kinds(self) -> Collection[MessageKind]:
        """The kinds of message that it sends."""

    def open(self) -> None:
        """Begin, before the first message."""

    def send(self, message: Message) -> None:
        """Deliver a message, waiting a few seconds at most; raises PublishError if it has to be sent again."""

    def close(self) -> None:
        """Disconnect in order."""
