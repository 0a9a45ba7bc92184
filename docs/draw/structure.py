"""How the parts of fmd hang together, on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

from docs.draw.svg import FAINT, INK, Sheet

STAGES: Sequence[tuple[str, str]] = (
    ("capture", "newest frame"),
    ("watch", "does anything move?"),
    ("detect", "faces"),
    ("track", "the same person"),
    ("classify", "one look at a face"),
    ("decide", "one decision each"),
    ("alert", "a lease, renewed"),
)
"""In the order of edge/pipeline.py, each a file of edge/."""
STAGE, WIRING, DRIVER, WORKSHOP = "#dcfce7", "#fef9c3", "#e0e7ff", "#fee2e2"


def picture() -> str:
    """Laptop on the left, the door on the right, the model file between them."""
    sheet = Sheet(1000, 470, "How the parts of fmd hang together")
    _frame(sheet, 15, 15, 250, 440, "on a laptop")
    _frame(sheet, 285, 15, 700, 440, "at the door")
    _box(sheet, 35, 55, 210, 60, "models/", "the recipe that trains", WORKSHOP)
    _box(sheet, 35, 165, 210, 90, "converter/", "load, calibrate, quantize, verify, write", WORKSHOP)
    _box(sheet, 35, 345, 210, 60, "edge/flash/", "prepares a card", WORKSHOP)
    _arrow(sheet, (140, 115), (140, 165), "model.keras")
    _arrow(sheet, (245, 230), (325, 230), "")
    sheet.words(140, 280, "model.tflite, its contract", 12, "middle")
    sheet.words(140, 296, "and golden inputs inside", 12, "middle")
    _arrow(sheet, (245, 375), (305, 375), "")
    _box(sheet, 305, 345, 150, 60, "boot partition", "package, settings", WORKSHOP)
    _box(
        sheet,
        305,
        55,
        660,
        55,
        "cli, commands, service, live",
        "settings, signals, readiness, watchdog; they wire the rest",
        WIRING,
    )
    _box(sheet, 325, 165, 620, 130, "pipeline", "", WIRING)
    for index, (name, what) in enumerate(STAGES):
        x = 335 + 87 * index
        _box(sheet, x, 205, 79, 60, name, "", STAGE)
        for line, part in enumerate(_halves(what)):
            sheet.words(x + 39.5, 243 + 12 * line, part, 9.5, "middle", FAINT)
        if index:
            sheet.line([(x - 8, 235), (x, 235)])
    _arrow(sheet, (635, 110), (635, 165), "")
    sheet.words(635, 315, "contracts: what passes between the stages - shapes, units, colour order", 12, "middle")
    _box(
        sheet,
        475,
        345,
        490,
        60,
        "drivers/",
        "cameras, pins, TFLite runtimes, and stand-ins that ship with them",
        DRIVER,
    )
    _arrow(sheet, (905, 345), (905, 295), "")
    sheet.words(
        720, 432, "the only place that imports hardware's libraries; no stage knows a driver", 12, "middle", FAINT
    )
    return sheet.svg()


def _frame(sheet: Sheet, x: float, y: float, width: float, height: float, label: str) -> None:
    sheet.line([(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)], FAINT, 1, "6 4")
    sheet.words(x + 12, y + 24, label, 14, bold=True)


def _box(sheet: Sheet, x: float, y: float, width: float, height: float, name: str, what: str, fill: str) -> None:
    sheet.box(x, y, width, height, fill=fill)
    sheet.words(x + width / 2, y + 22, name, 14, "middle", bold=True)
    for line, part in enumerate(_halves(what) if len(what) * 5.6 > width else [what]):
        sheet.words(x + width / 2, y + 40 + 14 * line, part, 11, "middle", FAINT)


def _arrow(sheet: Sheet, start: tuple[float, float], end: tuple[float, float], label: str) -> None:
    sheet.line([start, end], INK, 2)
    (x, y), across = end, start[1] == end[1]
    step = 8 if (end[0] - start[0] if across else end[1] - start[1]) > 0 else -8
    corners = [(x - step, y - 5), (x - step, y + 5)] if across else [(x - 5, y - step), (x + 5, y - step)]
    sheet.area([*corners, end], INK)
    sheet.words(start[0] + 8, (start[1] + end[1]) / 2 + 4, label, 11)


def _halves(text: str) -> list[str]:
    """``text`` in two lines, broken at the space nearest the middle."""
    spaces = [i for i, letter in enumerate(text) if letter == " "]
    if not spaces:
        return [text]
    middle = min(spaces, key=lambda i: abs(i - len(text) / 2))
    return [text[:middle], text[middle + 1 :]]
