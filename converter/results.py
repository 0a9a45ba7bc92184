"""What a conversion and a repeated proof return."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from converter.calibrate import Calibration
from converter.golden import Chosen
from converter.identify import Identified
from converter.names import Labels
from converter.options import Options
from converter.scaling import Pixels
from converter.verify import Parity, Share
from edge.inference.bundle import Contract, Model

DECIDE, GUESS, IMPROVE, STATE = "decision needed", "guess", "possible improvement", "note"
RANKS = (DECIDE, GUESS, IMPROVE, STATE)
"""Kinds of notes, the most urgent first."""


class Note(NamedTuple):
    """One thing that the user should know. ``kind`` is one of :data:`RANKS`."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def ranked(notes: list[Note]) -> tuple[Note, ...]:
    """Notes by urgency, otherwise in their order."""
    return tuple(sorted(notes, key=lambda note: RANKS.index(note.kind)))


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """One scheme tried: the flatbuffer, the model on the edge's runtime, its parity, and what of the gate it missed.

    ``unrounded`` is the same in float32, where the converter left one.
    """

    scheme: str
    flatbuffer: bytes
    unrounded: bytes | None
    contract: Contract
    model: Model
    steps: list[float]
    parity: Parity
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Onnx:
    """The same model as ONNX, proven the same way; ``bundle`` is what is written."""

    bundle: bytes
    contract: Contract
    parity: Parity
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Conversion:
    """Result of a conversion. ``path`` is None where the gate was not passed: then no model was written.

    ``bundle`` holds the file's bytes either way. ``shares`` are the gate's, of a classifier. ``failures`` are
    sentences. ``seconds`` maps a step's name to the time it took, ``inference_ms`` a scheme to the median
    milliseconds of one picture on one thread here. ``layers`` are those that lose most, where that was asked for.
    ``unrounded`` is the flatbuffer in float32 that the times and the layers are compared with, where there is one.
    """

    path: Path | None
    target: Path
    source: Path
    source_bytes: int
    options: Options
    bundle: bytes
    contract: Contract
    identified: Identified
    calibration: Calibration
    parity: Parity
    shares: tuple[Share, ...]
    failures: tuple[str, ...]
    golden: Chosen
    notes: tuple[Note, ...]
    seconds: dict[str, float]
    inference_ms: dict[str, float]
    layers: tuple[tuple[str, float], ...]
    unrounded: bytes | None
    onnx: Onnx | None = None

    @property
    def passed(self) -> bool:
        """Whether the gate was passed and the file written."""
        return not self.failures

    @property
    def pixels(self) -> Pixels:
        """Scaling and colour order of the source model."""
        return self.identified.pixels

    @property
    def labels(self) -> Labels | None:
        """Labels of a classifier."""
        return self.identified.labels


@dataclass(frozen=True, slots=True, eq=False)
class Proof:
    """A file proven again: ``replay`` is the largest golden difference as a share of what is allowed.

    ``parity`` and ``failures`` compare it with its Keras model where one was given, else they are None and empty.
    """

    contract: Contract
    runtime: str
    replay: float
    parity: Parity | None
    failures: tuple[str, ...]
