"""The compared loops: frames in, processor seconds out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import clips, cpu, overhead
from bench.clips import Interval, intervals_of
from bench.loops import Run, in_own_process, run_fmd
from edge import config
from edge.errors import DataError, FmdError
from tests.data_sets import DATA
from tests.edge.parts import write_clip

PEERS, VIDEO = DATA / "peers", DATA / "video" / "three_people_approach.mp4"


def test_intervals_are_read_and_wrong_ones_refused() -> None:
    assert intervals_of("0-5.5,20-23") == [Interval(0, 5.5), Interval(20, 23)]
    for text in ("", "1", "5-1", "1-2-3", "a-b"):
        with pytest.raises(DataError, match="intervals"):
            intervals_of(text)


def test_a_whole_clip_is_read_in_a_drivers_order_of_colours(tmp_path: Path) -> None:
    clip = clips.read(str(write_clip(tmp_path / "clip.mp4", frames=7, fps=12.0)))
    assert (len(clip.frames), clip.fps, clip.frames[0].shape) == (7, 12.0, (120, 160, 3))


def test_a_missing_clip_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such clip"):
        clips.read(str(tmp_path / "missing.mp4"))
    with pytest.raises(FmdError, match="no such clip"):
        in_own_process("fmd", str(tmp_path / "missing.mp4"))


def test_fmds_loop_is_timed_frame_by_frame(tmp_path: Path) -> None:
    clip = clips.read(str(write_clip(tmp_path / "clip.mp4", frames=6)))
    run = run_fmd(clip, threads=1)
    assert len(run.cpu_s) == 6
    assert min(run.cpu_s) > 0
    assert run.peak_mib > 20
    assert run.inferences >= 1


@pytest.mark.parametrize("camera", ["opencv", "picamera2"])
def test_the_bare_calls_are_those_of_the_step_and_cost_less(camera: str, tmp_path: Path) -> None:
    clip = clips.read(str(write_clip(tmp_path / "clip.mp4", frames=6)))
    settings = config.load(
        None, {"alert.driver": "console", "model.threads": 1, "watch.gate": False, "detect.every_s": 0}
    )
    driver = overhead.CAMERAS[camera]
    calls = overhead.recorded_calls(clip, driver, settings)
    assert [len(made) >= 1 for made in calls] == [True] * 6
    assert {call.tensor.dtype for made in calls for call in made} == {np.dtype(np.uint8)}
    timing = overhead.measured(clip, driver, threads=1, rounds=4)
    names = [measurement.name.split(": ")[1] for measurement in overhead.measurements_of("clip", timing, rounds=1)]
    assert names[-1] == "whole step / bare inference"
    # The quickest of each, with room: on a busy machine a round varies by more than the two differ.
    assert min(timing.step_cpu_s) > 0.7 * min(timing.bare_cpu_s)


def test_a_disturbed_round_does_not_change_the_quickest() -> None:
    timing = overhead.Timing([1.0, 2.0, 9.0, 2.0], [1.0, 1.0, 1.0, 8.0], [1.0] * 4, [1.0] * 4, calls=4)
    *_, quickest, judged = overhead.measurements_of("clip", timing, rounds=2)
    assert quickest.value == pytest.approx(3 / 2)
    assert judged.value == pytest.approx(14 / 11)


def test_both_loops_and_their_ratio_are_reported() -> None:
    ours, theirs = Run(10.0, [0.001] * 20, 0.0, 0), Run(10.0, [0.02] * 20, 0.0, 0)
    (*_, busy) = cpu.compared("clip", [ours], [theirs], bar=cpu.BUSY_BAR)
    assert busy.value == pytest.approx(0.05)
    assert busy.met
    (*_, idle) = cpu.compared("clip", [ours], [theirs], bar=cpu.IDLE_BAR)
    assert not idle.met


def test_empty_seconds_are_played_forwards_and_backwards_without_a_jump() -> None:
    frames = [np.full((2, 2, 3), i, np.uint8) for i in range(10)]
    long = clips.prolonged(clips.LoadedClip(frames, 2.0), Interval(1, 2.5), 5.0)
    assert [int(frame[0, 0, 0]) for frame in long.frames] == [2, 3, 4, 4, 3, 2, 2, 3, 4, 4]
    with pytest.raises(DataError, match="no frame"):
        clips.prolonged(clips.LoadedClip(frames, 2.0), Interval(10, 11), 5.0)


@pytest.mark.slow
@pytest.mark.data
def test_the_papers_loop_finds_the_people_and_takes_longer() -> None:
    if not (PEERS.is_dir() and VIDEO.is_file()):
        pytest.skip(f"needs {PEERS} and {VIDEO}; set FMD_DATA to the folder of the data sets")
    pytest.importorskip("keras", reason="keras is not installed")
    theirs = in_own_process("papers", str(VIDEO), "--peers", str(PEERS))
    ours = in_own_process("fmd", str(VIDEO))
    assert theirs.inferences > len(theirs.cpu_s) * 1.5
    assert theirs.per_second() > 3 * ours.per_second()
