"""YuNet as the face detector, through OpenCV's own reader: an alternative to fmd's detector, and for comparisons.

``model.detector = "face_detection_yunet.onnx"``. The file has no contract, so the driver checks its hash, and whether
this OpenCV can run it, before the first frame. YuNet's scores are higher than those of fmd's own detector, for which
the settings are made. The driver converts them to that scale, so that the settings need no change.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import cv2
import numpy as np

from edge.contracts import Box, Face, Frame
from edge.drivers.library import first_line
from edge.errors import BundleError
from edge.files import native_name
from edge.inference.resize import resized

log = logging.getLogger(__name__)

LONGEST = 384
"""Longer side of the picture given to YuNet, in pixels. It finds faces of 10 to 300 pixels; at a door they then have
25 to 150."""
MAX_IOU = 0.45
MAX_FACES = 100
KNOWN = {
    "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0": "face_detection_yunet_2026may.onnx",
    "104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12": "yunet_n_dynamic.onnx",
}
"""SHA-256 of the files that were tested, on OpenCV 5.0."""
YUNETS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
OURS = (0.0, 0.156, 0.227, 0.254, 0.3, 0.336, 0.405, 0.441, 0.48, 0.539, 0.613, 0.684, 0.83, 0.9)
"""Equal quantiles of both detectors' scores: YUNETS[i] and OURS[i] are exceeded by the same share of faces.

Measured on the validation split's photographs at three sizes: 1,949 true faces found by the two files in KNOWN, and
1,069 found by fmd's detector; the last values are set by eye. Passages composed from that split are decided correctly
about as often as with YuNet's raw scores and thresholds of 0.5 and 0.7: 0.938 and 0.927 of 260 with the two files,
against 0.931 and 0.915; 0.958 of another 260 with the first file, against 0.935."""
LFS_POINTER = b"version https://git-lfs"


class YuNetDetector:
    """Detector YuNet (Wu, Peng, Yu 2023, doi 10.1007/s11633-023-1423-y); see :class:`edge.contracts.Detector`."""

    runtime = f"OpenCV {cv2.__version__}"

    def __init__(self, path: Path, min_score: float) -> None:
        self._size = (0, 0)
        least = float(np.interp(min_score, OURS, YUNETS))
        _check(path)
        name = native_name(path, BundleError)
        try:
            self._net = cv2.FaceDetectorYN.create(name, "", (LONGEST, LONGEST), least, MAX_IOU, MAX_FACES)
            # Some files load and fail only when they run.
            self._net.detect(np.zeros((LONGEST, LONGEST, 3), np.uint8))
        except (cv2.error, AttributeError) as error:
            # Each year's files need the OpenCV of that year.
            raise BundleError(
                f"{path}: OpenCV {cv2.__version__} cannot run this as YuNet ({_reason(error)}); use a newer file, or "
                "install opencv-python-headless 4.10 or later"
            ) from error

    def detect(self, frame: Frame) -> tuple[Face, ...]:
        """Return the faces of one frame, best first, in full-frame pixels, clipped to the frame."""
        height, width = frame.image.shape[:2]
        scale = min(1.0, LONGEST / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if size != self._size:
            self._net.setInputSize(size)
            self._size = size
        _, found = self._net.detect(cv2.cvtColor(resized(frame.image, *size), cv2.COLOR_RGB2BGR))
        rows = [] if found is None else np.asarray(found, np.float64).tolist()
        faces = (_face(row, width / size[0], height / size[1], width, height) for row in rows)
        return tuple(sorted((f for f in faces if f.box.width >= 1 and f.box.height >= 1), key=lambda f: -f.score))


def _face(row: list[float], across: float, down: float, width: int, height: int) -> Face:
    """Return a face from a row of x, y, width, height, five landmarks and score; converts the score to fmd's scale."""
    x, y, w, h = row[:4]
    xmax, ymax = min(float(width), (x + w) * across), min(float(height), (y + h) * down)
    return Face(Box(max(0.0, x * across), max(0.0, y * down), xmax, ymax), float(np.interp(row[14], YUNETS, OURS)))


def _check(path: Path) -> None:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot read the model file: {error.strerror}") from error
    if data.startswith(LFS_POINTER):
        raise BundleError(
            f"{path}: a git-lfs pointer of {len(data)} bytes, expected the model itself; to fetch it: git lfs pull"
        )
    digest = hashlib.sha256(data).hexdigest()
    if digest in KNOWN:
        log.info("%s: %s on OpenCV %s", path, KNOWN[digest], cv2.__version__)
    else:
        log.warning("%s: not a YuNet file that fmd was tested with (sha256 %s...)", path, digest[:12])


def _reason(error: Exception) -> str:
    """Return an OpenCV error's message. It is in ``err``; the text begins with file and line of the C++ code."""
    return str(getattr(error, "err", "")) or first_line(error)
