"""Faces, labels and probabilities of single pictures: behind ``fmd predict`` and the Python API.

A picture has no past, so nothing here decides as the door does: both networks run on the picture and on its mirror
image, and each face gets one observation, the mean. What detector and classifier together take for no face
(:mod:`edge.inference.evidence`) gets none.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TextIO

import msgspec
import numpy as np

from edge.config import CameraSettings
from edge.contracts import PICTURE_SUFFIXES, Box, Camera, Detector, Face, Frame, Image, Observation, Outcome
from edge.drivers import clip, folder
from edge.errors import CameraError, DataError
from edge.files import begins_with, native_name
from edge.inference.evidence import is_face
from edge.reporting.annotate import COLOURS, Mark, blur_face, draw_heat, draw_marks
from edge.stages.classify import MaskClassifier

COLUMNS = ("image", "xmin", "ymin", "xmax", "ymax", "score", "label")
"""Columns of the CSV before the probabilities; ``score`` is the detector's."""
MAX_PICTURE = 256 << 20
"""Size of a file, bytes, above which it can only be a clip: a picture is read as a whole."""
NO_PROBABILITIES: Mapping[str, float] = MappingProxyType({})


class PredictedFace(msgspec.Struct, frozen=True, eq=False):
    """Face in a picture. ``box`` is in pixels of the picture, ``score`` (0..1) is the detector's confidence.

    ``observation`` is what the classifier says of the face, None where it was not asked or doubts that this is a face.
    """

    box: Box
    score: float
    observation: Observation | None

    @property
    def label(self) -> str | None:
        """Label with the highest probability, such as ``"with_mask"``; None without an observation."""
        return self.observation.label if self.observation else None

    @property
    def probabilities(self) -> Mapping[str, float]:
        """Probability (0..1) of each label, in the classifier's order; they sum to 1. Empty without an observation."""
        return self.observation.probabilities if self.observation else NO_PROBABILITIES


class Predictor:
    """Detector and classifier for single pictures. What both together take for no face gets no label."""

    def __init__(self, detector: Detector, classifier: MaskClassifier) -> None:
        self._detector, self._classifier = detector, classifier

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that a face can get, in the classifier's order."""
        return tuple(self._classifier.labels)

    def predict(self, picture: Image) -> list[PredictedFace]:
        """Return the faces of ``picture``, (height, width, 3) uint8 in R, G, B order, the highest score first.

        Raises DataError for an array of another shape or type.
        """
        if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or not _is_picture(picture.shape):
            got = f"{picture.dtype} {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
            raise DataError(
                f"picture: got {got}, expected uint8 (height, width, 3) in R, G, B order, "
                f"as edge.read_picture returns it"
            )
        return self.predict_frame(Frame(picture, None, 0.0, 0))

    def predict_frame(self, frame: Frame) -> list[PredictedFace]:
        """Return the faces of a camera's or clip's frame, the highest score first."""
        return [
            PredictedFace(face.box, face.score, self._observed(frame, face)) for face in self._detector.detect(frame)
        ]

    def _observed(self, frame: Frame, face: Face) -> Observation | None:
        observation = self._classifier.classify_single(frame, face)
        return observation if is_face(face.score, observation.background) else None

    def annotated(self, picture: Image, faces: Sequence[PredictedFace], show_faces: bool) -> Image:
        """Return a copy of ``picture`` with every labelled face marked, under its heat map where the model has one.

        All ``faces`` are blurred unless ``show_faces`` is set: one without a label may well be a face.
        """
        picture = picture.copy()
        if not show_faces:
            for face in faces:
                blur_face(picture, face.box)
        observed = [(face.box, face.observation) for face in faces if face.observation]
        # All maps first: a map is as large as its crop and would cover the neighbour's frame and label.
        for _, observation in observed:
            if observation.heat:
                draw_heat(picture, observation.heat)
        marks = []
        for box, observation in observed:
            good = observation.label == self._classifier.compliant
            colour = COLOURS[Outcome.COMPLIANT if good else Outcome.VIOLATION]
            marks.append(Mark(box, f"{observation.label} {observation.score:.2f}", colour))
        draw_marks(picture, marks)
        return picture


