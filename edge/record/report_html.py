"""A report as one HTML file: no script, nothing loaded from elsewhere, one A4 page in print, readable on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from edge.files import begins_with
from edge.record import report_words as words
from edge.record.report import Bin, Report
from edge.record.report_text import estimate, headline

STYLE = """
:root { color-scheme: light dark; --good: #2a7f62; --bad: #c2452d; --grey: #8a8f98; --line: #8886; }
@media (prefers-color-scheme: dark) { :root { --good: #4fbf97; --bad: #f0755c; } }
* { box-sizing: border-box; }
body { font: 16px/1.45 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.35rem; margin: 0; } h2 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
.sub { color: var(--grey); margin: .2rem 0 1rem; }
.big { display: flex; flex-wrap: wrap; gap: .8rem; }
.big > div { flex: 1 1 13rem; border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.big b { display: block; font-size: 1.7rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.verdict { font-weight: 600; } .better, .worse { border-left: .3rem solid var(--good); padding: .3rem .8rem; }
.worse { border-color: var(--bad); }
.key { list-style: none; padding: 0; margin: .4rem 0; font-size: .875rem; }
.key svg { display: inline-block; width: .8em; height: .8em; }
.note { color: var(--grey); font-size: .875rem; }
.attention { border-left: .3rem solid var(--bad); padding: .3rem .8rem; margin: .8rem 0; }
svg { width: 100%; max-width: 35rem; height: auto; display: block; }
svg text { fill: currentColor; font: 11px system-ui, sans-serif; }
.c { fill: var(--good); } .v { fill: var(--bad); } .u { fill: var(--grey); }
.k { fill: #d99a2b; } .s { fill: currentColor; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { text-align: left; padding: .25rem .5rem .25rem 0; border-bottom: 1px solid var(--line); font-weight: normal; }
td { text-align: right; }
@media print { @page { size: A4; margin: 14mm; } body { font-size: 12px; padding: 0; max-width: none; }
  h2 { margin: .8rem 0 .2rem; } p { margin: .3rem 0; } svg { max-width: 22rem; }
  .note, .key { font-size: 11px; } .key { columns: 2; margin: .2rem 0; } td, th { padding: .1rem .5rem .1rem 0; }
  .charts { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
  .big b { font-size: 1.4rem; } :root { color-scheme: light; } }
"""
HEAD = '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="generator" content="fmd">'
"""Beginning of every document, by which fmd knows its own files."""
ROW = 22
"""Height of a row of a chart in its own units."""
WIDE, NAMES = 420, 84
"""Width of a chart, and of the names on its left: on a phone its text is still legible."""
COLOURS = {"watched": "c", "disarmed": "u", "blind": "v", "dark": "k", "stopped": "s"}
"""Class of each kind of time."""


def page(report: Report, door: str) -> str:
    """Return the report as a complete HTML document. ``door`` is the door's name."""
    return document(f"{door}: {report.title}", body(report, door))


def body(report: Report, door: str) -> str:
    """Return the report as HTML for the body of a document, whose style gives its classes their colours."""
    head = [
        f"<h1>{escape(door)}</h1>",
        f'<p class="sub">{escape(headline(report, "").lstrip(": "))}</p>',
        *(f'<p class="verdict">{escape(sentence)}</p>' for sentence in words.why_empty(report)),
        *(f'<p class="attention">{escape(warning)}</p>' for warning in report.warnings),
    ]
    return "\n".join([*head, *(_figures(report) if report.sums.passages else _empty(report))])


def _empty(report: Report) -> list[str]:
    """Return what is left to say of an empty report: without bars, as there is nothing to be good or bad."""
    lines = [words.watched(report)] if sum(words.times(report).values()) else []
    lines.append(f"People who passed in {report.earlier}: {report.previous.passages:,}.")
    return [f'<p class="note">{escape(line)}</p>' for line in lines]


def _figures(report: Report) -> list[str]:
    sums, passages = report.sums, report.sums.passages
    earlier = f"{report.earlier.capitalize()}: {report.previous.passages:,}"
    parts = [
        f'<p class="verdict {words.direction(report)}">{escape(words.comparison(report))}</p>',
        '<div class="big">',
        _tile(_share(report), "people wore a mask well", _uncertainty(report)),
        _tile(f"{passages:,}", "people passed", f"{words.passed(sums)}. {earlier}"),
        _tile(f"{sums.violated:,}", "came without a well worn mask", words.violated(report)),
        "</div>",
        "<h2>Did fmd watch?</h2>",
        f"<p>{escape(words.watched(report))}</p>",
        _watch_bar(report),
        _key(report),
        '<div class="charts">',
    ]
    for title, bins in (("By hour of the day", report.by_hour), ("By weekday", report.by_day)):
        if len(bins) > 1:
            parts.append(f"<div><h2>{title}</h2>{_chart(bins, title)}</div>")
    return [*parts, "</div>", "<h2>All numbers</h2>", _table(report), _footnote(report)]


def document(title: str, body: str) -> str:
    """Return a complete HTML document in the style of the reports; ``body`` is HTML, ``title`` is text."""
    return (
        f'{HEAD}<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def is_document(path: Path) -> bool:
    """Return whether a file is one of these documents. Raises OSError if it cannot be read."""
    return begins_with(path, HEAD.encode())


def _tile(figure: str, what: str, note: str) -> str:
    return f'<div><b>{escape(figure)}</b>{escape(what)}<div class="note">{escape(note)}</div></div>'


def _share(report: Report) -> str:
    return "no share" if report.measured is None else f"{words.of_100(report.measured.share)} of 100"


def _uncertainty(report: Report) -> str:
    return "fmd could not judge anyone" if report.measured is None else words.between(report.measured)


def _watch_bar(report: Report) -> str:
    found, x, bars = words.times(report), 0.0, ""
    total = sum(found.values()) or 1
    for name, ms in found.items():
        width = WIDE * ms / total
        bars += f'<rect class="{COLOURS[name]}" x="{x:.1f}" width="{width:.1f}" height="18"/>' if ms else ""
        x += width
    label = escape(words.watched(report))
    return f'<svg viewBox="0 0 {WIDE} 18" role="img" aria-label="{label}">{bars}</svg>'


def _key(report: Report) -> str:
    """Return the legend of the bar, with the length of each part and what it means."""
    square = '<svg viewBox="0 0 10 10" aria-hidden="true"><rect class="{}" width="10" height="10"/></svg>'
    items = "".join(
        f"<li>{square.format(COLOURS[name])} {name} {words.duration(ms)}: {escape(words.MEANINGS[name])}</li>"
        for name, ms in words.times(report).items()
    )
    return f'<ul class="key">{items}</ul>'


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
    legend = "green: wore a mask well, red: did not"
    return (
        f'<svg viewBox="0 0 {WIDE} {height + 20}" role="img" aria-label="{escape(title)}, {legend}">{"".join(rows)}'
        f'<text class="legend" x="{NAMES}" y="{height + 15}">{legend}</text></svg>'
    )


def _table(report: Report) -> str:
    sums, before = report.sums, report.previous
    corrected = estimate(report.corrected) if report.corrected else report.not_corrected
    rows = [
        ("people passed", f"{sums.passages:,}", f"{before.passages:,}"),
        ("wore a mask well", f"{sums.compliant:,}", f"{before.compliant:,}"),
        ("did not", f"{sums.violated:,}", f"{before.violated:,}"),
        ("of these put a mask on after the alarm", f"{sums.put_on:,}", f"{before.put_on:,}"),
        ("of these wore it badly until they left", f"{sums.badly_worn:,}", f"{before.badly_worn:,}"),
        ("of these wore none until they left", f"{words.without_mask(sums):,}", f"{words.without_mask(before):,}"),
        ("fmd could not judge (in no share)", f"{sums.unsure:,}", f"{before.unsure:,}"),
        ("share who wore a mask well", estimate(report.measured), estimate(report.previous_measured)),
        ("the same, corrected for known errors", corrected, ""),
        ("time watched", words.duration(sums.watched_ms), words.duration(before.watched_ms)),
    ]
    cells = "".join(f"<tr><th>{escape(a)}</th><td>{escape(b)}</td><td>{escape(c)}</td></tr>" for a, b, c in rows)
    return f"<table><tr><th></th><td>now</td><td>{escape(report.earlier)}</td></tr>{cells}</table>"


def _footnote(report: Report) -> str:
    text = (
        f"Who passes twice counts twice. {words.CHANCE} They do not cover errors of the model: how often it errs is "
        "known from labelled pictures, and the corrected share leaves that out."
    )
    if report.without_clock:
        text += f" {words.without_clock(report.without_clock)}"
    return f'<p class="note">{escape(text)}</p>'
