"""Pictures and videos that fmd has written are known by their content, those of others are not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.inference.picture_file import write_rgb
from edge.reporting import own_files
from edge.reporting.annotate import FORMATS, VideoFile, save_picture
from tests.edge.parts import texture


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_video_of_fmd_is_known_and_a_text_is_not(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with VideoFile(path) as video:
        for index in range(12):
            video.write(texture(60, 80), index / 10)
    assert own_files.is_video(path)
    path.write_text("no video\n")
    assert not own_files.is_video(path)


def test_every_format_of_videos_is_known() -> None:
    assert list(own_files.VIDEOS) == list(FORMATS)


def test_a_video_of_another_codec_is_not_of_fmd(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 10, (80, 60))
    for _ in range(5):
        writer.write(texture(60, 80))
    writer.release()
    assert path.stat().st_size > 0
    assert not own_files.is_video(path)


def test_a_picture_of_fmd_is_known_and_decodes_as_before(tmp_path: Path) -> None:
    picture = texture(20, 30)
    save_picture(tmp_path / "own.png", picture)
    write_rgb(tmp_path / "other.png", picture)
    assert own_files.is_picture(tmp_path / "own.png")
    assert not own_files.is_picture(tmp_path / "other.png")
    decoded = cv2.imread(str(tmp_path / "own.png"))
    assert decoded is not None
    assert np.array_equal(decoded[:, :, ::-1], picture)
