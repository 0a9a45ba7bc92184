"""Model selection: which model files a run uses, opened and proven on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from edge import drivers, paths
from edge.config import ModelSettings, Settings
from edge.contracts import Detector, Interpreter
from edge.errors import BundleError, FmdError
from edge.files import native_name
from edge.inference import bundle, resize
from edge.inference.bundle import Model
from edge.service import shadow_run
from edge.service.model_proof import proving
from edge.service.model_store import ModelStore
from edge.service.shadow_run import ShadowedClassifier, ShadowedDetector, ShadowRun
from edge.stages.classify import MaskClassifier
from edge.stages.detect import FaceDetector

log = logging.getLogger(__name__)

OpenInterpreter = Callable[[bytes, int, str], Interpreter]
"""(flatbuffer, threads, runtime's name) -> interpreter, as :func:`edge.drivers.open_interpreter`."""


class Shadow(NamedTuple):
    """A new model that runs beside the current one, and the run that compares them."""

    model: Model
    run: ShadowRun


def load_model(settings: ModelSettings, task: str, opened: OpenInterpreter = drivers.open_interpreter) -> Model:
    """Return the model for ``task`` ("detector" or "classifier"), after replaying its golden inputs.

    Raises :class:`edge.errors.BundleError` or GoldenError if the model must not be trusted on this machine.
    """
    # Loaded before it is logged: a name in the log means that this file answers correctly on this board.
    path = model_path(settings, task)
    model = _open(path, task, settings, opened)
    log.info("%s %s on %s: golden inputs give the recorded answers", task, path, model.runtime)
    return model


def model_path(settings: ModelSettings, task: str) -> Path:
    """Return the file for ``task``: the one that the settings name, else the installed one, else the shipped one."""
    named = settings.detector if task == "detector" else settings.classifier
    return Path(native_name(named, BundleError)) if named else ModelStore().chosen(task) or shipped_model(task)


def shipped_model(task: str) -> Path:
    """Return the path of the model for ``task`` that fmd ships. Raises BundleError if it is missing."""
    path = paths.shipped_model(task)
    if not path.is_file():
        raise BundleError(f"{path}: the shipped {task} is missing; install fmd again, or name one in model.{task}")
    return path


def is_foreign(settings: ModelSettings) -> bool:
    """Return whether a driver opens the detector's file (YuNet's ONNX), which carries no contract of fmd's."""
    return drivers.detector_kind(settings.detector) != ""


def open_detector(
    settings: Settings, opened: OpenInterpreter = drivers.open_interpreter, shadow: Shadow | None = None
) -> Detector:
    """Return the detector that the settings name: one of fmd's model files, or YuNet's ONNX file."""
    if is_foreign(settings.model):
        return drivers.open_detector(Path(settings.model.detector), settings.detect.min_score)
    resize.without_pool()  # YuNet needs OpenCV's threads; for our small resizes they cost more than they save
    model, min_score = load_model(settings.model, "detector", opened), settings.detect.min_score
    if shadow is None or shadow.model.contract.task != "detector":
        return FaceDetector(model, min_score)
    new = FaceDetector(shadow.model, min_score)
    return ShadowedDetector(model, min_score, settings.detect.start_score, new, shadow.run)


def open_classifier(
    settings: Settings, opened: OpenInterpreter = drivers.open_interpreter, shadow: Shadow | None = None
) -> MaskClassifier:
    """Return the classifier that the settings name. Raises BundleError if it lacks a label that they accept."""
    model = load_model(settings.model, "classifier", opened)
    if shadow is None or shadow.model.contract.task != "classifier":
        classifier = MaskClassifier(model)
    else:
        classifier = ShadowedClassifier(model, MaskClassifier(shadow.model), shadow.run)
    # A misspelt label in the settings would never be accepted, and raise an alarm for everybody who wears it.
    unknown = set(settings.decide.accept) - set(classifier.labels)
    if unknown:
        raise BundleError(f"decide.accept: {sorted(unknown)}: no label of this model; it has {list(classifier.labels)}")
    return classifier


def begin_shadow_run(settings: Settings, opened: OpenInterpreter = drivers.open_interpreter) -> Shadow | None:
    """Return the model that ``fmd model install`` asks to run in the shadow, or None.

    A model that cannot be opened ends its shadow run at once; the door is watched with the current model.
    """
    request, folder = shadow_run.take_request(ModelStore().folder), paths.runtime_folder()
    if request is None:
        return None
    run = ShadowRun(request, folder / shadow_run.RESULT if folder else None)
    try:
        model = _open(Path(request.file), request.task, settings.model, opened)
    except FmdError as error:
        run.fail(error)
        return None
    log.info("shadow run of %s for %g s", request.file, request.seconds)
    return Shadow(model, run)


def _open(path: Path, task: str, settings: ModelSettings, opened: OpenInterpreter) -> Model:
    prove = proving(settings.runtime, settings.threads)
    model = bundle.load(path, task, lambda data: opened(data, settings.threads, settings.runtime), prove)
    model.replay()
    return model
