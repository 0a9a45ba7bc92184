from __future__ import annotations

import pytest

from edge import faults
from edge.errors import SettingsError
from edge.faults import Fault


def test_named_faults_are_parsed_in_order_of_time() -> None:
    assert faults.parse("unplug@60+5, stall@30,dark@90.5+0.5") == (
        Fault("stall", 30.0, 10.0),
        Fault("unplug", 60.0, 5.0),
        Fault("dark", 90.5, 0.5),
    )
    assert faults.parse("") == ()


@pytest.mark.parametrize("text", ["flood@3", "stall", "stall@", "stall@-1", "stall@3+", "stall@3 dark@4", "@3"])
def test_an_unknown_fault_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"camera\.simulate: expected KIND@SECONDS .*stall, hang, unplug.*; got "):
        faults.parse(text)


def test_a_fault_is_active_for_its_duration_and_the_latest_counts() -> None:
    some = faults.parse("stall@1+5,dark@3+1")
    at = {time_s: faults.active(some, time_s) for time_s in (0.9, 1.0, 3.5, 4.0, 6.0)}
    assert [fault.kind if fault else None for fault in at.values()] == [None, "stall", "dark", "stall", None]
