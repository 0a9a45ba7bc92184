"""The kernel's frame buffer (/dev/fb0): whole pictures on a screen, without a desktop. DRM drivers emulate it.

The layouts are those of linux/fb.h. Pictures are written, not mapped: every driver supports it, and reports errors.
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.contracts import Image
from edge.errors import OutputError

GET_VARIABLE, GET_FIXED, BLANK = 0x4600, 0x4602, 0x4611
"""FBIOGET_VSCREENINFO, FBIOGET_FSCREENINFO, FBIOBLANK."""
VARIABLE_BYTES = 160
FIXED = "16sLIIIIHHHILIIHHH0L"
"""struct fb_fix_screeninfo in the machine's own alignment; LINE_LENGTH is the index of that field."""
LINE_LENGTH = 9
UNBLANK, POWER_DOWN = 0, 4
DEPTHS = (16, 24, 32)


@dataclass(frozen=True, slots=True)
class Layout:
    """Size in pixels, bytes from one line to the next, bits per pixel, and (offset, length) in bits of each colour."""

    width: int
    height: int
    line_bytes: int
    bits: int
    colours: tuple[tuple[int, int], ...]


def layout_of(handle: int) -> Layout:
    """Return the layout of an open frame buffer. Raises OSError if it is none."""
    variable, fixed = bytearray(VARIABLE_BYTES), bytearray(struct.calcsize(FIXED))
    fcntl.ioctl(handle, GET_VARIABLE, variable)
    fcntl.ioctl(handle, GET_FIXED, fixed)
    words = struct.unpack("40I", variable)
    colours = tuple((words[8 + 3 * i], words[9 + 3 * i]) for i in range(3))
    return Layout(words[0], words[1], struct.unpack(FIXED, fixed)[LINE_LENGTH], words[6], colours)


def packed(picture: Image, layout: Layout) -> bytes:
    """Return (height, width, 3) RGB as the bytes of a frame buffer of that size."""
    pixels = np.zeros(picture.shape[:2], np.uint32)
    for channel, (offset, length) in enumerate(layout.colours):
        pixels |= (picture[:, :, channel].astype(np.uint32) >> (8 - length)) << offset
    size = layout.bits // 8
    # The lowest bytes come first, as on every board that fmd runs on.
    data = pixels.astype("<u4").view(np.uint8).reshape(*picture.shape[:2], 4)[:, :, :size]
    lines = np.zeros((layout.height, layout.line_bytes), np.uint8)
    lines[:, : layout.width * size] = data.reshape(layout.height, -1)
    return lines.tobytes()


class FrameBuffer:
    """A screen. ``layout`` replaces what the kernel says, for a plain file that stands for a frame buffer."""

    def __init__(self, device: Path, layout: Layout | None = None) -> None:
        """Raise OutputError if ``device`` cannot be opened, or has a kind of pixels that fmd does not know."""
        self._device = device
        try:
            self._handle = os.open(device, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise OutputError(
                f"display.device: {device}: {error.strerror}; a screen has /dev/fb0, for the group video"
            ) from error
        try:
            self._layout = layout or layout_of(self._handle)
            if self._layout.bits not in DEPTHS or not all(0 < length <= 8 for _, length in self._layout.colours):
                raise OutputError(
                    f"display.device: {device}: got {self._layout.bits} bits per pixel, expected {DEPTHS}"
                )
        except OSError as error:
            os.close(self._handle)
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"display.device: {device}: no frame buffer ({error.strerror})") from error

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._layout.width, self._layout.height

    def show(self, picture: Image) -> None:
        """Show (H, W, 3) RGB, scaled to the screen. Raises OutputError if it cannot be written."""
        if picture.shape[:2] != (self._layout.height, self._layout.width):
            picture = np.asarray(cv2.resize(picture, self.size), np.uint8)
        self._blank(UNBLANK)
        self._write(packed(picture, self._layout))

    def blank(self) -> None:
        """Switch the screen dark, and its light off if the driver can. Raises OutputError."""
        self._write(bytes(self._layout.line_bytes * self._layout.height))
        self._blank(POWER_DOWN)

    def close(self) -> None:
        """Leave the screen dark. Safe to call twice."""
        if self._handle >= 0:
            with suppress(OutputError):
                self.blank()
            os.close(self._handle)
            self._handle = -1

    def _write(self, data: bytes) -> None:
        view, at = memoryview(data), 0
        try:
            while at < len(view):
                at += os.pwrite(self._handle, view[at:], at)
        except OSError as error:
            raise OutputError(f"display.device: {self._device}: {error.strerror}") from error

    def _blank(self, mode: int) -> None:
        # Many drivers have no light to switch, and a plain file has none: then dark pixels must do.
        with suppress(OSError):
            fcntl.ioctl(self._handle, BLANK, mode)
