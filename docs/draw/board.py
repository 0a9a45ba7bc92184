"""Where things are on a Raspberry Pi 4: card slot, header, camera, power, the green LED.

Sizes in millimetres after Raspberry Pi's mechanical drawing of the Model 4 B.
"""

from __future__ import annotations

from docs.draw.svg import FAINT, INK, Sheet

SCALE, LEFT, TOP = 7.0, 190, 80
"""Pixels per millimetre, and the board's upper left corner on the sheet."""
WIDTH, HEIGHT = 85.0, 56.0
OTHERS = (
    "Pi 3 and Pi 5: USB sockets above, network socket below. "
    "Pi 5: a power button at the LED, which is red or green, and two narrow camera sockets."
)
GREEN, METAL = "#166534", "#d1d5db"
ACT = "#22c55e"


def picture() -> str:
    """Return the drawing as SVG."""
    sheet = Sheet(1000, 560, "Raspberry Pi 4 from above")
    sheet.words(20, 34, "Raspberry Pi 4, seen from above", 17, bold=True)
    sheet.words(20, 548, OTHERS, 12, colour=FAINT)
    _box(sheet, -3, 22, 15, 12, "#111111")
    _box(sheet, 0, 0, WIDTH, HEIGHT, GREEN)
    _header(sheet)
    for x, y, width, height in ((67.0, 2.25, 21.0, 16.0), (70.0, 22.0, 18.0, 14.0), (70.0, 40.0, 18.0, 14.0)):
        _box(sheet, x, y, width, height, METAL)
    _box(sheet, 26, 26, 14, 14, "#9ca3af")
    _box(sheet, 7, 49, 9, 8, METAL)
    for x in (23.5, 37):
        _box(sheet, x, 50, 7, 7, METAL)
    _box(sheet, 45, 35, 3, 20, "#f5f5f4")
    _box(sheet, 52, 47, 7, 11, "#111111")
    for y, colour in ((46.5, "#dc2626"), (49, ACT)):
        _box(sheet, 1, y - 0.7, 2.2, 1.4, colour)
    _labels(sheet)
    return sheet.svg()


def _box(sheet: Sheet, x: float, y: float, width: float, height: float, fill: str) -> None:
    sheet.box(LEFT + SCALE * x, TOP + SCALE * y, SCALE * width, SCALE * height, fill=fill)


def _header(sheet: Sheet) -> None:
    """Draw the two rows of 20 pins; pin 1 is at the lower left."""
    _box(sheet, 7, 1, 51, 5, "#1f2937")
    for column in range(20):
        for row in range(2):
            x, y = LEFT + SCALE * (8.4 + 2.54 * column), TOP + SCALE * (2.2 + 2.54 * row)
            sheet.circle(x, y, 4, fill="#fde68a")


def _labels(sheet: Sheet) -> None:
    for x, y, text, anchor, end in (
        (150, 282, "card, below the board", "end", (-3, 28)),
        (170, 410, "red LED: power", "end", (1, 46.5)),
        (170, 432, "green LED: ACT", "end", (1, 49)),
        (230, 520, "power supply", "middle", (11.5, 57)),
        (528, 520, "camera: blue side of the ribbon to the USB sockets", "middle", (46.5, 55)),
        (330, 68, "header: pin 1 at its lower left, pin 2 above it", "middle", (9, 2)),
        (835, 100, "network cable", "start", (88, 8)),
        (835, 400, "USB: webcam", "start", (88, 46)),
    ):
        target = LEFT + SCALE * end[0], TOP + SCALE * end[1]
        start = (x + {"end": 5, "start": -5}.get(anchor, 0), y - (4 if anchor != "middle" else 12 if y > 100 else -4))
        sheet.line([start, target], INK, 1)
        sheet.words(x, y, text, 13, anchor, bold=True)
