"""The Raspberry Pi camera through picamera2.

It gives two streams: ``main`` for the crops of faces, and ``lores`` (YUV420) for the detector, with its first rows (the
brightness) for the gate. picamera2's "RGB888" is B, G, R in memory (picamera2 manual, appendix A), so it is converted
like OpenCV's pictures.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, NamedTuple

import cv2
import numpy as np

from edge import config
from edge.config import CameraSettings
from edge.contracts import Frame, Image
from edge.drivers.colour import frame_of_bgr
from edge.drivers.library import import_library
from edge.drivers.orientation import turned_frame
from edge.errors import CameraError

INSTALL = (
    "on Raspberry Pi OS: sudo apt install python3-picamera2, and make the virtual environment with "
    "--system-site-packages"
)
"""picamera2 and the libcamera below it come from apt alone."""
LORES_WIDTH = 352
"""Width of the shipped detector's input: the camera's image processor scales the picture, so the CPU need not."""


class Streams(NamedTuple):
    """Both pictures of a request: ``main`` (H, W, 3) uint8 B, G, R; ``lores`` of ``size`` (width, height), YUV420."""

    main: Image
    lores: Image
    size: tuple[int, int]


class PiCamera:
    """Camera on the ribbon cable. ``name`` is its number, empty for the first.

    ``module`` is picamera2 or a module with its contract (:mod:`edge.drivers.fake_picamera2`).
    """

    live = True

    def __init__(
        self, settings: CameraSettings, name: str, clock: Callable[[], float], module: Any | None = None
    ) -> None:
        self._clock, self._index, self._stall_s = clock, 0, config.stall_s(settings)
        self._lores = lores_size(settings)
        # libcamera turns by half a turn and mirrors at no cost; a quarter turn needs the processor.
        self._quarter = settings.rotate in (90, 270)
        self._rotate, self._mirror = settings.rotate, settings.mirror
        if name and not name.isdigit():
            raise CameraError(f"camera.source: picamera2:{name}: got {name!r}, expected a number, as in picamera2:1")
        library, number = module or import_library("picamera2", "camera.source", INSTALL, CameraError), int(name or 0)
        try:
            cameras = library.Picamera2.global_camera_info()
        except RuntimeError as error:
            raise CameraError(f"camera.source: picamera2 cannot search for cameras: {error}") from error
        if number >= len(cameras):
            raise CameraError(
                f"camera.source: got camera number {number}, but picamera2 finds {len(cameras)} cameras; check the "
                "ribbon cable (contacts towards the board) with: rpicam-hello --list-cameras"
            )
        with ExitStack() as undo:
            try:
                self._camera = library.Picamera2(number)
                undo.callback(self._camera.close)  # a camera left half-open stays busy for the next attempt
                self._configure(settings, module)
                self._camera.start()
            except (RuntimeError, IndexError) as error:
                raise CameraError(f"camera.source: picamera2 cannot start camera {number}: {error}") from error
            undo.pop_all()

    def _configure(self, settings: CameraSettings, module: Any | None) -> None:
        more = whole_view(self._camera.sensor_modes, settings)
        flips = {} if self._quarter else flips_of(settings)
        if flips:
            libcamera = module or import_library("libcamera", "camera.rotate", INSTALL, CameraError)
            more["transform"] = libcamera.Transform(**flips)
        self._camera.configure(
            self._camera.create_video_configuration(
                main={"size": (settings.width, settings.height), "format": "RGB888"},
                lores={"size": lores_size(settings), "format": "YUV420"},
                controls={"FrameRate": settings.fps},
                **more,
            )
        )

    def read(self) -> Frame | None:
        """Return the next frame. Raises CameraError if the camera stalls for longer than ``camera.stall_s``."""
        try:
            request = self._camera.capture_request(wait=self._stall_s)
        except (TimeoutError, concurrent.futures.TimeoutError, RuntimeError) as error:
            raise CameraError(
                f"picamera2: no picture for {self._stall_s:g} s ({error}); check the ribbon cable"
            ) from error
        try:
            # The arrays are copies. The buffer returns to the camera at once, which has only a few of them.
            streams = Streams(request.make_array("main"), request.make_array("lores"), self._lores)
        finally:
            request.release()
        self._index += 1
        frame = frame_of_streams(streams, self._clock(), self._index - 1)
        return turned_frame(frame, self._rotate, self._mirror) if self._quarter else frame

    def close(self) -> None:
        """Stop and release the camera."""
        self._camera.stop()
        self._camera.close()


def frame_of_streams(streams: Streams, captured_s: float, index: int) -> Frame:
    """Return a frame whose gate and detector use the small stream, and whose crops come from the large one."""
    main, lores, (width, height) = streams
    # Half the size is enough for the gate, which divides the view into 40 x 30 spots.
    luma = np.ascontiguousarray(lores[:height:2, :width:2])
    return replace(frame_of_bgr(main, captured_s, index, luma), small=lambda: _rgb(lores, width, height))


def lores_size(settings: CameraSettings) -> tuple[int, int]:
    """Return width and height of the small stream, in the proportions of the large one: both show the same view."""
    width = min(LORES_WIDTH, settings.width // 2 * 2)
    return width, max(2, round(width * settings.height / settings.width / 2) * 2)


def _rgb(yuv: Image, width: int, height: int) -> Image:
    """Return the (height, width, 3) RGB picture of a YUV420 array, whose rows may be padded."""
    return np.asarray(cv2.cvtColor(yuv, cv2.COLOR_YUV2RGB_I420)[:height, :width], np.uint8)


def flips_of(settings: CameraSettings) -> dict[str, bool]:
    """Return the arguments of libcamera's Transform for half a turn and a mirror image; empty for neither.

    Half a turn is both flips, and mirroring it takes the horizontal one back.
    """
    upside_down = settings.rotate == 180
    flips = {"hflip": upside_down != settings.mirror, "vflip": upside_down}
    return flips if any(flips.values()) else {}


def whole_view(modes: Sequence[Mapping[str, Any]], settings: CameraSettings) -> dict[str, Any]:
    """Return the argument that selects the smallest sensor mode that shows the whole view and is large and fast enough.

    Without it picamera2 takes the mode nearest in size, which shows only a part of the view: for a Camera Module 2 at
    640 x 480, the middle 39 % of its width (raspberrypi/picamera2#558).
    """

    def area(mode: Mapping[str, Any]) -> int:
        _, _, width, height = mode["crop_limits"]
        return int(width * height)

    known = [mode for mode in modes if "crop_limits" in mode and "bit_depth" in mode]
    largest = max(map(area, known), default=0)
    fitting = [
        mode
        for mode in known
        if area(mode) >= 0.98 * largest  # modes that show the whole view differ by a few rows
        and mode["fps"] >= settings.fps
        and mode["size"][0] >= settings.width
        and mode["size"][1] >= settings.height
    ]
    if not fitting:
        return {}
    best = min(fitting, key=lambda mode: (mode["size"][0] * mode["size"][1], -mode["bit_depth"]))
    return {"sensor": {"output_size": best["size"], "bit_depth": best["bit_depth"]}}
