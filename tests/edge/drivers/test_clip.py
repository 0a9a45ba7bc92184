"""Clips of every container: complete ones end without an error, cut ones with one, and each frame has its own time."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge import config
from edge.config import CameraSettings
from edge.drivers.clip import Clip
from edge.drivers.container import Extent, read_extent
from edge.errors import CameraError
from tests.edge.parts import fmd, texture

CLIPS = Path(__file__).parent / "clips"
COMPLETE = sorted(path.name for path in CLIPS.iterdir() if path.suffix != ".sh")
GAP = [*(i / 10 for i in range(20)), *(i / 10 + 18 for i in range(20, 40))]
EVEN = [i / 10 for i in range(40)]


def settings_of(loop: bool = False) -> CameraSettings:
    return config.load(None, {"camera.loop": loop}).camera


def clip_of(path: Path, loop: bool = False) -> Clip:
    return Clip(settings_of(loop), str(path), lambda: 0.0)


def times_of(path: Path) -> list[float]:
    return [frame.captured_s for frame in iter(clip_of(path).read, None)]


def cut(path: Path, name: str, share: float = 2 / 3) -> Path:
    """Copy the beginning of a clip."""
    path.write_bytes((CLIPS / name).read_bytes()[: int((CLIPS / name).stat().st_size * share)])
    return path


@pytest.mark.parametrize("name", COMPLETE)
def test_a_complete_clip_ends_without_an_error_and_each_frame_has_its_own_time(name: str) -> None:
    times = times_of(CLIPS / name)
    wanted = GAP if name.startswith(("gap", "fragmented")) else EVEN
    assert len(times) >= 27
    # A trimmed clip has the times of what is left.
    np.testing.assert_allclose(times, wanted[: len(times)], atol=0.002)
    assert len(times) == 40 or name == "trimmed.mp4"


@pytest.mark.parametrize("name", ["gap.mkv", "gap.webm", "sound.mkv", "fragmented.mp4"])
def test_a_clip_whose_container_states_its_end_is_cut_off_before_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(CameraError, match=r"ends after \d+ frames: the file is cut short or damaged"):
        times_of(cut(tmp_path / name, name, 0.7))


def test_an_mp4_that_lacks_frames_of_its_index_is_cut_off(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match=r"ends after \d+ of 40 frames: the file is cut short or damaged"):
        times_of(cut(tmp_path / "a.mp4", "index_first.mp4", 0.8))
    # The index of most files is at their end: without it nothing can be read.
    with pytest.raises(CameraError, match="not a video that OpenCV can read"):
        clip_of(cut(tmp_path / "b.mp4", "gap.mp4"))


def test_an_avi_whose_sound_alone_is_cut_off_is_complete(tmp_path: Path) -> None:
    assert len(times_of(cut(tmp_path / "a.avi", "sound.avi", 0.9))) == 40


@pytest.mark.parametrize("name", ["gap.ts", "gap.flv"])
def test_a_stream_format_may_end_anywhere(tmp_path: Path, name: str) -> None:
    assert 20 < len(times_of(cut(tmp_path / name, name, 0.8))) <= 40


@pytest.mark.parametrize("name", ["gap.mkv", "gap.mp4", "gap.ts", "sound.webm"])
def test_a_loop_continues_the_clock(name: str) -> None:
    once = times_of(CLIPS / name)
    camera = clip_of(CLIPS / name, loop=True)
    times = [frame.captured_s for frame in itertools.islice(iter(camera.read, None), 2 * len(once) + 5)]
    rate = camera.fps
    np.testing.assert_allclose(np.array(times[len(once) : 2 * len(once)]) - once, once[-1] + 1 / rate, atol=0.002)
    assert (np.diff(times) > 0).all()


class Timestamps:
    """The part of OpenCV's reader that a clip uses; ``times_s`` are the timestamps of its frames."""

    def __init__(self, times_s: list[float], fps: float = 10.0, stated: int = 0) -> None:
        self._times_s, self._fps, self._stated, self._at = times_s, fps, stated, -1

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return True

    def read(self) -> tuple[bool, object]:
        self._at += 1
        return self._at < len(self._times_s), texture(4, 4)

    def get(self, key: int) -> float:
        at_ms = self._times_s[max(0, self._at)] * 1000
        values = {cv2.CAP_PROP_FPS: self._fps, cv2.CAP_PROP_FRAME_COUNT: self._stated, cv2.CAP_PROP_POS_MSEC: at_ms}
        return values.get(key, 0.0)

    def release(self) -> None: ...


@pytest.mark.parametrize(
    ("given_s", "wanted_s"),
    [
        pytest.param([0, 0, 0, 0], [0, 0.1, 0.2, 0.3], id="none, as in raw streams"),
        pytest.param([5, 5.1, 5.3], [0, 0.1, 0.3], id="a start that is not 0"),
        pytest.param([1, 1.1, 1.1, 1.05, 1.4], [0, 0.1, 0.101, 0.102, 0.4], id="repeated and unordered ones"),
        pytest.param([900, 900.1, 3, 3.2], [0, 0.1, 0.2, 0.4], id="recordings that were joined"),
    ],
)
def test_time_rises_whatever_the_timestamps_are(
    monkeypatch: pytest.MonkeyPatch, given_s: list[float], wanted_s: list[float]
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: Timestamps(given_s))
    camera = clip_of(CLIPS / "gap.ts")
    times = [frame.captured_s for _ in given_s if (frame := camera.read())]
    np.testing.assert_allclose(times, wanted_s)


@pytest.mark.parametrize("shown", [40, 30])
def test_an_avi_that_states_the_rate_of_its_timestamps_is_complete(monkeypatch: pytest.MonkeyPatch, shown: int) -> None:
    # As FFmpeg copies a recording of uneven frames: 1000 frames per second, most of them empty.
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: Timestamps(EVEN[:shown], fps=1000.0, stated=4000))
    camera = clip_of(CLIPS / "sound.avi")
    assert all(camera.read() for _ in range(shown))
    if shown == 40:
        assert camera.read() is None
    else:
        with pytest.raises(CameraError, match="ends after 30 of 4000 frames"):
            camera.read()


@pytest.mark.parametrize(
    "content", [b"", b"RIFF", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\x01", b"\0\0\0\1ftyp", bytes(40)]
)
def test_a_damaged_container_states_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    assert read_extent(path).duration_s == 0
    assert not read_extent(path).cut_off


def test_every_cut_of_a_file_is_examined_without_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for name in ("index_first.mp4", "gap.mp4", "gap.mkv"):
        data = (CLIPS / name).read_bytes()
        for end in range(0, len(data), 7):
            path.write_bytes(data[:end])
            assert isinstance(read_extent(path), Extent)


def test_replay_writes_the_course_of_a_clip_without_a_stored_number_of_frames(tmp_path: Path) -> None:
    found = fmd("replay", CLIPS / "sound.mkv", "--expect", tmp_path / "a.toml", "--write")
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "a.toml").is_file()
