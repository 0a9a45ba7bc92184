"""Pictures are cut and stretched as training and the door do it."""

from __future__ import annotations

import numpy as np
import pytest
from models.data import stretched

from converter.calibrate import Fit
from edge.contracts import Box
from edge.stages.classify import crop_face
from edge.stages.detect import letterbox
from tests.edge.parts import texture


@pytest.mark.parametrize(("height", "width"), [(60, 40), (40, 60), (90, 24), (24, 90), (20, 20), (200, 150)])
def test_whole_pictures_are_stretched_as_training_does(height: int, width: int) -> None:
    """Whichever side is the longer: of a picture higher than wide, and narrower than the model, as well."""
    image = texture(height, width)
    np.testing.assert_array_equal(Fit(32, 32, False, 0.2)(image, None), stretched(image, 32))


def test_faces_are_cut_as_at_the_door() -> None:
    image, box = texture(120, 160), Box(30.0, 20.0, 75.0, 90.0)
    np.testing.assert_array_equal(Fit(32, 32, False, 0.2)(image, box), crop_face(image, box, 0.2, (32, 32)))


def test_scenes_are_letterboxed_as_at_the_door() -> None:
    image = texture(120, 160)
    np.testing.assert_array_equal(Fit(64, 96, True, 0.0)(image, None), letterbox(image, 64, 96)[0])
