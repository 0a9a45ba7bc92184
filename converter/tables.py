"""Tables and folders of labelled pictures: the one place that reads them, for the converter and the training recipe."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.contracts import PICTURE_SUFFIXES, Box, Image
from edge.errors import DataError
from edge.files import native_name
from edge.inference.picture_file import read_bgr

IGNORE = "ignore"
"""Label of a box that is neither asked for nor held against the detector."""


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
        return read_split(root / "split.csv")
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; expected one folder a class, such as with_mask/ and without_mask/")
    found = [
        (path, folder.name)
        for folder in sorted(root.iterdir())
        if folder.is_dir()
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in PICTURE_SUFFIXES
    ]
    if len({label for _, label in found}) < 2:
        raise DataError(f"{root}: found pictures of {len({label for _, label in found})} classes, expected two or more")
    return [
        Picture(path, (), label, "train", _difference_hash(path), native_name(path.relative_to(root), DataError))
        for path, label in found
    ]


def read_class_folders(folders: Sequence[Path]) -> list[list[Picture]]:
    """Pictures of each of ``folders``; folders of one class each (``with_mask/``, ``without_mask/``) are one table."""
    single = [folder for folder in folders if _is_one_class(folder)]
    several = [read_folders(folder) for folder in folders if folder not in single]
    if not single:
        return several
    if len({folder.name for folder in single}) < 2 and not several:
        raise DataError(
            f"{single[0]}: holds pictures of one class; give the folder above it, or the folder of each class in turn"
        )
    table = [
        Picture(path, (), folder.name, "train", _difference_hash(path), f"{folder.name}/{path.relative_to(folder)}")
        for folder in single
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in PICTURE_SUFFIXES
    ]
    return [*several, table]


def _is_one_class(folder: Path) -> bool:
    """Whether pictures lie in ``folder`` itself: then it is a class and not a folder of classes."""
    if not folder.is_dir() or (folder / "split.csv").is_file():
        return False
    return any(path.suffix.lower() in PICTURE_SUFFIXES for path in folder.iterdir())


def read_split(table: Path) -> list[Picture]:
    """Pictures of a split.csv (image,label,group,split), which lies beside the class folders."""
    out = []
    for where, row in read_rows(table):
        try:
            path = table.parent / row["image"]
            out.append(Picture(path, (), row["label"], row["split"], row.get("group") or row["image"], row["image"]))
        except (KeyError, TypeError) as error:
            raise DataError(f"{where}: lacks {error}; expected the columns image,label,split[,group]") from error
    return out


def decoded(path: Path, flags: int = cv2.IMREAD_COLOR) -> Image | None:
    """A picture file as :func:`edge.inference.picture_file.read_bgr` returns it; None where it cannot be read."""
    try:
        return read_bgr(path, flags)
    except (OSError, cv2.error):  # OpenCV raises for headers that claim more than 2**30 pixels
        return None


def _difference_hash(path: Path) -> str:
    """Hex of the 64-bit difference hash (N. Krawetz, "Kind of Like That", 2013); the path itself if unreadable."""
    image = decoded(path, cv2.IMREAD_GRAYSCALE)
    if image is None:
        return str(path)
    small = cv2.resize(image, (9, 8), interpolation=cv2.INTER_AREA)
    return np.packbits(small[:, 1:] > small[:, :-1]).tobytes().hex()
