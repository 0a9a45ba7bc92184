"""Two networks' log odds as one decision."""

from __future__ import annotations

import itertools
import math

import pytest

from edge.inference import evidence


def test_the_sum_is_of_weighted_log_odds() -> None:
    assert evidence.face_log_odds(0.5, 0.5) == pytest.approx(evidence.BIAS)
    more = evidence.face_log_odds(math.e / (1 + math.e), 0.5) - evidence.BIAS
    assert more == pytest.approx(evidence.SCORE_WEIGHT)
    less = evidence.face_log_odds(0.5, math.e / (1 + math.e)) - evidence.BIAS
    assert less == pytest.approx(-evidence.BACKGROUND_WEIGHT)


def test_a_surer_detector_and_a_smaller_doubt_only_help() -> None:
    steps = [i / 20 for i in range(21)]
    for low, high in itertools.pairwise(steps):
        for other in steps:
            assert evidence.face_log_odds(low, other) <= evidence.face_log_odds(high, other)
            assert evidence.face_log_odds(other, low) >= evidence.face_log_odds(other, high)


def test_each_network_can_outweigh_the_other() -> None:
    assert evidence.is_face(0.9, 0.6)
    assert evidence.is_face(0.2, 0.01)
    assert not evidence.is_face(0.2, 0.6)
    assert not evidence.is_face(0.15, 1.0)


def test_the_door_asks_for_more() -> None:
    assert evidence.is_face(0.2, 0.01)
    assert not evidence.is_face(0.2, 0.01, evidence.MIN_LOG_ODDS_AT_DOOR)
    assert evidence.is_face(0.4, 0.02, evidence.MIN_LOG_ODDS_AT_DOOR)


@pytest.mark.parametrize(("score", "face"), [(0.24, False), (0.25, True)])
def test_without_a_label_for_no_face_the_detector_decides(score: float, face: bool) -> None:
    assert evidence.is_face(score, None) is face


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_certainty_stays_finite(p: float) -> None:
    assert abs(evidence.log_odds(p)) == pytest.approx(math.log(511))
