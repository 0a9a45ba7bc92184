from __future__ import annotations

import numpy as np
import pytest

from edge import config, drivers
from edge.drivers import doorway

pytest.importorskip("skimage", reason="scikit-image carries the scene's portrait")


@pytest.fixture(scope="module")
def camera() -> doorway.DoorwayCamera:
    return doorway.DoorwayCamera(config.load().camera, "", lambda: 0.0)


def test_the_scene_is_the_same_every_time(camera: doorway.DoorwayCamera) -> None:
    again = doorway.DoorwayCamera(config.load().camera, "", lambda: 0.0)
    np.testing.assert_array_equal(camera.picture(4.0), again.picture(4.0))


def test_the_doorway_is_empty_before_and_after(camera: doorway.DoorwayCamera) -> None:
    for now_s in (0.0, doorway.ENTERS_S - 0.1, doorway.GONE_S, doorway.ENDS_S - 0.1):
        difference = np.abs(camera.picture(now_s).astype(int) - doorway.draw_doorway())
        assert difference.mean() < 3  # noise alone
    assert np.abs(camera.picture(4.0).astype(int) - doorway.draw_doorway()).mean() > 20


def test_the_mask_covers_the_lower_face_and_nothing_above(camera: doorway.DoorwayCamera) -> None:
    from skimage import data

    unmasked = data.astronaut()
    changed = (doorway.draw_mask(unmasked) != unmasked).any(axis=2)
    assert changed[120:175, 200:250].mean() > 0.95
    assert not changed[:92].any()
    assert not changed[195:].any()


def test_the_scene_plays_at_its_speed_and_then_ends() -> None:
    camera = drivers.open_camera(config.load(None, {"camera.source": "doorway"}).camera, lambda: 0.0)
    frames = list(iter(camera.read, None))
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert frames[-1].image.shape == (480, 640, 3)
    assert frames[-1].image.dtype == np.uint8
    assert len(frames) == pytest.approx(doorway.ENDS_S * doorway.FPS, abs=1)
    assert frames[-1].captured_s == pytest.approx(doorway.ENDS_S, abs=0.1)
