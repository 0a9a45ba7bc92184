"""Circuit symbols of IEC 60617. Each function returns where the leads of its part end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from docs.draw.svg import INK, Point, Sheet

LENGTH = 60
"""Length of a horizontal part with its two leads, pixels."""


HOP = 7.0
"""Radius of the arc by which a wire passes over another one, pixels."""

Vertical = tuple[float, float, float]
"""Vertical wire that others cross: x, top and bottom."""


def wire(sheet: Sheet, points: Sequence[Point], colour: str, width: float, crossed: Sequence[Vertical] = ()) -> None:
    """Draw a wire of horizontal and vertical parts, with an arc over each of ``crossed`` that it only crosses."""
    path = [points[0]]
    for (x0, y0), (x1, y1) in pairwise(points):
        if y0 == y1:
            direction = 1 if x1 > x0 else -1
            between = [x for x, top, bottom in crossed if min(x0, x1) < x < max(x0, x1) and top < y0 < bottom]
            for x in sorted(between, reverse=direction < 0):
                path += [
                    (x - direction * HOP * math.cos(math.pi * step / 8), y0 - HOP * math.sin(math.pi * step / 8))
                    for step in range(9)
                ]
        path.append((x1, y1))
    sheet.line([(round(x, 1), round(y, 1)) for x, y in path], colour, width)


def joint(sheet: Sheet, x: float, y: float, colour: str = INK) -> None:
    """Draw the dot of two wires that are connected; :func:`wire` draws those that only cross."""
    sheet.circle(x, y, 3, fill=colour, colour=colour)


def resistor(sheet: Sheet, x: float, y: float, label: str) -> Point:
    """Draw a horizontal resistor from (x, y) to the right; return its other end."""
    sheet.line([(x, y), (x + 12, y)])
    sheet.box(x + 12, y - 7, 36, 14)
    sheet.line([(x + 48, y), (x + LENGTH, y)])
    sheet.words(x + LENGTH / 2, y - 13, label, 12, "middle")
    return x + LENGTH, y


def switch(sheet: Sheet, x: float, y: float) -> Point:
    """Draw an open contact from (x, y) to the right; return its other end."""
    sheet.line([(x, y), (x + 14, y)])
    sheet.line([(x + 14, y), (x + 44, y - 16)])
    sheet.line([(x + 46, y), (x + LENGTH, y)])
    for end in (x + 14, x + 46):
        sheet.circle(end, y, 3, fill="#ffffff", colour=INK)
    return x + LENGTH, y


def standing_resistor(sheet: Sheet, x: float, y: float, label: str) -> Point:
    """Draw a vertical resistor from (x, y) down; return its lower end."""
    sheet.line([(x, y), (x, y + 10)])
    sheet.box(x - 6, y + 10, 12, 30)
    sheet.line([(x, y + 40), (x, y + 50)])
    sheet.words(x - 11, y + 29, label, 12, "end")
    return x, y + 50


def led(sheet: Sheet, x: float, y: float, colour: str, towards: int = 1) -> Point:
    """Draw a horizontal LED with its long leg (anode) at (x, y), pointing right (``towards`` 1) or left (-1).

    Returns the end of its short leg.
    """
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
    """Draw a vertical diode with its ring (cathode) at (x, y); return its other end, 50 below."""
    sheet.line([(x, y), (x, y + 14)])
    sheet.line([(x - 9, y + 14), (x + 9, y + 14)])
    sheet.area([(x - 9, y + 34), (x + 9, y + 34), (x, y + 14)], "#ffffff", INK)
    sheet.line([(x, y + 34), (x, y + 50)])
    sheet.words(x + 13, y + 29, label, 12)
    return x, y + 50


def buzzer(sheet: Sheet, x: float, y: float, label: str) -> Point:
    """Draw a vertical buzzer with its plus at (x, y); return its minus, 50 below."""
    sheet.line([(x, y), (x, y + 7)])
    sheet.circle(x, y + 25, 18, fill="#eeeeee")
    sheet.words(x - 6, y + 22, "+", 13, "middle")
    sheet.circle(x, y + 27, 3, fill=INK)
    sheet.line([(x, y + 43), (x, y + 50)])
    sheet.words(x - 25, y + 29, label, 12, "end")
    return x, y + 50


def npn(sheet: Sheet, x: float, y: float, label: str) -> tuple[Point, Point]:
    """Draw an NPN transistor with its base at (x, y); return the ends of collector (above) and emitter (below)."""
    sheet.circle(x + 30, y, 21)
    sheet.line([(x, y), (x + 23, y)])
    sheet.line([(x + 23, y - 12), (x + 23, y + 12)], width=3)
    sheet.line([(x + 23, y - 5), (x + 39, y - 15), (x + 39, y - 35)])
    sheet.line([(x + 23, y + 5), (x + 39, y + 15), (x + 39, y + 35)])
    sheet.area([(x + 38, y + 15), (x + 29, y + 13), (x + 33, y + 7)], INK)
    sheet.words(x + 57, y + 4, label, 12)
    return (x + 39, y - 35), (x + 39, y + 35)


def nmos(sheet: Sheet, x: float, y: float, label: str) -> tuple[Point, Point]:
    """Draw an N-channel MOSFET with its gate at (x, y); return the ends of drain (above) and source (below)."""
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


def case(sheet: Sheet, x: float, y: float, label: str, legs: str) -> None:
    """Draw a transistor in a TO-92 case, flat side to the front, legs down; (x, y) is the top of its middle.

    ``legs`` names the three legs from left to right, as in "CBE".
    """
    sheet.words(x, y - 6, label, 12, "middle")
    sheet.area([(x - 20, y), (x + 20, y), (x + 20, y + 20), (x - 20, y + 20)], "#d1d5db", INK)
    for leg, name in zip((x - 12, x, x + 12), legs, strict=True):
        sheet.line([(leg, y + 20), (leg, y + 34)], width=2.5)
        sheet.words(leg, y + 46, name, 12, "middle", bold=True)
