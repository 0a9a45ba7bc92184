"""A camera on a Jetson's ribbon cable, through NVIDIA's GStreamer source.

It needs an OpenCV with GStreamer. JetPack's own (apt) has it, pip's wheels do not: their list of backends names it all
the same, so the driver reads the build information instead. The pipeline is NVIDIA's ("Accelerated GStreamer", Jetson
Linux developer guide). It was never tested on a real Jetson.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import cv2

from edge import board
from edge.config import CameraSettings
from edge.contracts import Frame
from edge.drivers.colour import frame_of_bgr
from edge.errors import CameraError

SOURCE = "nvarguscamerasrc sensor-id={number} ! video/x-raw(memory:NVMM),framerate={fps}/1 ! nvvidconv"
"""First part of the pipeline, up to pictures in CPU memory. ``source`` of :class:`CsiCamera` can replace it."""
PIPELINE = (
    # drop and max-buffers keep only the newest picture; sync=false does not delay it to its timestamp.
    "{source} ! video/x-raw,width={width},height={height},format=BGRx ! videoconvert ! video/x-raw,format=BGR ! "
    "appsink drop=1 max-buffers=1 sync=false"
)


class CsiCamera:
    """Camera ``csi`` or ``csi:1``. ``name`` is the number of the sensor, empty for the first.

    ``root`` is the folder that holds proc, as in :mod:`edge.board`.
    """

    live = True

    def __init__(
        self,
        settings: CameraSettings,
        name: str,
        clock: Callable[[], float],
        source: str = SOURCE,
        root: Path = Path("/"),
    ) -> None:
        self._clock, self._index = clock, 0
        if name and not name.isdigit():
            raise CameraError(f"camera.source: csi:{name}: got {name!r}, expected a number, as in csi:1")
        # The board first: elsewhere, advice about GStreamer would mislead.
        _check_board(board.model(root))
        check_gstreamer(cv2.getBuildInformation())
        self._capture = cv2.VideoCapture(pipeline(settings, int(name or 0), source), cv2.CAP_GSTREAMER)
        if not self._capture.isOpened():
            raise CameraError(
                f"camera.source: csi: sensor {name or 0} gives no picture; check its cable, select it in "
                "/opt/nvidia/jetson-io/jetson-io.py, and check the daemon: systemctl status nvargus-daemon"
            )

    def read(self) -> Frame | None:
        """Return the next frame. Raises CameraError if the camera stops."""
        good, image = self._capture.read()
        if not good:
            raise CameraError("csi: the camera stopped giving pictures; try: sudo systemctl restart nvargus-daemon")
        frame = frame_of_bgr(image, self._clock(), self._index)
        self._index += 1
        return frame

    def close(self) -> None:
        """Release the camera."""
        self._capture.release()


def pipeline(settings: CameraSettings, number: int, source: str = SOURCE) -> str:
    """Return the pipeline for GStreamer, from the sensor to B, G, R in memory."""
    first = source.format(number=number, fps=round(settings.fps))
    return PIPELINE.format(source=first, width=settings.width, height=settings.height)


def check_gstreamer(build_information: str) -> None:
    """Raise CameraError if this OpenCV was built without GStreamer."""
    if not re.search(r"GStreamer:\s+YES", build_information):
        raise CameraError(
            f"camera.source: csi needs an OpenCV with GStreamer, {cv2.__version__} in {cv2.__file__} has none; to use "
            "JetPack's: sudo apt install python3-opencv, make the virtual environment with --system-site-packages, and "
            "in it: pip uninstall opencv-python-headless"
        )


def _check_board(model: str) -> None:
    if not re.search("NVIDIA|Jetson", model):
        raise CameraError(f"camera.source: csi is for NVIDIA Jetson boards; this machine is {model or 'unknown'}")
