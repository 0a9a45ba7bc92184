"""Picture files, read and written by Python: OpenCV's binding crashes on a file name that is not valid UTF-8."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge.contracts import Image
from edge.errors import PictureError
from edge.files import MAX_PICTURE_PIXELS

MAX_BYTES = 256 << 20
"""Largest picture file that is read, bytes."""
MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""A marker of a JPEG between segments; in compressed data FF is followed by 00, or by a restart marker (D0 to D7)."""
END_OF_IMAGE = 0xD9
NO_FRAME = (0xC4, 0xC8, 0xCC)
"""Markers of a JPEG among those of its frame headers (SOF) that are none: tables, and one that is reserved."""
FILL = 128
"""Brightness of a block without data, in all channels."""


def read_bgr(path: Path, flags: int = cv2.IMREAD_COLOR) -> Image | None:
    """Return a picture file, decoded by :func:`decode_bgr`. Raises OSError if the file cannot be read."""
    return decode_bgr(read_content(path), flags)


def read_content(path: Path) -> bytes:
    """Return the content of a picture file. Raises PictureError if it has more than MAX_BYTES, OSError otherwise."""
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise PictureError(f"more than {MAX_BYTES >> 20} MB, expected a picture")
    return data


def decode_bgr(data: bytes, flags: int = cv2.IMREAD_COLOR, most: int = MAX_PICTURE_PIXELS) -> Image | None:
    """Return the content of a picture file as (H, W, 3) uint8 B, G, R, or as ``flags`` ask.

    Returns None where OpenCV cannot decode it, and for a JPEG that is cut short: libjpeg fills the rest with grey, in
    which a face has half a mask. Raises PictureError for more than ``most`` pixels, before it decodes any, and
    cv2.error for a picture beyond OpenCV's limit or the free memory.
    """
    if not data:
        return None
    check_size(*stated_size(data), most)
    if is_cut_jpeg(data):
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


def check_size(width: int, height: int, most: int) -> None:
    """Raise PictureError for a picture of more than ``most`` pixels."""
    if width * height > most:
        raise PictureError(
            f"a picture of {width} x {height} pixels, expected at most {most / 1e6:.0f} million; make it smaller"
        )


def stated_size(data: bytes) -> tuple[int, int]:
    """Return the largest width and height that the headers of a JPEG, PNG or WebP state; zeros for another format.

    OpenCV itself limits the other formats, to OPENCV_IO_MAX_IMAGE_PIXELS where a command has set it.
    """
    if data.startswith(b"\xff\xd8"):
        # A second header would count, so the largest does.
        sizes = [
            (int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 3 : at + 5], "big"))
            for marker, at in _segments(data)
            if 0xC0 <= marker <= 0xCF and marker not in NO_FRAME
        ]
        return max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    if data.startswith(b"\x89PNG") and data[12:16] == b"IHDR":
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp_size(data)
    return 0, 0


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield marker and place of the length of each segment of a JPEG, the end marker included."""
    at = 2
    while found := MARKER.search(data, at):
        yield found[0][1], found.end()
        # A segment is skipped as a whole: one with a thumbnail contains markers of its own.
        at = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2], "big"))


def is_cut_jpeg(data: bytes) -> bool:
    """Return whether ``data`` is a JPEG that ends before its end-of-image marker."""
    return data.startswith(b"\xff\xd8") and all(marker != END_OF_IMAGE for marker, _ in _segments(data))


def holds_more(data: bytes) -> bool:
    """Return whether the content of a picture file holds further pictures, which :func:`decode_bgr` does not return."""
    if data.startswith(b"\x89PNG"):
        return b"acTL" in data[: data.find(b"IDAT")]
    if data.startswith(b"GIF8"):
        return _gif_pictures(data) > 1
    if data[8:16] == b"WEBPVP8X":
        return bool(data[20] & 2) if len(data) > 20 else False
    if data[4:12] == b"ftypavis":
        return True
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tiff_pages(data)
    return False


def _gif_pictures(data: bytes) -> int:
    """Return the number of pictures in a GIF, as far as its content goes."""
    count, at = 0, 13 + _gif_colours(data, 10)
    while data[at : at + 1] in (b"\x21", b"\x2c"):
        if data[at] == 0x2C:
            count += 1
            at += 11 + _gif_colours(data, at + 9)  # with the size of its codes
        else:
            at += 2
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return count


def _gif_colours(data: bytes, at: int) -> int:
    """Return the length of the colour table that the flags at ``at`` announce."""
    flags = data[at] if at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


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
