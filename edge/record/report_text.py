"""A report as text for a terminal, a mail, or a message."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from edge.files import begins_with
from edge.record import report_words as words
from edge.record.compliance import Estimate
from edge.record.hours import FIELDS, Sums
from edge.record.report import Bin, Report
from edge.text import escaped

COLUMNS = ("hour", "camera", "passages", *FIELDS)
"""Heading of the table."""
WIDE = 100
"""Longest line, in characters."""
BAR = 24
"""Width of the longest bar, in characters."""


def text(report: Report, door: str) -> str:
    """Return the report as lines of at most 100 characters. ``door`` is the door's name."""
    sums = report.sums
    lines = [headline(report, door), ""]
    if sums.passages:
        lines += [
            *_sentence(main_figure(report)),
            *_sentence(words.comparison(report)),
            "",
            *_row("people passed", sums.passages, f"{report.earlier}: {report.previous.passages:,}"),
            *_row("wore it well", sums.compliant, share_line(report)),
            *_row("did not", sums.violated, words.violated(report)),
            *_row("not judged", sums.unsure, "fmd could not judge them; no share counts them"),
        ]
    lines += [line for sentence in words.why_empty(report) for line in _sentence(sentence)]
    if sum(words.times(report).values()):
        lines += ["", *_sentence(words.watched(report))]
    if sums.passages and report.without_clock:
        lines += _sentence(words.without_clock(report.without_clock))
    lines += [line for warning in report.warnings for line in _sentence(f"Attention: {warning}")]
    for title, bins in (("by hour of the day", report.by_hour), ("by weekday", report.by_day)):
        if len(bins) > 1:
            lines += ["", f"  {title}: █ wore a mask well, ░ did not", *_chart(bins)]
    return "\n".join(lines) + "\n"


def main_figure(report: Report) -> str:
    """Return the main figure as a sentence, with its interval."""
    if report.measured is None:
        return "fmd could not judge any of the people who passed."
    return f"{words.of_100(report.measured.share)} of 100 people wore a mask well ({words.between(report.measured)})."


def _sentence(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, WIDE, initial_indent="  ", subsequent_indent="  ")


def _row(name: str, count: int, note: str) -> list[str]:
    return textwrap.wrap(note, WIDE, initial_indent=f"  {name:13} {count:8,}   ", subsequent_indent=" " * 27)


def headline(report: Report, door: str) -> str:
    """Return door, period, and until when it has been reported."""
    camera = f", camera {report.camera}" if report.camera else ""
    until = datetime.fromisoformat(report.ended)
    return f"{door}{camera}: {report.title} (until {until:%d %b %H:%M})"


def share_line(report: Report) -> str:
    """Return the compliance as measured and as corrected, with intervals."""
    measured = estimate(report.measured)
    corrected = estimate(report.corrected) if report.corrected else report.not_corrected
    note = f" ({report.not_corrected})" if report.corrected and report.not_corrected else ""
    return f"{measured} of those judged; corrected for known errors: {corrected}{note}"


def estimate(found: Estimate | None) -> str:
    """Return a share with its interval, such as "91.2% (89.0 to 93.1%)"."""
    return "none" if found is None else f"{found.share:.1%} ({found.low * 100:.1f} to {found.high:.1%})"


def table(rows: Iterable[tuple[str, str, Sums]]) -> str:
    """Return rows of (begin of the hour, camera, sums) as CSV with a heading."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for hour, camera, sums in rows:
        writer.writerow([hour, escaped(camera), sums.passages, *(getattr(sums, name) for name in FIELDS)])
    return out.getvalue()


def is_table(path: Path) -> bool:
    """Return whether a file is such a CSV: its heading is the same. Raises OSError if it cannot be read."""
    return begins_with(path, ",".join(COLUMNS).encode())


def _chart(bins: Iterable[Bin]) -> list[str]:
    bins = list(bins)
    most = max(bin.sums.judged for bin in bins) or 1
    width = max(len(bin.name) for bin in bins)
    lines = []
    for each in bins:
        good = round(BAR * each.sums.compliant / most)
        bad = max(round(BAR * each.sums.violated / most), int(each.sums.violated > 0))
        share = f"{each.sums.compliant / each.sums.judged:.0%}" if each.sums.judged else ""
        bar = "█" * good + "░" * bad
        lines.append(f"    {each.name:{width}}  {bar:{BAR + 1}} {share:>4} of {each.sums.judged:,}")
    return lines
