"""The drawn face in hard conditions."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("skimage", reason="scikit-image is not installed; pip install '.[demo]'")

from skimage import data as pictures

from edge.drivers import doorway
from edge.reporting.predictor import Predictor
from tests.edge.parts import classifier_of, detector_of, face
from training import trials
from training.sheet import CAPTION, COLUMNS, TILE


def test_every_wearing_in_every_condition() -> None:
    found = list(trials.trials(np.asarray(pictures.astronaut())))
    assert len(found) == 8 * len(trials.CONDITIONS)
    assert {t.wanted for t in found} == {trials.BARE, trials.MASKED, trials.BADLY}
    assert all(t.image.dtype == np.uint8 and t.image.shape[2] == 3 for t in found)


def test_a_mask_worn_lower_leaves_the_nose_bare() -> None:
    portrait = np.asarray(pictures.astronaut())
    x, y = 226, 118  # the tip of the nose
    assert (doorway.draw_mask(portrait)[y, x] != portrait[y, x]).any()
    assert (doorway.draw_mask(portrait, trials.UNDER_NOSE)[y, x] == portrait[y, x]).all()


def test_the_sheet_counts_what_is_right(tmp_path: Path) -> None:
    always_masked = classifier_of({"with_mask": 0.9, "without_mask": 0.1})
    predictor = Predictor(detector_of([face(8, 8, 40, 40)]), always_masked)
    assert trials.draw(predictor, tmp_path / "trials.png") == (24, 64)
    sheet = cv2.imread(str(tmp_path / "trials.png"))
    assert sheet.shape == (8 * (TILE + CAPTION), COLUMNS * TILE, 3)
