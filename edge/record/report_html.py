"""A report as one HTML file: no script, nothing loaded from elsewhere, one A4 page in print, readable on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from edge.files import begins_with
from edge.record.report import Bin, Report
from edge.record.report_text import duration, estimate, headline, unwatched_ms

STYLE = """
:root { color-scheme: light dark; --good: #2a7f62; --bad: #c2452d; --grey: #8a8f98; --line: #8886; }
@media (prefers-color-scheme: dark) { :root { --good: #4fbf97; --bad: #f0755c; } }
* { box-sizing: border-box; }
body { font: 16px/1.45 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.35rem; margin: 0; } h2 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
.sub { color: var(--grey); margin: .2rem 0 1rem; }
.big { display: flex; flex-wrap: wrap; gap: .8rem; }
.big > div { flex: 1 1 9rem; border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.big b { display: block; font-size: 1.7rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.good b { color: var(--good); } .bad b { color: var(--bad); }
.note { color: var(--grey); font-size: .875rem; }
.attention { border-left: .3rem solid var(--bad); padding: .3rem .8rem; margin: .8rem 0; }
svg { width: 100%; max-width: 35rem; height: auto; display: block; }
svg text { fill: currentColor; font: 11px system-ui, sans-serif; }
.c { fill: var(--good); } .v { fill: var(--bad); } .u { fill: var(--grey); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { text-align: left; padding: .25rem .5rem .25rem 0; border-bottom: 1px solid var(--line); font-weight: normal; }
td { text-align: right; }
@media print { @page { size: A4; margin: 14mm; } body { font-size: 12px; padding: 0; max-width: none; }
  h2 { margin: .8rem 0 .2rem; } svg { max-width: 22rem; }
  .charts { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
  .big b { font-size: 1.4rem; } :root { color-scheme: light; } }
"""
HEAD = '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="generator" content="fmd">'
"""Beginning of every document, by which fmd knows its own files."""
ROW = 22
"""Height of a row of a chart in its own units."""
WIDE, NAMES = 420, 84
"""Width of a chart, and of the names on its left: on a phone its text is still legible."""


def page(report: Report, door: str) -> str:
    """Return the report as a complete HTML document. ``door`` is the door's name."""
    return document(f"{door}: {report.title}", body(report, door))


def body(report: Report, door: str) -> str:
    """Return the report as HTML for the body of a document, whose style gives its classes their colours."""
    sums = report.sums
    parts = [
        f"<h1>{escape(door)}</h1>",
        f'<p class="sub">{escape(headline(report, "").lstrip(": "))}</p>',
        *(f'<p class="attention">{escape(warning)}</p>' for warning in report.warnings),
        '<div class="big">',
        _tile("good", _share(report), "of the decided passages were compliant", _uncertainty(report)),
        _tile("", f"{sums.passages:,}", "passages", f"the period before: {report.previous.passages:,}"),
        _tile("bad", f"{sums.violated:,}", "violated", _violated(report)),
        "</div>",
        "<h2>Time without a watch</h2>",
        _watch_bar(report),
        f'<p class="note">{_explained(report)}</p>',
    ]
    parts.append('<div class="charts">')
    for title, bins in (("By hour of the day", report.by_hour), ("By weekday", report.by_day)):
        if len(bins) > 1:
            parts.append(f"<div><h2>{title}</h2>{_chart(bins, title)}</div>")
    parts.append("</div>")
    return "\n".join([*parts, "<h2>All numbers</h2>", _table(report), _footnote(report)])


def document(title: str, body: str) -> str:
    """Return a complete HTML document in the style of the reports; ``body`` is HTML, ``title`` is text."""
    return (
        f'{HEAD}<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def is_document(path: Path) -> bool:
    """Return whether a file is one of these documents. Raises OSError if it cannot be read."""
    return begins_with(path, HEAD.encode())


def _tile(kind: str, figure: str, what: str, note: str) -> str:
    return f'<div class="{kind}"><b>{escape(figure)}</b>{escape(what)}<div class="note">{escape(note)}</div></div>'


def _share(report: Report) -> str:
    return "none" if report.measured is None else f"{report.measured.share:.1%}"


def _uncertainty(report: Report) -> str:
    if report.measured is None:
        return "nobody was decided"
    interval = f"{report.measured.low * 100:.1f} to {report.measured.high:.1%}, 95% interval"
    return f"{interval}. The period before: {estimate(report.previous_measured)}"


def _violated(report: Report) -> str:
    sums, parts = report.sums, [f"{report.sums.badly_worn:,} badly worn"]
    if report.put_on_s is not None:
        parts.append(f"{sums.put_on:,} put a mask on {report.put_on_s:.0f} s after the alarm")
    return "; ".join(parts)


def _explained(report: Report) -> str:
    parts = {
        "watched": report.sums.watched_ms,
        "blind": report.sums.blind_ms,
        "dark": report.sums.dark_ms,
        "disarmed": report.sums.disarmed_ms,
        "stopped": report.stopped_ms,
    }
    return ", ".join(f"{name} {duration(ms)}" for name, ms in parts.items()) + "."


def _watch_bar(report: Report) -> str:
    total = report.sums.watched_ms + unwatched_ms(report)
    watched = WIDE * report.sums.watched_ms / total if total else 0
    disarmed = WIDE * report.sums.disarmed_ms / total if total else 0
    label = f"watched {watched / WIDE:.1%} of the time"
    return (
        f'<svg viewBox="0 0 {WIDE} 40" role="img" aria-label="{label}"><rect class="v" width="{WIDE}" height="18" />'
        f'<rect class="u" width="{watched + disarmed:.1f}" height="18"/><rect class="c" width="{watched:.1f}" '
        f'height="18"/><text x="0" y="34">{label}</text></svg>'
    )


def _chart(bins: Sequence[Bin], title: str) -> str:
    """Return bars of compliant and violated passages, one row for each bin."""
    most = max(each.sums.judged for each in bins) or 1
    rows = []
    for number, each in enumerate(bins):
        y, scale = number * ROW, (WIDE - NAMES - 80) / most
        good, bad = each.sums.compliant * scale, each.sums.violated * scale
        share = f"{each.sums.compliant / each.sums.judged:.0%}" if each.sums.judged else ""
        rows.append(
            f'<text x="0" y="{y + 15}">{escape(each.name)}</text>'
            f'<rect class="c" x="{NAMES}" y="{y + 3}" width="{good:.1f}" height="15"/>'
            f'<rect class="v" x="{NAMES + good:.1f}" y="{y + 3}" width="{bad:.1f}" height="15"/>'
            f'<text x="{NAMES + 6 + good + bad:.1f}" y="{y + 15}">{share} of {each.sums.judged:,}</text>'
        )
    height = len(bins) * ROW
    legend = "green: compliant, red: violated"
    return (
        f'<svg viewBox="0 0 {WIDE} {height + 20}" role="img" aria-label="{escape(title)}, {legend}">{"".join(rows)}'
        f'<text class="legend" x="{NAMES}" y="{height + 15}">{legend}</text></svg>'
    )


def _table(report: Report) -> str:
    sums, before = report.sums, report.previous
    rows = [
        ("compliant", f"{sums.compliant:,}", f"{before.compliant:,}"),
        ("violated", f"{sums.violated:,}", f"{before.violated:,}"),
        ("of these badly worn", f"{sums.badly_worn:,}", f"{before.badly_worn:,}"),
        ("of these a mask was put on", f"{sums.put_on:,}", f"{before.put_on:,}"),
        ("unsure, in no share", f"{sums.unsure:,}", f"{before.unsure:,}"),
        ("compliance, as measured", estimate(report.measured), estimate(report.previous_measured)),
        ("compliance, corrected", estimate(report.corrected) if report.corrected else report.not_corrected, ""),
        ("time watched", duration(sums.watched_ms), duration(before.watched_ms)),
        ("time not watched", duration(unwatched_ms(report)), ""),
    ]
    cells = "".join(f"<tr><th>{escape(a)}</th><td>{escape(b)}</td><td>{escape(c)}</td></tr>" for a, b, c in rows)
    return f"<table><tr><th></th><td>this period</td><td>period before</td></tr>{cells}</table>"


def _footnote(report: Report) -> str:
    text = "Corrected: the model's known errors on labelled pictures are removed from the measured share."
    if report.without_clock:
        text += f" Passages that are not included, as the clock was not set: {report.without_clock:,}."
    return f'<p class="note">{escape(text)}</p>'
