"""Memory over thousands of frames: it grows at the start and then no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge import config, service
from edge.contracts import Step

FRAMES, SETTLED, MOST_KB = 4000, 1000, 4096


def resident_kb() -> int:
    """Of this process, as the kernel counts it."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("no /proc/self/status on this system")
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS"))


class EnoughError(Exception):
    """Enough frames seen."""


@pytest.mark.slow
def test_memory_does_not_grow_over_thousands_of_frames() -> None:
    pytest.importorskip("skimage", reason="scikit-image carries the scene's portrait")
    at: dict[int, int] = {}

    def on_step(step: Step) -> None:
        if step.frame.index % 500 == 0:
            at[step.frame.index] = resident_kb()
        if step.frame.index == FRAMES:
            raise EnoughError

    settings = config.load(None, {"camera.source": "doorway", "camera.loop": True, "alert.driver": "console"})
    with pytest.raises(EnoughError):
        service.run(settings, on_step, lambda decision: None)
    print(at)
    assert at[FRAMES] - at[SETTLED] < MOST_KB
