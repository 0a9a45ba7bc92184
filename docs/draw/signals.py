"""Patterns of LED and buzzer, drawn from the default settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from docs.draw.svg import FAINT, Sheet
from edge import config
from edge.contracts import Signal
from edge.stages.alert import HEARTBEAT

PATTERNS = tuple(dict.fromkeys(signal.pattern for signal in sorted(Signal, reverse=True)))
"""Pattern names of the settings, the most urgent signal first."""
MEANINGS: Mapping[str, str] = dict(
    zip(
        PATTERNS,
        (
            "person without a mask",
            "badly worn mask",
            "camera gives no usable picture",
            "disarmed",
            "person who cannot be judged",
            "no alarm",
        ),
        strict=True,
    )
)
"""Pattern name -> its meaning, for readers."""
SPAN_S = 4.0
WIDTH_S = 150.0
"""Width of one second, pixels."""
LED, BUZZER, BEAT = "#dc2626", "#1d4ed8", "#15803d"
LEFT = 250


def picture() -> str:
    """Draw one lane for each pattern, the LED above, the buzzer below it."""
    settings = config.load().alert
    sheet = Sheet(920, 458, "Patterns of LED and buzzer")
    sheet.words(20, 28, "Patterns of LED and buzzer", 17, bold=True)
    sheet.words(LEFT + 80, 28, "LED", 12, colour=LED, bold=True)
    sheet.words(LEFT + 125, 28, "buzzer", 12, colour=BUZZER, bold=True)
    sheet.words(LEFT + 185, 28, "heartbeat", 12, colour=BEAT, bold=True)
    for row, (signal, meaning) in enumerate(MEANINGS.items()):
        y = 62.0 + 58 * row
        sheet.words(20, y + 14, meaning, 13)
        keys = ", ".join(f"alert.{key}" for key in (f"led_{signal}", f"buzzer_{signal}") if hasattr(settings, key))
        sheet.words(20, y + 30, keys, 10, colour=FAINT)
        _lane(sheet, y, getattr(settings, f"led_{signal}"), LED)
        _lane(sheet, y + 20, getattr(settings, f"buzzer_{signal}", ()), BUZZER)
    sheet.words(20, 420, "heartbeat LED, if wired", 13)
    _lane(sheet, 408, HEARTBEAT, BEAT)
    for second in range(int(SPAN_S) + 1):
        x = LEFT + WIDTH_S * second
        sheet.line([(x, 48), (x, 434)], FAINT, 0.5, "2 4")
        sheet.words(x, 450, f"{second} s", 11, "middle", FAINT)
    return sheet.svg()


def spans(pattern: Sequence[float], until_s: float) -> list[tuple[float, float]]:
    """Return when a pattern (seconds on, off, on, ...) is on, as pairs of seconds; see ``[alert]`` in the settings."""
    if not pattern:
        return []
    if len(pattern) == 1:
        return [(0.0, until_s)]
    found, now_s, index = [], 0.0, 0
    while now_s < until_s:
        end_s = now_s + pattern[index % len(pattern)]
        # Every repetition begins with "on", also of a pattern with an odd number of parts.
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
    """Return the same as a Markdown table."""
    settings = config.load().alert
    rows = ["| signal | LED | buzzer |", "| --- | --- | --- |"]
    for signal, meaning in MEANINGS.items():
        led, buzzer = getattr(settings, f"led_{signal}"), getattr(settings, f"buzzer_{signal}", ())
        rows.append(f"| {meaning} | {words(led)} | {words(buzzer)} |")
    return "\n".join(rows) + "\n"


def words(pattern: Sequence[float]) -> str:
    """Return a pattern in words."""
    if not pattern:
        return "off"
    if len(pattern) == 1:
        return "on"
    return ", ".join(f"{seconds:g} s {'off' if index % 2 else 'on'}" for index, seconds in enumerate(pattern))
