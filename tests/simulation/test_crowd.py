"""Crowds: the first alarm does not wait until everybody is observed often enough."""

from __future__ import annotations

import msgspec
import pytest

from edge import config
from simulation.crowd import first_alarms_s

SETTINGS = config.load()


@pytest.mark.parametrize(("bare", "masked", "limit_s"), [(1, 0, 1.0), (24, 0, 1.0), (100, 0, 1.0), (1, 80, 2.2)])
def test_the_first_alarm_of_a_crowd_comes_soon(bare: int, masked: int, limit_s: float) -> None:
    assert first_alarms_s(SETTINGS, bare, masked, crowds=3)[-1] <= limit_s


def test_more_observations_a_frame_find_the_bare_face_sooner() -> None:
    slow, fast = (
        first_alarms_s(
            msgspec.structs.replace(SETTINGS, classify=msgspec.structs.replace(SETTINGS.classify, at_once=n)),
            1,
            40,
            15,
            1,
        )
        for n in (1, 8)
    )
    assert fast[0] < slow[0]
