"""Lines, boxes and text on a sheet. Coordinates are pixels, x to the right, y down."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Point = tuple[float, float]
INK, FAINT, PAPER = "#222222", "#8a8a8a", "#ffffff"


class Sheet:
    """Drawing that collects elements; :meth:`svg` returns the text of the file."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._width, self._height, self._title = width, height, title
        self._elements: list[str] = []

    def line(self, points: Sequence[Point], colour: str = INK, width: float = 1.5, dash: str = "") -> None:
        """Draw a line through ``points``."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._add(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashed}/>')

    def area(self, points: Sequence[Point], fill: str, colour: str = "none") -> None:
        """Draw a filled shape with corners at ``points``."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self._add(f'<polygon points="{path}" fill="{fill}" stroke="{colour}" stroke-width="1.5"/>')

    def box(self, x: float, y: float, width: float, height: float, fill: str = PAPER, colour: str = INK) -> None:
        """Draw a rectangle with rounded corners; its top left corner is (x, y)."""
        self._add(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" fill="{fill}" '
            f'stroke="{colour}" stroke-width="1.5"/>'
        )

    def circle(self, x: float, y: float, radius: float, fill: str = PAPER, colour: str = INK) -> None:
        """Draw a circle around (x, y)."""
        self._add(f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{fill}" stroke="{colour}" stroke-width="1.5"/>')

    def words(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 13,
        anchor: str = "start",
        colour: str = INK,
        bold: bool = False,
    ) -> None:
        """Write ``text`` with its baseline at y; ``anchor`` is start, middle or end."""
        weight = ' font-weight="bold"' if bold else ""
        self._add(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}" fill="{colour}"{weight}>'
            f"{escape(text)}</text>"
        )

    def code(self, x: float, y: float, parts: Sequence[tuple[str, str]], size: float = 13) -> None:
        """Write ``parts`` (text and colour) in one line as a terminal does: characters of equal width, spaces kept."""
        spans = "".join(f'<tspan fill="{colour}">{escape(text)}</tspan>' for text, colour in parts)
        self._add(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" xml:space="preserve" '
            f'font-family="Consolas, Menlo, DejaVu Sans Mono, monospace">{spans}</text>'
        )

    def svg(self) -> str:
        """Return the drawing on a white background: dark mode would hide black lines on a transparent one."""
        size = f'width="{self._width}" height="{self._height}" viewBox="0 0 {self._width} {self._height}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="Helvetica, Arial, sans-serif">',
                f"<title>{escape(self._title)}</title>",
                f'<rect width="{self._width}" height="{self._height}" fill="{PAPER}"/>',
                *self._elements,
                "</svg>\n",
            ]
        )

    def _add(self, element: str) -> None:
        self._elements.append(element)
