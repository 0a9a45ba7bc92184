"""A screen at the door that shows one of a few signs: the frame buffer and what is drawn on it."""

from __future__ import annotations

from pathlib import Path

from edge.config import DisplaySettings
from edge.drivers.frame_buffer import FrameBuffer, Layout
from edge.drivers.sign import SignPainter

SIGNS: dict[str, tuple[tuple[int, int, int], str]] = {
    "thanks": ((22, 128, 60), "tick"),
    "please": ((190, 24, 32), "warning"),
    "remind": ((180, 95, 6), "warning"),
    "waiting": ((16, 24, 40), ""),
}
"""Colour (RGB) and symbol by kind of sign."""


class DoorScreen:
    """See :class:`edge.contracts.Screen`. ``layout`` is that of a plain file, for rehearsals without a screen."""

    def __init__(self, settings: DisplaySettings, layout: Layout | None = None) -> None:
        """Raise OutputError if there is no such screen, or nothing to draw with."""
        self._buffer = FrameBuffer(Path(settings.device), layout)
        try:
            self._painter = SignPainter(self._buffer.size, settings.font)
        except BaseException:
            self._buffer.close()
            raise

    def show(self, kind: str, text: str) -> None:
        """Show a sign of SIGNS with a text; the empty kind switches the screen dark. Raises OutputError."""
        if not kind:
            self._buffer.blank()
            return
        colour, symbol = SIGNS[kind]
        self._buffer.show(self._painter.sign(text, colour, symbol))

    def close(self) -> None:
        """Leave the screen dark."""
        self._buffer.close()