def _is_picture(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[2] == 3 and min(shape) > 0


def read_picture(path: str | Path) -> Image:
    """Return a picture file as (height, width, 3) uint8 in R, G, B order; CameraError where it is unreadable."""
    return np.ascontiguousarray(folder.read_picture(Path(path)).image)


def named_frames(
    source: Path, settings: CameraSettings, on_unreadable: Callable[[CameraError], None]
) -> Iterator[tuple[str, Frame]]:
    """Yield every picture under ``source`` with its file name, or every frame of a clip as ``clip.mp4#12``, once.

    An unreadable picture of a folder goes to ``on_unreadable`` and is left out. Raises CameraError at once where there
    is nothing to read, and for a single picture that is unreadable.
    """
    if source.is_dir():
        return _pictures_of(folder.pictures_in(source), on_unreadable)
    if not source.is_file():
        raise CameraError(f"{source}: no such file or folder; give a picture, a folder of pictures, or a clip")
    # The content decides: every clip that fmd run plays, and pictures of any name.
    picture = _picture_of(source)
    if picture is not None:
        return iter([(source.name, picture)])
    name = native_name(source, CameraError)
    try:
        # A clip that loops, as the settings of a rehearsal may ask, would never end here.
        camera = clip.Clip(msgspec.structs.replace(settings, loop=False), name, lambda: 0.0)
    except CameraError as error:
        raise CameraError(
            f"{source}: neither a picture nor a video that OpenCV can read: empty, damaged, or of an unknown format"
        ) from error
    return _frames_of(camera, source)


def _picture_of(source: Path) -> Frame | None:
    """Return the only picture of a file, or None if it may be a clip. Raises CameraError for a damaged picture."""
    if source.suffix.lower() not in PICTURE_SUFFIXES and source.stat().st_size > MAX_PICTURE:
        return None
    try:
        return folder.read_picture(source, report_animation=True)
    except CameraError:
        if source.suffix.lower() in PICTURE_SUFFIXES:
            raise
        return None


def _pictures_of(paths: Sequence[Path], on_unreadable: Callable[[CameraError], None]) -> Iterator[tuple[str, Frame]]:
    for path in paths:
        try:
            frame = folder.read_picture(path, report_animation=True)
        except CameraError as error:
            on_unreadable(error)
        else:
            yield path.name, frame


def _frames_of(camera: Camera, source: Path) -> Iterator[tuple[str, Frame]]:
    try:
        while (frame := camera.read()) is not None:
            yield f"{source.name}#{frame.index}", frame
    finally:
        camera.close()


def is_table(path: Path) -> bool:
    """Return whether a file is such a CSV: its first columns are :data:`COLUMNS`. Raises OSError."""
    return begins_with(path, ",".join(COLUMNS).encode())


def write_header(handle: TextIO, labels: Sequence[str]) -> None:
    """Write the names of the CSV's columns: :data:`COLUMNS`, then ``p_LABEL`` for each of ``labels``."""
    # A bare newline and not the writer's "\r\n": files of earlier versions begin so, and must not change.
    handle.write(",".join([*COLUMNS, *(f"p_{label}" for label in labels)]) + "\n")


def write_rows(handle: TextIO, name: str, faces: Sequence[PredictedFace], labels: Sequence[str]) -> None:
    """Write one CSV row per face of the picture ``name``; label and probabilities are empty without an observation."""
    writer = csv.writer(handle)
    for face in faces:
        # Tenths of a pixel and ten-thousandths are finer than any model here is exact, and keep files small.
        chances = [round(face.probabilities[label], 4) if face.probabilities else "" for label in labels]
        box = (round(v, 1) for v in face.box)
        writer.writerow([name, *box, round(face.score, 4), face.label or "", *chances])


def write_json(handle: TextIO, name: str, picture: Image, faces: Sequence[PredictedFace]) -> None:
    """Write the faces of the picture ``name`` as one line of JSON; a picture without faces has a line as well."""
    height, width = picture.shape[:2]
    listed = [
        {
            "box": [round(v, 1) for v in face.box],
            "score": round(face.score, 4),
            "label": face.label,
            "probabilities": {label: round(p, 4) for label, p in face.probabilities.items()},
        }
        for face in faces
    ]
    handle.write(json.dumps({"image": name, "width": width, "height": height, "faces": listed}) + "\n")
