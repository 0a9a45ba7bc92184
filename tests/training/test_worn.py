"""Masks drawn onto faces: what they cover and which label the face then has."""

from __future__ import annotations

import numpy as np
import pytest

from training import worn

SIZE = 120
FRONTAL = np.array([[42.0, 45], [78, 45], [60, 64], [47, 82], [73, 82]])
EYES, NOSE, MOUTH = (slice(41, 49), slice(40, 80)), (slice(60, 67), slice(55, 65)), (slice(79, 86), slice(50, 70))
SKIN = 170


def bare() -> np.ndarray:
    return np.full((SIZE, SIZE, 3), SKIN, np.uint8)


def covered(image: np.ndarray, part: tuple[slice, slice]) -> float:
    """Share of a part's pixels that differ from skin."""
    return float((np.abs(image[part].astype(int) - SKIN).max(axis=2) > 6).mean())


def drawn(kind: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, str]:
    only = {name: (float(name == kind), label) for name, (_, label) in worn.KINDS.items()}
    monkeypatch.setattr(worn, "KINDS", only)
    monkeypatch.setattr(worn, "CAPS", 0.0)
    made = worn.put_on(bare(), FRONTAL, np.random.default_rng(seed))
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("kind", "label", "hidden", "seen"),
    [
        ("correct", "with_mask", (NOSE, MOUTH), (EYES,)),
        ("under_nose", "with_incorrect_mask", (MOUTH,), (EYES, NOSE)),
        ("on_chin", "with_incorrect_mask", (), (EYES, NOSE, MOUTH)),
        ("over_eyes", "with_incorrect_mask", (EYES,), (MOUTH,)),
    ],
)
def test_each_kind_covers_what_its_label_says(
    kind: str, label: str, hidden: tuple, seen: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(12):
        image, got = drawn(kind, seed, monkeypatch)
        assert got == label
        # A cloth of the skin's own tone, or a transparent one, hides little by this measure; most do not.
        assert all(covered(image, part) < 0.35 for part in seen), (kind, seed)
    shares = [covered(drawn(kind, seed, monkeypatch)[0], part) for seed in range(12) for part in hidden]
    assert not shares or np.median(shares) > 0.8


def test_a_visor_hides_no_part_and_is_no_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    image, label = drawn("visor", 3, monkeypatch)
    assert label == "without_mask"
    assert np.abs(image[MOUTH].astype(int) - SKIN).max() < 90


@pytest.mark.parametrize("seed", range(8))
def test_drawing_follows_its_seed_and_leaves_the_original_alone(seed: int) -> None:
    original = bare()
    first, again = (worn.put_on(original, FRONTAL, np.random.default_rng(seed)) for _ in range(2))
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1]
    assert (original == SKIN).all()
    assert first[0].shape == original.shape
    assert first[0].dtype == np.uint8


@pytest.mark.parametrize("scale", [0.01, 0.1])
def test_a_face_too_small_gets_no_mask(scale: float) -> None:
    assert worn.put_on(bare(), FRONTAL * scale, np.random.default_rng(1)) is None


def test_the_axes_follow_the_face() -> None:
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])  # a quarter turn: down the face is to the left in the picture
    upright, lying = worn.frontal(FRONTAL), worn.frontal(FRONTAL @ turn.T + [SIZE, 0])
    assert upright is not None
    assert lying is not None
    np.testing.assert_allclose(upright.down, [0, 1], atol=1e-9)
    np.testing.assert_allclose(lying.down, [-1, 0], atol=1e-9)
    assert upright.left == pytest.approx(-upright.right)
    np.testing.assert_allclose(lying.nose, upright.nose, atol=1e-9)


def test_a_turned_face_is_narrower_on_the_far_side() -> None:
    turned = FRONTAL.copy()
    turned[2:, 0] += 14
    face = worn.frontal(turned)
    assert face is not None
    assert -face.left > face.right > face.nose[0]


def test_a_gray_picture_gets_a_gray_mask() -> None:
    for seed in range(10):
        made = worn.put_on(bare(), FRONTAL, np.random.default_rng(seed))
        assert made is not None
        spread = made[0].astype(int).max(axis=2) - made[0].astype(int).min(axis=2)
        # Loops and caps keep their own, nearly gray tones.
        assert np.median(spread[MOUTH]) <= 40
