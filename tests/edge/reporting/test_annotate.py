from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge import config
from edge.contracts import Box, Face, Heat, Image, Observation, Outcome, Passage, Signal, Step, Track
from edge.drivers.clip import Clip
from edge.errors import OutputError
from edge.reporting.annotate import (
    FORMATS,
    Mark,
    StepVideos,
    VideoFile,
    annotate,
    blur_face,
    contact_sheet,
    draw_heat,
    draw_marks,
    label_places,
    pixelate,
    save_picture,
)
from tests.edge.parts import ROOT, frame_of, texture

BOX = Box(60, 50, 120, 130)


def step_of(image: Image, faces: tuple[Face, ...] = (), tracks: tuple[Track, ...] = (), looked: bool = True) -> Step:
    passages = tuple(Passage(t.id, Outcome.VIOLATION, "without_mask", 3, True, 0, 0, 0, Signal.NO_MASK) for t in tracks)
    return Step(frame_of(image), looked, looked, faces, tracks, {}, passages, (), Signal.RUNNING, {})


def colours(region: Image) -> int:
    return len(np.unique(region.reshape(-1, 3), axis=0))


def inside(image: Image, box: Box) -> Image:
    xmin, ymin, xmax, ymax = (round(v) for v in box)
    return image[ymin:ymax, xmin:xmax]


def test_no_unblurred_pixel_of_a_face_survives() -> None:
    """Of 4,800 random colours at most the 6 x 6 cells' means are left, so nothing of the face can be told."""
    picture = texture(200, 200)
    assert colours(inside(picture, BOX)) > 4000
    blur_face(picture, BOX)
    assert colours(inside(picture, BOX)) <= 36


def test_the_blur_reaches_beyond_the_box_and_leaves_the_rest() -> None:
    before = texture(200, 200)
    after = before.copy()
    blur_face(after, BOX)
    changed = (before != after).any(axis=2)
    assert changed[31:149, 46:134].all()
    assert not changed[:29].any()
    assert not changed[152:].any()
    assert not changed[:, :44].any()
    assert not changed[:, 137:].any()


@pytest.mark.parametrize("where", [Box(-30, -30, 20, 20), Box(180, 180, 260, 260), Box(-10, -10, 300, 300)])
def test_faces_over_the_border_are_blurred_as_far_as_they_are_seen(where: Box) -> None:
    picture = texture(200, 200)
    blur_face(picture, where)
    seen = picture[max(0, int(where.ymin)) : int(where.ymax), max(0, int(where.xmin)) : int(where.xmax)]
    assert colours(seen) <= 36


@pytest.mark.parametrize("where", [Box(300, 300, 340, 340), Box(-80, 0, -40, 40), Box(50, 50, 50, 50)])
def test_boxes_outside_the_picture_do_no_harm(where: Box) -> None:
    picture = texture(200, 200)
    blur_face(picture, where)
    assert colours(picture) > 30000


def test_every_face_and_every_expected_face_is_blurred_before_anything_is_drawn() -> None:
    """A track bridging a gap has no face in this frame, and the person may well be there."""
    image = texture(400, 400)
    missed = Track(1, Box(260, 250, 320, 330), 0.9, 0, 0, missed=2)
    faint = Face(BOX, 0.21)
    shown = annotate(step_of(image, (faint,), (missed,)), show_faces=False)
    for box in (BOX, missed.box):
        np.testing.assert_array_less(colours(inside(shown, box)), 36 + 20)  # and what lines and letters left
        assert (inside(shown, box) != inside(image, box)).any(axis=2).mean() > 0.99


def test_a_frame_nobody_looked_at_keeps_no_detail_at_all() -> None:
    image = texture(400, 400)
    shown = annotate(step_of(image, looked=False), show_faces=False)
    assert colours(shown[:380]) <= 100


def test_faces_stay_where_the_owner_asks_for_them_and_the_frame_is_never_drawn_on() -> None:
    image = texture(400, 400)
    before = image.copy()
    shown = annotate(step_of(image, (Face(BOX, 0.9),)), show_faces=True)
    np.testing.assert_array_equal(inside(shown, BOX), inside(before, BOX))
    annotate(step_of(image, (Face(BOX, 0.9),)), show_faces=False)
    np.testing.assert_array_equal(image, before)


