"""Faces that do not move: posters with noise become pictures, people who stand still never do."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge import config
from edge.contracts import Box, Frame, Image, Track
from edge.service.models import open_detector
from edge.stages.static import MAX_PLACES, StaticFaces
from edge.stages.track import Tracker
from tests.edge.parts import texture

STATIC_S, FPS = 20.0, 4.0
PLACE = Box(60, 40, 108, 96)
SHARP = cv2.resize(texture(14, 12, seed=4), (48, 56), interpolation=cv2.INTER_CUBIC)
"""What a poster shows at PLACE; about as much contrast as a face."""


class Scene:
    """A camera with a poster, and a tracker that always finds it; noise and compression are new in every frame."""

    def __init__(self, noise: float = 5.0, static_s: float = STATIC_S) -> None:
        self._rng, self._noise = np.random.default_rng(2), noise
        self.stage, self.now_s, self.id = StaticFaces(static_s), 0.0, 1
        self.light, self.frames = 1.0, 0

    def seen(self, shown: Image, dx: float = 0.0, dy: float = 0.0) -> Image:
        wall = np.full((160, 200, 3), 150, np.float32)
        move = np.array([[1, 0, PLACE.xmin + dx], [0, 1, PLACE.ymin + dy]], np.float32)
        cv2.warpAffine(shown.astype(np.float32), move, (200, 160), wall, borderMode=cv2.BORDER_TRANSPARENT)
        wall = wall * self.light + self._rng.normal(0, self._noise, wall.shape)
        data = cv2.imencode(".jpg", np.clip(wall, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)

    def step(self, shown: Image = SHARP, dx: float = 0.0, dy: float = 0.0, missed: bool = False) -> bool:
        """Return whether the face counts as a picture in the next frame."""
        self.frames += 1
        self.now_s += 1 / FPS
        jitter = self._rng.normal(0, 0.7, 4)
        box = Box(*(np.array(PLACE) + np.array([dx, dy, dx, dy]) + jitter))
        track = Track(self.id, box, 0.6, 0.0, self.now_s, int(missed))
        people, pictures = self.stage.split((track,), Frame(self.seen(shown, dx, dy), None, self.now_s, 0), True)
        assert {one.id for one in (*people, *pictures)} == {self.id}
        self.entered_s = people[0].entered_s if people else None
        return bool(pictures)

    def picture(self) -> Scene:
        """Return this scene once its poster is known."""
        for _ in range(int((STATIC_S + 3) * FPS)):
            known = self.step()
        assert known
        return self


@pytest.mark.parametrize("noise", [0.0, 4.0, 12.0])
def test_a_poster_becomes_a_picture_after_the_set_time_and_stays_one(noise: float) -> None:
    scene = Scene(noise)
    found = [scene.step() for _ in range(int(40 * FPS))]
    first_s = found.index(True) / FPS
    assert STATIC_S <= first_s < STATIC_S + 2
    assert all(found[found.index(True) :])


def test_light_that_changes_slowly_or_flickers_does_not_move_a_poster() -> None:
    scene, found = Scene(), []
    for i in range(int(40 * FPS)):
        scene.light = 1.0 - 0.3 * i / (40 * FPS) + 0.04 * np.sin(2.3 * i)
        found.append(scene.step())
    assert found.index(True) / FPS < STATIC_S + 2
    assert all(found[found.index(True) :])


def test_a_person_who_sways_by_a_few_pixels_is_never_a_picture() -> None:
    scene = Scene()
    sway = [(2.5 * np.sin(i / FPS), 1.2 * np.sin(0.7 * i / FPS)) for i in range(int(60 * FPS))]
    assert not any(scene.step(dx=dx, dy=dy) for dx, dy in sway)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "is_painting"),
    [("four_people_put_masks_on", (440, 90, 520, 160)), ("empty_room_then_people", None), ("two_heads_tilting", None)],
)
def test_no_real_person_stays_still_for_half_of_the_shortest_setting(
    data: Path, name: str, is_painting: tuple[int, int, int, int] | None
) -> None:
    """Of all real faces in the clips, none is taken for a picture within 5 s; a painting behind them may be."""
    settings = config.load(None, {"alert.driver": "console"})
    detector, tracker = open_detector(settings), Tracker(settings.track, settings.detect)
    stage, clip = StaticFaces(5.0), cv2.VideoCapture(str(data / "video" / f"{name}.mp4"))
    fps, pictures, seen = clip.get(cv2.CAP_PROP_FPS), [], 0
    for index in itertools.count():
        if not clip.grab():
            break
        if index % max(1, round(fps / 10)):
            continue
        frame = Frame(np.asarray(clip.retrieve()[1], np.uint8)[:, :, ::-1], None, index / fps, index)
        height, width = frame.image.shape[:2]
        tracks = tracker.update(detector.detect(frame), frame.captured_s, (width, height))
        seen += len(tracks)
        pictures += [one.box.centre for one in stage.split(tracks, frame, True)[1]]
    assert seen > 50
    if is_painting:
        xmin, ymin, xmax, ymax = is_painting
        pictures = [(x, y) for x, y in pictures if not (xmin < x < xmax and ymin < y < ymax)]
    assert pictures == []


def test_switched_off_nothing_is_a_picture_and_nothing_is_measured() -> None:
    track = Track(1, PLACE, 0.6, 0.0, 1.0, 0)
    stage = StaticFaces(0)
    empty = np.zeros((0, 0, 3), np.uint8)  # reading a pixel of it would fail
    assert stage.split((track,), Frame(empty, None, 100.0, 0), True) == ((track,), ())


def test_a_picture_that_was_hidden_is_known_at_once() -> None:
    scene = Scene().picture()
    scene.stage.split((), Frame(scene.seen(SHARP), None, scene.now_s, 0), True)
    scene.now_s += 600
    scene.id = 9
    assert scene.step()


def test_a_person_who_walks_past_does_not_bring_the_picture_to_life() -> None:
    scene, passer = Scene().picture(), texture(56, 48, seed=8)
    assert all(scene.step(passer) for _ in range(4))
    assert all(scene.step() for _ in range(10))


def test_a_person_whose_face_is_where_the_picture_was_counts_within_two_seconds() -> None:
    scene, person = Scene().picture(), cv2.resize(texture(14, 12, seed=9), (48, 56), interpolation=cv2.INTER_CUBIC)
    found = [scene.step(person, dx=3 * np.sin(i / 3)) for i in range(int(5 * FPS))]
    assert found.index(False) / FPS <= 1.5
    assert not any(found[found.index(False) :])
    # Whatever came before was no person: who is there now has only just come.
    assert scene.entered_s == pytest.approx(scene.now_s - 5 + 1 / FPS + found.index(False) / FPS, abs=1e-6)


def test_a_picture_that_is_carried_away_counts_at_once() -> None:
    scene = Scene().picture()
    assert scene.step(dx=6)
    assert not scene.step(dx=40)


def test_between_detections_a_picture_stays_a_picture() -> None:
    scene = Scene().picture()
    track = Track(1, PLACE, 0.6, 0.0, scene.now_s, 0)
    people, pictures = scene.stage.split((track,), Frame(SHARP, None, scene.now_s + 0.1, 0), False)
    assert (people, [one.id for one in pictures]) == ((), [1])


def test_a_face_in_the_dark_is_no_picture() -> None:
    """There all faces look alike: noise."""
    scene = Scene(noise=1.0)
    scene.light = 0.03
    assert not any(scene.step() for _ in range(int(40 * FPS)))


def test_a_face_that_is_cut_off_by_the_border_is_left_alone() -> None:
    stage, frame = StaticFaces(STATIC_S), texture(100, 100)
    for i in range(200):
        track = Track(1, Box(-5, 10, 30, 50), 0.6, 0.0, i / FPS, 0)
        assert stage.split((track,), Frame(frame, None, i / FPS, i), True)[1] == ()


def test_only_so_many_places_are_remembered() -> None:
    stage, picture = StaticFaces(10.0), texture(40, 40 * (MAX_PLACES + 3))
    tracks = [Track(i, Box(40 * i, 0, 40 * i + 38, 38), 0.6, 0.0, 0.0, 0) for i in range(MAX_PLACES + 3)]
    for i in range(52):
        people, _ = stage.split(tuple(tracks), Frame(picture, None, i / FPS, i), True)
    assert [one.id for one in people] == [0, 1, 2]
