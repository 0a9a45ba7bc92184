"""Training data: pictures with boxes (a CSV) and pictures in a folder a class (the papers' layout).

Everything is read once into memory, cut to a longest side of 640 pixels: a few thousand pictures take one or two
gigabytes, and augmentation then costs no decoding.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.contracts import Box, Image
from edge.errors import DataError
from edge.inference.resize import resized

LABELS = ("with_mask", "without_mask", "with_incorrect_mask")
IGNORE = "ignore"
"""Label of a box that is neither asked for nor held against the detector."""
NOT_A_FACE = "not_a_face"
"""Label of a box that a detector took for a face wrongly: nothing to find, and the classifier's fourth label."""
PICTURE_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
LONGEST_SIDE = 640
VALIDATION_SHARE = 0.12


@dataclass(frozen=True, slots=True)
class LabelledFace:
    """A face drawn by hand (or by a teacher), in pixels of the picture's file."""

    box: Box
    label: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A file, its faces (boxes CSV) or its one label (class folder), and the split it belongs to.

    ``group`` names what must not be torn apart between splits: near-duplicates share it. ``name`` is the file as its
    table wrote it (relative to the class folders otherwise).
    """

    path: Path
    faces: tuple[LabelledFace, ...]
    label: str
    split: str
    group: str
    name: str


def read_rows(table: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a CSV with a header line, each with where it stands (``file:line``).

    A cell that a short row lacks is None in spite of the type; DataError where the file is no such table.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as handle:  # spreadsheets write a byte order mark
            for number, row in enumerate(csv.DictReader(handle), start=2):
                yield f"{table}:{number}", row
    except OSError as error:
        raise DataError(f"{table}: cannot read this table: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: not a CSV in UTF-8 ({error}); save it as one") from error


def read_boxes(table: Path, images: Path | None = None) -> list[Picture]:
    """Pictures of a boxes CSV: image,split,width,height,xmin,ymin,xmax,ymax,label[,group], a row a face.

    Pictures are looked for in ``images``, else in ``images/`` beside the CSV, else beside the CSV. They come in the
    table's order.
    """
    folder = images or (table.parent / "images" if (table.parent / "images").is_dir() else table.parent)
    faces: dict[str, list[LabelledFace]] = {}
    rows: dict[str, tuple[str, str]] = {}
    for where, row in read_rows(table):
        try:
            box = Box(*(float(row[key]) for key in ("xmin", "ymin", "xmax", "ymax")))
            faces.setdefault(row["image"], []).append(LabelledFace(box, row["label"]))
            rows[row["image"]] = (row.get("split") or "train", row.get("group") or row["image"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{where}: not a labelled box ({error}); expected the columns "
                "image,split,width,height,xmin,ymin,xmax,ymax,label"
            ) from error
    if not faces:
        raise DataError(f"{table}: holds no boxes; expected a row a face under a header line")
    return [Picture(folder / name, tuple(faces[name]), "", *rows[name], name) for name in faces]


def read_folders(root: Path) -> list[Picture]:
    """Pictures of a folder a class. A ``split.csv`` (image,label,group,split) beside the folders is honoured.

    Without one, near-duplicates (equal 8 x 8 difference hash) share a group, and everything is split "train".
    """
    if (root / "split.csv").is_file():
        return _read_split(root / "split.csv")
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; expected one folder a class, such as with_mask/ and without_mask/")
    found = [
        (path, folder.name)
        for folder in sorted(root.iterdir())
        if folder.is_dir()
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in PICTURE_ENDINGS
    ]
    if len({label for _, label in found}) < 2:
        raise DataError(f"{root}: found pictures of {len({label for _, label in found})} classes, expected two or more")
    return [
        Picture(path, (), label, "train", _difference_hash(path), str(path.relative_to(root))) for path, label in found
    ]


def _read_split(table: Path) -> list[Picture]:
    out = []
    for where, row in read_rows(table):
        try:
            path = table.parent / row["image"]
            out.append(Picture(path, (), row["label"], row["split"], row["group"], row["image"]))
        except (KeyError, TypeError) as error:
            raise DataError(f"{where}: lacks {error}; expected the columns image,label,group,split") from error
    return out


def _difference_hash(path: Path) -> str:
    """Hex of the 64-bit difference hash (N. Krawetz, "Kind of Like That", 2013); the path itself if unreadable."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        return str(path)
    small = cv2.resize(image, (9, 8), interpolation=cv2.INTER_AREA)
    return np.packbits(small[:, 1:] > small[:, :-1]).tobytes().hex()


def divide(pictures: Sequence[Picture]) -> tuple[list[Picture], list[Picture]]:
    """Train and validation, carved out of split "train" by a hash of the group: stable, whatever else is added."""
    train: list[Picture] = []
    validation: list[Picture] = []
    for picture in pictures:
        if picture.split != "train":
            continue
        draw = int(hashlib.sha256(picture.group.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
        (validation if draw < VALIDATION_SHARE else train).append(picture)
    return train, validation


def of_split(pictures: Sequence[Picture], split: str) -> list[Picture]:
    """Pictures of one split: the table's own names, ``validation`` as :func:`divide` carves it, or ``all``."""
    if split == "all":
        return list(pictures)
    chosen = [picture for picture in pictures if picture.split == split]
    if not chosen and split == "validation":
        chosen = divide(pictures)[1]
    if not chosen:
        found = sorted({picture.split for picture in pictures})
        raise DataError(f"--split {split}: no picture is in it; found {', '.join(found)}; give one of them, or all")
    return chosen


def read_rgb(path: Path) -> Image:
    """A picture at its full size as (H, W, 3) RGB."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{path}: cannot be read as a picture; remove it or its row")
    return np.ascontiguousarray(image[:, :, ::-1], np.uint8)


def load_image(path: Path) -> tuple[Image, float]:
    """A picture as (H, W, 3) RGB, at most 640 pixels on its longer side, and the scale applied."""
    image = read_rgb(path)
    scale = min(1.0, LONGEST_SIDE / max(image.shape[:2]))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image, np.uint8), scale


def shrunk(image: Image, longest: int) -> Image:
    """A picture cut down to ``longest`` pixels on its longer side; returned as it is where it is no larger."""
    scale = longest / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def stretched(image: Image, size: int) -> Image:
    """A whole picture as (size, size, 3), its aspect given up: how the papers feed their class folders."""
    return resized(image, size, size)


def load_faces(picture: Picture) -> tuple[Image, list[LabelledFace]]:
    """A picture and its faces, boxes scaled with it."""
    image, scale = load_image(picture.path)
    return image, [LabelledFace(Box(*(v * scale for v in face.box)), face.label) for face in picture.faces]


def with_progress(pictures: Sequence[Picture], what: str) -> Iterator[Picture]:
    """Pass pictures on, printing a count every few hundred."""
    for i, picture in enumerate(pictures):
        if i % 500 == 0:
            print(f"{what}: {i}/{len(pictures)}", flush=True)
        yield picture
