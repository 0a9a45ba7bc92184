"""How far a detection is believed to be a face, from two networks: one decision for ``fmd predict`` and the door.

Detector and classifier err on different things. A faint detection that the classifier takes for a face is one; a sure
detection outweighs a classifier's doubt. So their log odds are weighed and summed (naive Bayes with fitted weights).
"""

from __future__ import annotations

import math

BIAS, SCORE_WEIGHT, BACKGROUND_WEIGHT = 2.4, 4.5, 1.0
"""Fitted by ``fmd-train decision`` on validation pictures (models/README.md)."""
MIN_LOG_ODDS = -1.2
"""Log odds from which on a detection is a face; chosen there, too. Folds chose -2.7 to -1.0."""
MIN_LOG_ODDS_AT_DOOR = 2.0
"""The same at the door, where a person gives many observations. Passages composed from validation pictures are decided
as well with 2 as with less, and in clips of a shop fewer things become passages that stay unsure."""
MIN_SCORE_ALONE = 0.25
"""Detector's confidence from which on a detection is a face where the classifier cannot say."""
CLIP = 1 / 512
"""Half a step of a network's bytes: it cannot be surer than that, and zero has no logarithm."""


def face_log_odds(score: float, background: float) -> float:
    """Return the log odds that a detection is a face.

    ``score`` is the detector's confidence, ``background`` the classifier's probability of no face, both 0..1.
    """
    return BIAS + SCORE_WEIGHT * log_odds(score) - BACKGROUND_WEIGHT * log_odds(background)


def is_face(score: float, background: float | None, least: float = MIN_LOG_ODDS) -> bool:
    """Return whether a detection counts as a face; of anything else an observation decides nothing.

    ``background`` is None where the classifier has no label for what is no face: then the detector decides alone.
    Otherwise log odds of ``least`` are enough.
    """
    return score >= MIN_SCORE_ALONE if background is None else face_log_odds(score, background) >= least


def log_odds(p: float) -> float:
    """Return the log odds of a probability, finite for 0 and 1."""
    p = min(1 - CLIP, max(CLIP, p))
    return math.log(p / (1 - p))
