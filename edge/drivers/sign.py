"""Draws the sign that a display at the door shows: a colour, a symbol, and a text in any language, through Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge.contracts import Image
from edge.drivers.library import import_library
from edge.errors import OutputError

INSTALL = "sudo apt install python3-pil fonts-dejavu-core, or: pip install '.[display]'"
FONTS = ("/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf", "/usr/share/fonts/truetype/noto/NotoSans-Bold.ttf")
"""Fonts of Debian's packages, in the order in which they are tried. Pillow's own has Latin letters only."""
SYMBOL_SHARE, TEXT_WIDTH, TEXT_HEIGHT = 0.34, 0.9, 0.32
"""Diameter of the symbol by the shorter side of the screen, and the largest text by width and height."""
LARGEST = 0.22
"""Largest letters, by the height of the screen."""
SMALLEST, PROBE = 8, 100
"""Smallest letters, and those that the fitting size is computed from, in pixels."""
MAX_LINES = 3


class SignPainter:
    """Draws signs for a screen of ``size`` (width, height) in the font of a file, or else in one that it finds."""

    def __init__(self, size: tuple[int, int], font: str) -> None:
        """Raise OutputError if Pillow is missing or the font cannot be read."""
        self._size = size
        self._image, self._draw, self._fonts = (
            import_library(f"PIL.{name}", "display.device", INSTALL, OutputError)
            for name in ("Image", "ImageDraw", "ImageFont")
        )
        self._file = font or next((path for path in FONTS if Path(path).is_file()), "")
        self._font(12)

    def sign(self, text: str, colour: tuple[int, int, int], symbol: str) -> Image:
        """Return (H, W, 3) RGB: ``colour`` everywhere, white symbol ("tick", "warning" or "") and text."""
        width, height = self._size
        text = text.strip()
        picture = self._image.new("RGB", self._size, colour)
        draw = self._draw.Draw(picture)
        middle = height * (0.36 if text else 0.5)
        if symbol:
            _draw_symbol(draw, symbol, (width / 2, middle), min(width, height) * SYMBOL_SHARE / 2, colour)
        if text:
            lines, font = self._fitted(draw, text)
            place = (width / 2, height * (0.76 if symbol else 0.5))
            draw.multiline_text(place, "\n".join(lines), "white", font, "mm", align="center")
        return np.array(picture, np.uint8)

    def _fitted(self, draw: Any, text: str) -> tuple[list[str], Any]:
        """Return the lines and the font with the largest letters that fit."""
        found: list[tuple[int, list[str]]] = []
        for lines in _broken(text.split()):
            left, top, right, bottom = draw.multiline_textbbox((0, 0), "\n".join(lines), self._font(PROBE))
            # A text of blanks only has no size.
            wide, high = (
                TEXT_WIDTH * self._size[0] / max(1, right - left),
                TEXT_HEIGHT * self._size[1] / max(1, bottom - top),
            )
            found.append((int(PROBE * min(wide, high)), lines))
        size, lines = max(found, key=lambda each: each[0])
        return lines, self._font(max(SMALLEST, min(size, int(self._size[1] * LARGEST))))

    def _font(self, size: int) -> Any:
        try:
            return self._fonts.truetype(self._file, size) if self._file else self._fonts.load_default(size)
        except OSError as error:
            raise OutputError(f"display.font: {self._file}: cannot be read as a font ({error})") from error
        except TypeError as error:  # Pillow before 10.1 has no font of any size
            raise OutputError(f"display.font: no font found; {INSTALL}") from error


def _broken(words: list[str]) -> list[list[str]]:
    """Return the text in one to MAX_LINES lines, about equally long."""
    found = []
    for count in range(1, min(MAX_LINES, len(words)) + 1):
        wanted, lines = sum(len(word) + 1 for word in words) / count, [""]
        for word in words:
            if lines[-1] and len(lines[-1]) + len(word) / 2 > wanted and len(lines) < count:
                lines.append("")
            lines[-1] = f"{lines[-1]} {word}".strip()
        found.append(lines)
    return found


def _draw_symbol(
    draw: Any, symbol: str, centre: tuple[float, float], radius: float, colour: tuple[int, int, int]
) -> None:
    """Draw a white disc with a tick or an exclamation mark in ``colour``: colours alone are not for everyone."""
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), "white")
    if symbol == "tick":
        corners = [(x - 0.5 * radius, y), (x - 0.12 * radius, y + 0.4 * radius), (x + 0.52 * radius, y - 0.38 * radius)]
        draw.line(corners, colour, int(radius / 4), "curve")
    else:
        draw.rounded_rectangle(
            (x - 0.12 * radius, y - 0.6 * radius, x + 0.12 * radius, y + 0.18 * radius), 0.12 * radius, colour
        )
        draw.ellipse((x - 0.14 * radius, y + 0.36 * radius, x + 0.14 * radius, y + 0.64 * radius), colour)
