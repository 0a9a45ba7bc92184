"""What the classifier is taught."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

pytest.importorskip("keras", reason="keras is not installed; pip install '.[convert]'")

from edge.contracts import LABELS, Box
from edge.stages.classify import CROP_MARGIN, crop_face
from training import classifier


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (120, 100, 3)).astype(np.uint8)


def test_faces_are_cut_as_the_runtime_cuts_them(picture: np.ndarray) -> None:
    box = Box(30, 40, 70, 90)
    cut = classifier.crop(classifier.Example(picture, box, 0), 48)
    np.testing.assert_array_equal(cut, crop_face(picture, box, CROP_MARGIN, (48, 48)))


def test_pictures_of_class_folders_are_taken_whole(picture: np.ndarray) -> None:
    cut = classifier.crop(classifier.Example(picture, None, 0), 48)
    assert cut.shape == (48, 48, 3)
    assert abs(float(cut.mean()) - float(picture.mean())) < 2


@pytest.mark.parametrize("box", [None, Box(30, 40, 70, 90), Box(-10, 80, 40, 140)])
def test_samples_are_of_one_size_and_follow_their_seed(picture: np.ndarray, box: Box | None) -> None:
    example = classifier.Example(picture, box, 1)
    for seed in range(10):
        (first, label), (again, _) = (
            classifier.sample(example, 48, LABELS, np.random.default_rng(seed)) for _ in range(2)
        )
        assert first.shape == (48, 48, 3)
        assert first.dtype == np.uint8
        assert label == 1
        np.testing.assert_array_equal(first, again)


def test_a_drawn_mask_changes_the_label_and_only_to_labels_there_are() -> None:
    skin = np.full((200, 200, 3), 170, np.uint8)
    landmarks = np.array([[82.0, 85], [118, 85], [100, 104], [87, 122], [113, 122]])
    example = classifier.Example(skin, Box(60, 50, 140, 150), 1, landmarks)

    def drawn(labels: Sequence[str]) -> set[str]:
        return {labels[classifier.sample(example, 48, labels, np.random.default_rng(seed))[1]] for seed in range(60)}

    assert drawn(LABELS) == set(LABELS)
    assert drawn(LABELS[:2]) == set(LABELS[:2])


def test_rare_labels_are_drawn_more_often_but_not_as_often() -> None:
    weights = classifier.sampling_weights([0] * 90 + [1] * 10)
    assert weights.sum() == pytest.approx(1)
    assert weights[99] == pytest.approx(3 * weights[0])
