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
from edge.service.model_choice import ModelChooser
from edge.service.model_choice import shipped_model as shipped_model
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


def load_model(
    settings: ModelSettings,
    task: str,
    opened: OpenInterpreter = drivers.open_interpreter,
    chooser: ModelChooser | None = None,
    strict: bool = False,
) -> Model:
    """Return the model for ``task`` ("detector" or "classifier"), after replaying its golden inputs.

    It is the one that the settings name, else the one that ``chooser`` chooses (default: the installed one); ``strict``
    is of :meth:`ModelChooser.open`. Raises :class:`edge.errors.BundleError` or GoldenError if no model can be trusted
    on this machine.
    """

    def open_one(path: Path) -> Model:
        # Opened before it is logged: a name in the log means that this file answers correctly on this board.
        model = _open(path, task, settings, opened)
        log.info("%s %s on %s: golden inputs give the recorded answers", task, path, model.runtime)
        return model

    if named := named_model(settings, task):
        return open_one(Path(native_name(named, BundleError)))
    return (chooser or ModelChooser()).open(task, open_one, strict)


def named_model(settings: ModelSettings, task: str) -> str:
    """Return the model file that the settings name for ``task``, or an empty text."""
    return settings.detector if task == "detector" else settings.classifier


def path_in_use(settings: ModelSettings, task: str, chooser: ModelChooser) -> Path:
    """Return the model file that this process uses for ``task``; :func:`load_model` has opened it."""
    named = named_model(settings, task)
    return Path(named) if named else chooser.used.get(task, Path())


def is_foreign(settings: ModelSettings) -> bool:
    """Return whether a driver opens the detector's file (YuNet's ONNX), which carries no contract of fmd's."""
    return drivers.detector_kind(settings.detector) != ""


def open_detector(
    settings: Settings,
    opened: OpenInterpreter = drivers.open_interpreter,
    shadow: Shadow | None = None,
    chooser: ModelChooser | None = None,
    strict: bool = False,
    mirrored: bool = False,
) -> Detector:
    """Return the detector that the settings name: one of fmd's model files, or YuNet's ONNX file.

    ``mirrored`` runs a model file on the mirrored picture as well, as :class:`FaceDetector` describes.
    """
    if is_foreign(settings.model):
        return drivers.open_detector(Path(settings.model.detector), settings.detect.min_score)
    resize.without_pool()  # YuNet needs OpenCV's threads; for our small resizes they cost more than they save
    model, min_score = load_model(settings.model, "detector", opened, chooser, strict), settings.detect.min_score
    if shadow is None or shadow.model.contract.task != "detector":
        return FaceDetector(model, min_score, mirrored=mirrored)
    new = FaceDetector(shadow.model, min_score)
    return ShadowedDetector(model, min_score, settings.detect.start_score, new, shadow.run)


def open_classifier(
    settings: Settings,
    opened: OpenInterpreter = drivers.open_interpreter,
    shadow: Shadow | None = None,
    chooser: ModelChooser | None = None,
    strict: bool = False,
) -> MaskClassifier:
    """Return the classifier that the settings name. Raises BundleError if it lacks a label that they accept."""
    chooser = chooser or ModelChooser()
    model = load_model(settings.model, "classifier", opened, chooser, strict)
    if shadow is None or shadow.model.contract.task != "classifier":
        classifier = MaskClassifier(model)
    else:
        classifier = ShadowedClassifier(model, MaskClassifier(shadow.model), shadow.run)
    # A misspelt label in the settings would never be accepted, and raise an alarm for everybody who wears it.
    unknown = set(settings.decide.accept) - set(classifier.labels)
    if unknown and "classifier" in chooser.fallbacks:
        # The settings are of the installed model; without its label the one in use gives an alarm too many.
        log.warning(
            "decide.accept: %s: no label of the model in use, which replaces the installed one", sorted(unknown)
        )
    elif unknown:
        raise BundleError(f"decide.accept: {sorted(unknown)}: no label of this model; it has {list(classifier.labels)}")
    return classifier


def begin_shadow_run(settings: Settings, opened: OpenInterpreter = drivers.open_interpreter) -> Shadow | None:
    """Return the model that ``fmd model install`` asks to run in the shadow, or None.

    A model that cannot be opened ends its shadow run at once; the door is watched with the current model.
    """
    folder = paths.runtime_folder()
    if folder is None:  # no place for the result
        return None
    request = shadow_run.open_request(ModelStore().folder, folder / shadow_run.RESULT)
    if request is None:
        return None
    run = ShadowRun(request, folder / shadow_run.RESULT)
    if not run.reported:  # it would be taken again after a crash
        return None
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
