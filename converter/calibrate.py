"""A folder of pictures -> those to calibrate on, and others held back for the proof.

Quantization sets each tensor's range by what these pictures make of it: pictures unlike the door's give ranges that
cut off what the door shows. So they are drawn from all classes alike, with a seed, and never from the proof's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converter import draw
from converter.noise import ProgressLine
from converter.tables import IGNORE, decoded, read_boxes, read_split
from edge.contracts import PICTURE_SUFFIXES, Box, Image
from edge.errors import DataError
from edge.files import native_name, printable
from edge.inference.resize import resized
from edge.stages.classify import crop_face
from edge.stages.detect import letterbox

SMALLEST_FACE = 16.0
"""Boxes narrower than this many pixels say nothing about a mask and are left out."""
PROOF_OF_CLASS = 500
"""Pictures of each class from which on the gate's smallest share, 0.2 points of recall, is one picture or more."""
COMPOSED = 120
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Folders above class folders that data sets are divided into, in lower case."""

Compose = Callable[[int, int, int, int], tuple[Image, tuple[str, ...]]]
"""(height, width, count, seed) -> pictures (count, height, width, 3) made by code, and the class of each."""


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """``images`` (n, height, width, 3) uint8 RGB, fitted to the model; a label (empty: unknown) and a name for each."""

    images: Image
    labels: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """``fit`` sets the ranges, ``proof`` is held back. ``classes`` are the folders' names, empty for plain pictures.

    ``drawn``: made by code. ``split``: a table's own split decided which pictures are held back.
    """

    fit: Pictures
    proof: Pictures
    classes: tuple[str, ...]
    drawn: bool
    notes: tuple[str, ...]
    split: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture to read, or the face in ``box`` of it."""

    path: Path
    label: str
    split: str
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """How a picture becomes the model's input: faces cut as the edge cuts them, scenes letterboxed, crops stretched."""

    height: int
    width: int
    detector: bool
    crop_margin: float

    def __call__(self, image: Image, box: Box | None) -> Image:
        if self.detector:
            return letterbox(image, self.height, self.width)[0]
        if box is not None:
            return crop_face(image, box, self.crop_margin, (self.height, self.width))
        return resized(image, self.width, self.height)


def gather(
    source: Path | None, fit: Fit, count: int, proof: int | None, seed: int, progress: ProgressLine, compose: Compose
) -> Calibration:
    """``count`` pictures to calibrate on and ``proof`` held back, from a folder or a boxes CSV.

    ``proof`` 0 is all there are, None is :data:`PROOF_OF_CLASS` of each class. A ``split`` column (of ``split.csv`` in
    the folder, or of the boxes CSV) is honoured: rows of split "test" are for the proof alone. Without ``source`` both
    come from ``compose``. Raises :class:`edge.errors.DataError` where there is nothing to read.
    """
    if source is None:
        return composed_calibration(fit, min(count, COMPOSED), min(proof or COMPOSED, COMPOSED), seed, compose)
    entries = list_entries(source, fit.detector)
    if proof is None:
        proof = PROOF_OF_CLASS * max(1, len({entry.label for entry in entries}))
    rng = np.random.default_rng(seed)
    mine, theirs = divide(entries, count, proof, rng)
    unreadable: list[Path] = []
    fitted = _read(mine, fit, "reading calibration pictures", progress, unreadable)
    held = _read(theirs, fit, "reading held-back pictures", progress, unreadable)
    if not len(fitted) or not len(held):
        raise DataError(
            f"{source}: of {len(mine) + len(theirs)} pictures {len(unreadable)} cannot be read, and too few are left "
            "(expected 2 or more); open the first with an image viewer: " + str(unreadable[0])
        )
    notes = []
    if unreadable:
        notes.append(f"left out {len(unreadable)} pictures that cannot be read, the first {printable(unreadable[0])}")
    if len(fitted) < 50:
        notes.append(f"only {len(fitted)} pictures to calibrate on; 100 to 200 of your door give better ranges")
    classes = tuple(sorted({entry.label for entry in entries} - {""}))
    split = any(entry.split for entry in entries)
    return Calibration(fitted, held, classes, False, tuple(notes), split)


def composed_calibration(fit: Fit, count: int, proof: int, seed: int, compose: Compose) -> Calibration:
    """Pictures composed by code, where there are no photographs."""
    make: Compose = draw.scenes if fit.detector else compose
    # Their labels are left out: a model's recall on composed pictures means nothing.
    images, labels = make(fit.height, fit.width, count + proof, seed)[0], ("",) * (count + proof)
    names = tuple(f"composed {i}" for i in range(count + proof))
    note = (
        "no photographs were given: the proof used composed pictures, and only schemes that need no calibration are "
        "chosen; give 100 or more photographs like the door's with --calibration DIR"
    )
    return Calibration(
        Pictures(images[:count], labels[:count], names[:count]),
        Pictures(images[count:], labels[count:], names[count:]),
        (),
        True,
        (note,),
        False,
    )


