"""LED and buzzer of the alarm on a breadboard, with the header of a Raspberry Pi.

The circuit is that of :mod:`docs.draw.wiring`. A hole is a row ("a" to "j", "-" or "+") and a column. In a column, a to
e are connected, and f to j; a rail is connected along the board. Colours of resistors: IEC 60062.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from docs.draw import symbols, wiring
from docs.draw.svg import FAINT, INK, Point, Sheet

Hole = tuple[str, int]
COLUMNS = 30
PITCH = 20
LEFT, TOP, BOTTOM = 320, 120, 500
"""Left, upper and lower edge of the board, pixels."""
ROWS: Mapping[str, float] = {
    "+top": 140,
    "-top": 160,
    **dict(zip("abcde", range(200, 300, PITCH), strict=True)),
    **dict(zip("fghij", range(330, 430, PITCH), strict=True)),
    "-": 455,
    "+": 475,
}
"""Height of each row of holes; the upper rails stay free."""
RINGS: Mapping[str, tuple[str, str, str]] = {
    "330 Ω": ("#f97316", "#f97316", "#78350f"),
    "1 kΩ": ("#78350f", "#111111", "#dc2626"),
    "10 kΩ": ("#78350f", "#111111", "#f97316"),
}
GOLD = "#ca8a04"


@dataclass(frozen=True, slots=True)
class Part:
    """A part and the holes of its legs, by the name of the leg."""

    name: str
    legs: Mapping[str, Hole]


@dataclass(frozen=True, slots=True)
class Jumper:
    """A wire from a pin of the header, or a hole, to a hole."""

    start: int | Hole
    end: Hole
    colour: str


PARTS = (
    Part("330 Ω", {"one": ("d", 22), "other": ("g", 22)}),
    Part("LED", {"long": ("i", 22), "short": ("i", 23)}),
    Part("1 kΩ", {"one": ("d", 11), "other": ("g", 11)}),
    Part("10 kΩ", {"one": ("j", 11), "other": ("-", 11)}),
    Part("BC547", {"C": ("h", 10), "B": ("h", 11), "E": ("h", 12)}),
    Part("buzzer", {"+": ("f", 4), "-": ("f", 7)}),
    Part("1N4148", {"ring": ("i", 4), "other": ("i", 7)}),
)
JUMPERS = (
    Jumper(2, ("+", 30), wiring.POWER),
    Jumper(39, ("-", 1), wiring.GROUND),
    Jumper(wiring.PI_USED["led"], ("a", 22), wiring.COLOURS["led"]),
    Jumper(wiring.PI_USED["buzzer"], ("a", 11), wiring.COLOURS["buzzer"]),
    Jumper(("j", 23), ("-", 23), wiring.GROUND),
    Jumper(("j", 12), ("-", 12), wiring.GROUND),
    Jumper(("j", 4), ("+", 4), wiring.POWER),
    Jumper(("j", 7), ("j", 10), wiring.COLOURS["buzzer"]),
)
ALARM: Mapping[str, int] = {name: pin for name, pin in wiring.PI_USED.items() if name in ("led", "buzzer")}
HEADER = wiring.Board("Raspberry Pi and breadboard", wiring.PI_PINS, ALARM, True, ("led", "buzzer"))
LANES: Mapping[int, tuple[float, float]] = {11: (230, 84), 13: (250, 104)}
"""Header pin of a signal -> x of the wire's way up, and its height above the board: so the two do not cross."""


def picture() -> str:
    """Return the drawing as SVG."""
    sheet = Sheet(1000, 690, "Breadboard with LED and buzzer")
    wiring.header(sheet, HEADER)
    _board(sheet)
    for jumper in JUMPERS:
        _jumper(sheet, jumper)
    for part in PARTS:
        _part(sheet, part)
    _captions(sheet)
    return sheet.svg()


def place(hole: Hole) -> Point:
    """Return the centre of a hole on the sheet."""
    row, column = hole
    return LEFT + PITCH * column, ROWS[row]


def _board(sheet: Sheet) -> None:
    sheet.box(LEFT, TOP, PITCH * (COLUMNS + 1), BOTTOM - TOP, fill="#fafaf9", colour="#a8a29e")
    sheet.box(LEFT, 294, PITCH * (COLUMNS + 1), 22, fill="#e7e5e4", colour="#e7e5e4")
    for row, y in ROWS.items():
        for column in range(1, COLUMNS + 1):
            sheet.circle(LEFT + PITCH * column, y, 2.5, fill="#d6d3d1", colour="#a8a29e")
        label = row.removesuffix("top")
        colour = {"+": wiring.POWER, "-": wiring.COLOURS["buzzer"]}.get(label, FAINT)
        if label in "+-":
            sheet.line([(LEFT + 14, y - 9), (LEFT + PITCH * COLUMNS + 6, y - 9)], colour, 1)
        shown = "−" if label == "-" else label
        # Not where the wires to the lower rails arrive.
        if row != "-":
            sheet.words(LEFT - 6, y + 4, shown, 11, "end", colour)
        if row != "+":
            sheet.words(LEFT + PITCH * (COLUMNS + 1) + 6, y + 4, shown, 11, "start", colour)
    for column in (1, *range(5, COLUMNS + 1, 5)):
        sheet.words(LEFT + PITCH * column, 188, str(column), 9, "middle", FAINT)


def _jumper(sheet: Sheet, jumper: Jumper) -> None:
    sheet.line(_way(jumper), jumper.colour, 3)
    ends = [place(jumper.end)] if isinstance(jumper.start, int) else [place(jumper.start), place(jumper.end)]
    for x, y in ends:
        symbols.joint(sheet, x, y, jumper.colour)