def test_the_alarm_has_a_red_border() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    quiet = step_of(image)
    loud = Step(quiet.frame, True, True, (), (), {}, (), (), Signal.NO_MASK, {})
    assert annotate(loud, True)[2, 150].tolist() == [220, 40, 40]
    assert annotate(quiet, True)[2, 150].tolist() == [0, 0, 0]


@pytest.mark.parametrize("box", [Box(-50, -50, 10, 10), Box(290, 190, 400, 300), Box(0, 0, 300, 200)])
def test_labels_of_boxes_over_the_border_are_drawn_all_the_same(box: Box) -> None:
    picture = np.zeros((200, 300, 3), np.uint8)
    draw_marks(picture, [Mark(box, "1 violation without_mask", (220, 40, 40))])
    assert (picture == (220, 40, 40)).all(axis=2).sum() > 1000  # the background of the text


def crowd(rng: np.random.Generator, count: int) -> list[Box]:
    corners = rng.uniform((-40, -40), (620, 440), (count, 2))
    return [Box(x, y, x + side, y + side) for (x, y), side in zip(corners, rng.uniform(16, 300, count), strict=True)]


@pytest.mark.parametrize("shape", [(480, 640), (64, 64), (20, 500)])
def test_labels_stay_inside_the_picture(shape: tuple[int, int]) -> None:
    height, width = shape
    for box in crowd(np.random.default_rng(3), 200):
        for place in label_places(box, min(150, width), min(16, height), width, height):
            assert place.xmin >= 0 <= place.ymin
            assert place.xmax <= width
            assert place.ymax <= height
        draw_marks(np.zeros((*shape, 3), np.uint8), [Mark(box, "12 violation with_incorrect_mask", (220, 40, 40))])


@pytest.mark.parametrize("gap", [0, 5, 30, 60])
def test_labels_of_neighbours_keep_clear_of_each_other_and_of_the_status(gap: int) -> None:
    picture = np.zeros((480, 640, 3), np.uint8)
    boxes = [Box(60 + gap * i, 300 + 20 * (i % 2), 140 + gap * i, 400 + 20 * (i % 2)) for i in range(5)]
    boxes.append(Box(-10, 440, 60, 520))  # its label would cover the status
    status = Box(6, 450, 200, 475)
    colours_ = [(10 + i, 200, 30) for i in range(len(boxes))]
    draw_marks(
        picture,
        [Mark(b, f"{i} violation without_mask", c) for i, (b, c) in enumerate(zip(boxes, colours_, strict=True))],
        [status],
    )
    areas = [int((picture == colour).all(axis=2).sum()) for colour in colours_]
    alone = np.zeros_like(picture)
    draw_marks(alone, [Mark(Box(300, 200, 301, 201), "0 violation without_mask", (10, 200, 30))])
    whole = int((alone == (10, 200, 30)).all(axis=2).sum())
    assert min(areas) > 0.9 * whole  # no text is covered by another


def test_pixels_become_the_means_of_their_cells() -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[:, 2:] = 100
    picture[0, 2] = 200
    pixelate(picture, (2, 1))
    assert (picture[:, :2] == 0).all()
    assert (picture[:, 2:] == 112).all()  # (7 * 100 + 200) / 8 = 112.5, rounded to even


def test_a_contact_sheet_fills_its_last_row_with_white() -> None:
    sheet = contact_sheet([np.zeros((30, 40, 3), np.uint8)] * 3, columns=2, width=20)
    assert sheet.shape == (30, 40, 3)
    assert (sheet[15:, 20:] == 255).all()
    assert (sheet[:15] == 0).all()
    assert (sheet[15:, :20] == 0).all()


def test_a_saved_picture_reads_back_in_the_same_colours(tmp_path: Path) -> None:
    picture = texture(20, 30)
    save_picture(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[:, :, ::-1], picture)


