"""Packages of fmd and the way of a frame, on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

from docs.draw.svg import FAINT, INK, Sheet

STAGES: Sequence[tuple[str, str]] = (
    ("camera", "newest frame"),
    ("watch", "has the view changed?"),
    ("detect", "find faces"),
    ("regions", "leave out parts"),
    ("track", "follow each person"),
    ("static", "leave out pictures"),
    ("presence", "warm or close?"),
    ("schedule", "select faces"),
    ("classify", "judge a face"),
    ("decide", "sum the evidence"),
    ("alert", "renew the lease"),
)
"""Way of a frame, in the order of edge/pipeline.py, with what each stage does."""
BESIDE: Sequence[tuple[str, str]] = (
    ("camera/", "opens, reads and checks cameras"),
    ("inference/", "model file, its contract, resizing"),
    ("drivers/", "cameras, pins, TFLite runtimes, MQTT ..."),
    ("reporting/", "log, messages, metrics, pictures"),
    ("record/", "passages, events"),
)
"""Packages of edge around the pipeline, with what each contains."""
STAGE, WIRING, DRIVER, WORKSHOP = "#dcfce7", "#fef9c3", "#e0e7ff", "#fee2e2"


def picture() -> str:
    """Draw the laptop on the left, the board on the right, and the model file between them."""
    sheet = Sheet(1000, 540, "Packages of fmd and the way of a frame")
    _frame(sheet, 15, 15, 250, 510, "on a laptop")
    _frame(sheet, 285, 15, 700, 510, "on the board: edge/")
    _box(sheet, 35, 55, 210, 60, "training/", "pictures in, .keras out", WORKSHOP)
    _box(sheet, 35, 165, 210, 80, "converter/", "load, calibrate, quantize, verify, write", WORKSHOP)
    _box(sheet, 35, 420, 210, 60, "fmd flash", "prepares a card", WORKSHOP)
    _arrow(sheet, (140, 115), (140, 165), "model.keras")
    _arrow(sheet, (245, 230), (305, 230), "")
    sheet.words(140, 275, "model.tflite with its contract", 12, "middle")
    sheet.words(140, 291, "and golden inputs", 12, "middle")
    sheet.words(140, 500, "package, settings and models", 11, "middle", FAINT)
    _box(sheet, 305, 55, 370, 55, "service/", "settings, signals, systemd, models, outputs", WIRING)
    _box(sheet, 695, 55, 270, 55, "commands/, doctor/, flash/", "command line, checks, card", WIRING)
    _box(sheet, 305, 165, 660, 130, "pipeline.py and stages/", "", WIRING)
    step = 650 / len(STAGES)
    for index, (name, what) in enumerate(STAGES):
        x = 310 + step * index
        _box(sheet, x, 205, step - 4, 60, name, "", STAGE)
        for line, part in enumerate(_halves(what)):
            sheet.words(x + step / 2 - 2, 243 + 12 * line, part, 9.5, "middle", FAINT)
        if index:
            sheet.line([(x - 4, 235), (x, 235)])
    _arrow(sheet, (490, 110), (490, 165), "")
    sheet.words(635, 318, "one frame passes through all stages, then its results are reported", 12, "middle", FAINT)
    for index, (name, what) in enumerate(BESIDE):
        x = 305 + 134 * index
        _box(sheet, x, 345, 124, 75, name, "", DRIVER if name == "drivers/" else WIRING)
        for line, part in enumerate(_halves(what)):
            sheet.words(x + 62, 384 + 14 * line, part, 10.5, "middle", FAINT)
    _box(sheet, 305, 440, 660, 40, "", "", DRIVER)
    sheet.words(635, 465, "contracts, config, errors, paths: everything imports them", 12, "middle")
    sheet.words(635, 502, "only drivers/ imports hardware libraries; no stage imports a driver", 12, "middle", FAINT)
    return sheet.svg()


def _frame(sheet: Sheet, x: float, y: float, width: float, height: float, label: str) -> None:
    sheet.line([(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)], FAINT, 1, "6 4")
    sheet.words(x + 12, y + 24, label, 14, bold=True)


def _box(sheet: Sheet, x: float, y: float, width: float, height: float, name: str, what: str, fill: str) -> None:
    sheet.box(x, y, width, height, fill=fill)
    if name:
        sheet.words(x + width / 2, y + 22, name, 14 if width > 70 else 12, "middle", bold=True)
    for line, part in enumerate(_halves(what) if len(what) * 5.6 > width else [what]):
        if part:
            sheet.words(x + width / 2, y + 40 + 14 * line, part, 11, "middle", FAINT)


def _arrow(sheet: Sheet, start: tuple[float, float], end: tuple[float, float], label: str) -> None:
    sheet.line([start, end], INK, 2)
    (x, y), across = end, start[1] == end[1]
    step = 8 if (end[0] - start[0] if across else end[1] - start[1]) > 0 else -8
    corners = [(x - step, y - 5), (x - step, y + 5)] if across else [(x - 5, y - step), (x + 5, y - step)]
    sheet.area([*corners, end], INK)
    sheet.words(start[0] + 8, (start[1] + end[1]) / 2 + 4, label, 11)


def _halves(text: str) -> list[str]:
    """Return ``text`` in two lines, broken at the space nearest the middle."""
    spaces = [i for i, letter in enumerate(text) if letter == " "]
    if not spaces:
        return [text]
    middle = min(spaces, key=lambda i: abs(i - len(text) / 2))
    return [text[:middle], text[middle + 1 :]]
