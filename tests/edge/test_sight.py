"""Frozen, black and covered pictures are told from those that show something."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge import config
from edge.contracts import Image, Sight
from edge.drivers.doorway import draw_doorway
from edge.sight import Judge
from tests.edge.parts import frame_of

FPS = 10.0
SCENE = draw_doorway()


def judge(**changed: Any) -> Judge:
    settings = config.load(None, {f"camera.{key}": value for key, value in changed.items()}).camera
    return Judge(settings, settings.frozen_s)


def noisy(picture: Image, seed: int, strength: float = 2.0) -> Image:
    noise = np.random.default_rng(seed).normal(0, strength, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def plain(level: int) -> Image:
    return np.full_like(SCENE, level)


def told(one: Judge, pictures: list[Image], start_s: float = 0.0) -> list[Sight]:
    return [one.of(frame_of(p), start_s + i / FPS) for i, p in enumerate(pictures)]


def test_a_noisy_scene_is_seen_for_as_long_as_it_lasts() -> None:
    assert set(told(judge(), [noisy(SCENE, i) for i in range(40)])) == {Sight.SEEING}


def test_one_picture_again_and_again_is_frozen_in_time() -> None:
    sights = told(judge(frozen_s=1.5), [SCENE] * 30)
    since = sights.index(Sight.FROZEN) / FPS
    assert 1.5 <= since <= 1.5 + 2 / FPS
    assert set(sights[int(since * FPS) :]) == {Sight.FROZEN}


def test_a_frozen_picture_is_over_with_the_first_other_one() -> None:
    one = judge()
    told(one, [SCENE] * 30)
    assert told(one, [noisy(SCENE, 1), noisy(SCENE, 2)], start_s=3.0) == [Sight.SEEING] * 2


def test_a_single_pixel_that_flickers_is_a_living_sensor() -> None:
    pictures = [SCENE.copy() for _ in range(40)]
    for i, picture in enumerate(pictures):
        picture[0, 0] = i
    assert set(told(judge(), pictures)) == {Sight.SEEING}


@pytest.mark.parametrize(
    ("name", "picture", "strength"),
    [
        ("black", plain(0), 0.0),
        ("black in video range", plain(16), 1.5),
        ("black with the noise of a sensor at full gain", plain(6), 4.0),
        ("a hand on the lens", plain(60), 1.5),
        ("a white sticker on the lens", plain(230), 1.5),
    ],
)
def test_a_black_or_covered_lens_is_dark_in_time(name: str, picture: Image, strength: float) -> None:
    sights = told(judge(dark_s=1.0), [noisy(picture, i, strength) for i in range(25)])
    assert sights.index(Sight.DARK) / FPS == pytest.approx(1.0, abs=0.01), name
    assert Sight.FROZEN not in sights


def test_a_clock_written_into_a_black_picture_does_not_help_it() -> None:
    pictures = [noisy(plain(8), i) for i in range(20)]
    for picture in pictures:
        picture[450:470, 480:630] = 255  # 1 % of the picture
    assert told(judge(), pictures)[-1] is Sight.DARK


def test_a_dim_room_in_which_things_are_to_be_seen_is_not_dark() -> None:
    dim = [noisy((SCENE * 0.25).astype(np.uint8), i) for i in range(30)]
    assert set(told(judge(), dim)) == {Sight.SEEING}


def test_somebody_who_fills_the_view_for_a_moment_has_not_covered_the_lens() -> None:
    pictures = [noisy(SCENE, 0)] * 2 + [noisy(plain(30), i) for i in range(9)] + [noisy(SCENE, 99)]
    assert set(told(judge(dark_s=1.0), pictures)) == {Sight.SEEING}


def test_each_can_be_turned_off() -> None:
    assert set(told(judge(frozen_s=0.0), [SCENE] * 40)) == {Sight.SEEING}
    off = judge(dark_level=0, flat_level=0)
    assert set(told(off, [noisy(plain(5), i) for i in range(40)])) == {Sight.SEEING}
