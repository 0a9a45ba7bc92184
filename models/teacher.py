"""Boxes for pictures that have only a class: a face detector of OpenCV's draws them, the sure ones are kept."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edge.errors import DataError
from models.data import IGNORE, Picture, load_image, with_progress

SURE, POSSIBLE = 0.75, 0.3


def draw_boxes(pictures: Sequence[Picture], onnx: Path, out: Path) -> tuple[int, int]:
    """Write a boxes CSV for class-folder pictures, labels from the folder; returns (pictures kept, faces).

    A picture is kept where the teacher (YuNet: Wu et al. 2023, doi 10.1007/s11633-023-1423-y, through
    ``cv2.FaceDetectorYN``) is sure of one face or more; what it only suspects is marked to be ignored. Pictures
    are padded first: faces that fill them are cut off at the border otherwise.
    """
    if not onnx.is_file():
        raise DataError(f"{onnx}: no such teacher; give the path of a YuNet .onnx file")
    teacher = cv2.FaceDetectorYN.create(str(onnx), "", (320, 320), POSSIBLE)
    kept = faces = 0
    with out.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["image", "split", "width", "height", "xmin", "ymin", "xmax", "ymax", "label", "group"])
        for picture in with_progress(pictures, "drawing boxes"):
            image, _ = load_image(picture.path)
            height, width = image.shape[:2]
            pad = max(height, width) // 4
            padded = cv2.copyMakeBorder(image[:, :, ::-1], pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(114,) * 3)
            shrink = min(1.0, 320 / max(padded.shape[:2]))
            padded = np.ascontiguousarray(cv2.resize(padded, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA))
            teacher.setInputSize((padded.shape[1], padded.shape[0]))
            found = teacher.detect(padded)[1]
            if found is None or found[:, 14].max() < SURE:
                continue
            kept += 1
            for row in found:
                x, y = row[0] / shrink - pad, row[1] / shrink - pad
                box = [x, y, x + row[2] / shrink, y + row[3] / shrink]
                box[0::2] = [float(np.clip(v, 0, width)) for v in box[0::2]]
                box[1::2] = [float(np.clip(v, 0, height)) for v in box[1::2]]
                if box[2] - box[0] < 8 or box[3] - box[1] < 8:
                    continue
                label = picture.label if row[14] >= SURE else IGNORE
                faces += label != IGNORE
                # Absolute: the table may lie anywhere, and its reader looks beside it.
                file = str(picture.path.resolve())
                writer.writerow([file, picture.split, width, height, *(round(v, 1) for v in box), label, picture.group])
    return kept, faces
