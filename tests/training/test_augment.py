"""Augmentation: whatever it draws, a picture stays a picture."""

from __future__ import annotations

import numpy as np
import pytest

from training import augment


@pytest.fixture
def picture() -> np.ndarray:
    ramp = np.linspace(0, 255, 96).astype(np.uint8)
    return np.stack([np.tile(ramp, (64, 1)), np.tile(ramp[::-1], (64, 1)), np.full((64, 96), 90, np.uint8)], axis=2)


@pytest.mark.parametrize("seed", range(25))
def test_photometric_keeps_shape_and_type_and_follows_its_seed(picture: np.ndarray, seed: int) -> None:
    first, again = (augment.photometric(picture.copy(), np.random.default_rng(seed)) for _ in range(2))
    assert (first.shape, first.dtype) == (picture.shape, np.uint8)
    np.testing.assert_array_equal(first, again)


def test_shrinking_throws_detail_away_and_keeps_the_size(picture: np.ndarray) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    assert augment.shrink(noise, 24).shape == noise.shape
    assert augment.shrink(noise, 24).std() < noise.std() / 2
    assert augment.shrink(noise, 96) is noise


def test_motion_blur_smears_but_keeps_the_light(picture: np.ndarray) -> None:
    dot = np.zeros((64, 64, 3), np.uint8)
    dot[30:34, 30:34] = 255
    blurred = augment.motion_blur(dot, np.random.default_rng(4))
    assert (blurred > 0).sum() > (dot > 0).sum()
    assert blurred.sum() == pytest.approx(float(dot.sum()), rel=0.1)


def test_occlusion_leaves_the_original_and_the_rest_alone(picture: np.ndarray) -> None:
    before = picture.copy()
    hidden = augment.occlude(picture, np.random.default_rng(2), (20, 10, 60, 50))
    np.testing.assert_array_equal(picture, before)
    changed = np.argwhere((hidden != picture).any(axis=2))
    assert len(changed) > 0
    assert changed.min(axis=0).tolist() >= [10, 20]
    assert (changed.max(axis=0) < [50, 60]).all()


def test_compression_keeps_the_picture(picture: np.ndarray) -> None:
    again = augment.recompress(picture, 80)
    assert np.abs(again.astype(int) - picture).mean() < 6


def test_a_hand_covers_a_part_and_leaves_the_original_alone(picture: np.ndarray) -> None:
    before = picture.copy()
    held = augment.hand(picture, np.random.default_rng(3), (30, 20, 66, 60))
    np.testing.assert_array_equal(picture, before)
    share = (held != picture).any(axis=2).mean()
    assert 0.02 < share < 0.7


@pytest.mark.parametrize("seed", range(8))
def test_from_above_the_chin_is_narrower_than_the_brow_and_all_stays_in_view(seed: int) -> None:
    view = augment.from_above(96, np.random.default_rng(seed))
    corners = np.array([[0, 0], [96, 0], [96, 96], [0, 96]], np.float64)
    x, y, w = view @ np.c_[corners, np.ones(4)].T
    x, y = x / w, y / w
    assert x[1] - x[0] == pytest.approx(96)
    assert x[2] - x[3] <= 96
    assert min(x.min(), y.min()) >= -1e-6
    assert max(x.max(), y.max()) <= 96 + 1e-6


@pytest.mark.parametrize("seed", range(8))
def test_at_night_a_picture_is_gray_and_flatter_but_the_same_picture(picture: np.ndarray, seed: int) -> None:
    warm = (picture[:, :, :1] * np.array([1.0, 0.8, 0.6])).astype(np.uint8)  # a ramp, as light falls on a face
    at_night = augment.night(warm, np.random.default_rng(seed))
    assert (at_night.shape, at_night.dtype) == (warm.shape, np.uint8)
    assert (at_night == at_night[:, :, :1]).all()
    columns = at_night[:, :, 0].mean(axis=0)
    assert columns.std() < warm[:, :, 0].std()
    assert np.corrcoef(columns, warm[:, :, 0].mean(axis=0))[0, 1] > 0.9


def test_one_picture_in_six_is_tilted_by_anything_up_to_35_degrees() -> None:
    rng = np.random.default_rng(1)
    angles = np.abs([augment.tilt(rng, 6) for _ in range(4000)])
    assert angles.max() < 35
    assert (angles > 20).mean() == pytest.approx(15 / 35 / 6, abs=0.02)
    assert np.median(angles) < 6
