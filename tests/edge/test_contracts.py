from __future__ import annotations

import numpy as np
import pytest

from edge.contracts import Box, Frame, Observation, TensorSpec


def test_measures_of_a_box() -> None:
    box = Box(10, 20, 40, 100)
    assert (box.width, box.height, box.centre) == (30, 80, (25, 60))


def test_intersection_over_union_by_hand() -> None:
    # Two 10 x 10 boxes that share 5 x 10: 50 of 150.
    assert Box(0, 0, 10, 10).iou(Box(5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert Box(0, 0, 10, 10).intersection(Box(5, 0, 15, 10)) == 50


def test_boxes_that_only_touch_share_nothing() -> None:
    assert Box(0, 0, 10, 10).iou(Box(10, 0, 20, 10)) == 0
    assert Box(0, 0, 10, 10).intersection(Box(30, 30, 40, 40)) == 0


def test_a_box_without_area_has_no_overlap_even_with_itself() -> None:
    assert Box(5, 5, 5, 5).iou(Box(5, 5, 5, 5)) == 0


def test_a_verdicts_label_is_its_most_probable_one() -> None:
    observation = Observation({"with_mask": 0.2, "without_mask": 0.5, "with_incorrect_mask": 0.3}, quality=1.0)
    assert (observation.label, observation.score) == ("without_mask", 0.5)


def test_brightness_is_what_the_driver_has_or_every_nth_green_value() -> None:
    image = np.arange(480 * 640 * 3, dtype=np.uint32).astype(np.uint8).reshape(480, 640, 3)
    given = np.zeros((120, 160), np.uint8)
    assert Frame(image, given, 0.0, 0).luma is given
    np.testing.assert_array_equal(Frame(image, None, 0.0, 0).luma, image[::4, ::4, 1])
    np.testing.assert_array_equal(Frame(image[:, :, ::-1], None, 0.0, 0).luma, image[::4, ::4, 1])


@pytest.mark.parametrize(("dtype", "zero_point"), [(np.uint8, 0), (np.int8, -128)])
def test_stored_values_become_real_ones(dtype: type[np.generic], zero_point: int) -> None:
    spec = TensorSpec("out", (1, 3), np.dtype(dtype), 1 / 256, zero_point)
    found = spec.real((np.array([[0, 128, 255]]) + zero_point).astype(dtype))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0, 0.5, 255 / 256]])


def test_float_tensors_stay_as_they_are() -> None:
    spec = TensorSpec("out", (1, 2), np.dtype(np.float32), 0.0, 0)
    np.testing.assert_array_equal(spec.real(np.array([[0.25, 3]], np.float32)), [[0.25, 3]])
