"""A camera on a Jetson's ribbon cable, through NVIDIA's GStreamer source.

It needs an OpenCV with GStreamer, which JetPack's own (apt) has and pip's wheels have not, whatever their list of
backends says; the build information tells the truth. The pipeline is NVIDIA's ("Accelerated GStreamer", Jetson Linux
developer guide); no Jetson was at hand to try it on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import cv2

from edge.config import CameraSettings
from edge.contracts import Frame
from edge.drivers.colour import frame_of_bgr
from edge.errors import CameraError

SOURCE = "nvarguscamerasrc sensor-id={number} ! video/x-raw(memory:NVMM),framerate={fps}/1 ! nvvidconv"
"""Up to where pictures are in the processor's own memory; ``source`` of :class:`CsiCamera` may be another."""
PIPELINE = (
    "{source} ! video/x-raw,width={width},height={height},format=BGRx ! videoconvert ! video/x-raw,format=BGR ! "
    "appsink drop=1 max-buffers=1 sync=false"
)
MODEL = Path("/proc/device-tree/model")


class CsiCamera:
    """``csi`` or ``csi:1``: ``name`` is the sensor's number, empty for the first."""

    live = True

    def __init__(
        self, settings: CameraSettings, name: str, clock: Callable[[], float], source: str = SOURCE, model: Path = MODEL
    ) -> None:
        self._clock, self._index = clock, 0
        if name and not name.isdigit():
            raise CameraError(f"camera.source: csi:{name}: got {name!r}, expected a number, as in csi:1")
        _check_board(model)
        check_gstreamer(cv2.getBuildInformation())
        self._capture = cv2.VideoCapture(pipeline(settings, int(name or 0), source), cv2.CAP_GSTREAMER)
        if not self._capture.isOpened():
            raise CameraError(
                f"camera.source: csi: sensor {name or 0} gives no picture; is its cable in, was it chosen in "
                "/opt/nvidia/jetson-io/jetson-io.py, does nvargus-daemon run: systemctl status nvargus-daemon"
            )

    def read(self) -> Frame | None:
        """The next frame. Raises CameraError where the camera stops."""
        good, image = self._capture.read()
        if not good:
            raise CameraError("csi: the camera stopped giving pictures; try: sudo systemctl restart nvargus-daemon")
        frame = frame_of_bgr(image, self._clock(), self._index)
        self._index += 1
        return frame

    def close(self) -> None:
        """Give the camera back."""
        self._capture.release()


def pipeline(settings: CameraSettings, number: int, source: str = SOURCE) -> str:
    """What GStreamer is to do, from the sensor to B, G, R in memory."""
    first = source.format(number=number, fps=round(settings.fps))
    return PIPELINE.format(source=first, width=settings.width, height=settings.height)


def check_gstreamer(build_information: str) -> None:
    """Raise CameraError where this OpenCV was built without GStreamer."""
    if not re.search(r"GStreamer:\s+YES", build_information):
        raise CameraError(
            f"camera.source: csi needs an OpenCV with GStreamer, this one ({cv2.__version__} in {cv2.__file__}) has "
            "none; use JetPack's: apt install python3-opencv, make the virtual environment with "
            "--system-site-packages, and pip uninstall opencv-python-headless in it"
        )


def _check_board(model: Path) -> None:
    try:
        board = model.read_text(encoding="utf-8").strip("\0\n")
    except OSError:
        board = "of unknown kind"
    if not re.search("NVIDIA|Jetson", board):
        raise CameraError(f"camera.source: csi is for NVIDIA Jetson boards; this machine is {board}")
