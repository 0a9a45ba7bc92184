"""A record on a clock that the test turns, and rows for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge import config
from edge.config import RecordSettings
from edge.record.evidence import Weighed, packed
from edge.record.rows import PassageRow
from edge.record.store import Record

EPOCH_S = 1_800_000_000.0
"""2027-01-15 08:00 UTC."""


def settings(**changed: Any) -> RecordSettings:
    return config.load(None, {f"record.{key}": value for key, value in changed.items()}).record


@dataclass
class Clock:
    """Monotonic and wall clock of a board; ``right`` is whether the wall clock is synchronised."""

    now_s: float = 0.0
    wall_s: float = EPOCH_S
    right: bool = True

    def forward(self, seconds: float) -> None:
        self.now_s += seconds
        self.wall_s += seconds

    def record(self, folder: Path, runtime: Path | None = None, **changed: Any) -> Record:
        return Record(folder, settings(**changed), lambda: self.now_s, lambda: self.wall_s, lambda: self.right, runtime)


OBSERVATIONS = tuple(Weighed(0.1 * i, 0.8, True, (0.9, 0.07, 0.03)) for i in range(1, 12))


def passage(id_: int, ended_s: float = EPOCH_S, **changed: Any) -> PassageRow:
    """Return a passage of five seconds that ended at ``ended_s``, seconds since 1970."""
    row = {
        "id": id_,
        "camera": "",
        "entered": round((ended_s - 5) * 1000),
        "decided": 800,
        "alarm": None,
        "cleared": None,
        "ended": 5000,
        "outcome": "compliant",
        "label": "with_mask",
        "violated": False,
        "observations": 11,
        "width": 80.0,
        "brightness": 120.0,
        "score": 0.9,
        "sharpness": 60.0,
        "disagreement": 0.05,
        "place": (0.5, 0.4),
        "evidence": packed(OBSERVATIONS),
    }
    return PassageRow(**{**row, **changed})


def violation(id_: int, ended_s: float = EPOCH_S, **changed: Any) -> PassageRow:
    """Return a passage of a person without a mask, decided after 0.8 s."""
    row = {"outcome": "violation", "label": "without_mask", "violated": True, "alarm": 800}
    return passage(id_, ended_s, **{**row, **changed})
