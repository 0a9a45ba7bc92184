"""What LED and buzzer do, drawn from the default settings themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from docs.draw.svg import FAINT, Sheet
from edge import config
from edge.stages.alert import HEARTBEAT

MEANINGS: Mapping[str, str] = {
    "no_mask": "a person without a mask",
    "incorrect": "a mask worn badly",
    "unsure": "somebody unclear",
    "blind": "camera gives no usable picture",
    "running": "all is well, nobody to alert for",
}
SPAN_S = 4.0
WIDTH_S = 150.0
"""Pixels a second."""
LED, BUZZER, BEAT = "#dc2626", "#1d4ed8", "#15803d"
LEFT = 250


def picture() -> str:
    """A lane for every signal of :mod:`edge.contracts`, LED above, buzzer below."""
    settings = config.load().alert
    sheet = Sheet(920, 400, "What LED and buzzer do")
    sheet.words(20, 28, "What LED and buzzer do", 17, bold=True)
    sheet.words(LEFT + 30, 28, "LED", 12, colour=LED, bold=True)
    sheet.words(LEFT + 75, 28, "buzzer", 12, colour=BUZZER, bold=True)
    sheet.words(LEFT + 135, 28, "heartbeat", 12, colour=BEAT, bold=True)
    for row, (signal, meaning) in enumerate(MEANINGS.items()):
        y = 62.0 + 58 * row
        sheet.words(20, y + 14, meaning, 13)
        sheet.words(20, y + 30, f"alert.led_{signal}, alert.buzzer_{signal}", 10, colour=FAINT)
        _lane(sheet, y, getattr(settings, f"led_{signal}"), LED)
        _lane(sheet, y + 20, getattr(settings, f"buzzer_{signal}"), BUZZER)
    sheet.words(20, 362, "heartbeat, where one is wired", 13)
    _lane(sheet, 350, HEARTBEAT, BEAT)
    for second in range(int(SPAN_S) + 1):
        x = LEFT + WIDTH_S * second
        sheet.line([(x, 48), (x, 376)], FAINT, 0.5, "2 4")
        sheet.words(x, 392, f"{second} s", 11, "middle", FAINT)
    return sheet.svg()


def spans(pattern: Sequence[float], until_s: float) -> list[tuple[float, float]]:
    """When a pattern (seconds on, off, on ...) is on, as pairs of seconds; as ``alert.led_no_mask`` has it."""
    if not pattern:
        return []
    if len(pattern) == 1:
        return [(0.0, until_s)]
    found, now_s, index = [], 0.0, 0
    while now_s < until_s:
        end_s = now_s + pattern[index % len(pattern)]
        # Counted within the pattern, which begins lit each time even where it has an odd number of parts.
        if index % len(pattern) % 2 == 0:
            found.append((now_s, min(end_s, until_s)))
        now_s, index = end_s, index + 1
    return found


def _lane(sheet: Sheet, y: float, pattern: Sequence[float], colour: str) -> None:
    sheet.line([(LEFT, y + 14), (LEFT + WIDTH_S * SPAN_S, y + 14)], FAINT, 1)
    for start_s, end_s in spans(pattern, SPAN_S):
        x, width = LEFT + WIDTH_S * start_s, WIDTH_S * (end_s - start_s)
        sheet.area([(x, y), (x + width, y), (x + width, y + 14), (x, y + 14)], colour)


def table() -> str:
    """The same in words, for readers of the text."""
    settings = config.load().alert
    rows = ["| what | LED | buzzer |", "| --- | --- | --- |"]
    for signal, meaning in MEANINGS.items():
        led, buzzer = getattr(settings, f"led_{signal}"), getattr(settings, f"buzzer_{signal}")
        rows.append(f"| {meaning} | {words(led)} | {words(buzzer)} |")
    return "\n".join(rows) + "\n"


def words(pattern: Sequence[float]) -> str:
    """A pattern in a few words."""
    if not pattern:
        return "off"
    if len(pattern) == 1:
        return "on"
    return ", ".join(f"{seconds:g} s {'off' if index % 2 else 'on'}" for index, seconds in enumerate(pattern))
