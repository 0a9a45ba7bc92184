"""Passages that need no data: the portrait of the built-in scene, without and with a mask."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from edge.contracts import WITH_MASK, WITHOUT_MASK, Box, Image
from edge.drivers.doorway import draw_mask
from simulation.passages import ComposedPassage, Cutout, Walker, pausing, turning_away, walking_past


@pytest.fixture(scope="package")
def drawn() -> dict[str, Cutout]:
    """The portrait of the built-in scene, without a mask and with one drawn on."""
    portrait = pytest.importorskip("skimage.data").astronaut()[:, :, :3]
    return {
        label: _cutout(image, label) for label, image in ((WITHOUT_MASK, portrait), (WITH_MASK, draw_mask(portrait)))
    }


def _cutout(image: Image, label: str) -> Cutout:
    outline = np.zeros(image.shape[:2], np.uint8)
    outline[10:-10, 60:-60] = 255
    return Cutout(image, outline, Box(172, 58, 272, 186), label, "portrait")


@pytest.fixture(scope="package")
def day(drawn: Mapping[str, Cutout]) -> list[ComposedPassage]:
    """Four passages: a pair, a crossing, a person without a mask who walks past, and one who takes the mask off."""
    without, masked = [(0.0, drawn[WITHOUT_MASK])], [(0.0, drawn[WITH_MASK])]
    turning = turning_away(pausing(80, 1.0, stop_x=0.7))
    return [
        ComposedPassage("pair", [Walker(without, pausing(80, 1.0, stop_x=0.3)), Walker(masked, turning)], 4.2),
        ComposedPassage(
            "cross", [Walker(without, walking_past(80, 1.0, 2.6)), Walker(masked, walking_past(70, -1.0, 2.6))], 2.8
        ),
        ComposedPassage("walk", [Walker(without, walking_past(100, -1.0, 2.4))], 2.4),
        ComposedPassage("off", [Walker([*masked, (2.2, drawn[WITHOUT_MASK])], pausing(90, 1.0, pause_s=2.4))], 4.6),
    ]
