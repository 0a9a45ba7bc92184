"""Corrections of wrong labels, applied when tables are read, to the training split only.

A corrections file is a CSV ``image,xmin,ymin,label_was,label_is,why``, a row a face (xmin and ymin empty where a
whole picture has one label). ``label_is`` may be ``ignore``: the face then counts neither way.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from converter.tables import IGNORE, LabelledFace, Picture, read_rows
from edge.contracts import LABELS
from edge.errors import DataError

COLUMNS = ("image", "xmin", "ymin", "label_was", "label_is", "why")
SAME_PLACE = 1.0
"""How far, in pixels, a corner may be from the recorded one and still belong to the same box."""


@dataclass(frozen=True, slots=True)
class Correction:
    """One label changed. ``at`` is the box's corner (xmin, ymin), None for a whole picture; ``where`` is file:line."""

    image: str
    at: tuple[float, float] | None
    label_was: str
    label_is: str
    where: str


def read(path: Path) -> list[Correction]:
    """Read the corrections of a file, in its order. Raises DataError at the first row that is not one."""
    return [_parsed(row, where) for where, row in read_rows(path)]


def _parsed(row: dict[str, str], where: str) -> Correction:
    if any(not isinstance(row.get(column), str) for column in COLUMNS):
        raise DataError(f"{where}: not a correction; expected the columns {','.join(COLUMNS)}")
    if not row["why"].strip():
        raise DataError(f"{where}: gives no reason; say in the column why what is wrong with the label")
    try:
        at = (float(row["xmin"]), float(row["ymin"])) if row["xmin"] or row["ymin"] else None
    except ValueError as error:
        raise DataError(f"{where}: xmin and ymin must both be numbers or both empty ({error})") from error
    return Correction(row["image"], at, row["label_was"], row["label_is"], where)


def apply(pictures: Sequence[Picture], corrections: Sequence[Correction]) -> list[Picture]:
    """Return ``pictures`` with the corrections that name them applied.

    Corrections of pictures that are not among them are skipped: a file serves several tables. Raises DataError
    for one outside the split ``train``, and for one that fits no face: the labels it was written for have changed.
    """
    place = {picture.name: i for i, picture in enumerate(pictures)}
    out = list(pictures)
    for correction in corrections:
        if (i := place.get(correction.image)) is not None:
            out[i] = _corrected(out[i], correction)
    return out


def _corrected(picture: Picture, correction: Correction) -> Picture:
    if picture.split != "train":
        raise DataError(
            f"{correction.where}: {picture.name} is in the split {picture.split}; only train may be corrected"
        )
    if correction.at is None and picture.label == correction.label_was != "":
        return replace(picture, label=correction.label_is)
    fitting = [i for i, face in enumerate(picture.faces) if _fits(face, correction)]
    if len(fitting) != 1:
        raise DataError(
            f"{correction.where}: {len(fitting)} faces of {picture.name} are labelled {correction.label_was} at "
            f"{correction.at}, expected one; write xmin and ymin as the boxes CSV has them"
        )
    faces = list(picture.faces)
    faces[fitting[0]] = LabelledFace(faces[fitting[0]].box, correction.label_is)
    return replace(picture, faces=tuple(faces))


def _fits(face: LabelledFace, correction: Correction) -> bool:
    if correction.at is None or face.label != correction.label_was:
        return False
    x, y = correction.at
    return abs(face.box.xmin - x) <= SAME_PLACE and abs(face.box.ymin - y) <= SAME_PLACE


def check(corrections: Sequence[Correction], labels: Sequence[str], names: Collection[str]) -> None:
    """Raise DataError for a ``label_is`` that is no label, and for a picture that is in none of the tables."""
    for correction in corrections:
        if correction.label_is not in (*labels, IGNORE):
            raise DataError(
                f"{correction.where}: label_is {correction.label_is!r} is no label; expected one of "
                f"{', '.join(labels)}, or {IGNORE}"
            )
        if correction.image not in names:
            raise DataError(
                f"{correction.where}: no picture {correction.image}; write the name as the table given has it"
            )


def corrected(tables: Sequence[Sequence[Picture]], path: Path | None) -> list[list[Picture]]:
    """Return the tables with the corrections of ``path`` applied; every correction must be of one of them."""
    if path is None:
        return [list(table) for table in tables]
    wanted = read(path)
    check(wanted, LABELS, [picture.name for table in tables for picture in table])
    return [apply(table, wanted) for table in tables]