def _way(jumper: Jumper) -> Sequence[Point]:
    """Return the corners of a wire. Those from the header run around the board, the others straight."""
    x, y = place(jumper.end)
    if not isinstance(jumper.start, int):
        return [place(jumper.start), (x, y)]
    pin_x, pin_y = wiring.place(jumper.start)
    if jumper.start in LANES:
        lane, above = LANES[jumper.start]
        between = pin_y + wiring.PITCH / 2
        return [(pin_x, pin_y), (pin_x, between), (lane, between), (lane, above), (x, above), (x, y)]
    if jumper.end[0] == "+":
        side = LEFT + PITCH * (COLUMNS + 1) + 26
        return [(pin_x, pin_y), (pin_x, 64), (side, 64), (side, y), (x, y)]
    return [(pin_x, pin_y), (pin_x, 645), (LEFT - 30, 645), (LEFT - 30, y), (x, y)]


def _part(sheet: Sheet, part: Part) -> None:
    points = {leg: place(hole) for leg, hole in part.legs.items()}
    first, *_, last = points.values()
    if part.name in RINGS:
        _resistor(sheet, first, last, RINGS[part.name])
    elif part.name == "LED":
        _led(sheet, first, last)
    elif part.name == "BC547":
        _transistor(sheet, points)
    elif part.name == "buzzer":
        _buzzer(sheet, first, last)
    else:
        _diode(sheet, first, last)
    for x, y in points.values():
        sheet.circle(x, y, 2.5, fill=INK)


def _resistor(sheet: Sheet, upper: Point, lower: Point, rings: Sequence[str]) -> None:
    x, middle = upper[0], (upper[1] + lower[1]) / 2
    half = min(28.0, (lower[1] - upper[1]) / 2 - 5)
    sheet.line([upper, lower], "#9ca3af", 2)
    sheet.box(x - 6, middle - half, 12, 2 * half, fill="#e7d3b1", colour="#8b7355")
    for number, colour in enumerate((*rings, GOLD)):
        y = middle - half + 2 * half * (0.18 + 0.2 * number)
        sheet.line([(x - 6, y), (x + 6, y)], colour, 3)


def _led(sheet: Sheet, long: Point, short: Point) -> None:
    x, y = (long[0] + short[0]) / 2, long[1] - 17
    for point in (long, short):
        sheet.line([point, (point[0], y)], "#9ca3af", 2)
    sheet.circle(x, y, 14, fill=wiring.RED, colour=wiring.COLOURS["led"])
    # Flat at the short leg, as the part itself is.
    sheet.line([(x + 12, y - 8), (x + 12, y + 8)], wiring.COLOURS["led"], 3)


def _transistor(sheet: Sheet, legs: Mapping[str, Point]) -> None:
    """Draw the case from above: its flat side is towards the reader."""
    x, y = legs["B"]
    arc = [(x - 32 * math.cos(math.pi * step / 12), y + 8 - 30 * math.sin(math.pi * step / 12)) for step in range(13)]
    sheet.area([(round(px, 1), round(py, 1)) for px, py in arc], "#374151", INK)
    for leg, (leg_x, _) in legs.items():
        sheet.words(leg_x, y - 5, leg, 10, "middle", "#ffffff", bold=True)


def _buzzer(sheet: Sheet, plus: Point, minus: Point) -> None:
    x, y = (plus[0] + minus[0]) / 2, plus[1] + 2
    sheet.circle(x, y, 44, fill="#1f2937")
    sheet.circle(x, y, 6, fill="#e5e7eb")
    sheet.words(plus[0], y - 12, "+", 16, "middle", "#ffffff", bold=True)


def _diode(sheet: Sheet, ring: Point, other: Point) -> None:
    sheet.line([ring, other], "#9ca3af", 2)
    sheet.box(ring[0] + 14, ring[1] - 6, other[0] - ring[0] - 28, 12, fill="#fdba74", colour="#9a3412")
    sheet.line([(ring[0] + 19, ring[1] - 6), (ring[0] + 19, ring[1] + 6)], INK, 3)


CAPTIONS: Sequence[tuple[float, float, str]] = (
    (23.8, 376, "LED: long leg in 22"),
    (22.7, 309, "330 Ω"),
    (11.7, 309, "1 kΩ"),
    (13.2, 369, "BC547: flat side"),
    (13.2, 385, "towards the rails"),
    (13.2, 434, "10 kΩ"),
    (8.0, 309, "buzzer"),
    (4.4, 434, "1N4148: ring in 4"),
)
"""Column, height and text of the words on the board."""
LEGEND = (
    "In each column the holes a to e are connected, and f to j. Each rail is connected along the whole board.",
    "Red: 5 V from pin 2 to the rail +, and from there to j4. Black: GND from pin 39 to the rail −.",
    "Orange: GPIO17, pin 11, to a22. Blue: GPIO27, pin 13, to a11; and j7 to j10.",
    "Rings: 330 Ω orange, orange, brown; 1 kΩ brown, black, red; 10 kΩ brown, black, orange; then gold.",
    "A 2N3904 has its legs in opposite order: turn its flat side away from the rails.",
)


def _captions(sheet: Sheet) -> None:
    for column, y, text in CAPTIONS:
        x = LEFT + PITCH * column
        colour = "#e7e5e4" if 294 < y < 316 else "#fafaf9"
        sheet.box(x - 2, y - 11, 6.2 * len(text) + 4, 14, fill=colour, colour=colour)
        sheet.words(x, y, text, 12)
    for number, text in enumerate(LEGEND):
        sheet.words(LEFT, 530 + 20 * number, text, 12)
