"""Memory of the whole process: its peak, and whether it grows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import memory, slope
from bench.slope import Readings
from edge.errors import DataError, FmdError
from tests.edge.parts import write_clip


def test_the_peak_is_that_of_the_real_command_and_leaves_half_the_bar_for_libraries(tmp_path: Path) -> None:
    peak = memory.peak_of(write_clip(tmp_path / "clip.mp4", frames=10))
    assert 30 < peak.own_mb <= memory.BAR_MB / 2
    assert peak.resident_mb > peak.own_mb + 30


def test_a_run_that_fails_is_reported_with_its_own_message(tmp_path: Path) -> None:
    with pytest.raises(FmdError, match="no such file"):
        memory.peak_of(tmp_path / "missing.mp4")


def test_readings_cover_the_requested_frames(tmp_path: Path) -> None:
    readings = slope.measured(write_clip(tmp_path / "clip.mp4", frames=1), frames=61)
    assert len(readings.resident_kb) == len(readings.blocks) == 30
    assert min(readings.resident_kb) > 10_000
    assert min(readings.blocks) > 10_000


def test_a_clip_that_repeats_too_rarely_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give 2 readings; give 500 or more"):
        slope.measured(write_clip(tmp_path / "clip.mp4", frames=10), frames=40)


def test_free_memory_of_the_heap_is_returned_before_the_readings_that_count() -> None:
    kept = [np.ones(2000) for _ in range(5000)]  # too small for maps of their own
    kept[:-1] = []  # the last one holds the end of the heap
    before = slope.resident_kb()
    slope.trim()
    assert before - slope.resident_kb() > 40_000
    assert kept


def test_growth_misses_the_bar_and_none_meets_it() -> None:
    flat = 1e5 + np.random.default_rng(1).normal(0, 50, 400)
    leaking = flat + np.arange(400)
    assert all(measurement.met for measurement in slope.measurements_of(Readings(flat, flat), 100_000))
    missed = [
        measurement for measurement in slope.measurements_of(Readings(leaking, flat), 100_000) if not measurement.met
    ]
    assert [measurement.name.split(":")[0] for measurement in missed] == ["resident memory"]
    assert all(measurement.met for measurement in slope.measurements_of(Readings(flat, flat[::-1]), 100_000))


@pytest.mark.slow
def test_memory_does_not_grow_over_thousands_of_frames(tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="scikit-image carries the scene's portrait")
    readings = slope.measured(memory.scene_file(tmp_path), frames=10_140)
    # From here the alert has 32 people to remember. Nearly as many come and go; a dict kept for each would need more.
    assert readings.blocks[-1] - readings.blocks[16] < 20
    assert readings.resident_kb[-1] - readings.resident_kb[16] < 4096
