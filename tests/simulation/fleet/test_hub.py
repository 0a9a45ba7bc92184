"""What is read of the hub's programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulation.fleet.hub import Child, HubError, is_established, site_of, totals


def test_metrics_are_summed_over_their_labels() -> None:
    text = '# HELP a b\n# TYPE a counter\na{x="1 2"} 3\na{x="}"} 4.5\nb 1e+06\n'
    assert totals(text) == {"a": 7.5, "b": 1e6}


def test_only_open_connections_to_the_port_count() -> None:
    line = "   0: 0100007F:22B3 0100007F:{peer} {state} 00000000:00000000 00:00000000 00000000     0        0 1 1 0"
    assert is_established(line.format(peer="C350", state="01"), 0x22B3)
    assert not is_established(line.format(peer="C350", state="0A"), 0x22B3)
    assert not is_established(line.format(peer="22B4", state="01"), 0x22B4)


def test_ten_doors_are_a_site() -> None:
    assert [site_of(f"door-{i:04d}") for i in (0, 9, 10, 1000)] == ["site-00", "site-00", "site-01", "site-100"]


def test_a_program_that_ends_at_once_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    child = Child("broker", ["sh", "-c", "echo no such option >&2; exit 3"], tmp_path, Path("/nowhere").stat)
    with pytest.raises(HubError, match="broker does not start: no such option"):
        child.start()
