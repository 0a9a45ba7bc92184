"""The Pi camera's driver against the stand-in that keeps picamera2's contract."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge import config, paths
from edge.contracts import Image
from edge.drivers import fake_picamera2
from edge.drivers.pi_camera import LORES_WIDTH, PiCamera, lores_size, whole_view
from edge.errors import CameraError
from edge.inference import bundle

SETTINGS = config.load(None, {"camera.width": 640, "camera.height": 480, "camera.stall_s": 1.5}).camera


def plain(red: int, green: int, blue: int) -> Image:
    return np.full((480, 640, 3), (red, green, blue), np.uint8)


class Library:
    """A module with one camera that sees ``pictures``; keeps the cameras it made."""

    def __init__(self, *pictures: Image, trouble: str = "", cameras: int = 1) -> None:
        made: list[fake_picamera2.Picamera2] = []

        class Camera(fake_picamera2.Picamera2):
            def __init__(self, camera_num: int = 0) -> None:
                self.pictures = list(pictures)  # type: ignore[misc]
                super().__init__(camera_num)
                made.append(self)

            @staticmethod
            def global_camera_info() -> list[dict[str, Any]]:
                return [{"Num": i} for i in range(cameras)]

            def start(self) -> None:
                if trouble:
                    raise RuntimeError(trouble)
                super().start()

        self.made, self.module = made, SimpleNamespace(Picamera2=Camera)

    def open(self, name: str = "", now_s: float = 12.5) -> PiCamera:
        return PiCamera(SETTINGS, name, lambda: now_s, module=self.module)


def test_the_small_stream_is_as_wide_as_the_shipped_detectors_input() -> None:
    shipped = bundle.unpack(paths.shipped_model("detector"))
    assert shipped.contract.input.width == LORES_WIDTH


def test_bgr_in_memory_becomes_rgb() -> None:
    frame = Library(plain(200, 120, 40)).open().read()
    assert frame is not None
    assert frame.image.shape == (480, 640, 3)
    assert frame.image[0, 0].tolist() == [200, 120, 40]


def test_the_brightness_plane_is_the_y_of_the_small_stream() -> None:
    frame = Library(plain(255, 255, 255)).open().read()
    assert frame is not None
    assert frame.luma.shape == (132, 176)
    assert (frame.luma == 235).all()  # white in video range (BT.601)


def test_the_detector_gets_the_small_stream_in_rgb() -> None:
    frame = Library(plain(200, 120, 40)).open().read()
    assert frame is not None
    assert frame.small is not None
    small = frame.small()
    assert small.shape == (264, 352, 3)
    np.testing.assert_allclose(small[10, 10], (200, 120, 40), atol=3)


@pytest.mark.parametrize(
    ("width", "height", "small"), [(640, 480, (352, 264)), (1920, 1080, (352, 198)), (320, 240, (320, 240))]
)
def test_both_streams_show_the_same_view(width: int, height: int, small: tuple[int, int]) -> None:
    assert lores_size(config.load(None, {"camera.width": width, "camera.height": height}).camera) == small


def test_frames_carry_the_clocks_time_and_count_up() -> None:
    camera = Library(plain(0, 0, 0), plain(1, 1, 1)).open(now_s=12.5)
    first, second = camera.read(), camera.read()
    assert first is not None
    assert second is not None
    assert (first.captured_s, first.index, second.index) == (12.5, 0, 1)


def test_every_request_is_released() -> None:
    """A camera has four buffers; one kept is one less, and the fifth frame never comes."""
    library = Library(*[plain(0, 0, 0)] * 10)
    camera = library.open()
    for _ in range(10):
        camera.read()
    assert [request.released for request in library.made[0].requests] == [True] * 10


def test_pictures_outlive_their_request() -> None:
    library = Library(plain(200, 120, 40))
    frame = library.open().read()
    assert frame is not None
    assert frame.luma.base is None or frame.luma.flags.owndata


def test_a_stall_is_reported_with_its_duration() -> None:
    camera = Library().open()
    with pytest.raises(CameraError, match=r"no picture for 1\.5 s .*check the ribbon cable"):
        camera.read()


def test_open_configure_start_stop_close_in_this_order() -> None:
    library = Library(cameras=2)
    library.open("1").close()
    assert library.made[0].calls == ["open 1", "configure", "start", "stop", "close"]


def test_the_whole_sensor_is_used() -> None:
    """Nearest in size would be a mode that shows the middle of the view only."""
    library = Library()
    library.open()
    assert library.made[0].configuration["sensor"] == {"output_size": (1640, 1232), "bit_depth": 10}


@pytest.mark.parametrize(
    ("width", "height", "fps", "size"),
    [(1640, 1232, 30, (1640, 1232)), (1920, 1080, 15, (3280, 2464)), (1920, 1080, 40, None), (4000, 3000, 5, None)],
)
def test_the_smallest_sufficient_full_mode_is_selected(
    width: int, height: int, fps: float, size: tuple[int, int] | None
) -> None:
    settings = config.load(None, {"camera.width": width, "camera.height": height, "camera.fps": fps}).camera
    chosen = whole_view(fake_picamera2.Picamera2.sensor_modes, settings)
    assert chosen.get("sensor", {}).get("output_size") == size


def test_modes_without_a_view_leave_the_choice_to_picamera2() -> None:
    assert whole_view([{"size": (640, 480), "fps": 30.0}], SETTINGS) == {}


def test_a_camera_that_does_not_start_is_reported_and_released() -> None:
    library = Library(trouble="Camera __init__ sequence did not complete.")
    with pytest.raises(CameraError, match="cannot start camera 0: Camera __init__ sequence did not complete"):
        library.open()
    assert library.made[0].calls[-1] == "close"


@pytest.mark.parametrize(
    ("name", "cameras", "said"),
    [
        ("", 0, "got camera number 0, but picamera2 finds 0 cameras; check the ribbon"),
        ("2", 2, "got camera number 2, but picamera2 finds 2 cameras"),
        ("left", 1, "got 'left', expected a number, as in picamera2:1"),
    ],
)
def test_a_number_without_a_camera_is_reported(name: str, cameras: int, said: str) -> None:
    with pytest.raises(CameraError, match=said):
        Library(cameras=cameras).open(name)


def test_without_picamera2_the_error_says_how_to_install_it() -> None:
    pytest.importorskip("cv2")
    try:
        import picamera2  # noqa: F401
    except ImportError:
        with pytest.raises(CameraError, match="sudo apt install python3-picamera2"):
            PiCamera(SETTINGS, "", lambda: 0.0)
    else:
        pytest.skip("picamera2 is here")
