"""What a video file's container states about its length, read from the file itself.

FFmpeg estimates the number of frames where the container stores none (Matroska, WebM, MPEG-TS, FLV, fragmented MP4):
as duration times rate, which is wrong for a variable rate and where the sound is longer than the pictures.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAX_INDEX = 64 << 20
"""Largest index of an MP4 that is read, bytes: hours of video have a few megabytes."""
MP4_FIRST = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
"""Types of the box with which MP4 and MOV files begin."""
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
"""Matroska's ids of its header, and of the element with everything else."""


class Extent(NamedTuple):
    """What a container states: whether it stores the number of frames, the seconds of video, and whether it is cut off.

    ``duration_s`` is 0 if it is not stated. ``cut_off`` is true if the file is shorter than the container states; it is
    false for formats that do not state that.
    """

    counted: bool = False
    duration_s: float = 0.0
    cut_off: bool = False


def read_extent(path: Path) -> Extent:
    """Return what the container of ``path`` states. Raises OSError."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"AVI ":
            return Extent(counted=True)
        if head[:4] == EBML:
            return Extent(cut_off=_end_of_matroska(file) > size)
        if head[4:8] in MP4_FIRST:
            return _mp4(file, size)
    return Extent()


def _mp4(file: BinaryIO, size: int) -> Extent:
    """Return the extent of an MP4 or MOV. A fragmented one (with a box ``mvex``) has no index of all its frames."""
    at, cut_off, duration_s, fragmented = 0, False, 0.0, False
    while at < size:
        file.seek(at)
        header = file.read(16)
        length, kind, body = _box(header, size - at)
        if length < body:
            break
        cut_off |= at + length > size
        if kind == b"moov" and length <= MAX_INDEX:
            file.seek(at + body)
            index = file.read(length - body)
            fragmented = any(kind == b"mvex" for kind, _ in _boxes(index))
            duration_s = _video_s(index)
        at += length
    # With an index, the number of frames shows what is missing: the end may hold nothing but sound.
    return Extent(not fragmented, 0.0 if fragmented else duration_s, cut_off and fragmented)


def _box(header: bytes, left: int) -> tuple[int, bytes, int]:
    """Return length, type, and start of the content of the box that begins with ``header``."""
    length, kind = int.from_bytes(header[:4], "big"), header[4:8]
    if length == 1:  # too long for four bytes
        return int.from_bytes(header[8:16], "big"), kind, 16
    return length or left, kind, 8


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of each box in ``data``."""
    at = 0
    while at + 8 <= len(data):
        length, kind, body = _box(data[at : at + 16], len(data) - at)
        if length < body:
            return
        yield kind, data[at + body : at + length]
        at += length


def _video_s(index: bytes) -> float:
    """Return the seconds for which the first video track is shown (after its edit list); 0 if that is not stated."""
    boxes = list(_boxes(index))
    scale = next((_number(content, 12, 20, 4) for kind, content in boxes if kind == b"mvhd"), 0)
    for track in (dict(_boxes(content)) for kind, content in boxes if kind == b"trak"):
        handler = dict(_boxes(track.get(b"mdia", b""))).get(b"hdlr", b"")
        if handler[8:12] == b"vide" and scale:
            return _number(track.get(b"tkhd", b""), 20, 28, 4, 8) / scale
    return 0.0


def _number(box: bytes, at: int, at_long: int, length: int, length_long: int = 0) -> int:
    """Return a number of a box that has a short form and, as version 1, a long one; 0 if the box is too short."""
    if box[:1] == b"\1":
        return int.from_bytes(box[at_long : at_long + (length_long or length)], "big")
    return int.from_bytes(box[at : at + length], "big")


def _end_of_matroska(file: BinaryIO) -> int:
    """Return where a Matroska or WebM file ends, in bytes, as it states; 0 if it does not (a live recording)."""
    file.seek(len(EBML))
    header = _vint(file)
    if header is None:
        return 0
    file.seek(header, os.SEEK_CUR)
    if file.read(len(SEGMENT)) != SEGMENT:
        return 0
    length = _vint(file)
    return 0 if length is None else file.tell() + length


def _vint(file: BinaryIO) -> int | None:
    """Read a number of EBML: the leading zero bits of its first byte give its length. All ones mean "unknown"."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    bits = 7 * (more + 1)
    value = int.from_bytes(first + file.read(more), "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value
