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
from edge.contracts import Face, Frame, Verdict
from edge.inference.bundle import Model
from edge.stages.classify import Look, MaskClassifier
from edge.stages.detect import FaceDetector

log = logging.getLogger("fmd")

REQUEST, ANSWER = "trial.json", "trial.json"
"""The one in the store, the other in the runtime directory."""
EXAMPLES = 10
SAME_IOU = 0.5
"""Boxes of two detectors that overlap as much are the same face."""
TELL_S = 1.0


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which file is to be tried, for how many seconds of frames."""

    file: str
    task: str
    seconds: float


class Tally(msgspec.Struct):
    """How a trial goes. ``looks`` are faces both judged, or faces either found; ``error`` ended it."""

    file: str
    task: str
    seconds: float
    ran_s: float = 0.0
    frames: int = 0
    looks: int = 0
    disagreed: int = 0
    examples: list[str] = []
    error: str = ""
    done: bool = False

    @property
    def share(self) -> float:
        """Of the looks, those the two disagreed on, 0..1."""
        return self.disagreed / self.looks if self.looks else 0.0

    def add(self, same: bool, example: str) -> None:
        """One more look."""
        self.looks += 1
        self.disagreed += not same
        if not same and len(self.examples) < EXAMPLES:
            self.examples.append(example)


class Trial:
    """The new model, and what becomes of it. ``answer`` is the file told how it goes."""

    def __init__(self, request: Request, answer: Path | None) -> None:
        self.tally = Tally(request.file, request.task, request.seconds)
        self._answer, self._began_s, self._told_s = answer, float("nan"), float("-inf")
        self.tell()

    def due(self, now_s: float) -> bool:
        """Whether it goes on at this frame's time."""
        if self.tally.error or self.tally.done:
            return False
        if self._began_s != self._began_s:
            self._began_s = now_s
        ran_s = now_s - self._began_s
        if ran_s > self.tally.seconds:
            self.tally.done = True
            self.tell()
            return False
        self.tally.ran_s = ran_s
        if now_s - self._told_s >= TELL_S:
            self._told_s = now_s
            self.tell()
        return True

    def fail(self, error: Exception) -> None:
        """The new model broke; the old one goes on alone."""
        self.tally.error = f"{type(error).__name__}: {error}"
        log.error("the model on trial failed: %s", self.tally.error)
        self.tell()

    def tell(self) -> None:
        """Write down how it goes."""
        if self._answer is None:
            return
        try:
            state_file.leave(self._answer, self.tally, for_all=True)
        except OSError as error:
            log.warning("%s: %s", self._answer, error.strerror)


class TriedClassifier(MaskClassifier):
    """The old classifier, and a new one that is asked beside it."""

    def __init__(self, model: Model, new: MaskClassifier, trial: Trial) -> None:
        super().__init__(model)
        self._new, self._trial = new, trial

    def classify(self, frame: Frame, looks: Sequence[Look]) -> list[Verdict]:
        """The old one's verdicts. They agree where both say that the mask is worn as it should be, or both do not."""
        verdicts = super().classify(frame, looks)
        if self._trial.due(frame.captured_s):
            try:
                for old, new in zip(verdicts, self._new.classify(frame, looks), strict=True):
                    self._compare(old, new)
            except Exception as error:  # noqa: BLE001  whatever the new one does, the door stays watched
                self._trial.fail(error)
        return verdicts

    def _compare(self, old: Verdict, new: Verdict) -> None:
        same = (old.label == self.compliant) == (new.label == self._new.compliant)
        said = f"{old.label} {old.score:.2f}, now {new.label} {new.score:.2f} (quality {old.quality:.2f})"
        self._trial.tally.add(same, said)


class TriedDetector(FaceDetector):
    """The old detector, and a new one that looks at the same frames. From ``start_score`` on a face is a person."""

    def __init__(self, model: Model, min_score: float, start_score: float, new: FaceDetector, trial: Trial) -> None:
        super().__init__(model, min_score)
        self._start_score, self._new, self._trial = start_score, new, trial

    def detect(self, frame: Frame) -> tuple[Face, ...]:
        """The old one's faces. They agree on a face that both find."""
        faces = super().detect(frame)
        if self._trial.due(frame.captured_s):
            self._trial.tally.frames += 1
            try:
                self._compare(faces, self._new.detect(frame))
            except Exception as error:  # noqa: BLE001  whatever the new one does, the door stays watched
                self._trial.fail(error)
        return faces

    def _compare(self, old: tuple[Face, ...], new: tuple[Face, ...]) -> None:
        for mine, others, who in ((old, new, "old"), (new, old, "new")):
            for face in (face for face in mine if face.score >= self._start_score):
                found = any(face.box.iou(other.box) >= SAME_IOU for other in others)
                if found and who == "new":
                    continue  # counted from the old one's side
                size = f"{face.box.width:.0f} x {face.box.height:.0f} pixels"
                self._trial.tally.add(found, f"a face of {size}, score {face.score:.2f}, found by the {who} one alone")


def ask(folder: Path, request: Request) -> None:
    """Have the next reload begin a trial; ``folder`` is the store's."""
    state_file.leave(folder / REQUEST, request, for_all=True)


def take_up(folder: Path) -> Request | None:
    """What was asked for, once."""
    try:
        data = (folder / REQUEST).read_bytes()
        (folder / REQUEST).unlink()
        return msgspec.json.decode(data, type=Request)
    except (OSError, msgspec.MsgspecError):
        return None


def told(answer: Path) -> Tally | None:
    """How the service says it goes; None where it does not say."""
    return state_file.found(answer, Tally)
