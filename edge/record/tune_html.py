"""The effect of one setting as curves: one HTML file without scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from edge.record.report_html import document
from edge.record.tune import Effect

WIDE, HIGH, LEFT, BELOW = 420, 150, 46, 30
CURVES: tuple[tuple[str, Callable[[Effect], float | None], str], ...] = (
    ("alarms", lambda effect: float(effect.alarms), "v"),
    ("unsure or undecided", lambda effect: float(effect.unsure + effect.undecided), "u"),
    ("seconds to the alarm, median", lambda effect: effect.alarm_s, "c"),
)


def page(key: str, effects: Sequence[tuple[str, Effect]], title: str) -> str:
    """Return the page for the setting ``key``; the first of ``effects`` is that of the present settings."""
    (_, now), *trials = effects
    charts = ""
    for name, of, colour in CURVES:
        points = [(label.partition("=")[2], of(each)) for label, each in trials]
        charts += f"<h2>{escape(name)}</h2>{_curve(name, points, of(now), colour)}"
    explained = f"{escape(title)}: {now.passages:,} recorded passages, decided again with each value."
    head = f'<h1>{escape(key)}</h1><p class="sub">{explained} Dashed: the present settings.</p>'
    return document(key, head + charts)


def _curve(name: str, points: Sequence[tuple[str, float | None]], now: float | None, colour: str) -> str:
    known = [value for value in (*(value for _, value in points), now) if value is not None]
    most = max(known, default=0.0) or 1.0

    def y(value: float) -> float:
        return HIGH - value / most * (HIGH - 12)

    step = (WIDE - LEFT - 20) / max(1, len(points) - 1)
    placed = [(LEFT + number * step, value, label) for number, (label, value) in enumerate(points)]
    line = " ".join(f"{x:.1f},{y(value):.1f}" for x, value, _ in placed if value is not None)
    dots = "".join(
        f'<circle class="{colour}" cx="{x:.1f}" cy="{y(value):.1f}" r="3"/>'
        for x, value, _ in placed
        if value is not None
    )
    # Every second value is named: nine names do not fit beside each other on a phone.
    names = "".join(
        f'<text x="{x:.1f}" y="{HIGH + 16}" text-anchor="middle">{escape(label)}</text>' for x, _, label in placed[::2]
    )
    present = ""
    if now is not None:
        ends = f'x1="{LEFT}" x2="{WIDE}" y1="{y(now):.1f}" y2="{y(now):.1f}"'
        present = f'<line {ends} stroke="currentColor" stroke-dasharray="4 4"/>'
    return (
        f'<svg viewBox="0 0 {WIDE} {HIGH + BELOW}" role="img" aria-label="{escape(name)}">'
        f'<text x="0" y="{y(most) + 4:.1f}">{most:,.4g}</text><text x="0" y="{HIGH}">0</text>'
        f'<polyline points="{line}" fill="none" stroke="currentColor"/>{present}{dots}{names}</svg>'
    )
