"""Labelled boxes replaced by a detector's own: the classifier then learns the crops that it gets at the door.

Sets draw boxes differently: around the face, around the head, around the mask. A detector draws all of them alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from converter.tables import IGNORE, LabelledFace, Picture
from edge.contracts import Box, Frame
from edge.stages.detect import FaceDetector
from training import gather, score
from training.data import NOT_A_FACE, load_image, with_progress


def redraw(pictures: Sequence[Picture], detector: FaceDetector, out: Path) -> tuple[int, int]:
    """Write a boxes CSV of the faces that ``detector`` finds, with its boxes; return (faces found, faces labelled).

    Pictures of the test split, boxes to ignore and boxes of no face are left out.
    """
    found: list[Picture] = []
    labelled = 0
    for picture in with_progress([p for p in pictures if p.split != "test"], "redrawing"):
        image, scale = load_image(picture.path)
        wanted = [face for face in picture.faces if face.label not in (IGNORE, NOT_A_FACE)]
        labelled += len(wanted)
        boxes = [Box(*(v / scale for v in face.box)) for face in detector.detect(Frame(image, None, 0.0, 0))]
        found.append(replace(picture, faces=tuple(redrawn(wanted, boxes))))
    gather.write(found, out)
    return sum(len(picture.faces) for picture in found), labelled


def mark_others(pictures: Sequence[Picture], detector: FaceDetector, out: Path) -> int:
    """Write the pictures with what ``detector`` finds beside their labelled boxes marked to ignore; return how many.

    For sets whose makers left small and blurred faces unlabelled: a detector must not learn that those are none.
    """
    marked: list[Picture] = []
    for picture in with_progress(pictures, "marking"):
        image, scale = load_image(picture.path)
        boxes = [Box(*(v / scale for v in face.box)) for face in detector.detect(Frame(image, None, 0.0, 0))]
        marked.append(replace(picture, faces=picture.faces + tuple(others(picture.faces, boxes))))
    gather.write(marked, out)
    return sum(len(picture.faces) for picture in marked) - sum(len(picture.faces) for picture in pictures)


def others(faces: Sequence[LabelledFace], boxes: Sequence[Box]) -> list[LabelledFace]:
    """Return as boxes to ignore those of ``boxes`` that are clear of every labelled one."""
    return [LabelledFace(box, IGNORE) for box in boxes if all(box.iou(face.box) < score.IGNORE_IOU for face in faces)]


def redrawn(faces: Sequence[LabelledFace], boxes: Sequence[Box]) -> list[LabelledFace]:
    """Return the faces that one of ``boxes`` (best first) finds, with that box; each box finds one face."""
    left = list(range(len(faces)))
    out: dict[int, LabelledFace] = {}
    for box in boxes:
        overlap, i = max(((box.iou(faces[i].box), i) for i in left), default=(0.0, -1))
        if overlap >= score.MIN_IOU:
            left.remove(i)
            out[i] = LabelledFace(box, faces[i].label)
    return [out[i] for i in sorted(out)]
