"""A new model on trial beside the old one: it sees the same live frames and decides nothing; disagreements are counted.

``fmd model install`` asks for it by a file in the state directory and a reload; the service answers, in its runtime
directory (memory, not the card), how it goes. The request is taken up once: should the new model take the process with
it, the next start is without.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge import state_file
from edge.contracts import Face, Frame, Observation, View
from edge.inference.bundle import Model
from edge.stages.classify import MaskClassifier
from edge.stages.detect import FaceDetector

log = logging.getLogger(__name__)

REQUEST, RESULT = "shadow-run.json", "shadow-run.json"
"""File names: the request in the model store, the result in the runtime directory."""
EXAMPLES = 10
SAME_IOU = 0.5
"""Boxes of two detectors that overlap as much are the same face."""
TELL_S = 1.0


class ShadowRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Model file to run in the shadow, its task, and for how many seconds of frames."""

    file: str
    task: str
    seconds: float


class ShadowResult(msgspec.Struct):
    """How a trial goes. ``looks`` are faces both judged, or faces either found; ``error`` ended it."""

    file: str
    task: str
    seconds: float
    ran_s: float = 0.0
    frames: int = 0
    observations: int = 0
    disagreed: int = 0
    examples: list[str] = []
    error: str = ""
    done: bool = False

    @property
    def share(self) -> float:
        """Of the views, those the two disagreed on, 0..1."""
        return self.disagreed / self.observations if self.observations else 0.0

    def add(self, same: bool, example: str) -> None:
        """One more look."""
        self.observations += 1
        self.disagreed += not same
        if not same and len(self.examples) < EXAMPLES:
            self.examples.append(example)


class ShadowRun:
    """The new model, and what becomes of it. ``answer`` is the file told how it goes."""

    def __init__(self, request: ShadowRequest, answer: Path | None) -> None:
        self.result = ShadowResult(request.file, request.task, request.seconds)
        self._answer, self._began_s, self._told_s = answer, float("nan"), float("-inf")
        self.tell()

    def due(self, now_s: float) -> bool:
        """Whether it goes on at this frame's time."""
        if self.result.error or self.result.done:
            return False
        if self._began_s != self._began_s:
            self._began_s = now_s
        ran_s = now_s - self._began_s
        if ran_s > self.result.seconds:
            self.result.done = True
            self.tell()
            return False
        self.result.ran_s = ran_s
        if now_s - self._told_s >= TELL_S:
            self._told_s = now_s
            self.tell()
        return True

    def fail(self, error: Exception) -> None:
        """The new model broke; the old one goes on alone."""
        self.result.error = f"{type(error).__name__}: {error}"
        log.error("the model on trial failed: %s", self.result.error)
        self.tell()

    def tell(self) -> None:
        """Write down how it goes."""
        if self._answer is None:
            return
        try:
            state_file.write_state(self._answer, self.result, for_all=True)
        except OSError as error:
            log.warning("%s: %s", self._answer, error.strerror)


class ShadowedClassifier(MaskClassifier):
    """The old classifier, and a new one that is asked beside it."""

    def __init__(self, model: Model, new: MaskClassifier, run: ShadowRun) -> None:
        super().__init__(model)
        self._new, self._run = new, run

    def classify(self, frame: Frame, views: Sequence[View]) -> list[Observation]:
        """Return the current model's observations; the two agree if both or neither find a well-worn mask."""
        observations = super().classify(frame, views)
        if self._run.due(frame.captured_s):
            try:
                for old, new in zip(observations, self._new.classify(frame, views), strict=True):
                    self._compare(old, new)
            except Exception as error:  # noqa: BLE001  whatever the new one does, the door stays watched
                self._run.fail(error)
        return observations

    def _compare(self, old: Observation, new: Observation) -> None:
        same = (old.label == self.compliant) == (new.label == self._new.compliant)
        said = f"{old.label} {old.score:.2f}, now {new.label} {new.score:.2f} (quality {old.quality:.2f})"
        self._run.result.add(same, said)


class ShadowedDetector(FaceDetector):
    """The old detector, and a new one that looks at the same frames. From ``start_score`` on a face is a person."""

    def __init__(self, model: Model, min_score: float, start_score: float, new: FaceDetector, run: ShadowRun) -> None:
        super().__init__(model, min_score)
        self._start_score, self._new, self._run = start_score, new, run

    def detect(self, frame: Frame) -> tuple[Face, ...]:
        """The old one's faces. They agree on a face that both find."""
        faces = super().detect(frame)
        if self._run.due(frame.captured_s):
            self._run.result.frames += 1
            try:
                self._compare(faces, self._new.detect(frame))
            except Exception as error:  # noqa: BLE001  whatever the new one does, the door stays watched
                self._run.fail(error)
        return faces

    def _compare(self, old: tuple[Face, ...], new: tuple[Face, ...]) -> None:
        for mine, others, who in ((old, new, "old"), (new, old, "new")):
            for face in (face for face in mine if face.score >= self._start_score):
                found = any(face.box.iou(other.box) >= SAME_IOU for other in others)
                if found and who == "new":
                    continue  # counted from the old one's side
                size = f"{face.box.width:.0f} x {face.box.height:.0f} pixels"
                self._run.result.add(found, f"a face of {size}, score {face.score:.2f}, found by the {who} one alone")


def write_request(folder: Path, request: ShadowRequest) -> None:
    """Have the next reload begin a trial; ``folder`` is the store's."""
    state_file.write_state(folder / REQUEST, request, for_all=True)


def take_request(folder: Path) -> ShadowRequest | None:
    """What was asked for, once."""
    try:
        data = (folder / REQUEST).read_bytes()
        (folder / REQUEST).unlink()
        return msgspec.json.decode(data, type=ShadowRequest)
    except (OSError, msgspec.MsgspecError):
        return None


def read_result(answer: Path) -> ShadowResult | None:
    """How the service says it goes; None where it does not say."""
    return state_file.read_state(answer, ShadowResult)