@pytest.mark.parametrize("name", ["nowhere/a.png", "a.xyz"])
def test_a_picture_that_cannot_be_saved_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="could not be written"):
        save_picture(tmp_path / name, texture(20, 30))


def read_back(path: Path) -> tuple[list[Image], float]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (got := capture.read())[0]:
        frames.append(np.asarray(got[1], np.uint8)[:, :, ::-1])
    return frames, capture.get(cv2.CAP_PROP_FPS)


def test_a_video_reads_back_with_its_frames_colours_and_speed(tmp_path: Path) -> None:
    path = tmp_path / "seen.webm"
    picture = np.full((48, 64, 3), (200, 40, 30), np.uint8)
    with VideoFile(path) as video:
        for i in range(5):
            video.write(picture, 10.0 + i / 8)
    frames, fps = read_back(path)
    assert (len(frames), fps) == (5, pytest.approx(8))
    np.testing.assert_allclose(frames[0].mean(axis=(0, 1)), (200, 40, 30), atol=6)


def shades(path: Path) -> list[int]:
    """Which of the grey pictures (10 apart) each frame of a video is."""
    return [round(float(frame.mean()) / 10) for frame in read_back(path)[0]]


@pytest.mark.parametrize(
    ("times_s", "seen"),
    [
        ([0, 0.1, 0.2, 0.3], [1, 2, 3, 4]),
        ([0, 0.1, 0.13, 0.31], [1, 2, 3, 4]),  # uneven: what was newest at each time
        ([0, 0.04, 0.1, 0.14, 0.2], [1, 3, 5]),  # faster than the video
        ([0, 0.3, 0.4], [1, 1, 1, 2, 3]),  # slower
        ([5, 65, 65.1], [1] * 20 + [2, 3]),  # a minute without pictures
        ([0, 0.1], [1, 2]),
        ([9, 3, 3.1], [1, 3]),  # a time that runs back is no gap
    ],
)
def test_a_live_cameras_video_keeps_the_frames_own_time(tmp_path: Path, times_s: list[float], seen: list[int]) -> None:
    path = tmp_path / "seen.webm"
    with VideoFile(path, fps=10.0) as video:
        for number, at_s in enumerate(times_s, 1):
            video.write(np.full((48, 64, 3), 10 * number, np.uint8), at_s)
    assert shades(path) == seen
    assert read_back(path)[1] == pytest.approx(10)


@pytest.mark.parametrize(
    ("times_s", "seen", "fps"),
    [
        (np.arange(8) / 30, [1, 2, 3, 4, 5, 6, 7, 8], 30),
        ([0, 0.1, 0.2, 0.3, 0.4, 0.9, 1.0], [1, 2, 3, 4, 5, 5, 5, 5, 5, 6, 7], 10),  # a gap
        ([0, 0.101, 0.199, 0.302, 0.398, 0.501, 0.6], [1, 2, 3, 4, 5, 6, 7], 10),  # uneven, as of a phone
        ([0, 0.5], [1, 2], 2),
    ],
)
def test_a_recordings_video_keeps_its_time(tmp_path: Path, times_s: list[float], seen: list[int], fps: float) -> None:
    path = tmp_path / "seen.webm"
    with VideoFile(path) as video:
        for number, at_s in enumerate(times_s, 1):
            video.write(np.full((48, 64, 3), 10 * number, np.uint8), at_s)
    assert shades(path) == seen
    assert read_back(path)[1] == pytest.approx(fps, rel=0.03)


