"""Several sets of labelled pictures made into tables that train and validate without leaking into each other.

Sets that were collected from the web share pictures. :func:`gather` finds pictures that look the same, drops training
pictures that nearly duplicate a test picture, keeps groups of similar pictures on one side of the validation split,
and attaches the boxes of what is no face, less those that overlap a labelled or ignored face.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from converter.tables import LabelledFace, Picture, read_rows
from edge.contracts import Box, Floats
from edge.errors import DataError
from training import negatives, results, teacher
from training.data import NOT_A_FACE, VALIDATION, draw_of, read_rgb, with_progress

THUMBNAIL = 24
"""Side, pixels, of the gray pictures that are compared."""
MIN_CORRELATION = 0.9
"""Correlation of two thumbnails from which on they count as the same picture."""
ROOM_BOXES = 4
"""Squares drawn at random in each picture without people."""
COMMON_NAMES = ("boxes", "boxes_v2", "images")
"""Names of tables that say nothing of the set they belong to."""
BLOCK = 1024
"""Rows of the correlation matrix computed at once: 7,000 pictures would fill 200 MB otherwise."""

Places = Mapping[str, Sequence[Box]]
"""Boxes by the name, and by the resolved path, of their picture."""


class Gathered(NamedTuple):
    """Counts of one table written: pictures, of them for validation, pictures dropped as twins of test pictures,
    and boxes of no face attached and refused."""

    path: Path
    pictures: int
    validation: int
    twins: int
    negatives: int
    refused: int


def thumbnail(picture: Picture) -> Floats:
    """Return a picture's gray thumbnail (576,), mean 0 and length 1, so that a product is a correlation."""
    gray = cv2.cvtColor(read_rgb(picture.path), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1e-6), np.float32)


def similar_pairs(thumbnails: Floats, threshold: float = MIN_CORRELATION) -> list[tuple[int, int]]:
    """Return the pairs (i, j), i < j, of rows of (n, 576) whose correlation exceeds ``threshold``."""
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(thumbnails), BLOCK):
        close = thumbnails[start : start + BLOCK] @ thumbnails.T > threshold
        rows, columns = np.nonzero(close)
        pairs += [(int(i) + start, int(j)) for i, j in zip(rows, columns, strict=True) if i + start < j]
    return pairs


