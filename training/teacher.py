"""Boxes for pictures that have only a class: OpenCV's YuNet draws them, and those it is sure of are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from converter.tables import IGNORE, Picture
from edge.contracts import Box, Image
from edge.errors import DataError
from edge.files import native_name
from edge.stages.detect import PAD_VALUE
from training import results
from training.data import load_image, with_progress

SURE, POSSIBLE = 0.75, 0.3
SIDE = 320
"""Longest side, pixels, of the pictures that the teacher gets."""
SMALLEST = 8.0
COLUMNS = ("image", "split", "width", "height", "xmin", "ymin", "xmax", "ymax", "label", "group")


def draw_boxes(pictures: Sequence[Picture], onnx: Path, out: Path) -> tuple[int, int]:
    """Write a boxes CSV for class-folder pictures, labels from the folder; return (pictures kept, faces).

    A picture is kept where the teacher (YuNet: Wu et al. 2023, doi 10.1007/s11633-023-1423-y, through
    ``cv2.FaceDetectorYN``) is sure of one face or more; less sure ones are marked to be ignored.
    """
    teacher = open_teacher(onnx)
    kept, drawn = 0, list[list[object]]()
    for picture in with_progress(pictures, "drawing boxes"):
        image, _ = load_image(picture.path)
        found = look(teacher, image)
        if max((score for _, score in found), default=0.0) >= SURE:
            drawn += rows(picture, image, [(b, picture.label if score >= SURE else IGNORE) for b, score in found])
            kept += 1
    results.write_csv(out, COLUMNS, drawn)
    return kept, sum(row[-2] != IGNORE for row in drawn)


def open_teacher(onnx: Path) -> Any:
    """Open YuNet from its ``.onnx``, for :func:`look`."""
    if not onnx.is_file():
        raise DataError(f"{onnx}: no such teacher; give the path of a YuNet .onnx file")
    return cv2.FaceDetectorYN.create(native_name(onnx, DataError), "", (SIDE, SIDE), POSSIBLE)


def look(teacher: Any, image: Image) -> list[tuple[Box, float]]:
    """Return boxes, cut to the picture, and scores of what the teacher finds in (H, W, 3) RGB.

    The picture is padded first: faces that fill it are cut off at the border otherwise.
    """
    return [(face.box, face.score) for face in look_closely(teacher, image, SIDE)]


class TaughtFace(NamedTuple):
    """A face the teacher finds; ``landmarks`` (5, 2) x, y: eyes from left to right, nose tip, corners of the mouth."""

    box: Box
    score: float
    landmarks: npt.NDArray[np.float64]


def look_closely(teacher: Any, image: Image, side: int) -> list[TaughtFace]:
    """Return what the teacher finds in (H, W, 3) RGB at ``side`` pixels on the longer side; boxes stay inside."""
    height, width = image.shape[:2]
    pad = max(height, width) // 4
    padded = cv2.copyMakeBorder(image[:, :, ::-1], pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(PAD_VALUE,) * 3)
    scale = min(1.0, side / max(padded.shape[:2]))
    padded = np.ascontiguousarray(cv2.resize(padded, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    teacher.setInputSize((padded.shape[1], padded.shape[0]))
    out = []
    # A row: x, y, width, height, ten numbers of landmarks, score.
    for row in [] if (found := teacher.detect(padded)[1]) is None else found:
        x, y, right, bottom = (float(v) / scale - pad for v in (row[0], row[1], row[0] + row[2], row[1] + row[3]))
        box = Box(max(0.0, x), max(0.0, y), min(float(width), right), min(float(height), bottom))
        landmarks = np.asarray(row[4:14], np.float64).reshape(5, 2) / scale - pad
        out.append(TaughtFace(box, float(row[14]), landmarks))
    return out


def rows(picture: Picture, image: Image, labelled: Sequence[tuple[Box, str]]) -> list[list[object]]:
    """Return boxes and labels of at least 8 x 8 pixels as rows of a boxes CSV (:data:`COLUMNS`)."""
    height, width = image.shape[:2]
    # Absolute: the table may lie anywhere, and its reader searches beside it.
    place = [str(picture.path.resolve()), picture.split, width, height]
    return [
        [*place, *(round(v, 1) for v in box), label, picture.group]
        for box, label in labelled
        if box.width >= SMALLEST and box.height >= SMALLEST
    ]
