"""A hub with a few doors, which the tests of this folder share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from simulation.fleet.fleet import FleetOptions, make_doors, make_hub, temporary_folder
from simulation.fleet.hub import PROGRAMS, READER, Hub
from simulation.fleet.reader import Reader
from simulation.fleet.usage import read
from simulation.fleet.workers import Doors

PATH = "/usr/bin:/usr/sbin:/usr/local/sbin"


@dataclass(frozen=True)
class Fleet:
    hub: Hub
    doors: Doors
    reader: Reader


@pytest.fixture(scope="package")
def fleet() -> Iterator[Fleet]:
    """Three doors, two of them alone, and a person every ten seconds at each."""
    if missing := [name for name in PROGRAMS.values() if not shutil.which(name, path=PATH)]:
        pytest.skip(f"not installed: {' '.join(missing)}")
    options = FleetOptions(doors=3, alone=2, visit_s=5.0, every_s=1)
    with (
        temporary_folder() as folder,
        make_hub(folder, options) as hub,
        Reader(hub.access(READER)) as reader,
        make_doors(hub, options) as doors,
    ):
        yield Fleet(hub, doors, reader)
        pids = [*doors.pids, *(child.pid for child in hub.children.values())]
    for pid in pids:
        with pytest.raises(OSError, match="No such"):
            read(pid)
