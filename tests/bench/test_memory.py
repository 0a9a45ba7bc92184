"""Memory of the whole process: its peak, and whether it grows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import memory, slope
from bench.slope import Readings
from edge.errors import FmdError
from tests.edge.parts import write_clip


def test_the_peak_is_that_of_the_real_command_and_under_the_bar(tmp_path: Path) -> None:
    peak = memory.peak_mb(write_clip(tmp_path / "clip.mp4", frames=10))
    assert 30 < peak <= memory.BAR_MB


def test_a_run_that_fails_is_told_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(FmdError, match="no such file"):
        memory.peak_mb(tmp_path / "missing.mp4")


def test_readings_are_taken_over_the_frames_asked_for(tmp_path: Path) -> None:
    readings = slope.watched(write_clip(tmp_path / "clip.mp4", frames=10), frames=40, readings=20)
    assert len(readings.resident_kb) == len(readings.blocks) == 20
    assert min(readings.resident_kb) > 10_000
    assert min(readings.blocks) > 10_000


def test_growth_misses_the_bar_and_none_meets_it() -> None:
    flat = 1e5 + np.random.default_rng(1).normal(0, 50, 400)
    leaking = flat + np.arange(400)
    assert all(figure.met for figure in slope.figures_of(Readings(flat, flat), 100_000))
    missed = [figure for figure in slope.figures_of(Readings(leaking, flat), 100_000) if not figure.met]
    assert [figure.name.split(":")[0] for figure in missed] == ["resident memory"]
    assert all(figure.met for figure in slope.figures_of(Readings(flat, flat[::-1]), 100_000))


@pytest.mark.slow
def test_nothing_piles_up_over_thousands_of_frames(tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="scikit-image carries the scene's portrait")
    readings = slope.watched(memory.scene_file(tmp_path), frames=8000, readings=80)
    grown = readings.blocks[-10:].mean() - readings.blocks[20:30].mean()
    # Forty people came and went meanwhile; a dict forgotten for each would be hundreds.
    assert grown < 100
    assert readings.resident_kb[-1] - readings.resident_kb[20] < 4096
