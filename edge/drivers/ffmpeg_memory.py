"""Limits what FFmpeg may allocate, so that the stream of a hostile or broken camera cannot use up the board's memory.

OpenCV shows the size of a stream when it opens it, but a stream may grow at any later picture, which FFmpeg decodes
before anyone can check it. FFmpeg's own limit, ``av_max_alloc``, then fails this picture instead. OpenCV does not offer
it, so it is called in the library that OpenCV has loaded.
"""

from __future__ import annotations

import ctypes
import logging
from pathlib import Path

import cv2  # noqa: F401 - loads FFmpeg

log = logging.getLogger(__name__)

MAX_ALLOC = 32 << 20
"""Largest single allocation, bytes: a picture of MAX_LIVE_PIXELS takes 28 MB."""


def limit(most: int = MAX_ALLOC) -> bool:
    """Limit every allocation of FFmpeg in this process to ``most`` bytes; return whether FFmpeg was found."""
    loaded = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    paths = {line.split(maxsplit=5)[5] for line in loaded if "libavutil" in line}
    for path in paths:
        ctypes.CDLL(path).av_max_alloc(ctypes.c_size_t(most))
    if not paths:
        log.debug("OpenCV has no FFmpeg of its own; the memory of streams is not limited")
    return bool(paths)
