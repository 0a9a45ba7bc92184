"""Faces and labels of pictures or of a clip's frames, each on its own, as a CSV: for measuring, not for a door.

A CSV row is image,xmin,ymin,xmax,ymax,score,label; ``score`` is the detector's. What detector and classifier together
hold for no face (:mod:`edge.inference.evidence`) gets no label: it decides nothing at the door either.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import msgspec

from edge.config import CameraSettings
from edge.contracts import Camera, Detector, Face, Frame, Image, Observation, Outcome
from edge.drivers import clip, folder
from edge.errors import CameraError
from edge.inference.evidence import is_face
from edge.reporting.annotate import COLOURS, blur_face, draw_box, draw_heat
from edge.stages.classify import MaskClassifier

COLUMNS = ("image", "xmin", "ymin", "xmax", "ymax", "score", "label")
Found = list[tuple[Face, Observation | None]]
"""Faces of one frame, best first, with their observations; None where nothing is held of them."""
CLIP_ENDINGS = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v")


def named_frames(
    source: Path, settings: CameraSettings, on_unreadable: Callable[[CameraError], None]
) -> Iterator[tuple[str, Frame]]:
    """Every picture under ``source`` with its file name, or every frame of a clip as ``clip.mp4#12``, once.

    A picture of a folder that cannot be read is handed to ``on_unreadable`` and left out. Raises CameraError at once
    where there is nothing to read, and for a single picture that cannot be.
    """
    if source.is_dir():
        return _pictures_of(folder.pictures_in(source), on_unreadable)
    if not source.is_file():
        raise CameraError(f"{source}: no such file or folder; give a picture, a folder of pictures, or a clip")
    if source.suffix.lower() in CLIP_ENDINGS:
        return _frames_of(clip.Clip(msgspec.structs.replace(settings, loop=False), str(source), lambda: 0.0), source)
    return iter([(source.name, folder.read_picture(source))])


def _pictures_of(paths: Sequence[Path], on_unreadable: Callable[[CameraError], None]) -> Iterator[tuple[str, Frame]]:
    for path in paths:
        try:
            frame = folder.read_picture(path)
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


class Predictor:
    """Detector and classifier on single frames; what both together hold for no face stays without a label."""

    def __init__(self, detector: Detector, classifier: MaskClassifier) -> None:
        self._detector, self._classifier = detector, classifier

    def predict(self, frame: Frame) -> Found:
        """Return the faces of a frame, best first, with their observations; None for what counts as no face."""
        return [(face, self._judged(frame, face)) for face in self._detector.detect(frame)]

    def _judged(self, frame: Frame, face: Face) -> Observation | None:
        observation = self._classifier.classify_single(frame, face)
        return observation if is_face(face.score, observation.background) else None

    def annotated(self, frame: Frame, found: Found, show_faces: bool) -> Image:
        """A copy of the frame with every labelled face drawn on it, under its heat map where the model gives one.

        Everything in ``found`` is blurred unless asked not to: what nothing is held of may well be a face.
        """
        picture = frame.image.copy()
        if not show_faces:
            for face, _ in found:
                blur_face(picture, face.box)
        judged = [(face, observation) for face, observation in found if observation is not None]
        for _, observation in judged:
            if observation.heat:
                draw_heat(picture, observation.heat)
        for face, observation in judged:
            good = observation.label == self._classifier.compliant
            colour = COLOURS[Outcome.COMPLIANT if good else Outcome.VIOLATION]
            draw_box(picture, face.box, f"{observation.label} {observation.score:.2f}", colour)
        return picture


def write_rows(handle: TextIO, name: str, found: Found) -> None:
    """Append a frame's faces to an open CSV."""
    writer = csv.writer(handle)
    for face, observation in found:
        writer.writerow(
            [name, *(round(v, 1) for v in face.box), round(face.score, 4), observation.label if observation else ""]
        )
