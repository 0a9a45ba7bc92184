"""A reading of a presence sensor, and a face in the camera's picture -> log odds that the face is a person's.

Both look from about the same place, so a direction in the picture is one in the reading. The face is compared with what
surrounds it: D is how much warmer it is (degrees Celsius), or how much closer (metres). Two hypotheses explain D:

    a picture    it is as warm and as far as the wall that it hangs on: D is 0, up to what differs along a wall
    a person     a face of 33 +- 3 degrees, or one that is closer than the wall by anything from 0.15 to 3.5 m

A cell of the sensor is often wider than the face. ``fill`` is the part of the cells that the face fills; the warmth of
a person shows by this part only. So a face far away gives log odds of about 0, and so does one before a wall as warm
as skin: then the sensor says nothing.

Assumptions: skin of a face in a room has 32 to 36 degrees; the standard deviation is wide, for people who come in from
the cold, and for glasses, beards and masks. What a sensor errs by as a whole does not matter, as D is a difference; its
noise is about 0.1 to 0.5 degrees (data sheets of MLX90640 and AMG8833), below what differs along most walls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge.contracts import Box, Floats, Reading, Sensed

SKIN_C, SKIN_SD_C = 33.0, 3.0
"""Warmth of a face and its standard deviation, degrees Celsius."""
WALL_SD_C = 0.7
"""Standard deviation of warmth along a wall and of the sensor's noise together, degrees Celsius."""
WALL_SD_M, WALL_SD_SHARE = 0.05, 0.03
"""The same of distance: metres, and a share of the distance."""
REACH_M = 4.0
"""Distance that a sensor reaches: the least distance of what it does not see behind a face, metres."""
CLOSER_M = (0.15, 3.5)
"""Least and largest distance of a face from the wall behind it that are likely, metres."""
SEEN_FILL = (0.05, 0.3)
"""Part of a cell up to which a sensor of distance never reports what is in it, and from which on it always does."""
FACE_SHARE = 0.8
"""Part of a face's box that the face fills."""
ODD_PICTURE = 0.05
"""Chance that a picture differs from its wall, as one in the sun or on a warm screen does."""
MOST = 4.0
"""Largest log odds in favour of a person."""
LEAST_RING = 4
"""Cells around a face from which on it can be compared with them."""
NEAR, FAR = 2.0, 4.0
"""Surroundings of a face that are not, and that are, its background: boxes of this many times its size."""
TOLERANCE_DEG = 2.0
"""How far the sensor may look beside where the settings say, at least half a cell of its own."""
SHIFTS = np.outer((0.25, 0.5, 0.25), (0.25, 0.5, 0.25))
"""Chances that it points that far up or down and to the left or right; the middle one is straight ahead."""

Weights = npt.NDArray[np.float64]


class Evidence(NamedTuple):
    """Log odds of a person against a picture, and what they are on average where there is a person."""

    odds: float
    expected: float


NOTHING = Evidence(0.0, 0.0)


class SensorView:
    """Where the camera's picture is in the sensor's readings.

    ``camera_field_deg`` is the width of the picture in degrees, ``offset_deg`` how far the sensor points to the right
    and down.
    """

    def __init__(self, camera_field_deg: float, offset_deg: tuple[float, float] = (0.0, 0.0)) -> None:
        self._focal = 0.5 / math.tan(math.radians(camera_field_deg) / 2)
        self._offset_deg = offset_deg

    def place(self, box: Box, size: tuple[float, float], reading: Reading) -> Box:
        """Return ``box``, of a picture of ``size`` (width, height in pixels), in cells of the reading."""
        width, height = size
        rows, columns = reading.values.shape
        (right, down), (field_x, field_y) = self._offset_deg, reading.field_deg

        def cell(pixels: float, middle: float, offset: float, field: float, cells: int) -> float:
            angle = math.degrees(math.atan((pixels - middle) / width / self._focal)) - offset
            # Beyond 80 degrees it is far outside; the tangent must stay finite.
            tangent = math.tan(math.radians(max(-80.0, min(80.0, angle))))
            return (tangent / math.tan(math.radians(field) / 2) + 1) / 2 * cells

        return Box(
            cell(box.xmin, width / 2, right, field_x, columns),
            cell(box.ymin, height / 2, down, field_y, rows),
            cell(box.xmax, width / 2, right, field_x, columns),
            cell(box.ymax, height / 2, down, field_y, rows),
        )


def evidence(reading: Reading, face: Box, others: Sequence[Box], missed: float) -> Evidence:
    """Return what a reading says of ``face``; ``others`` are further faces, all in cells of the reading.

    ``missed`` is the chance that the sensor does not see a person who is there, because it points past them or because
    a hood or a scarf covers the face. It bounds how much a cold face may count against a person.
    """
    ring = _ring(reading, face, others)
    if ring is None:
        return NOTHING
    wall, spread = ring
    difference, fill, chance = _differences(reading, face, wall)
    if not len(fill):
        return NOTHING
    likely = _warmth if reading.sensed is Sensed.WARMTH else _distance
    found, hoped = likely(difference, fill, wall, spread, missed)

    def mean(ratios: Weights) -> float:
        return min(MOST, math.log(float((ratios * chance).sum() / chance.sum())))

    return Evidence(mean(found), mean(hoped))


