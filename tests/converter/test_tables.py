"""Class folders are read together or one by one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from converter.tables import read_class_folders
from edge.errors import DataError


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for label in ("with_mask", "without_mask"):
        (tmp_path / label).mkdir()
        for i in range(2):
            image = np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / label / f"{i}.png"), image)
    return tmp_path


def test_a_folder_of_classes_and_classes_one_by_one_give_the_same(folders: Path) -> None:
    (together,) = read_class_folders([folders])
    (apart,) = read_class_folders([folders / "with_mask", folders / "without_mask"])
    assert together == apart


def test_one_class_alone_is_refused_with_what_to_do(folders: Path) -> None:
    with pytest.raises(DataError, match="give the folder above it"):
        read_class_folders([folders / "with_mask"])
