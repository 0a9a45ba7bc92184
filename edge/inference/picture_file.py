"""Picture files, read and written by Python: OpenCV's binding crashes on a file name that is not valid UTF-8."""

from __future__ import annotations

import struct
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


def holds_more(data: bytes) -> bool:
    """Return whether the content of a picture file holds further pictures, which :func:`read_bgr` does not read."""
    if data.startswith(b"\x89PNG"):
        return b"acTL" in data[: data.find(b"IDAT")]
    if data.startswith(b"GIF8"):
        # The block in front of each picture of an animation.
        return data.count(b"\x21\xf9\x04") > 1
    if data[8:16] == b"WEBPVP8X":
        return bool(data[20] & 2) if len(data) > 20 else False
    if data[4:12] == b"ftypavis":
        return True
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tiff_pages(data)
    return False


def _tiff_pages(data: bytes) -> bool:
    """Return whether the directory of a TIFF's first page names a second one."""
    order = "<" if data[:1] == b"I" else ">"
    try:
        (at,) = struct.unpack_from(f"{order}I", data, 4)
        (entries,) = struct.unpack_from(f"{order}H", data, at)
        (following,) = struct.unpack_from(f"{order}I", data, at + 2 + 12 * entries)
    except struct.error:
        return False
    return bool(following)


def write_rgb(path: Path, picture: Image) -> None:
    """Write (H, W, 3) uint8 R, G, B as the format of the path's suffix.

    Raises OSError if the file cannot be written, and cv2.error if OpenCV knows no such format.
    """
    path.write_bytes(encode(path.suffix, picture))


def encode(suffix: str, picture: Image) -> bytes:
    """Return (H, W, 3) uint8 R, G, B as the content of a file with ``suffix``. Raises cv2.error for an unknown one."""
    _, data = cv2.imencode(suffix, picture[:, :, ::-1])
    return data.tobytes()
