from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.pixels import resized
from tests.edge.parts import texture


def test_shrinking_averages_and_growing_interpolates() -> None:
    image = texture(40, 60)
    np.testing.assert_array_equal(resized(image, 30, 20), cv2.resize(image, (30, 20), interpolation=cv2.INTER_AREA))
    np.testing.assert_array_equal(resized(image, 90, 80), cv2.resize(image, (90, 80), interpolation=cv2.INTER_LINEAR))


@pytest.mark.parametrize("width", [30, 60, 90])
def test_a_view_of_bgr_memory_gives_what_its_rgb_copy_gives(width: int) -> None:
    bgr = texture(40, 60)
    np.testing.assert_array_equal(resized(bgr[:, :, ::-1], width, 20), resized(bgr[:, :, ::-1].copy(), width, 20))
