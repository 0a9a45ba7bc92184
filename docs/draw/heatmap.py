"""The picture of the heat maps: ``python -m docs.draw.heatmap MODEL``.

It shows the portrait of the demo, which is in the public domain, as a model with a heat map sees it:

    fmd-convert models/mask_classifier.keras --heatmap --no-report --output MODEL
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import cv2
import numpy as np

from docs.draw.sheets import FOLDER
from edge import open_predictor
from edge.contracts import Image
from edge.drivers.doorway import draw_mask, load_portrait
from edge.reporting import annotate
from edge.reporting.predictor import Predictor

HEAD = np.s_[10:300, 80:370]
"""Rows and columns of the portrait that are shown."""
SIDE, GAP = 320, 8
"""Side of each of the four pictures and the space around it, pixels."""


def picture(predictor: Predictor) -> Image:
    """Return four pictures: without and with a mask in the columns, unblurred and blurred in the rows. RGB uint8."""
    portrait = load_portrait()
    faces = (portrait, draw_mask(portrait))
    return grid([[_marked(predictor, face, show_faces) for face in faces] for show_faces in (True, False)])


def grid(rows: Sequence[Sequence[Image]]) -> Image:
    """Return pictures of ``SIDE`` pixels in rows, on white."""
    whole = np.full((len(rows) * (SIDE + GAP) + GAP, len(rows[0]) * (SIDE + GAP) + GAP, 3), 255, np.uint8)
    for row, pictures in enumerate(rows):
        for column, each in enumerate(pictures):
            y, x = GAP + row * (SIDE + GAP), GAP + column * (SIDE + GAP)
            whole[y : y + SIDE, x : x + SIDE] = each
    return whole


def _marked(predictor: Predictor, face: Image, show_faces: bool) -> Image:
    marked = predictor.annotated(face, predictor.predict(face), show_faces)
    return np.asarray(cv2.resize(marked[HEAD], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)


def main(model: str) -> None:
    """Write the picture beside its page."""
    predictor = open_predictor(settings={"model.classifier": model})
    annotate.save_picture(FOLDER / "heatmap.jpg", picture(predictor))


if __name__ == "__main__":
    main(*sys.argv[1:])
