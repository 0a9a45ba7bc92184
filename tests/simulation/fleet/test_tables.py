"""Arithmetic and tables of what is measured of a hub."""

from __future__ import annotations

import pytest

from simulation.fleet.checks import HubLoad, growth, load_head
from simulation.fleet.tables import Delays, exponent, lost_and_repeated, per_door, table
from simulation.fleet.usage import Load


def test_a_row_has_the_median_and_the_longest_delay_and_counts_missed_events() -> None:
    assert Delays("blind", [20.0, None, 10.0, 40.0]).row() == ["blind", "4", "20.0", "40.0", "1"]
    assert Delays("blind", [None]).row() == ["blind", "1", "-", "-", "1"]


def test_columns_are_as_wide_as_their_longest_cell() -> None:
    assert table(["a", "bcd"], [["long", "1"]]) == "| a    | bcd |\n| ---- | --- |\n| long | 1   |"


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_is_found_whatever_the_factor(power: float) -> None:
    counts = [10.0, 100.0, 1000.0]
    assert exponent(counts, [3.0 * count**power for count in counts]) == pytest.approx(power, abs=1e-9)


def test_one_more_door_adds_the_slope_without_the_load_of_an_empty_hub() -> None:
    assert per_door([10.0, 100.0, 1000.0], [50.0 + 0.2 * count for count in (10, 100, 1000)]) == pytest.approx(0.2)


def test_growth_needs_two_counts_and_an_exponent_positive_values() -> None:
    with pytest.raises(ValueError, match="two counts or more"):
        per_door([10.0, 10.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="positive values of two counts"):
        exponent([10.0], [1.0])
    with pytest.raises(ValueError, match="positive values"):
        exponent([10.0, 100.0], [0.0, 1.0])


def test_a_decision_that_never_arrived_is_lost_and_one_that_came_twice_is_repeated() -> None:
    assert lost_and_repeated(["1 decided", "1 left", "2 decided"], {"1 decided": 2, "1 left": 1}) == (["2 decided"], 1)


def hub_load(doors: int, **changed: float) -> HubLoad:
    loads = {"mosquitto": Load(0.001 + doors / 1e5, 10_000_000 + 20_000 * doors), "alertmanager": Load(0.0, 35_000_000)}
    plain = {"messages_s": 1.0, "samples_s": 2.0, "series": 3.0, "doors_cores": 0.5}
    return HubLoad(doors=doors, loads=loads, **{**plain, "failed": 0.0, "missed_s": 0.0, "unsent": 0.0, **changed})


def test_growth_states_what_one_more_door_adds_and_no_exponent_for_a_process_without_load() -> None:
    text = growth([hub_load(10), hub_load(100), hub_load(1000)])
    mosquitto, alertmanager = text.splitlines()[2:]
    assert [cell.strip() for cell in mosquitto.split("|")[2:4]] == ["0.001", "0.02"]
    assert [cell.strip() for cell in alertmanager.split("|")[2:6]] == ["0.000", "0.00", "-", "0.00"]


@pytest.mark.parametrize("changed", [{"failed": 0.002}, {"missed_s": 0.1}, {"unsent": 1.0}])
def test_a_hub_holds_only_without_failed_scrapes_missed_evaluations_and_unsent_messages(
    changed: dict[str, float],
) -> None:
    assert hub_load(10).holds
    assert not hub_load(10, **changed).holds
    assert hub_load(10, **changed).row()[-1] == "no"
    assert len(hub_load(10).row()) == len(load_head(["mosquitto", "alertmanager"]))
