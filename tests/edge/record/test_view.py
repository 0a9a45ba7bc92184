"""A camera that was moved sees other edges; one whose light changed sees the same."""

from __future__ import annotations

import random

import cv2
import numpy as np
import pytest

from edge.contracts import Image
from edge.record.notes import ACCEPT_MS
from edge.record.view import EVERY_S, IN_A_ROW, LEARN, View, edge_map

MINUTE_MS = round(EVERY_S * 1000)


def room(shift: int = 0, light: float = 1.0, person: bool = False, seed: int = 0) -> Image:
    """Return the brightness (120, 160) of a room with furniture; ``shift`` turns the camera by so many pixels."""
    picture = np.full((120, 240), 150, np.uint8)
    chance = random.Random(1)
    for _ in range(14):
        x, y, width, height = (
            chance.randrange(230),
            chance.randrange(110),
            chance.randrange(8, 50),
            chance.randrange(8, 60),
        )
        cv2.rectangle(picture, (x, y), (x + width, y + height), chance.randrange(30, 240), -1)
    if person:
        cv2.rectangle(picture, (100 + shift, 40), (130 + shift, 120), 60, -1)
    view = picture[:, 30 + shift : 190 + shift].astype(np.float32) * light
    noise = np.random.default_rng(seed).normal(0, 3, view.shape)
    return np.clip(view + noise, 0, 255).astype(np.uint8)


def edges(picture: Image) -> Image:
    found = edge_map(picture)
    assert found is not None
    return found


def watched(*parts: tuple[int, dict[str, float | bool]]) -> View:
    """Return the view after so many minutes of each kind of room."""
    view, minute = View(), 0
    for minutes, kind in parts:
        for _ in range(minutes):
            view.add(edges(room(seed=minute, **kind)), minute * MINUTE_MS)  # type: ignore[arg-type]
            minute += 1
    return view


def test_a_camera_that_stays_is_not_moved_whatever_the_light() -> None:
    for light in (0.3, 0.6, 1.4):
        assert not watched((LEARN, {}), (60, {"light": light})).moved


@pytest.mark.parametrize("shift", [16, -16, 30])
def test_a_camera_turned_by_a_tenth_of_the_picture_is_moved(shift: int) -> None:
    view = watched((LEARN, {}), (IN_A_ROW, {"shift": shift}))
    assert view.moved
    assert view.since == LEARN * MINUTE_MS
    assert view.finding("hall").message.endswith("the camera was moved or turned")
    # Turned back, it is where it was.
    assert view.add(edges(room()), (LEARN + IN_A_ROW) * MINUTE_MS)
    assert not view.moved


def test_a_person_who_waits_or_a_short_nudge_is_no_move() -> None:
    assert not watched((LEARN, {}), (30, {"person": True})).moved
    assert not watched((LEARN, {}), (IN_A_ROW - 1, {"shift": 30}), (20, {})).moved


def test_a_dark_room_says_nothing() -> None:
    assert edge_map(np.full((120, 160), 20, np.uint8)) is None


def test_after_two_weeks_the_new_view_is_the_view() -> None:
    view = watched((LEARN, {}), (IN_A_ROW, {"shift": 30}))
    assert view.add(edges(room(shift=30)), LEARN * MINUTE_MS + ACCEPT_MS + MINUTE_MS)
    assert not view.moved
    assert not view.reference
