"""Regions of the picture: which faces count, and which cells of the gate."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contracts import Face
from edge.errors import SettingsError
from edge.stages.regions import COLUMNS, ROWS, Regions
from tests.edge.parts import face

LEFT = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]
UPPER = [(0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.5)]
SIZE = (640, 480)


def counting(regions: Regions, *faces: Face) -> list[bool]:
    kept, ignored = regions.split(faces, SIZE)
    assert sorted((*kept, *ignored), key=faces.index) == list(faces)
    return [one in kept for one in faces]


def test_without_polygons_every_face_counts() -> None:
    regions = Regions()
    assert counting(regions, face(5, 5), face(639, 479)) == [True, True]
    assert regions.cells(40, 30) is None
    assert regions.share == 1


def test_the_centre_of_a_face_decides() -> None:
    regions = Regions(ignore=[LEFT])
    assert counting(regions, face(316, width=40), face(324, width=40), face(100), face(600)) == [
        False,
        True,
        False,
        True,
    ]
    assert regions.share == pytest.approx(0.5, abs=0.01)


def test_outside_the_only_regions_no_face_counts_and_ignore_wins() -> None:
    assert counting(Regions(only=[UPPER]), face(300, 100), face(300, 400)) == [True, False]
    both = Regions(ignore=[LEFT], only=[UPPER])
    assert counting(both, face(100, 100), face(600, 100), face(600, 400)) == [False, True, False]


def test_a_concave_polygon_is_as_it_is_drawn() -> None:
    around = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.7, 1.0), (0.7, 0.3), (0.3, 0.3), (0.3, 1.0), (0.0, 1.0)]
    assert counting(Regions(only=[around]), face(320, 400), face(100, 400), face(320, 50)) == [False, True, True]


@pytest.mark.parametrize("size", [(480, 640), (1920, 1080), (160, 120)])
def test_shares_are_of_the_picture_whatever_its_size(size: tuple[int, int]) -> None:
    width, height = size
    one = face(0.25 * width, 0.9 * height, width=20)
    assert Regions(ignore=[LEFT]).split((one,), size) == ((), (one,))
    assert Regions(ignore=[UPPER]).split((one,), size) == ((one,), ())


def test_faces_over_the_border_count_as_its_nearest_point() -> None:
    assert counting(Regions(only=[LEFT]), face(-3, 10), face(645, 485)) == [True, False]


def test_a_cell_of_the_gate_counts_if_any_part_of_it_does() -> None:
    cells = Regions(only=[[(0.0, 0.0), (0.26, 0.0), (0.26, 0.49), (0.0, 0.49)]]).cells(40, 30)
    assert cells is not None
    assert cells.shape == (30, 40)
    expected = np.zeros((30, 40), bool)
    expected[:15, :11] = True
    assert np.array_equal(cells, expected)


def test_a_polygon_thinner_than_a_cell_of_the_mask_still_counts() -> None:
    thin = [(0.5, 0.0), (0.5 + 0.5 / COLUMNS, 0.0), (0.5 + 0.5 / COLUMNS, 1.0), (0.5, 1.0)]
    assert 0 < Regions(only=[thin]).share <= 2.5 / COLUMNS
    assert ROWS % 30 == COLUMNS % 40 == 0


def test_regions_that_leave_nothing_are_refused() -> None:
    with pytest.raises(SettingsError, match="no part of the picture is left"):
        Regions(ignore=[[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]])
    with pytest.raises(SettingsError, match="no part of the picture is left"):
        Regions(ignore=[UPPER], only=[[(0.1, 0.1), (0.2, 0.1), (0.2, 0.2)]])
