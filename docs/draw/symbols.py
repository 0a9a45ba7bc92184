"""Parts of a circuit, drawn with the symbols of IEC 60617. Each function says where its leads end."""

from __future__ import annotations

from docs.draw.svg import INK, Point, Sheet

LENGTH = 60
"""Of a part that lies between two leads, pixels."""


def joint(sheet: Sheet, x: float, y: float, colour: str = INK) -> None:
    """Two wires that meet; wires that only cross have none."""
    sheet.circle(x, y, 3, fill=colour, colour=colour)


def resistor(sheet: Sheet, x: float, y: float, label: str) -> Point:
    """Lying, from (x, y) to the right; returns its other end."""
    sheet.line([(x, y), (x + 12, y)])
    sheet.box(x + 12, y - 7, 36, 14)
    sheet.line([(x + 48, y), (x + LENGTH, y)])
    sheet.words(x + LENGTH / 2, y - 13, label, 12, "middle")
    return x + LENGTH, y


def standing_resistor(sheet: Sheet, x: float, y: float, label: str) -> Point:
    """Standing, from (x, y) down; returns its lower end."""
    sheet.line([(x, y), (x, y + 10)])
    sheet.box(x - 6, y + 10, 12, 30)
    sheet.line([(x, y + 40), (x, y + 50)])
    sheet.words(x - 11, y + 29, label, 12, "end")
    return x, y + 50


def led(sheet: Sheet, x: float, y: float, colour: str, towards: int = 1) -> Point:
    """Lying, its long leg (anode) at (x, y), pointing right (``towards`` 1) or left (-1). Returns its other end."""
    sheet.line([(x, y), (x + 18 * towards, y)])
    sheet.area([(x + 18 * towards, y - 12), (x + 18 * towards, y + 12), (x + 40 * towards, y)], colour, INK)
    sheet.line([(x + 40 * towards, y - 12), (x + 40 * towards, y + 12)])
    sheet.line([(x + 40 * towards, y), (x + LENGTH * towards, y)])
    for shift in (0, 9):
        root, tip = (x + 24 * towards + shift, y - 15), (x + 24 * towards + shift + 10, y - 27)
        sheet.line([root, tip])
        sheet.line([(tip[0] - 6, tip[1] + 2), tip, (tip[0] - 1, tip[1] + 6)])
    return x + LENGTH * towards, y


def standing_diode(sheet: Sheet, x: float, y: float, label: str) -> Point:
    """Standing, its ring (cathode) at (x, y), its other end 50 below, which is returned."""
    sheet.line([(x, y), (x, y + 14)])
    sheet.line([(x - 9, y + 14), (x + 9, y + 14)])
    sheet.area([(x - 9, y + 34), (x + 9, y + 34), (x, y + 14)], "#ffffff", INK)
    sheet.line([(x, y + 34), (x, y + 50)])
    sheet.words(x + 13, y + 29, label, 12)
    return x, y + 50


def buzzer(sheet: Sheet, x: float, y: float, label: str) -> Point:
    """Standing, its plus at (x, y), its minus 50 below, which is returned."""
    sheet.line([(x, y), (x, y + 7)])
    sheet.circle(x, y + 25, 18, fill="#eeeeee")
    sheet.words(x - 6, y + 22, "+", 13, "middle")
    sheet.circle(x, y + 27, 3, fill=INK)
    sheet.line([(x, y + 43), (x, y + 50)])
    sheet.words(x - 25, y + 29, label, 12, "end")
    return x, y + 50


def npn(sheet: Sheet, x: float, y: float, label: str) -> tuple[Point, Point]:
    """Base at (x, y); returns where collector (above) and emitter (below) end."""
    sheet.circle(x + 30, y, 21)
    sheet.line([(x, y), (x + 23, y)])
    sheet.line([(x + 23, y - 12), (x + 23, y + 12)], width=3)
    sheet.line([(x + 23, y - 5), (x + 39, y - 15), (x + 39, y - 35)])
    sheet.line([(x + 23, y + 5), (x + 39, y + 15), (x + 39, y + 35)])
    sheet.area([(x + 38, y + 15), (x + 29, y + 13), (x + 33, y + 7)], INK)
    sheet.words(x + 57, y + 4, label, 12)
    return (x + 39, y - 35), (x + 39, y + 35)


def nmos(sheet: Sheet, x: float, y: float, label: str) -> tuple[Point, Point]:
    """Gate at (x, y); returns where drain (above) and source (below) end."""
    sheet.circle(x + 30, y, 21)
    sheet.line([(x, y), (x + 19, y)])
    sheet.line([(x + 19, y - 12), (x + 19, y + 12)])
    for middle in (-10, 0, 10):
        sheet.line([(x + 25, y + middle - 4), (x + 25, y + middle + 4)], width=2.5)
    sheet.line([(x + 25, y - 10), (x + 39, y - 10), (x + 39, y - 35)])
    sheet.line([(x + 25, y + 10), (x + 39, y + 10), (x + 39, y + 35)])
    sheet.line([(x + 25, y), (x + 39, y), (x + 39, y + 10)])
    sheet.area([(x + 26, y), (x + 34, y - 4), (x + 34, y + 4)], INK)
    sheet.words(x + 57, y + 4, label, 12)
    return (x + 39, y - 35), (x + 39, y + 35)
