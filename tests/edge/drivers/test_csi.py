"""A Jetson's ribbon camera: what is checked before, and the real path through GStreamer with another source."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from edge import config
from edge.drivers.csi import CsiCamera, check_gstreamer, pipeline
from edge.errors import CameraError
from tests.edge.parts import ROOT

SETTINGS = config.load(None, {"camera.width": 640, "camera.height": 480, "camera.fps": 15.0}).camera
PYTHON = "/usr/bin/python3"
THROUGH_GSTREAMER = """
import sys
import cv2
from pathlib import Path
from types import SimpleNamespace
from edge.drivers.csi import CsiCamera

settings = SimpleNamespace(width=320, height=240, fps=15.0)
source = "videotestsrc is-live=true pattern=red num-buffers=30 ! videoconvert"
camera = CsiCamera(settings, "", lambda: 1.0, source=source, root=Path(sys.argv[1]))
frames = [camera.read() for _ in range(3)]
print(frames[-1].image.shape, frames[-1].image[0, 0].tolist(), [frame.index for frame in frames])
"""


@pytest.fixture
def jetson(tmp_path: Path) -> Path:
    return board_of(tmp_path, b"NVIDIA Jetson Orin Nano Developer Kit\0")


def board_of(root: Path, model: bytes) -> Path:
    """Write the board's name into the device tree below ``root``."""
    (root / "proc/device-tree").mkdir(parents=True)
    (root / "proc/device-tree/model").write_bytes(model)
    return root


def test_the_pipeline_is_nvidias_and_keeps_only_the_newest_picture() -> None:
    assert pipeline(SETTINGS, 1) == (
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),framerate=15/1 ! nvvidconv ! "
        "video/x-raw,width=640,height=480,format=BGRx ! videoconvert ! video/x-raw,format=BGR ! "
        "appsink drop=1 max-buffers=1 sync=false"
    )


def test_another_board_is_refused(tmp_path: Path) -> None:
    board_of(tmp_path, b"Raspberry Pi 4 Model B Rev 1.4\0")
    with pytest.raises(CameraError, match="csi is for NVIDIA Jetson boards; this machine is Raspberry Pi 4 Model B"):
        CsiCamera(SETTINGS, "", lambda: 0.0, root=tmp_path)


def test_an_opencv_without_gstreamer_is_refused_with_the_fix() -> None:
    with pytest.raises(CameraError, match=r"needs an OpenCV with GStreamer, .* apt install python3-opencv"):
        check_gstreamer("  Video I/O:\n    GStreamer:                   NO\n")
    check_gstreamer("  Video I/O:\n    GStreamer:                   YES (1.20.3)\n")


def test_a_sensor_is_a_number(jetson: Path) -> None:
    with pytest.raises(CameraError, match="csi:left: got 'left', expected a number"):
        CsiCamera(SETTINGS, "left", lambda: 0.0, root=jetson)


def test_a_real_gstreamer_gives_rgb(jetson: Path, tmp_path: Path) -> None:
    """The system's own OpenCV, as on a Jetson, with a test picture in the sensor's place."""
    probe = subprocess.run(
        [PYTHON, "-c", "import cv2, numpy; print(cv2.getBuildInformation())"],
        capture_output=True, text=True, check=False,
    ) if Path(PYTHON).exists() else None  # fmt: skip
    if probe is None or probe.returncode or "GStreamer:                   YES" not in probe.stdout:
        pytest.skip("needs apt's python3-opencv and gstreamer1.0-plugins-base")
    # Of our libraries only this one, or the system's OpenCV would be hidden by ours.
    (tmp_path / "msgspec").symlink_to(Path(msgspec.__file__).parent)
    found = subprocess.run(
        [PYTHON, "-c", THROUGH_GSTREAMER, jetson], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"},
    )  # fmt: skip
    if "No module named 'msgspec._core'" in found.stderr:
        pytest.skip("the system's Python is of another version than ours")
    assert found.stdout == "(240, 320, 3) [255, 0, 0] [0, 1, 2]\n", found.stderr
