"""Shadow run: a new model runs beside the current one on the same live frames, and disagreements are counted.

The new model decides nothing. ``fmd model install`` requests the run by a file in the model store and a reload; the
service writes the result to its runtime directory, which is in memory and spares the card. A request is taken once,
in the boot in which it was made: if the new model crashes the process, the next start runs without it. The result
states which request was taken, because the service cannot delete it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge import board, state_file
from edge.contracts import Face, Frame, Observation, View
from edge.inference.bundle import Model
from edge.stages.classify import MaskClassifier
from edge.stages.detect import FaceDetector

log = logging.getLogger(__name__)

REQUEST, RESULT = "shadow-run.json", "shadow-run.json"
"""File names: the request in the model store, the result in the runtime directory."""
MAX_EXAMPLES = 10
SAME_IOU = 0.5
"""Overlap (intersection over union) from which boxes of two detectors are the same face."""
WRITE_S = 1.0
"""How often the result is written while the run goes on; `fmd model install` reads it twice a second."""


class ShadowRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Model file to run in the shadow, its task, and for how many seconds of frames.

    ``number`` is unique, and ``boot`` is the boot in which the request holds.
    """

    file: str
    task: str
    seconds: float
    number: str = ""
    boot: str = msgspec.field(default_factory=board.boot_id)


class ShadowResult(msgspec.Struct):
    """Result so far. ``observations`` are faces that both models classified, or that either detector found.

    ``error`` is why the run ended early, and empty otherwise.
    """

    file: str
    task: str
    seconds: float
    number: str = ""
    ran_s: float = 0.0
    frames: int = 0
    observations: int = 0
    disagreed: int = 0
    examples: list[str] = []
    error: str = ""
    done: bool = False

    @property
    def share(self) -> float:
        """Share of observations on which the two models disagree, 0..1."""
        return self.disagreed / self.observations if self.observations else 0.0

    def add(self, same: bool, example: str) -> None:
        """Add one observation."""
        self.observations += 1
        self.disagreed += not same
        if not same and len(self.examples) < MAX_EXAMPLES:
            self.examples.append(example)


class ShadowRun:
    """The comparison of two models over time. ``file`` receives the result; None writes nothing."""

    def __init__(self, request: ShadowRequest, file: Path | None) -> None:
        self.result = ShadowResult(request.file, request.task, request.seconds, request.number)
        self._file, self._began_s, self._written_s = file, float("nan"), float("-inf")
        self.reported = self.write()
        """Whether the result could be written."""

    def due(self, now_s: float) -> bool:
        """Return whether the run goes on at this frame's time."""
        if self.result.error or self.result.done:
            return False
        if self._began_s != self._began_s:  # NaN: the first frame starts the time
            self._began_s = now_s
        ran_s = now_s - self._began_s
        if ran_s > self.result.seconds:
            self.result.done = True
            self.write()
            return False
        self.result.ran_s = ran_s
        if now_s - self._written_s >= WRITE_S:
            self._written_s = now_s
            self.write()
        return True

    def fail(self, error: Exception) -> None:
        """End the run with an error of the new model; the current one goes on alone."""
        self.result.error = f"{type(error).__name__}: {error}"
        log.error("the shadow run failed: %s", self.result.error)
        self.write()

    def write(self) -> bool:
        """Write the result, if there is a file for it; return whether that worked."""
        if self._file is None:
            return True
        try:
            state_file.write_state(self._file, self.result, for_all=True)
        except OSError as error:
            log.warning("%s: %s", self._file, error.strerror)
            return False
        return True


class ShadowedClassifier(MaskClassifier):
    """The current classifier, and a new one that classifies the same faces."""

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
            except Exception as error:  # noqa: BLE001  whatever the new model does, the current one goes on
                self._run.fail(error)
        return observations

    def _compare(self, old: Observation, new: Observation) -> None:
        # Only what changes the outcome counts: two labels for the same violation are no disagreement.
        same = (old.label == self.compliant) == (new.label == self._new.compliant)
        example = f"{old.label} {old.score:.2f}, now {new.label} {new.score:.2f} (quality {old.quality:.2f})"
        self._run.result.add(same, example)


class ShadowedDetector(FaceDetector):
    """The current detector, and a new one on the same frames. Faces from ``start_score`` on are compared."""

    def __init__(self, model: Model, min_score: float, start_score: float, new: FaceDetector, run: ShadowRun) -> None:
        super().__init__(model, min_score)
        self._start_score, self._new, self._run = start_score, new, run

    def detect(self, frame: Frame) -> tuple[Face, ...]:
        """Return the current detector's faces; the two agree on a face that both find."""
        faces = super().detect(frame)
        if self._run.due(frame.captured_s):
            self._run.result.frames += 1
            try:
                self._compare(faces, self._new.detect(frame))
            except Exception as error:  # noqa: BLE001  whatever the new model does, the current one goes on
                self._run.fail(error)
        return faces

    def _compare(self, old: tuple[Face, ...], new: tuple[Face, ...]) -> None:
        for mine, others, who in ((old, new, "current"), (new, old, "new")):
            for face in (face for face in mine if face.score >= self._start_score):
                found = any(face.box.iou(other.box) >= SAME_IOU for other in others)
                if found and who == "new":
                    continue  # counted already, from the current detector's side
                size = f"{face.box.width:.0f} x {face.box.height:.0f} pixels"
                self._run.result.add(
                    found, f"a face of {size}, score {face.score:.2f}, found by the {who} detector alone"
                )


def write_request(folder: Path, request: ShadowRequest) -> None:
    """Ask the next reload for a shadow run; ``folder`` is the model store's. Raises OSError."""
    state_file.write_state(folder / REQUEST, request, for_all=True)


def withdraw_request(folder: Path) -> None:
    """Remove the request from the model store. Raises OSError."""
    (folder / REQUEST).unlink(missing_ok=True)


def open_request(folder: Path, result: Path) -> ShadowRequest | None:
    """Return the request in the model store, None if there is none or a run has taken it; ``result`` says which."""
    request = state_file.read_state(folder / REQUEST, ShadowRequest)
    if request is None or request.boot != board.boot_id():
        return None
    taken = read_result(result)
    return None if taken is not None and taken.number == request.number else request


def read_result(file: Path) -> ShadowResult | None:
    """Return the result that the service has written, or None."""
    return state_file.read_state(file, ShadowResult)