def list_entries(source: Path, detector: bool) -> list[Entry]:
    """What there is to read, in the order of names. Raises DataError where there is nothing."""
    if source.is_file() and source.suffix.lower() != ".csv":
        raise DataError(
            f"--calibration {source}: is a file, expected a folder with a folder of pictures per class, or a boxes "
            "table (.csv); unpack an archive and give its folder"
        )
    if source.is_file():
        entries = _read_boxes(source, detector)
    elif source.is_dir():
        entries = _read_folder(source)
    else:
        raise no_calibration(source)
    if len(entries) < 2:
        raise DataError(
            f"--calibration {source}: holds {len(entries)} pictures ({', '.join(PICTURE_SUFFIXES)}), expected 2 "
            "or more, better 200"
        )
    return entries


def no_calibration(source: Path) -> DataError:
    """Error for a ``--calibration`` that names nothing to read."""
    return DataError(f"--calibration {source}: no such folder; give class folders, plain pictures or a boxes CSV")


def _read_folder(root: Path) -> list[Entry]:
    if (root / "split.csv").is_file():
        return [Entry(picture.path, picture.label, picture.split) for picture in read_split(root / "split.csv")]
    pictures = sorted(path for path in root.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    folders = [path.relative_to(root).parts[:-1] for path in pictures]
    # People give the folder above the class folders, too: data/faces/with_mask/1.jpg.
    while pictures and all(len(parts) > 1 and parts[0] == folders[0][0] for parts in folders):
        folders = [parts[1:] for parts in folders]
    splits = [""] * len(folders)
    if pictures and all(len(parts) > 1 and parts[0].lower() in SPLITS for parts in folders):
        splits = [SPLITS[parts[0].lower()] for parts in folders]
        folders = [parts[1:] for parts in folders]
    # One folder of pictures is a folder, not a class.
    labelled = len({parts[0] for parts in folders if parts}) > 1
    labels = [parts[0] if labelled and parts else "" for parts in folders]
    for label in set(labels):
        native_name(label, DataError)
    return [Entry(*found) for found in zip(pictures, labels, splits, strict=True)]


def _read_boxes(table: Path, detector: bool) -> list[Entry]:
    entries = [
        Entry(picture.path, face.label, picture.split, face.box)
        for picture in read_boxes(table)
        for face in picture.faces
    ]
    if detector:
        return [Entry(path, "", split) for path, split in sorted({(e.path, e.split) for e in entries})]
    return [e for e in entries if e.label != IGNORE and e.box is not None and e.box.width >= SMALLEST_FACE]


def divide(
    entries: Sequence[Entry], count: int, proof: int, rng: np.random.Generator
) -> tuple[list[Entry], list[Entry]]:
    """Entries to calibrate on and to hold back, classes in turn, none in both.

    Without a split a third of each class is held back: calibrating on all pictures of a small class would leave its
    recall unproven.
    """
    shuffled = [entries[i] for i in rng.permutation(len(entries))]
    tested = [e for e in shuffled if e.split == "test"]
    rest = [e for e in shuffled if e.split != "test"]
    if tested and rest:
        return _balanced(rest, count), _balanced(tested, proof or len(tested))
    turn = _balanced(shuffled, len(shuffled))
    wanted = min(count, len(turn) - max(1, min(proof or len(turn), len(turn) // 3)))
    sizes = Counter(entry.label for entry in turn)
    share = -(-(proof or len(turn)) // len(sizes))
    left = {label: size - max(1, min(share, size // 3)) for label, size in sizes.items()}
    mine: list[Entry] = []
    held: list[Entry] = []
    for entry in turn:
        left[entry.label] -= 1
        (mine if len(mine) < wanted and left[entry.label] >= 0 else held).append(entry)
    return mine, held[:proof] if proof else held


def _balanced(entries: Sequence[Entry], count: int) -> list[Entry]:
    """The first ``count``, taking a class after the other for as long as each has some left."""
    return [entries[i] for i in in_turn([entry.label for entry in entries])[:count]]


def in_turn(labels: Sequence[str]) -> list[int]:
    """Indices of ``labels``, a class after the other for as long as each has some left: every beginning is balanced."""
    seen = Counter[str]()
    keyed = []
    for i, label in enumerate(labels):
        seen[label] += 1
        keyed.append((seen[label], i))
    return [i for _, i in sorted(keyed)]


def _read(entries: Sequence[Entry], fit: Fit, what: str, progress: ProgressLine, unreadable: list[Path]) -> Pictures:
    images, labels, names = [], [], []
    for i, entry in enumerate(entries):
        progress.count(what, i + 1, len(entries))
        image = decoded(entry.path)
        if image is None:
            unreadable.append(entry.path)
            continue
        images.append(fit(np.ascontiguousarray(image[:, :, ::-1], np.uint8), entry.box))
        labels.append(entry.label)
        names.append(printable(entry.path))
    stacked = np.stack(images) if images else np.empty((0, fit.height, fit.width, 3), np.uint8)
    return Pictures(stacked, tuple(labels), tuple(names))
