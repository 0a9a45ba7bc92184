"""Contact sheets: many small pictures, each with a caption, to inspect mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from edge.contracts import Box, Image
from edge.errors import DataError
from edge.inference.picture_file import write_rgb
from edge.stages.classify import crop_face
from edge.stages.detect import letterbox

TILE, CAPTION, COLUMNS = 160, 34, 8
"""Pixels a tile's side, pixels of the caption under it, and tiles a row."""
MARGIN = 0.5
"""Share of the face's longer side shown around it."""
INK = (250, 250, 250)


class Tile(NamedTuple):
    """A (TILE, TILE, 3) RGB picture and the two lines under it."""

    image: Image
    above: str
    below: str


def face_tile(image: Image, box: Box, colour: tuple[int, int, int]) -> Image:
    """Return the surroundings of ``box`` with the box drawn in ``colour`` (RGB), as (TILE, TILE, 3)."""
    tile = np.ascontiguousarray(crop_face(image, box, MARGIN, (TILE, TILE)))
    scale = TILE / (max(box.width, box.height, 1.0) * (1 + 2 * MARGIN))
    x, y = box.width * scale / 2, box.height * scale / 2
    corners = [(round(TILE / 2 - s * x), round(TILE / 2 - s * y)) for s in (1, -1)]
    return np.asarray(cv2.rectangle(tile, corners[0], corners[1], colour, 1), np.uint8)


def whole_tile(image: Image) -> Image:
    """Return a whole picture fitted into (TILE, TILE, 3)."""
    return letterbox(image, TILE, TILE)[0]


def write(tiles: Sequence[Tile], out: Path) -> None:
    """Lay the tiles out row by row and write them as a picture file. Raises DataError where it cannot be written."""
    rows = max(1, -(-len(tiles) // COLUMNS))
    sheet = np.zeros((rows * (TILE + CAPTION), COLUMNS * TILE, 3), np.uint8)
    for i, tile in enumerate(tiles):
        y, x = (i // COLUMNS) * (TILE + CAPTION), (i % COLUMNS) * TILE
        sheet[y : y + TILE, x : x + TILE] = tile.image
        for line, text in enumerate((tile.above, tile.below)):
            where = (x + 2, y + TILE + 13 + 15 * line)
            cv2.putText(sheet, _fitting(text), where, cv2.FONT_HERSHEY_SIMPLEX, 0.37, INK, 1, cv2.LINE_AA)
    try:
        write_rgb(out, sheet)
    except (OSError, cv2.error) as error:
        raise DataError(f"{out}: the contact sheet cannot be written ({error}); is its folder writable?") from error


def _fitting(text: str) -> str:
    """Return ``text``, shortened in its middle to fit under a tile."""
    return text if len(text) <= 26 else f"{text[:12]}..{text[-12:]}"
