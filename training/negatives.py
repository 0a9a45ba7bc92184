"""Hard negatives: what a detector takes for a face and is none.

Backs of heads, hands and lamps reach the classifier as faces. Shown to it under a label of their own
(:data:`training.data.NOT_A_FACE`) it rejects them (cascades: Viola and Jones 2001,
doi 10.1109/CVPR.2001.990517); shown to the detector it stops finding them (hard negative mining: Sung and Poggio 1998,
doi 10.1109/34.655648).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from converter.tables import Picture
from edge.contracts import Box, Frame
from edge.errors import DataError
from edge.stages.detect import FaceDetector
from training import results, teacher
from training.data import NOT_A_FACE, load_image, with_progress

MIN_SCORE = 0.1
"""Faces with a lower score never reach the classifier, not even to continue a track."""
MOST = 8
"""Negatives of one picture, at most; the most face-like ones."""
SMALLEST = 12.0
CLEAR_IOU, CLEAR_SHARE = 0.1, 0.25
"""Largest overlap of a negative with a face, and largest share of the negative that lies on one."""


def mine(pictures: Sequence[Picture], detector: FaceDetector, onnx: Path, out: Path) -> tuple[int, int]:
    """Write a boxes CSV of hard negatives in training pictures; return (pictures searched, negatives).

    A negative is what ``detector`` finds where neither a label nor the teacher (YuNet, see :mod:`training.teacher`)
    has a face: unlabelled faces must not be taught as none.
    """
    train = [picture for picture in pictures if picture.split == "train"]
    if not train:
        raise DataError("no picture is in the split train; negatives are mined there only")
    look = teacher.open_teacher(onnx)
    rows: list[list[object]] = []
    for picture in with_progress(train, "mining"):
        image, scale = load_image(picture.path)
        faces = [Box(*(v * scale for v in face.box)) for face in picture.faces]
        faces += [box for box, _ in teacher.look(look, image)]
        found = [face.box for face in detector.detect(Frame(image, image[:, :, 1], 0.0, 0))]
        chosen = [b for b in found if b.width >= SMALLEST and all(clear_of(b, face) for face in faces)][:MOST]
        rows += teacher.rows(picture, image, [(Box(*(v / scale for v in box)), NOT_A_FACE) for box in chosen])
    results.write_csv(out, teacher.COLUMNS, rows)
    return len(train), len(rows)


def added(pictures: Sequence[Picture], others: Sequence[Picture]) -> list[Picture]:
    """Return ``pictures`` with the boxes that ``others`` have of the same files (by path or name) added."""
    boxes = {key: other.faces for other in others for key in (other.name, str(other.path.resolve()))}
    return [
        replace(picture, faces=picture.faces + boxes.get(picture.name, boxes.get(str(picture.path.resolve()), ())))
        for picture in pictures
    ]


def clear_of(box: Box, face: Box) -> bool:
    """Return whether ``box`` contains almost nothing of ``face``."""
    return box.iou(face) <= CLEAR_IOU and box.intersection(face) <= CLEAR_SHARE * box.width * box.height