def _warmth(difference: Weights, fill: Weights, wall: float, spread: float, missed: float) -> tuple[Weights, Weights]:
    """Return likelihood ratios of the differences, and of what they are on average where there is a person."""
    sd_wall = math.hypot(WALL_SD_C, spread)
    mean = fill * (SKIN_C - wall)
    sd = np.hypot(sd_wall, fill * SKIN_SD_C)

    def ratio(at: Weights) -> Weights:
        picture = (1 - ODD_PICTURE) * _normal(at, 0.0, sd_wall) + ODD_PICTURE / 40
        return np.asarray((1 - missed) * _normal(at, mean, sd) / picture + missed, np.float64)

    return ratio(difference), ratio(mean)


def _distance(difference: Weights, fill: Weights, wall: float, spread: float, missed: float) -> tuple[Weights, Weights]:
    """Return the same as :func:`_warmth`."""
    sd = math.hypot(WALL_SD_M + WALL_SD_SHARE * wall, spread)
    seen = (1 - missed) * np.clip((fill - SEEN_FILL[0]) / (SEEN_FILL[1] - SEEN_FILL[0]), 0.0, 1.0)
    least, most = CLOSER_M

    def ratio(at: Weights) -> Weights:
        picture = (1 - ODD_PICTURE) * _normal(at, 0.0, sd) + ODD_PICTURE / (2 * most)
        closer = ((at > least) & (at < most)) / (most - least)
        return np.asarray(seen * closer / picture + 1 - seen, np.float64)

    return ratio(difference), ratio(np.full_like(fill, min(1.0, wall / 2)))


def _normal(at: Weights, mean: Weights | float, sd: Weights | float) -> Weights:
    return np.asarray(np.exp(-0.5 * ((at - mean) / sd) ** 2) / (sd * math.sqrt(2 * math.pi)), np.float64)


def _differences(reading: Reading, face: Box, wall: float) -> tuple[Weights, Weights, Weights]:
    """Return of each place where the face may be its difference from the wall, its fill, and the place's chance.

    Places without values are left out.
    """
    rows, columns = reading.values.shape
    known = np.isfinite(reading.values)
    values = np.where(known, reading.values, 0.0)
    shift_x = max(0.5, TOLERANCE_DEG * columns / reading.field_deg[0])
    shift_y = max(0.5, TOLERANCE_DEG * rows / reading.field_deg[1])
    x, y = _overlaps(face.xmin, face.xmax, shift_x, columns), _overlaps(face.ymin, face.ymax, shift_y, rows)
    weight = y @ known @ x.T
    usable = weight > 0
    mean = (y @ values @ x.T)[usable] / weight[usable]
    fill = FACE_SHARE * (y**2 @ known @ (x**2).T)[usable] / weight[usable]
    difference = mean - wall if reading.sensed is Sensed.WARMTH else wall - mean
    return difference, fill, SHIFTS[usable]


def _overlaps(low: float, high: float, shift: float, cells: int) -> Weights:
    """Return (3, cells): the part of each cell between two edges, shifted left, not shifted, and shifted right."""
    by = np.array([[-shift], [0.0], [shift]])
    edges = np.arange(cells + 1, dtype=np.float64)
    parts = np.minimum(high + by, edges[1:]) - np.maximum(low + by, edges[:-1])
    return np.asarray(np.clip(parts, 0.0, 1.0), np.float64)


def _ring(reading: Reading, face: Box, others: Sequence[Box]) -> tuple[float, float] | None:
    """Return median and spread of what surrounds a face, None if too little of it is in view."""
    rows, columns = reading.values.shape
    y, x = np.mgrid[0.5:rows, 0.5:columns]
    free = np.ones((rows, columns), np.bool_)
    for box in (face, *others):
        # Down to the lower edge: below a face is its body.
        around = _grown(box, NEAR)
        free &= ~((x > around.xmin) & (x < around.xmax) & (y > around.ymin))
    local = _grown(face, FAR)
    near = free & (x > local.xmin) & (x < local.xmax) & (y > local.ymin) & (y < local.ymax)
    for cells in (near, free):
        if cells.sum() >= LEAST_RING:
            return _middle(reading, reading.values[cells])
    return None


def _middle(reading: Reading, values: Floats) -> tuple[float, float] | None:
    if reading.sensed is Sensed.DISTANCE:
        # What is out of reach is at least that far.
        values = np.where(np.isfinite(values), values, np.float32(REACH_M))
    values = values[np.isfinite(values)]
    if len(values) < LEAST_RING:
        return None
    middle = float(np.median(values))
    return middle, 1.48 * float(np.median(np.abs(values - middle)))


def _grown(box: Box, times: float) -> Box:
    (x, y), half_width, half_height = box.centre, max(0.5, box.width / 2), max(0.5, box.height / 2)
    return Box(x - times * half_width, y - times * half_height, x + times * half_width, y + times * half_height)
