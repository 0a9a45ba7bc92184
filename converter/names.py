"""Names of labels: what people call faces with and without masks, and the files in which they write it down."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edge.contracts import LABELS
from edge.errors import ConversionError

Role = Literal["masked", "bare", "badly worn", "no face", ""]
"""What a label means; empty where its name does not show it."""

NEGATIONS = frozenset(("no", "not", "non", "without", "missing", "lack", "lacks", "lacking", "wo", "un", "off", "none"))
BADLY = frozenset(
    (
        "incorrect",
        "incorrectly",
        "improper",
        "improperly",
        "wrong",
        "wrongly",
        "partial",
        "partially",
        "bad",
        "badly",
        "below",
        "under",
        "chin",
        "nose",
        "half",
        "loose",
        "misused",
        "mistake",
        "error",
    )
)
RIGHTLY = frozenset(("correct", "correctly", "proper", "properly", "right"))
BARE = frozenset(("bare", "barefaced", "naked", "uncovered", "unmasked", "maskless", "nomask", "unmask"))
WORN = frozenset(("masked", "compliant", "covered"))
NO_FACE = ("not a face", "no face", "noface", "background", "nothing", "empty", "other")
LAST_TRAINING = "run.json"


@dataclass(frozen=True, slots=True)
class Labels:
    """``names`` in output order, and how they are known; ``background`` is the one, if any, for what is no face.

    ``guessed``, ``compliant_guessed`` and ``background_guessed`` mark what was concluded and not stated.
    """

    names: tuple[str, ...]
    compliant: str
    background: str | None
    why: str
    guessed: bool
    compliant_guessed: bool
    background_guessed: bool

    @property
    def dangerous(self) -> str:
        """The label that must not be missed: no mask."""
        return dangerous_of([name for name in self.names if name != self.background], self.compliant)


def words_of(name: str) -> list[str]:
    """Lower-case words of a label: ``NoMask``, ``no-mask`` and ``no_mask`` give the same."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words: list[str] = re.findall(r"[a-z]+|[0-9]+", spaced.lower())
    # What people write in one word; "un" and "non" are only prefixes of "masked" and the like.
    joined: list[str] = []
    for word in words:
        match = re.fullmatch(r"(no|non|not|un|without|with|in)(mask|masked|masks|wearing|correct|proper)", word)
        joined += list(match.groups()) if match and word not in BADLY else [word]
    return joined


def role_of(name: str) -> Role:
    """What a label means by its name. The word "mask" alone counts as masked; who uses it must rule out others."""
    words = words_of(name)
    if " ".join(words) in NO_FACE:
        return "no face"
    found = set(words)
    negative, mask = bool(found & NEGATIONS), any("mask" in word for word in words)
    if found & BADLY or (negative and found & RIGHTLY) or {"in", "correct"} <= found:
        return "badly worn"
    if found & BARE or (negative and (mask or found & (WORN | {"wearing", "worn", "with"}) or len(words) == 1)):
        return "bare"
    if mask or found & WORN or (found & RIGHTLY and not negative) or words == ["with"]:
        return "masked"
    return ""


def guess_compliant(names: Sequence[str]) -> str:
    """The label of a rightly worn mask; empty where none or several can be it, or where another name says nothing.

    A name such as ``mask`` proves nothing beside one that is not understood: the other may be ``mask`` worn rightly.
    """
    roles = [role_of(name) for name in names]
    masked = [name for name, role in zip(names, roles, strict=True) if role == "masked"]
    return masked[0] if len(masked) == 1 and "" not in roles else ""


def dangerous_of(worn: Sequence[str], compliant: str) -> str:
    """The label that must not be missed: no mask, by its name, else the first that is not compliant.

    ``worn`` are the labels of a face.
    """
    others = [name for name in worn if name != compliant]
    for wanted in ("bare", "", "badly worn"):
        for name in others:
            if role_of(name) == wanted:
                return name
    return others[0]


def label_files(model: Path) -> tuple[Path, ...]:
    """Where a labels file of ``model`` is searched for, in order."""
    folder = model.parent
    return (
        folder / f"{model.stem}.labels.txt",
        folder / f"{model.stem}_labels.txt",
        folder / "labels.txt",
        folder / "class_indices.json",
        folder / "labels.json",
        folder / "classes.txt",
        folder / "class_names.txt",
    )


def read_labels(file: Path) -> tuple[str, ...]:
    """Names in output order, from a text file (a line each, a leading number dropped) or JSON.

    JSON is a list, or numbers and names in either direction. Raises ConversionError where it is neither.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix == ".json" or text.lstrip().startswith(("{", "[")):
            return _from_json(json.loads(text))
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if len(lines) == 1 and "," in lines[0] and not lines[0][0].isdigit():
            lines = [name.strip() for name in lines[0].split(",")]
        return _numbered(lines)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConversionError(
            f"{file}: cannot be read as labels ({error}); correct it, or give --labels in output order"
        ) from error


def _from_json(found: Any) -> tuple[str, ...]:
    if isinstance(found, dict):
        if all(str(value).lstrip("-").isdigit() for value in found.values()):
            return tuple(str(name) for name in sorted(found, key=lambda name: int(found[name])))
        return tuple(str(found[key]) for key in sorted(found, key=int))
    if not isinstance(found, list):
        raise ValueError(f"got {type(found).__name__}, expected a list or an object")
    return tuple(str(name) for name in found)


def _numbered(lines: Sequence[str]) -> tuple[str, ...]:
    """Names of lines such as ``0 x``, ``0: x``, ``0,x``, ``0<tab>x``, ``x 0`` or ``x``, by number if all have one."""
    before = [re.fullmatch(r"(\d+)\s*[\s:,;=.)\-]\s*(\S.*)", line) for line in lines]
    after = [re.fullmatch(r"(.*\S)\s*[\s:,;=]\s*(\d+)", line) for line in lines]
    if lines and all(before):
        return tuple(name for _, name in sorted((int(m[1]), m[2].strip()) for m in before if m))
    if lines and all(after) and sorted(int(m[2]) for m in after if m) == list(range(len(lines))):
        return tuple(name for _, name in sorted((int(m[2]), m[1].strip()) for m in after if m))
    return tuple(lines)


def labels_of_run(model: Path) -> tuple[str, ...]:
    """Labels of the run of fmd-train that wrote ``model``, from ``run.json`` beside it; empty where there is none."""
    try:
        run = json.loads((model.parent / LAST_TRAINING).read_text(encoding="utf-8"))
        if isinstance(run.get("labels"), list):
            return tuple(str(name) for name in run["labels"])
        words = shlex.split(str(run["command"]))
    except (OSError, ValueError, KeyError, AttributeError, RecursionError):
        return ()
    if "classifier" not in words:
        return ()
    for i, word in enumerate(words):
        given = word.removeprefix("--labels=") if word.startswith("--labels=") else ""
        if word == "--labels" and i + 1 < len(words):
            given = words[i + 1]
        if given:
            return tuple(name.strip() for name in given.split(","))
    return tuple(LABELS)
