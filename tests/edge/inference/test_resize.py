from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.inference.resize import bordered, resized
from tests.edge.parts import texture


def test_shrinking_by_whole_factors_averages_and_the_rest_is_interpolated() -> None:
    image = texture(40, 60)
    np.testing.assert_array_equal(resized(image, 30, 20), cv2.resize(image, (30, 20), interpolation=cv2.INTER_AREA))
    np.testing.assert_array_equal(resized(image, 45, 30), cv2.resize(image, (45, 30), interpolation=cv2.INTER_LINEAR))
    np.testing.assert_array_equal(resized(image, 90, 80), cv2.resize(image, (90, 80), interpolation=cv2.INTER_LINEAR))
    same = resized(image, 60, 40)
    np.testing.assert_array_equal(same, image)
    assert not np.shares_memory(same, image)


@pytest.mark.parametrize(("width", "height"), [(7, 5), (13, 11), (20, 13), (30, 39), (59, 39), (7, 80), (120, 5)])
def test_every_part_of_the_picture_is_in_the_result(width: int, height: int) -> None:
    """A small spot anywhere is visible in the result."""
    image = np.zeros((40, 60, 3), np.uint8)
    for y, x in [(0, 0), (34, 54), (17, 31), (8, 45)]:
        image[:] = 0
        image[y : y + 6, x : x + 6] = 255
        assert resized(image, width, height).any()


@pytest.mark.parametrize("width", [30, 60, 90])
def test_a_view_of_bgr_memory_gives_the_same_as_its_rgb_copy(width: int) -> None:
    bgr = texture(40, 60)
    np.testing.assert_array_equal(resized(bgr[:, :, ::-1], width, 20), resized(bgr[:, :, ::-1].copy(), width, 20))


@pytest.mark.parametrize("backwards", [False, True])
def test_a_border_repeats_the_edge_in_either_order_of_colours(backwards: bool) -> None:
    image = texture(6, 4)
    view = image[:, :, ::-1] if backwards else image
    np.testing.assert_array_equal(bordered(view, 1, 2, 3, 0), np.pad(view, ((1, 2), (3, 0), (0, 0)), "edge"))
    assert (bordered(view, 1, 2, 3, 0).strides[-1] < 0) is backwards