@pytest.mark.parametrize("suffix", [".webm", ".WEBM", ".mkv", ".avi", ".mp4"])
def test_a_video_has_the_format_of_its_suffix(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / f"seen{suffix}"
    with VideoFile(path) as video:
        for i in range(6):
            video.write(np.full((48, 64, 3), 10 * i + 10, np.uint8), i / 10)
    assert shades(path) == [1, 2, 3, 4, 5, 6]
    assert ("no browser plays this format" in caplog.text) is (suffix == ".mp4")


@pytest.mark.parametrize("name", ["seen", "seen.gif", "seen.mov", ".webm"])
def test_a_video_of_an_unknown_format_is_refused_before_the_first_frame(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"expected a name that ends in \.webm, or in \.mkv, \.avi or \.mp4"):
        StepVideos({"": tmp_path / name}, None, show_faces=False)


def test_a_live_cameras_video_never_holds_up_the_loop(tmp_path: Path) -> None:
    """Pictures for which there is no time are left out, and the video still has its duration."""
    path = tmp_path / "seen.webm"
    pictures = [texture(240, 320, seed) for seed in range(4)]
    with VideoFile(path, fps=10.0) as video:
        began_s = time.thread_time()
        for i in range(24):
            video.write(pictures[i % 4], i / 10)
        assert time.thread_time() - began_s < 0.1  # encoding these takes seconds
    frames, _ = read_back(path)
    assert len(frames) >= 8


KILLED = """
import sys
import numpy as np
from pathlib import Path
from edge.reporting.annotate import VideoFile
with VideoFile(Path(sys.argv[1]), fps=10.0 if sys.argv[2] == "live" else None) as video:
    rng = np.random.default_rng(0)
    for i in range(100_000):
        video.write(rng.integers(0, 255, (96, 128, 3), np.uint8), i / 10)
        if i == 150:
            print("written", flush=True)
"""


@pytest.mark.parametrize("suffix", [".webm", ".mkv", ".avi"])
def test_a_video_of_a_killed_run_stays_playable(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"seen{suffix}"
    process = subprocess.Popen([sys.executable, "-c", KILLED, path, "clip"], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    frames, _ = read_back(path)
    assert len(frames) >= 60  # of 150: the last seconds are missing
    settings = config.load(None, {"camera.source": str(path)}).camera
    camera = Clip(settings, str(path), lambda: 0.0)
    assert len(list(iter(camera.read, None))) == len(frames)


def test_a_video_of_one_frame_is_written_too(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "one.webm") as video:
        video.write(texture(48, 64), 0.0)
    assert len(read_back(tmp_path / "one.webm")[0]) == 1


def test_a_video_of_nothing_is_no_error(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "none.webm"):
        pass
    assert not (tmp_path / "none.webm").exists()


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_a_video_that_is_written_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str) -> None:
    """OpenCV complains about every WebM that it writes."""
    with VideoFile(tmp_path / f"seen{suffix}") as video:
        for number in range(8):
            video.write(np.full((48, 64, 3), 20 * number, np.uint8), number / 10)
    assert capfd.readouterr() == ("", "")


def test_pictures_of_another_size_are_fitted_into_the_video(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "sizes.webm") as video:
        for i, size in enumerate([(48, 64), (96, 64), (33, 47)]):
            video.write(texture(*size), i / 10)
    frames, _ = read_back(tmp_path / "sizes.webm")
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3


def test_a_video_into_no_folder_is_told_before_the_first_frame(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no folder"):
        VideoFile(tmp_path / "nowhere" / "a.mp4")


def test_a_video_whose_name_is_not_utf_8_is_refused_and_a_picture_is_written(tmp_path: Path) -> None:
    name = os.fsdecode(b"T\xfcr")
    with pytest.raises(OutputError, match="the name is not valid UTF-8"):
        VideoFile(tmp_path / f"{name}.mp4")
    with pytest.raises(OutputError, match="the name is not valid UTF-8"):
        StepVideos({"": tmp_path / f"{name}.mp4"}, None, show_faces=False)
    save_picture(tmp_path / f"{name}.png", texture(20, 30))
    assert (tmp_path / f"{name}.png").stat().st_size


def test_a_video_that_lost_frames_is_told_at_its_end(tmp_path: Path) -> None:
    """As after a full disk, where the file ends early."""
    path = tmp_path / "seen.webm"

    def record() -> None:
        with VideoFile(path) as video:
            for i in range(5):
                video.write(texture(48, 64), i / 10)
            path.unlink()
            path.write_bytes(b"")

    with pytest.raises(OutputError, match=r"only 0 of 5 frames are in the video; it has 0\.0 MB, and"):
        record()


def test_another_error_is_not_hidden_behind_a_lost_video(tmp_path: Path) -> None:
    def record() -> None:
        with VideoFile(tmp_path / "seen.webm") as video:
            video.write(texture(48, 64), 0.0)
            raise KeyError("the real trouble")

    with pytest.raises(KeyError, match="the real trouble"):
        record()


LEFT_FOR_RIGHT_AGAINST = np.array([[1.0, -1.0], [1.0, -1.0]], np.float32)


def test_a_map_is_red_where_it_speaks_for_the_label_and_blue_where_against() -> None:
    before = np.full((100, 100, 3), 100, np.uint8)
    picture = before.copy()
    draw_heat(picture, Heat(Box(20, 10, 80, 70), LEFT_FOR_RIGHT_AGAINST))
    assert picture[40, 22, 0] > picture[40, 22, 2]
    assert picture[40, 78, 2] > picture[40, 78, 0]
    inside(picture, Box(20, 10, 80, 70))[:] = 100
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize("square", [Box(-30, -30, 30, 30), Box(70, 70, 130, 130), Box(-10, -10, 200, 200)])
def test_a_map_over_the_border_is_drawn_as_far_as_it_is_seen(square: Box) -> None:
    """And what is seen of it is the part that belongs there."""
    small, wide = np.full((100, 100, 3), 100, np.uint8), np.full((300, 300, 3), 100, np.uint8)
    draw_heat(small, Heat(square, LEFT_FOR_RIGHT_AGAINST))
    draw_heat(wide, Heat(Box(*(v + 100 for v in square)), LEFT_FOR_RIGHT_AGAINST))
    np.testing.assert_array_equal(small, wide[100:200, 100:200])
    assert (small != 100).any()


def test_a_map_outside_the_picture_does_no_harm() -> None:
    picture = np.full((100, 100, 3), 100, np.uint8)
    draw_heat(picture, Heat(Box(120, 120, 180, 180), LEFT_FOR_RIGHT_AGAINST))
    assert (picture == 100).all()


def test_where_the_model_looked_is_drawn_over_the_blurred_face_and_lets_nothing_of_it_through() -> None:
    heat = Heat(BOX, LEFT_FOR_RIGHT_AGAINST)
    image = texture(200, 200)
    looked = dataclasses.replace(
        step_of(image, (Face(BOX, 0.9),)), observations={1: Observation({"without_mask": 1.0}, 1.0, heat=heat)}
    )
    blurred = image.copy()
    blur_face(blurred, BOX)
    draw_heat(blurred, heat)
    shown = inside(annotate(looked, show_faces=False), BOX)
    np.testing.assert_array_equal(shown, inside(blurred, BOX))
    assert shown[:, :20, 0].mean() > shown[:, :20, 2].mean()


LEFT, MIDDLE = [(0.0, 0.0), (0.3, 0.0), (0.3, 1.0), (0.0, 1.0)], [(0.4, 0.2), (0.9, 0.2), (0.9, 0.9), (0.4, 0.9)]


def test_regions_are_drawn_where_they_are() -> None:
    grey = np.full((200, 200, 3), 200, np.uint8)
    drawn = annotate(step_of(grey), show_faces=True, regions=([LEFT], [MIDDLE]))
    changed = (drawn != grey).any(axis=2)
    assert 0.1 < changed[2:165, 2:58].mean() < 0.5  # hatched, so that the picture is visible
    assert not changed[2:35, 65:195].any()
    assert changed[40, 85:175].all()
    assert not changed[45:165, 85:175].any()
    assert not (annotate(step_of(grey), show_faces=True) != grey)[2:165].any()


def test_faces_in_ignored_regions_and_on_pictures_are_blurred_as_well() -> None:
    picture = texture(200, 200)
    ignored = dataclasses.replace(step_of(picture), ignored=(Face(BOX, 0.9),))
    assert colours(inside(annotate(ignored, show_faces=False), BOX)) <= 36
    poster = dataclasses.replace(step_of(picture), pictures=(Track(1, BOX, 0.9, 0, 0, 0),))
    assert colours(annotate(poster, show_faces=False)[60:120, 70:110]) <= 36
