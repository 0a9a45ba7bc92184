"""Picture files, read and written by Python: OpenCV's binding crashes on a file name that is not valid UTF-8."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge.contracts import Image


def read_bgr(path: Path, flags: int = cv2.IMREAD_COLOR) -> Image | None:
    """Return a picture file as (H, W, 3) uint8 B, G, R, or as ``flags`` ask; None where OpenCV cannot decode it.

    Raises OSError if the file cannot be read, and cv2.error for a picture beyond OpenCV's limit or the free memory.
    """
    data = np.fromfile(path, np.uint8)
    if not data.size:
        return None
    image = cv2.imdecode(data, flags)
    # The stubs leave out that OpenCV returns None for data it does not know.
    return None if image is None else np.asarray(image, np.uint8)


def write_rgb(path: Path, picture: Image) -> None:
    """Write (H, W, 3) uint8 R, G, B as the format of the path's suffix.

    Raises OSError if the file cannot be written, and cv2.error if OpenCV knows no such format.
    """
    _, data = cv2.imencode(path.suffix, picture[:, :, ::-1])
    path.write_bytes(data.tobytes())
