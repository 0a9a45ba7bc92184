"""Rows of the record, as the loop hands them to the writer."""

from __future__ import annotations

from enum import Enum

import msgspec


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """Which models and settings made the passages of one run.

    ``classifier``, ``detector`` and ``settings`` are the first 12 hexadecimal digits of a SHA-256. ``labels`` are the
    classifier's labels of a face, in its order; ``confusion`` is its matrix as JSON (of
    :class:`edge.inference.bundle.Confusion`), empty if its contract has none. ``margin`` is the share of a face that
    the classifier sees around it, ``model`` the name in its contract; neither is stored.
    """

    version: str = ""
    model: str = ""
    classifier: str = ""
    detector: str = ""
    settings: str = ""
    labels: tuple[str, ...] = ()
    compliant: str = ""
    confusion: str = ""
    margin: float = 0.2


class PassageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One person with an outcome. ``id`` counts from 1 in each process; the writer adds what earlier ones used.

    Moments are milliseconds after ``entered``, which is milliseconds since 1970; None if it did not happen. ``alarm``
    is the first violation, ``cleared`` the last change from a violation to a well worn mask. ``width`` is the face's
    width in pixels and ``place`` its centre as shares of the picture, both when the person was decided, as are
    ``brightness`` (0..255) and ``sharpness`` (mean square of the Laplacian). ``score`` is the detector's mean score.
    ``disagreement`` is the mean difference, 0..1, of successive observations, which are plain and mirrored in turn.
    ``evidence`` holds the observations (:mod:`edge.record.evidence`).
    """

    id: int
    camera: str
    entered: int
    decided: int | None
    alarm: int | None
    cleared: int | None
    ended: int | None
    outcome: str
    label: str
    violated: bool
    observations: int
    width: float
    brightness: float
    score: float
    sharpness: float
    disagreement: float
    place: tuple[float, float]
    evidence: bytes


class SpanState(Enum):
    """What a camera did for some time. Time without any of these is stopped time."""

    WATCHING = "watching"
    BLIND = "blind"
    DARK = "dark"
    DISARMED = "disarmed"
