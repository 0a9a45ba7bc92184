"""Measured accuracy of the shipped models by the width of a face, from the numbers beside the detector's card."""

from __future__ import annotations

import msgspec

from edge import paths


class Figures(msgspec.Struct, frozen=True):
    """Shares of labelled test faces, 0..1: found, and put on the right side of the alarm."""

    faces: float
    recall: float
    right_side: float


class Numbers(msgspec.Struct, frozen=True):
    """What ``fmd-train card`` writes beside the card. Bands are named as in "24-40 px" and "160+ px"."""

    title: str
    by_width: dict[str, Figures]


class Band(msgspec.Struct, frozen=True):
    """Accuracy for faces of this width: percent found, and percent judged right."""

    name: str
    faces: int
    found: int
    right: int


def bands() -> tuple[Band, ...]:
    """Return the bands, the smallest faces first; none if the file is missing or damaged."""
    card = paths.shipped_model("detector")
    try:
        numbers = msgspec.json.decode(card.with_name(f"{card.stem}-scores.json").read_bytes(), type=Numbers)
    except (OSError, msgspec.MsgspecError):
        return ()
    return tuple(
        Band(name, round(each.faces), round(each.recall * 100), round(each.right_side * 100))
        for name, each in numbers.by_width.items()
    )
