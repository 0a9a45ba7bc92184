"""Drawn pictures: faces that are discs, masks that are rectangles. Small, and made anew for every run."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.data_sets import DATA

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

SKIN, BLUE, WALL = (224, 180, 150), (60, 90, 200), (120, 125, 118)

Draw = Callable[..., Path]


def draw_face(image: np.ndarray, x: int, y: int, size: int, label: str) -> None:
    """A face of ``size`` pixels with its corner at x, y; the mask covers what its label says."""
    centre = (x + size // 2, y + size // 2)
    cv2.ellipse(image, centre, (size // 2, size // 2), 0, 0, 360, SKIN, -1)
    for side in (-1, 1):
        cv2.circle(image, (centre[0] + side * size // 5, y + size // 3), max(1, size // 16), (20, 20, 20), -1)
    top = {"with_mask": 0.5, "with_incorrect_mask": 0.72}.get(label)
    if top:
        cv2.rectangle(image, (x + size // 8, y + int(size * top)), (x + size * 7 // 8, y + size), BLUE, -1)


def wall(height: int, width: int, seed: int) -> np.ndarray:
    """A wall (height, width, 3) RGB with some grain."""
    noise = np.random.default_rng(seed).integers(-12, 13, (height, width, 3))
    return np.clip(np.array(WALL) + noise, 0, 255).astype(np.uint8)


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[:, :, ::-1])


@pytest.fixture(scope="session")
def class_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pictures in two class folders with a split.csv: 28 to train on, 12 to test."""
    root = tmp_path_factory.mktemp("folders")
    rows = []
    for i in range(40):
        label = ("with_mask", "without_mask")[i % 2]
        image = wall(80, 72, i)
        draw_face(image, 8 + i % 7, 10, 50 + i % 5, label)
        name = f"{label}/{i:03}.png"
        save(root / name, image)
        rows.append((name, label, str(i), "test" if i >= 28 else "train"))
    write_table(root / "split.csv", ("image", "label", "group", "split"), rows)
    return root


@pytest.fixture(scope="session")
def boxes_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A boxes CSV of 24 pictures, two faces each (of 30 and of 60 pixels): 16 to train on, 8 to test."""
    root = tmp_path_factory.mktemp("boxes")
    labels = ("with_mask", "without_mask", "with_incorrect_mask")
    rows: list[Sequence[object]] = []
    for i in range(24):
        image = wall(120, 160, i)
        split = "test" if i >= 16 else "train"
        for k, (x, y, size) in enumerate(((12 + i, 20, 30), (90, 40 + i % 9, 60))):
            draw_face(image, x, y, size, labels[(i + k) % 3])
            rows.append((f"{i:03}.png", split, 160, 120, x, y, x + size, y + size, labels[(i + k) % 3], i))
        save(root / "images" / f"{i:03}.png", image)
    header = ("image", "split", "width", "height", "xmin", "ymin", "xmax", "ymax", "label", "group")
    write_table(root / "boxes.csv", header, rows)
    return root / "boxes.csv"


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(header)
        writer.writerows(rows)


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[[str, str], Path]:
    """Put text into a file of the test's own folder."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The data sets, where this machine has them."""
    if not DATA.is_dir():
        pytest.skip(f"no data sets at {DATA}; set FMD_DATA to their folder")
    return DATA
