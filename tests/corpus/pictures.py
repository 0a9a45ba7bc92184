"""Pictures for the corpus: read and prepared by plain OpenCV and numpy, as tutorials do it."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Array = np.ndarray[Any, Any]

DATA = Path(os.environ.get("FMD_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
CLASSES = ("with_mask", "without_mask")
TRAINING, CALIBRATION, HELD_OUT = 1200, 900, 200


@cache
def listed(part: str, count: int) -> tuple[tuple[Path, str], ...]:
    """``count`` (path, class) of split ``part``, classes in turn, the same in every run."""
    with (DATA / "classify" / "split.csv").open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["split"] == part]
    by_class = {label: [row for row in rows if row["label"] == label] for label in CLASSES}
    rng = np.random.default_rng(11)
    picked = {label: [rows[i] for i in rng.permutation(len(rows))[: count // 2]] for label, rows in by_class.items()}
    return tuple(
        (DATA / "classify" / row["image"], row["label"]) for pair in zip(*picked.values(), strict=True) for row in pair
    )


@cache
def read(part: str, count: int, height: int, width: int) -> tuple[Array, Array]:
    """RGB uint8 (count, height, width, 3), stretched, and class indices into :data:`CLASSES`."""
    images = [cv2.resize(cv2.imread(str(path)), (width, height)) for path, _ in listed(part, count)]
    kinds = np.array([CLASSES.index(label) for _, label in listed(part, count)])
    return np.stack(images)[..., ::-1].copy(), kinds


def calibration_folder(root: Path, classes: bool = True) -> Path:
    """Folder of links to training pictures: a folder a class, or all in one."""
    for i, (path, label) in enumerate(listed("train", CALIBRATION)):
        place = root / (label if classes else "all") / f"{i:04d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.symlink_to(path)
    return root if classes else root / "all"


def gray(images: Array) -> Array:
    return np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images])[..., None]


COLOURS: dict[str, Callable[[Array], Array]] = {"RGB": lambda x: x, "BGR": lambda x: x[..., ::-1], "GRAY": gray}
SCALES: dict[str, Callable[[Array], Array]] = {
    "0..1": lambda x: x / 255.0,
    "-1..1": lambda x: x / 127.5 - 1.0,
    "x/127-1": lambda x: x / 127.0 - 1.0,
    "0..255": lambda x: x,
    "-0.5..0.5": lambda x: x / 255.0 - 0.5,
    "torch": lambda x: (x / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
    "caffe": lambda x: x - [103.939, 116.779, 123.68],
}


def prepared(images: Array, colour: str, scale: str) -> Array:
    """RGB bytes (n, h, w, 3) as the author's script feeds them: float32."""
    return np.ascontiguousarray(SCALES[scale](COLOURS[colour](images).astype(np.float64)), np.float32)
