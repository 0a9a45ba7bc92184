"""Recognition of the pictures and videos that fmd has written, so that a typing error replaces no other file."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

PNG_BEGIN = 33
"""Bytes of a PNG file before what may follow its header: the signature and the chunk IHDR."""
TEXT = b"tEXtSoftware\0fmd"
MARK = struct.pack(">I", len(TEXT) - 4) + TEXT + struct.pack(">I", zlib.crc32(TEXT))
"""Chunk of a PNG file that names the program which wrote it."""
ENDS = 1 << 14
"""Bytes at the beginning and at the end of a video in which FFmpeg describes it."""
MUXER = b"Lavf"
"""Name of FFmpeg's library for containers, with which OpenCV writes videos."""
VIDEOS: dict[str, tuple[int, bytes, bytes]] = {
    ".webm": (0, b"\x1a\x45\xdf\xa3", b"V_VP8"),
    ".mkv": (0, b"\x1a\x45\xdf\xa3", b"V_VP8"),
    ".avi": (0, b"RIFF", b"MJPG"),
    ".mp4": (4, b"ftyp", b""),
}
"""Suffix -> place and value of the container's signature, and the name of the codec that fmd uses. An MP4 names its
codec far from either end."""


def marked(png: bytes) -> bytes:
    """Return a PNG file with a mark that :func:`is_picture` recognises."""
    return png[:PNG_BEGIN] + MARK + png[PNG_BEGIN:]


def is_picture(path: Path) -> bool:
    """Return whether fmd has marked a PNG file as its own. Raises OSError if it cannot be read."""
    with path.open("rb") as handle:
        return handle.read(PNG_BEGIN + len(MARK))[PNG_BEGIN:] == MARK


def is_video(path: Path) -> bool:
    """Return whether a file has the container, codec and muxer of fmd's videos. Raises OSError if it cannot be read."""
    at, signature, codec = VIDEOS[path.suffix.lower()]
    with path.open("rb") as handle:
        begin = handle.read(ENDS)
        handle.seek(max(0, path.stat().st_size - ENDS))
        ends = begin + handle.read()
    return begin[at:].startswith(signature) and codec in ends and MUXER in ends
