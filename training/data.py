"""Training data: pictures with boxes (a CSV) and pictures in a folder a class (the papers' layout).

Everything is read once into memory, cut to a longest side of 640 pixels: a few thousand pictures take one or two
gigabytes, and augmentation then costs no decoding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from converter.tables import LabelledFace, Picture, read_rows
from edge.contracts import Box, Image
from edge.errors import DataError
from edge.inference.picture_file import read_bgr
from edge.inference.resize import resized

NOT_A_FACE = "not_a_face"
"""Label of a detection that is no face: nothing for the detector to find, and the classifier's fourth label."""
LONGEST_SIDE = 640
VALIDATION_SHARE = 0.12
VALIDATION = "validation"
"""The split of a table that names its own validation pictures, as those of ``fmd-train gather`` do."""


def draw_of(group: str) -> float:
    """Return a number 0..1 that a group's name alone decides: the split is stable, whatever else is added."""
    return int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF


def divide(pictures: Sequence[Picture]) -> tuple[list[Picture], list[Picture]]:
    """Return the pictures to train on and to validate on.

    Validation is what the table says, and the groups of split "train" that are drawn below :data:`VALIDATION_SHARE`.
    """
    train: list[Picture] = []
    validation: list[Picture] = []
    for picture in pictures:
        if picture.split == VALIDATION or (picture.split == "train" and draw_of(picture.group) < VALIDATION_SHARE):
            validation.append(picture)
        elif picture.split == "train":
            train.append(picture)
    return train, validation


def of_split(pictures: Sequence[Picture], split: str) -> list[Picture]:
    """Return the pictures of one split: a name of the table, ``validation`` as :func:`divide` draws it, or ``all``."""
    if split == "all":
        return list(pictures)
    chosen = divide(pictures)[1] if split == VALIDATION else [picture for picture in pictures if picture.split == split]
    if not chosen:
        found = sorted({picture.split for picture in pictures})
        raise DataError(f"--split {split}: no picture is in it; found {', '.join(found)}; give one of them, or all")
    return chosen


def read_pictures(table: Path) -> list[Picture]:
    """Read a table image,split of pictures that show nobody; pictures lie in ``images/`` beside it, or beside it."""
    folder = table.parent / "images" if (table.parent / "images").is_dir() else table.parent
    found = []
    for where, row in read_rows(table):
        if not row.get("image"):
            raise DataError(f"{where}: names no picture; expected the columns image,split")
        found.append(Picture(folder / row["image"], (), "", row.get("split") or "train", row["image"], row["image"]))
    return found


def read_rgb(path: Path) -> Image:
    """Read a picture at its full size as (H, W, 3) RGB."""
    try:
        image = read_bgr(path)
    except (OSError, cv2.error) as error:
        raise DataError(f"{path}: cannot be read as a picture ({error}); remove it or its row") from error
    if image is None:
        raise DataError(f"{path}: cannot be read as a picture; remove it or its row")
    return np.ascontiguousarray(image[:, :, ::-1], np.uint8)


def load_image(path: Path) -> tuple[Image, float]:
    """Read a picture as (H, W, 3) RGB, at most 640 pixels on its longer side; return it and the scale applied."""
    image = read_rgb(path)
    scale = min(1.0, LONGEST_SIDE / max(image.shape[:2]))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image, np.uint8), scale


def shrunk(image: Image, longest: int) -> Image:
    """Return a picture reduced to ``longest`` pixels on its longer side, unchanged where it is no larger."""
    scale = longest / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def stretched(image: Image, size: int) -> Image:
    """Return a whole picture as (size, size, 3), its aspect lost: the papers feed their class folders so."""
    return resized(image, size, size)


def load_faces(picture: Picture, loaded: tuple[Image, float] | None = None) -> tuple[Image, list[LabelledFace]]:
    """Return a picture and its faces, boxes scaled with it; ``loaded`` is what :func:`load_image` made of it before."""
    image, scale = loaded or load_image(picture.path)
    return image, [LabelledFace(Box(*(v * scale for v in face.box)), face.label) for face in picture.faces]


def with_progress(pictures: Sequence[Picture], what: str) -> Iterator[Picture]:
    """Yield the pictures and print a count every few hundred."""
    for i, picture in enumerate(pictures):
        if i % 500 == 0:
            print(f"{what}: {i}/{len(pictures)}", flush=True)
        yield picture
