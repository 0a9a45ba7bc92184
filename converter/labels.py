"""What the model's outputs are called, in their order, and which of them is fine at the door."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converter.calibrate import Pictures
from converter.load import Source
from converter.pixels import best_order
from edge.contracts import Floats
from edge.errors import ConversionError

CONTRADICTED = 0.1
"""Share of labelled pictures by which another order must be righter than the one given before it is spoken of."""
BACKGROUND_NAMES = ("not_a_face", "no_face", "background")
"""Labels that by their names are for what is no face."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was said of the labels by option; empty where nothing was."""

    names: tuple[str, ...] = ()
    compliant: str = ""
    background: str = ""


@dataclass(frozen=True, slots=True)
class Labels:
    """``names`` in output order, and how they are known; ``background`` is the one, if any, for what is no face.

    ``guessed``, ``compliant_guessed`` and ``background_guessed`` tell what was concluded and not said.
    """

    names: tuple[str, ...]
    compliant: str
    background: str | None
    why: str
    guessed: bool
    compliant_guessed: bool
    background_guessed: bool
    warning: str = ""

    @property
    def dangerous(self) -> str:
        """The label that must not be missed: a bare face."""
        return dangerous_of([name for name in self.names if name != self.background], self.compliant)


def dangerous_of(worn: Sequence[str], compliant: str) -> str:
    """The label that must not be missed: a bare face, by its usual names, else the first that is not fine.

    ``worn`` are the labels of a face.
    """
    others = [name for name in worn if name != compliant]
    bare = [name for name in others if any(word in _plain(name) for word in ("without", "no_mask", "bare", "unmasked"))]
    return (bare or others)[0]


def find_labels(source: Source, asked: Asked, pictures: Pictures, answers: Floats) -> Labels:
    """Names for the outputs of a classifier: asked for, from a file beside it, or from the pictures' folders.

    ``answers`` are its probabilities (n, labels) on ``pictures``. Raises :class:`edge.errors.ConversionError` where
    nothing tells, or what tells does not fit.
    """
    count = answers.shape[1]
    names, why, guessed = _names(source, asked.names, count, pictures, answers)
    if len(names) != count:
        raise ConversionError(
            f"labels: got {len(names)} ({', '.join(names)}; {why}), but {source.path} tells {count} apart; "
            f"give --labels with {count} names in output order"
        )
    if len(set(names)) != len(names) or not all(names):
        raise ConversionError(f"labels: got {', '.join(names)} ({why}), expected {count} different names")
    background = _background(names, asked.background)
    worn = [name for name in names if name != background]
    if asked.compliant and asked.compliant not in worn:
        raise ConversionError(
            f"--compliant {asked.compliant}: not among the labels {', '.join(worn)}; give one of them"
        )
    compliant = asked.compliant or guess_compliant(worn)
    if not compliant:
        raise ConversionError(
            f"--compliant: which of {', '.join(worn)} is fine at the door cannot be told from the names; give it"
        )
    warning = "" if guessed else _contradiction(names, pictures, answers)
    told = background is not None and not asked.background
    return Labels(names, compliant, background, why, guessed, not asked.compliant, told, warning)


def _background(names: Sequence[str], asked: str) -> str | None:
    """The label for what is no face; as asked, else by its name."""
    if asked and asked not in names:
        raise ConversionError(f"--background {asked}: not among the labels {', '.join(names)}; give one of them")
    found = asked or next((name for name in names if _plain(name) in BACKGROUND_NAMES), None)
    if found and len(names) < 3:
        raise ConversionError(
            f"--background {found}: beside it {len(names) - 1} label is left, expected 2 or more; a mask classifier "
            "tells at least masked from bare"
        )
    return found


def _names(
    source: Source, asked: Sequence[str], count: int, pictures: Pictures, answers: Floats
) -> tuple[tuple[str, ...], str, bool]:
    if asked:
        return tuple(asked), "as asked with --labels", False
    for file in label_files(source.path):
        if file.is_file():
            return read_labels(file), f"from {file}", False
    classes = sorted(set(pictures.labels) - {""})
    if len(classes) == count:
        order, share = best_order(answers, pictures.labels)
        why = f"from the calibration folders, in the order that makes {share:.1%} of their pictures right"
        return order, why, True
    raise ConversionError(
        f"labels: {source.path} tells {count} labels apart and nothing names them (calibration folders: "
        f"{', '.join(classes) or 'none'}); give --labels with {count} names in output order"
    )


def label_files(model: Path) -> tuple[Path, ...]:
    """Where a labels file of ``model`` is looked for, in order."""
    folder = model.parent
    return (
        folder / f"{model.stem}.labels.txt",
        folder / f"{model.stem}_labels.txt",
        folder / "labels.txt",
        folder / "class_indices.json",
        folder / "labels.json",
    )


def read_labels(file: Path) -> tuple[str, ...]:
    """Names from a file: one a line (a leading number is dropped), a JSON list, or Keras's class_indices."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix != ".json":
            lines = (line.strip() for line in text.splitlines())
            return tuple(_without_number(line) for line in lines if line)
        found = json.loads(text)
        if isinstance(found, dict):
            return tuple(str(name) for name in sorted(found, key=lambda name: int(found[name])))
        return tuple(str(name) for name in found)
    except (OSError, ValueError, TypeError) as error:
        raise ConversionError(f"{file}: cannot be read as labels ({error}); correct it or give --labels") from error


def _without_number(line: str) -> str:
    number, _, name = line.partition(" ")
    return name.strip() if number.isdigit() and name else line


def guess_compliant(names: Sequence[str]) -> str:
    """The label that speaks of a mask and not of its lack or misuse; empty where none or several do."""
    found = [name for name in names if _speaks_of_mask(_plain(name))]
    return found[0] if len(found) == 1 else ""


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")


def _speaks_of_mask(name: str) -> bool:
    words = ("without", "no_", "non", "un", "incorrect", "improper", "wrong", "bare", "bad", "partial", "off")
    return "mask" in name and not any(word in name for word in words)


def _contradiction(names: tuple[str, ...], pictures: Pictures, answers: Floats) -> str:
    """What to say where the pictures' folders speak for another order than the one given; empty where they do not."""
    if set(pictures.labels) - {""} != set(names):
        return ""
    order, best = best_order(answers, pictures.labels)
    got = answers.argmax(axis=1)
    given = float(np.mean([names[g] == label for g, label in zip(got, pictures.labels, strict=True) if label]))
    if best - given < CONTRADICTED:
        return ""
    return (
        f"labels {', '.join(names)} make {given:.1%} of the calibration pictures right, the order {', '.join(order)} "
        f"{best:.1%}: are they in the order of the outputs?"
    )