def group_names(pictures: Sequence[Picture], pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Return the group of each picture; similar pictures share one.

    A joint group takes the name that is drawn highest, so that it joins the training side when any of its pictures
    was trained on before: a run that continues from earlier weights must not validate on what they learned.
    """
    parent = list(range(len(pictures)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    by_group: dict[str, int] = {}
    own = [(i, by_group.setdefault(picture.group, i)) for i, picture in enumerate(pictures)]
    for i, j in [*own, *pairs]:
        parent[root(i)] = root(j)
    best: dict[int, str] = {}
    for i, picture in enumerate(pictures):
        best[root(i)] = max(best.get(root(i), picture.group), picture.group, key=draw_of)
    return [best[root(i)] for i in range(len(pictures))]


def read_negatives(table: Path) -> Places:
    """Read boxes of what is no face: image,xmin,ymin,xmax,ymax, whatever other columns there are."""
    found: dict[str, list[Box]] = {}
    for where, row in read_rows(table):
        try:
            box = Box(*(float(row[key]) for key in ("xmin", "ymin", "xmax", "ymax")))
            found.setdefault(row["image"], []).append(box)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{where}: not a box ({error}); expected the columns image,xmin,ymin,xmax,ymax") from error
    return found


def attached(picture: Picture, places: Sequence[Places]) -> tuple[Picture, int]:
    """Return ``picture`` with the boxes of no face that overlap none of its own, and how many were refused."""
    given = [
        box for place in places for key in (picture.name, str(picture.path.resolve())) for box in place.get(key, ())
    ]
    kept: list[Box] = []
    refused = 0
    for box in given:
        if not all(negatives.clear_of(box, face.box) for face in picture.faces):
            refused += 1
        elif all(box.iou(other) < 0.8 for other in kept):
            kept.append(box)
    return replace(picture, faces=picture.faces + tuple(LabelledFace(box, NOT_A_FACE) for box in kept)), refused


def random_boxes(width: int, height: int, rng: np.random.Generator) -> list[Box]:
    """Return :data:`ROOM_BOXES` squares inside a picture, their sides drawn log-uniformly from 24 pixels to half."""
    boxes = []
    for _ in range(ROOM_BOXES):
        side = float(np.exp(rng.uniform(np.log(24), np.log(max(25, min(width, height) / 2)))))
        x, y = rng.uniform(0, max(1, width - side)), rng.uniform(0, max(1, height - side))
        boxes.append(Box(x, y, x + side, y + side))
    return boxes


def with_random_boxes(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture without people with random squares as boxes of no face."""
    height, width = read_rgb(picture.path).shape[:2]
    drawn = tuple(LabelledFace(box, NOT_A_FACE) for box in random_boxes(width, height, rng))
    return replace(picture, faces=picture.faces + drawn)


def gather(
    tables: Sequence[tuple[Path, Sequence[Picture], float]], places: Sequence[Places], out: Path
) -> list[Gathered]:
    """Write one boxes CSV for each table of (path of the source, pictures, validation share) into the folder ``out``.

    Pictures keep their test split. Training pictures whose group is drawn below the share become ``validation``.
    """
    flat = [(k, picture) for k, (_, pictures, _) in enumerate(tables) for picture in pictures]
    pictures = [picture for _, picture in flat]
    thumbnails = np.stack([thumbnail(picture) for picture in with_progress(pictures, "comparing")])
    pairs = similar_pairs(thumbnails)
    groups = group_names(pictures, pairs)
    # Directly similar pictures only: a chain of portraits on white would drop pictures that share nothing.
    twins = {
        a
        for pair in pairs
        for a, b in (pair, pair[::-1])
        if pictures[a].split != "test" and pictures[b].split == "test"
    }
    shares: dict[str, float] = {}
    for (k, _), group in zip(flat, groups, strict=True):
        shares[group] = min(shares.get(group, 1.0), tables[k][2])
    out.mkdir(parents=True, exist_ok=True)
    done = []
    for k, (source, _, _) in enumerate(tables):
        mine = [i for i, (table, _) in enumerate(flat) if table == k]
        kept = []
        refused = 0
        for i in mine:
            if i in twins:
                continue
            picture, lost = attached(pictures[i], places)
            refused += lost
            split = picture.split
            if split == "train" and draw_of(groups[i]) < shares[groups[i]]:
                split = VALIDATION
            kept.append(replace(picture, split=split, group=groups[i]))
        path = write_source(kept, source, out)
        drawn = sum(face.label == NOT_A_FACE for picture in kept for face in picture.faces)
        held_out = sum(picture.split == VALIDATION for picture in kept)
        done.append(Gathered(path, len(kept), held_out, len(mine) - len(kept), drawn, refused))
    return done


def write_source(pictures: Sequence[Picture], source: Path, out: Path) -> Path:
    """Write the pictures of one source, a boxes CSV or class folders, into ``out``; return the table's path."""
    if any(picture.label for picture in pictures):
        path = out / source.name / "split.csv"
        path.parent.mkdir(exist_ok=True)
        rows = ((str(p.path.resolve()), p.label, p.group, p.split) for p in pictures)
        results.write_csv(path, ("image", "label", "group", "split"), rows)
        return path
    # Sets call their tables alike; the folder names the set.
    path = out / f"{source.parent.name if source.stem in COMMON_NAMES else source.stem}.csv"
    write(pictures, path)
    return path


def write(pictures: Sequence[Picture], path: Path) -> None:
    """Write pictures as a boxes CSV with absolute paths; those without a box leave no row."""
    results.write_csv(path, teacher.COLUMNS, _rows_of(pictures))


def _rows_of(pictures: Sequence[Picture]) -> Iterator[Sequence[object]]:
    for picture in pictures:
        height, width = read_rgb(picture.path).shape[:2]
        place = [str(picture.path.resolve()), picture.split, width, height]
        for face in picture.faces:
            yield [*place, *(round(v, 1) for v in face.box), face.label, picture.group]
