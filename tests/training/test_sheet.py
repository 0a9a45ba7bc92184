"""Contact sheets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contracts import Box
from edge.errors import DataError
from training import sheet


def test_the_box_is_drawn_where_the_face_is() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[60:140, 100:180] = 90
    tile = sheet.face_tile(image, Box(100, 60, 180, 140), (255, 0, 0))
    red = np.argwhere((tile == (255, 0, 0)).all(axis=2))
    # A margin of half the face on every side: the face is the middle half of the tile.
    np.testing.assert_allclose(red.min(axis=0), 40, atol=1)
    np.testing.assert_allclose(red.max(axis=0), 120, atol=1)


@pytest.mark.parametrize(("tiles", "rows"), [(0, 1), (1, 1), (8, 1), (9, 2)])
def test_tiles_fill_rows(tmp_path: Path, tiles: int, rows: int) -> None:
    one = sheet.Tile(sheet.whole_tile(np.full((40, 90, 3), 200, np.uint8)), "above", "a" * 60)
    sheet.write([one] * tiles, tmp_path / "sheet.png")
    image = cv2.imread(str(tmp_path / "sheet.png"))
    assert image is not None
    assert image.shape == (rows * (sheet.TILE + sheet.CAPTION), sheet.COLUMNS * sheet.TILE, 3)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        sheet.write([], tmp_path / "none" / "sheet.png")
