"""What the detector is taught: targets, loss and pictures, against the runtime's own reading of its outputs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras", reason="keras is not installed; pip install '.[convert]'")

from converter.tables import IGNORE, LabelledFace
from edge.contracts import Box
from edge.stages.detect import STRIDES, cell_centres, decode, reach_of
from training import detector

SIZE = 128


def face(xmin: float, ymin: float, side: float, label: str = "with_mask") -> LabelledFace:
    return LabelledFace(Box(xmin, ymin, xmin + side, ymin + side), label)


@pytest.mark.parametrize("side", [8, 14, 24, 40, 64, 100, 126])
def test_targets_decode_to_the_box_they_were_made_from(side: float) -> None:
    wanted = face(1, 1, side)
    targets = detector.targets([wanted], SIZE)
    positive = np.flatnonzero(targets[:, 0] == 1)
    assert len(positive) > 0, "a face of every size is somebody's to learn"
    centres, strides = cell_centres(SIZE, SIZE, STRIDES)
    boxes = decode(reach_of(targets[positive, 1:]), centres[positive], strides[positive])
    for box in boxes:
        # Edges nearer to a cell's centre than half a stride are taught as half a stride.
        np.testing.assert_allclose(box, wanted.box, atol=16)
    assert max(Box(*box.tolist()).iou(wanted.box) for box in boxes) > 0.85


def test_nothing_is_taught_of_what_is_ignored_or_tiny() -> None:
    for faces in ([face(20, 20, 40, IGNORE)], [face(20, 20, 5)]):
        targets = detector.targets(faces, SIZE)
        assert not (targets[:, 0] == 1).any()
        assert (targets[:, 0] == -1).any()


def test_the_smaller_of_two_faces_keeps_its_cells() -> None:
    small = face(50, 50, 30)
    targets = detector.targets([small, face(20, 20, 44)], SIZE)
    centres, strides = cell_centres(SIZE, SIZE, STRIDES)
    at = np.flatnonzero((targets[:, 0] == 1) & (np.abs(centres - 65).max(axis=1) <= 4))
    boxes = decode(reach_of(targets[at, 1:]), centres[at], strides[at])
    assert len(at) > 0
    for box in boxes:
        np.testing.assert_allclose(box, small.box, atol=1e-3)


def test_a_perfect_answer_costs_next_to_nothing_and_a_wrong_one_much() -> None:
    truth = detector.targets([face(30, 30, 60)], SIZE)[None]
    right = truth.copy()
    right[..., 0] = np.where(truth[..., 0] == 1, 12.0, -12.0)
    blind = right.copy()
    blind[..., 0] = -12.0
    shifted = right.copy()
    shifted[..., 1:] += 0.5
    costs = [float(detector.loss(truth, answer.astype(np.float32))) for answer in (right, shifted, blind)]
    assert costs[0] < 0.01
    assert costs[1] > 0.2
    assert costs[2] > 1


@pytest.mark.parametrize("seed", range(12))
def test_samples_keep_faces_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (90, 140, 3)).astype(np.uint8)
    pool = [[(image, [face(20, 20, 50), face(90, 10, 20, "without_mask")])]]
    picture, faces = detector.sample(pool, SIZE, rng)
    assert picture.shape == (SIZE, SIZE, 3)
    assert picture.dtype == np.uint8
    for found in faces:
        assert 0 <= found.box.xmin < found.box.xmax <= SIZE
        assert 0 <= found.box.ymin < found.box.ymax <= SIZE
