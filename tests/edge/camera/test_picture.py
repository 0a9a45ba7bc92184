"""Frozen, black and covered pictures, and pictures that show something."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge import config
from edge.camera.picture import DARK_CHECKS, PictureMonitor, shows_nothing
from edge.contracts import CameraState, Image, luma_of
from edge.drivers.doorway import draw_doorway
from tests.edge.parts import frame_of

FPS = 10.0
SCENE = draw_doorway()


def monitor_of(**changed: Any) -> PictureMonitor:
    settings = config.load(None, {f"camera.{key}": value for key, value in changed.items()}).camera
    return PictureMonitor(settings, settings.frozen_s)


def noisy(picture: Image, seed: int, strength: float = 2.0) -> Image:
    noise = np.random.default_rng(seed).normal(0, strength, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def plain(level: int) -> Image:
    return np.full_like(SCENE, level)


def states(monitor: PictureMonitor, pictures: list[Image], start_s: float = 0.0) -> list[CameraState]:
    return [monitor.update(frame_of(p), start_s + i / FPS) for i, p in enumerate(pictures)]


def test_a_noisy_scene_is_streaming_for_as_long_as_it_lasts() -> None:
    assert set(states(monitor_of(), [noisy(SCENE, i) for i in range(40)])) == {CameraState.STREAMING}


def test_a_repeated_picture_is_frozen_after_its_time() -> None:
    found = states(monitor_of(frozen_s=1.5), [SCENE] * 30)
    since = found.index(CameraState.FROZEN) / FPS
    assert 1.5 <= since <= 1.5 + 2 / FPS
    assert set(found[int(since * FPS) :]) == {CameraState.FROZEN}


def test_the_first_other_picture_ends_a_frozen_one() -> None:
    monitor = monitor_of()
    states(monitor, [SCENE] * 30)
    assert states(monitor, [noisy(SCENE, 1), noisy(SCENE, 2)], start_s=3.0) == [CameraState.STREAMING] * 2


def test_a_single_pixel_that_flickers_is_a_living_sensor() -> None:
    pictures = [SCENE.copy() for _ in range(40)]
    for i, picture in enumerate(pictures):
        picture[0, 0] = i
    assert set(states(monitor_of(), pictures)) == {CameraState.STREAMING}


LEFT_TO_RIGHT, TOP_DOWN = np.linspace(-1, 1, SCENE.shape[1])[:, np.newaxis], np.linspace(-1, 1, SCENE.shape[0])
ROUND = LEFT_TO_RIGHT**2 + TOP_DOWN[:, np.newaxis, np.newaxis] ** 2


@pytest.mark.parametrize(
    ("name", "picture", "strength"),
    [
        ("black", plain(0), 0.0),
        ("black in video range", plain(16), 1.5),
        ("black with the noise of a sensor at full gain", plain(16), 10.0),
        ("a dark room with more noise still", plain(20), 12.0),
        ("a hand on the lens", plain(60), 1.5),
        ("a hand on the lens, and the sensor at full gain", plain(70), 10.0),
        ("a white sticker on the lens", plain(230), 5.0),
        ("a hand, and light from one side", 45 + 15 * LEFT_TO_RIGHT + plain(0), 10.0),
        ("a hand with light all round its edge", 40 + 15 * ROUND + plain(0), 4.0),
    ],
)
@pytest.mark.parametrize("written", [False, True])
def test_a_black_or_covered_lens_is_dark_after_its_time(
    name: str, picture: Image, strength: float, written: bool
) -> None:
    pictures = [noisy(picture, i, strength) for i in range(25)]
    for at in pictures if written else ():
        for text, place in (("2026-11-20 21:15:02", (16, 36)), ("Camera 01", (480, 465))):
            cv2.putText(at, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
    found = states(monitor_of(dark_s=1.0), pictures)
    assert 1.0 <= found.index(CameraState.DARK) / FPS <= 1.01 + 1 / DARK_CHECKS, name
    assert CameraState.FROZEN not in found


def test_the_first_light_picture_ends_the_dark() -> None:
    monitor = monitor_of(dark_s=1.0)
    assert states(monitor, [noisy(plain(16), i, 10.0) for i in range(25)])[-1] is CameraState.DARK
    assert states(monitor, [noisy(SCENE, 30)], start_s=2.5) == [CameraState.STREAMING]


def test_a_white_bar_in_a_black_picture_leaves_it_dark() -> None:
    pictures = [noisy(plain(8), i) for i in range(20)]
    for picture in pictures:
        picture[450:470, 480:630] = 255  # 1 % of the picture
    assert states(monitor_of(), pictures)[-1] is CameraState.DARK


@pytest.mark.parametrize(("wall", "contrast", "noise"), [(130, 1.0, 3.0), (50, 0.4, 5.0)])
@pytest.mark.parametrize("width", [40, 80, 160])
def test_a_person_before_an_empty_wall_is_not_dark(wall: int, contrast: float, noise: float, width: int) -> None:
    def shade(by: float) -> list[float]:
        return [wall + contrast * by] * 3

    picture, half = plain(wall), width // 2
    picture[200 + 2 * width :, 300 - 5 * half // 2 : 300 + 5 * half // 2] = shade(-50)
    cv2.ellipse(picture, (300, 200), (half, 13 * half // 10), 0, 0, 360, shade(40), -1)
    cv2.ellipse(picture, (300, 200 - half), (half, half // 2), 0, 0, 360, shade(-70), -1)
    assert set(states(monitor_of(), [noisy(picture, i, noise) for i in range(15)])) == {CameraState.STREAMING}


@pytest.mark.skipif("FMD_DATA" not in os.environ, reason="needs the clips under FMD_DATA")
@pytest.mark.parametrize("light", [1.0, 0.3])
def test_no_real_scene_is_dark_even_in_poor_light(light: float) -> None:
    clips = sorted(Path(os.environ["FMD_DATA"]).glob("video/*.mp4"))
    assert len(clips) >= 5
    settings = config.load().camera
    for clip in clips:
        capture = cv2.VideoCapture(str(clip))
        while (read := capture.read())[0]:
            frame = noisy(np.asarray(light * luma_of(read[1])), 0, 4.0)
            assert not shows_nothing(frame, settings), clip
            for _ in range(9):
                capture.grab()


def test_a_dim_room_with_visible_things_is_not_dark() -> None:
    dim = [noisy((SCENE * 0.25).astype(np.uint8), i) for i in range(30)]
    assert set(states(monitor_of(), dim)) == {CameraState.STREAMING}


def test_a_person_who_fills_the_view_for_a_moment_has_not_covered_the_lens() -> None:
    pictures = [noisy(SCENE, 0)] * 2 + [noisy(plain(30), i) for i in range(9)] + [noisy(SCENE, 99)]
    assert set(states(monitor_of(dark_s=1.0), pictures)) == {CameraState.STREAMING}


def test_each_check_can_be_switched_off() -> None:
    assert set(states(monitor_of(frozen_s=0.0), [SCENE] * 40)) == {CameraState.STREAMING}
    off = monitor_of(dark_level=0, flat_level=0)
    assert set(states(off, [noisy(plain(5), i) for i in range(40)])) == {CameraState.STREAMING}
