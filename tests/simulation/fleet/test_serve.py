"""Simulated doors on a real hub, changed by commands."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from simulation.fleet.fleet import FleetOptions, running
from simulation.fleet.hub import PROGRAMS, Hub
from simulation.fleet.serve import carry_out
from simulation.fleet.usage import read

PATH = "/usr/bin:/usr/sbin:/usr/local/sbin"
PATIENCE_S = 15.0

needs_hub = pytest.mark.skipif(
    not all(shutil.which(name, path=PATH) for name in PROGRAMS.values()),
    reason=f"not installed: {' '.join(PROGRAMS.values())}",
)


def wait_for(seen: Callable[[], object]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not seen() and time.monotonic() < until_s:
        time.sleep(0.1)
    assert seen()


def blind(hub: Hub) -> list[str]:
    return [labels["door"] for labels, _ in hub.query("fmd_blind == 1")]


@needs_hub
def test_doors_are_scraped_and_follow_commands_and_nothing_outlives_the_hub(tmp_path: Path) -> None:
    with running(tmp_path, FleetOptions(doors=4, alone=2, visit_s=12.0, every_s=1)) as (hub, doors):
        pids = [*doors.pids, *(child.pid for child in hub.children.values())]
        wait_for(lambda: len(hub.query("up == 1")) == 4)
        wait_for(lambda: len(hub.query("fmd_messages_sent_total > 3")) == 4)
        assert carry_out(doors, "blind door-0000\n") == ""
        assert carry_out(doors, "silent door-0001\n") == ""
        wait_for(lambda: blind(hub) == ["door-0000"])
        wait_for(lambda: [labels["door"] for labels, _ in hub.query("up == 0")] == ["door-0001"])
        assert "expected a command" in carry_out(doors, "explode door-0000")
        assert "expected one of door-0000, door-0001" in carry_out(doors, "blind door-0003")
    for pid in pids:
        with pytest.raises(OSError, match="No such"):
            read(pid)
