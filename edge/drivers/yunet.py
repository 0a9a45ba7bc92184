"""YuNet as the face detector, through OpenCV's own reader: for people who prefer it, and to compare with.

``model.detector = "face_detection_yunet.onnx"``. The file carries no contract; what can be known of it is its hash, and
whether this OpenCV runs it at all, which is tried before the first frame. YuNet's scores are higher than those of fmd's
own detector, which the stages know: they are brought to that scale here, and the settings stay as they are.
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
from edge.inference.resize import resized

log = logging.getLogger(__name__)

LONGEST = 384
"""Pixels of the longer side it looks at. YuNet finds faces of 10 to 300 pixels; a door's are 25 to 150 then."""
MAX_IOU = 0.45
MAX_FACES = 100
KNOWN = {
    "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0": "face_detection_yunet_2026may.onnx",
    "104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12": "yunet_n_dynamic.onnx",
}
"""SHA-256 of the files this was tried with, on OpenCV 5.0."""
YUNETS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
OURS = (0.0, 0.156, 0.227, 0.254, 0.3, 0.336, 0.405, 0.441, 0.48, 0.539, 0.613, 0.684, 0.83, 0.9)
"""Scores of YuNet, and those of fmd's detector that as large a share of faces stays below: quantile by quantile, of the
1,949 finds that are faces of the two files in KNOWN, and of 1,069 of ours, in the validation split's photographs at
three sizes; the last of them by eye. People of passages composed from that split are decided right about as often as by
the scores as they were, from 0.5 and 0.7 on: 0.938 and 0.927 of 260 by the two files, against 0.931 and 0.915; 0.958 of
another 260 by the first, against 0.935."""
LFS_POINTER = b"version https://git-lfs"


class YuNetDetector:
    """Faces of a frame by YuNet (Wu, Peng, Yu 2023, doi 10.1007/s11633-023-1423-y); see ``edge.contracts.Detector``."""

    runtime = f"OpenCV {cv2.__version__}"

    def __init__(self, path: Path, min_score: float) -> None:
        self._size = (0, 0)
        least = float(np.interp(min_score, OURS, YUNETS))
        _check(path)
        try:
            self._net = cv2.FaceDetectorYN.create(str(path), "", (LONGEST, LONGEST), least, MAX_IOU, MAX_FACES)
            self._net.detect(np.zeros((LONGEST, LONGEST, 3), np.uint8))
        except (cv2.error, AttributeError) as error:
            raise BundleError(
                f"{path}: OpenCV {cv2.__version__} cannot run this as YuNet ({_reason(error)}); files of one year "
                "need the OpenCV of that year: take a newer file, or install opencv-python-headless 4.10 or later"
            ) from error

    def detect(self, frame: Frame) -> tuple[Face, ...]:
        """Faces of one frame, best first, in full-frame pixels, cut to the frame."""
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
    """A row is x, y, width, height, five landmarks, score; the score is brought to the scale of fmd's own detector."""
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
            f"{path}: only git-lfs's note of the file, {len(data)} bytes, not the file; fetch it: git lfs pull"
        )
    digest = hashlib.sha256(data).hexdigest()
    if digest in KNOWN:
        log.info("%s: %s on OpenCV %s", path, KNOWN[digest], cv2.__version__)
    else:
        log.warning("%s: not a YuNet file fmd was tried with (sha256 %s...)", path, digest[:12])


def _reason(error: Exception) -> str:
    """OpenCV's own error has the plain message in ``err``; its text begins with file and line of the C++ code."""
    return str(getattr(error, "err", "")) or first_line(error)
