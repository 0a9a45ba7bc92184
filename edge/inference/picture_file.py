"""Picture files, read and written by Python: OpenCV's binding crashes on a file name that is not valid UTF-8."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import cv2
import numpy as np

from edge.contracts import Image

MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""A marker of a JPEG between segments; in compressed data FF is followed by 00, or by a restart marker (D0 to D7)."""
END_OF_IMAGE = b"\xff\xd9"
FILL = 128
"""Brightness of a block without data, in all channels."""


def read_bgr(path: Path, flags: int = cv2.IMREAD_COLOR) -> Image | None:
    """Return a picture file, decoded by :func:`decode_bgr`. Raises OSError if the file cannot be read."""
    return decode_bgr(path.read_bytes(), flags)


def decode_bgr(data: bytes, flags: int = cv2.IMREAD_COLOR) -> Image | None:
    """Return the content of a picture file as (H, W, 3) uint8 B, G, R, or as ``flags`` ask.

    Returns None where OpenCV cannot decode it, and for a JPEG that is cut short: libjpeg fills the rest with grey, in
    which a face has half a mask. Raises cv2.error for a picture beyond OpenCV's limit or the free memory.
    """
    if not data or is_cut_jpeg(data):
        return None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    # The stubs leave out that OpenCV returns None for data it does not know.
    if image is None or (data.startswith(b"\xff\xd8") and lacks_its_end(image)):
        return None
    return np.asarray(image, np.uint8)


def lacks_its_end(image: Image) -> bool:
    """Return whether a decoded JPEG (H, W, 3) or (H, W) has no data for its end, although it has an end marker.

    libjpeg fills what is missing with the grey of empty blocks. No camera gives exactly that in a whole row.
    """
    return bool((image[-1] == FILL).all() and not (image[0] == FILL).all())


def is_cut_jpeg(data: bytes) -> bool:
    """Return whether ``data`` is a JPEG that ends before its end-of-image marker."""
    if not data.startswith(b"\xff\xd8"):
        return False
    at = 2
    while marker := MARKER.search(data, at):
        if marker[0] == END_OF_IMAGE:
            return False
        # A segment is skipped as a whole: one with a thumbnail contains an end of its own.
        at = marker.end() + max(2, int.from_bytes(data[marker.end() : marker.end() + 2], "big"))
    return True


def holds_more(data: bytes) -> bool:
    """Return whether the content of a picture file holds further pictures, which :func:`decode_bgr` does not return."""
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
